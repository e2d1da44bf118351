package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// wavFile makes a WAV file with a sine of 997 Hz on the left and, if there are
// two channels, of 1499 on the right, that is seamless after whole seconds.
func wavFile(t testing.TB, format uint16, bits, channels, rate int, seconds int, extensible bool) string {
	t.Helper()
	var data bytes.Buffer
	for i := range rate * seconds {
		for c := range channels {
			hz := []float64{997, 1499}[min(c, 1)]
			x := 0.25 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))
			le := binary.LittleEndian
			switch {
			case format == wavFloat && bits == 32:
				binary.Write(&data, le, float32(x))
			case format == wavFloat:
				binary.Write(&data, le, x)
			case bits == 8:
				data.WriteByte(byte(int(math.Round(x*128)) + 128))
			default:
				var b [4]byte
				le.PutUint32(b[:], uint32(int32(x*(1<<31))))
				data.Write(b[4-bits/8:])
			}
		}
	}
	chunk := func(id string, fields ...any) []byte {
		var b bytes.Buffer
		for _, f := range fields {
			binary.Write(&b, binary.LittleEndian, f)
		}
		head := binary.LittleEndian.AppendUint32([]byte(id), uint32(b.Len()))
		if b.Len()%2 == 1 {
			b.WriteByte(0)
		}
		return append(head, b.Bytes()...)
	}
	frame := channels * bits / 8
	fields := []any{format, uint16(channels), uint32(rate), uint32(rate * frame), uint16(frame), uint16(bits)}
	if extensible {
		fields[0] = uint16(wavExtensible)
		fields = append(fields, uint16(22), uint16(bits), uint32(3), format,
			[]byte("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"))
	}
	file := slices.Concat(
		chunk("LIST", []byte("INFOISFT\x05\x00\x00\x00Lavf\x00\x00")),
		chunk("fmt ", fields...), chunk("odd ", []byte{1, 2, 3}), chunk("data", data.Bytes()))
	return writeFile(t, chunk("RIFF", []byte("WAVE"), file))
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sound.wav")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// side returns one channel as both.
func side(pcm []float32, c int) []float32 {
	out := slices.Clone(pcm)
	for i := 0; i < len(out); i += 2 {
		out[i], out[i+1] = pcm[i+c], pcm[i+c]
	}
	return out
}

func TestFileFormats(t *testing.T) {
	tests := []struct {
		name           string
		format         uint16
		bits, channels int
		rate           int
		extensible     bool
	}{
		{"8 bits", wavPCM, 8, 1, 48000, false},
		{"16 bits", wavPCM, 16, 2, 48000, false},
		{"24 bits", wavPCM, 24, 2, 48000, true},
		{"32 bits", wavPCM, 32, 2, 48000, true},
		{"float", wavFloat, 32, 2, 48000, false},
		{"extensible float", wavFloat, 32, 1, 48000, true},
		{"double", wavFloat, 64, 2, 48000, false},
		{"5.1", wavPCM, 16, 6, 48000, true},
		{"CD", wavPCM, 16, 2, 44100, false},
		{"mono telephone", wavPCM, 16, 1, 8000, false},
		{"studio", wavPCM, 24, 2, 96000, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := wavFile(t, test.format, test.bits, test.channels, test.rate, 1, test.extensible)
			pcm := simulate(t, 3*time.Second, 0, func(c Config) audio.Source {
				f, err := NewFile(c, path)
				if err != nil {
					t.Fatal(err)
				}
				return f
			})
			if n := len(pcm) / audio.Channels; n != 3*audio.SampleRate {
				t.Errorf("%d samples in 3 s", n)
			}
			right := 997.0
			if test.channels > 1 {
				right = 1499
			}
			for c, hz := range []float64{997, right} {
				got := audiotest.Measure(side(pcm, c), hz)
				if math.Abs(got.Hz-hz) > 0.01 || math.Abs(got.Level-0.25) > 0.005 || len(got.Breaks) > 0 {
					t.Errorf("side %d: %v %v", c, got, got.Breaks)
				}
			}
		})
	}
}

// TestResamplingIsClean: what is not the tone after 44.1 to 48 kHz.
func TestResamplingIsClean(t *testing.T) {
	path := wavFile(t, wavFloat, 64, 1, 44100, 1, false)
	pcm := simulate(t, 3*time.Second, 0, func(c Config) audio.Source {
		f, err := NewFile(c, path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	fit := fitLevel(pcm[audio.SampleRate:], 997)
	t.Logf("%.0f dB", 20*math.Log10(fit))
	if fit > 1e-4 { // -80 dB
		t.Errorf("the rest is %v of the tone", fit)
	}
}

// fitLevel returns how loud what is not the sine of hz is, relative to it.
func fitLevel(pcm []float32, hz float64) float64 {
	var sin, cos, all float64
	n := len(pcm) / 2 / audio.SampleRate * audio.SampleRate // whole seconds: whole cycles
	for i := range n {
		x, w := float64(pcm[2*i]), 2*math.Pi*hz/audio.SampleRate*float64(i)
		sin, cos, all = sin+x*math.Sin(w), cos+x*math.Cos(w), all+x*x
	}
	tone := 2 * (sin*sin + cos*cos) / float64(n)
	return math.Sqrt(max(0, all-tone) / tone)
}

func TestFileErrors(t *testing.T) {
	good, err := os.ReadFile(wavFile(t, wavPCM, 16, 2, 48000, 1, false))
	if err != nil {
		t.Fatal(err)
	}
	patch := func(find string, offset int, b ...byte) []byte {
		p := slices.Clone(good)
		copy(p[bytes.Index(p, []byte(find))+offset:], b)
		return p
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":      {nil, "not a WAV file"},
		"text":       {[]byte("Not sound at all, but long enough"), "not a WAV file"},
		"no data":    {good[:40], "not a WAV file"},
		"no sound":   {good[:bytes.Index(good, []byte("data"))+8], "without sound"},
		"MP3 in WAV": {patch("fmt ", 8, 0x55, 0), "not PCM"},
		"12 bits":    {patch("fmt ", 22, 12, 0), "not PCM"},
		"0 channels": {patch("fmt ", 10, 0, 0), "not PCM"},
		"frame of 0": {patch("fmt ", 20, 0, 0), "not PCM"},
		"rate 0":     {patch("fmt ", 12, 0, 0, 0, 0), "not PCM"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, test.data)
			_, err := NewFile(Config{}, path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
	_, err = NewFile(Config{}, filepath.Join(t.TempDir(), "none.wav"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := NewFile(Config{}, t.TempDir()); err == nil {
		t.Error("a folder was taken for a file")
	}
}

// TestCutShort: a recorder that was killed leaves a header that promises more.
func TestCutShort(t *testing.T) {
	good, err := os.ReadFile(wavFile(t, wavPCM, 16, 2, 48000, 2, false))
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, good[:len(good)/2+1])
	pcm := simulate(t, 3*time.Second, 0, func(c Config) audio.Source {
		f, err := NewFile(c, path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	if got := audiotest.Measure(side(pcm, 0), 997); math.Abs(got.Level-0.25) > 0.001 || len(got.Breaks) > 3 {
		t.Errorf("%v", got)
	}
}

func FuzzReadWAV(f *testing.F) {
	good, err := os.ReadFile(wavFile(f, wavPCM, 16, 2, 8000, 1, true))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := readWAV(bytes.NewReader(data))
		if err != nil {
			return
		}
		samples := make([][2]float64, 64)
		for {
			if n, ok := w.Stream(samples); !ok || n == 0 {
				break
			}
		}
		if w.Err() != nil {
			t.Error(w.Err())
		}
	})
}
