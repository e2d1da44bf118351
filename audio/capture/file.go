package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gopxl/beep/v2"

	"earshot/audio"
)

// resampling is the order of interpolation: 44.1 to 48 kHz is clean up to where
// Opus ends, for some 1 % of a core.
const resampling = 8

// File plays a WAV file again and again, without a pause in between.
type File struct {
	config Config
	path   string
}

// NewFile returns a File. The error says in one line what is wrong with the
// file and what would be right.
func NewFile(c Config, path string) (*File, error) {
	file, _, err := openWAV(path)
	if err != nil {
		return nil, err
	}
	return &File{config: c, path: path}, file.Close()
}

// openWAV opens a WAV file for reading.
func openWAV(path string) (*os.File, *wav, error) {
	file, err := os.Open(path)
	if err != nil {
		var reason *fs.PathError
		if errors.As(err, &reason) {
			err = reason.Err
		}
		return nil, nil, fmt.Errorf("sound file %s: %w; name a WAV file that can be read", path, err)
	}
	w, err := readWAV(file)
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("sound file %s: %w; a WAV file with PCM or float samples would do", path, err)
	}
	return file, w, nil
}

// Run plays the file from its start into ring in real time until ctx ends. An
// error means that the file can't be read any more.
func (f *File) Run(ctx context.Context, ring *audio.Ring) error {
	file, w, err := openWAV(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	var sound beep.Streamer
	if sound, err = beep.Loop2(w); err != nil {
		return err
	}
	if w.rate != audio.SampleRate {
		// Behind the loop, so that its seam is resampled like the rest.
		sound = beep.Resample(resampling, beep.SampleRate(w.rate), audio.SampleRate, sound)
	}
	r := reporter{Config: f.config}
	r.set(Status{Output: filepath.Base(f.path)})
	samples := make([][2]float64, period)
	return realtime(ctx, f.config, ring, func(pcm []float32) error {
		if n, _ := sound.Stream(samples); n < len(samples) {
			return fmt.Errorf("read sound file %s: %w", f.path, w.Err())
		}
		for i, s := range samples {
			pcm[2*i], pcm[2*i+1] = clip(s[0]), clip(s[1])
		}
		return nil
	})
}

// clip brings a sample, which may be louder in a file of floats, or no number,
// into [-1, 1].
func clip(x float64) float32 {
	if x != x {
		return 0
	}
	return float32(min(1, max(-1, x)))
}
