package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/image/riff"
)

// wav decodes the samples of a WAV file: PCM of 8, 16, 24 and 32 bits and
// floats of 32 and 64, of any rate. It keeps the first two channels, and plays
// one on both sides. It is a beep.StreamSeeker.
type wav struct {
	rate int // samples per second and channel

	data     io.ReaderAt
	start    int64 // of the samples in data
	frames   int   // samples per channel
	channels int
	size     int // bytes of a sample of one channel
	sample   func([]byte) float64

	position int // samples per channel
	buffer   []byte
	err      error
}

// Sample formats of a WAV file's format chunk, by
// https://learn.microsoft.com/windows/win32/api/mmreg/ns-mmreg-waveformatextensible
const (
	wavPCM        = 1
	wavFloat      = 3
	wavExtensible = 0xFFFE
)

var (
	errWAV       = errors.New("not a WAV file")
	errWAVFormat = errors.New("not PCM of 8, 16, 24 or 32 bits or floats")
	errWAVEmpty  = errors.New("a WAV file without sound")
)

// readWAV reads the header of a WAV file.
func readWAV(file interface {
	io.ReadSeeker
	io.ReaderAt
}) (*wav, error) {
	form, chunks, err := riff.NewReader(file)
	if err != nil || form != (riff.FourCC{'W', 'A', 'V', 'E'}) {
		return nil, errWAV
	}
	w := &wav{data: file}
	for {
		id, length, chunk, err := chunks.Next()
		switch {
		case err != nil:
			return nil, errWAV
		case id == riff.FourCC{'f', 'm', 't', ' '}:
			if err := w.readFormat(chunk); err != nil {
				return nil, err
			}
		case id == riff.FourCC{'d', 'a', 't', 'a'}:
			if w.sample == nil {
				return nil, errWAV
			}
			if w.start, err = file.Seek(0, io.SeekCurrent); err != nil {
				return nil, err
			}
			end, err := file.Seek(0, io.SeekEnd)
			if err != nil {
				return nil, err
			}
			// A recording that was cut short is still good.
			w.frames = int(min(int64(length), end-w.start)) / (w.size * w.channels)
			if w.frames == 0 {
				return nil, errWAVEmpty
			}
			return w, nil
		}
	}
}

// readFormat reads the format chunk.
func (w *wav) readFormat(r io.Reader) error {
	var f struct {
		Format, Channels       uint16
		Rate, BytesPerSecond   uint32
		BytesPerFrame, Bits    uint16
		ExtensionSize, Valid   uint16
		ChannelMask            uint32
		SubFormat, SubFormatHi uint16 // and the rest of a GUID that is always the same
	}
	head := make([]byte, binary.Size(f))
	n, err := io.ReadFull(r, head)
	if n < 16 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errWAV
	}
	if _, err := binary.Decode(head, binary.LittleEndian, &f); err != nil {
		return err
	}
	format := f.Format
	if format == wavExtensible {
		format = f.SubFormat
	}
	w.rate, w.channels, w.size = int(f.Rate), int(f.Channels), int(f.Bits)/8
	switch {
	case format == wavPCM && f.Bits == 8:
		w.sample = func(b []byte) float64 { return float64(int(b[0])-128) / (1 << 7) }
	case format == wavPCM && f.Bits == 16:
		w.sample = func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15) }
	case format == wavPCM && f.Bits == 24:
		w.sample = func(b []byte) float64 {
			return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	case format == wavPCM && f.Bits == 32:
		w.sample = func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) / (1 << 31) }
	case format == wavFloat && f.Bits == 32:
		w.sample = func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	case format == wavFloat && f.Bits == 64:
		w.sample = func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	default:
		return errWAVFormat
	}
	if w.channels == 0 || w.channels > 64 || w.rate < 1000 || w.rate > 768000 ||
		int(f.BytesPerFrame) != w.size*w.channels {
		return fmt.Errorf("%w: %d channels at %d Hz", errWAVFormat, w.channels, w.rate)
	}
	return nil
}

// Stream fills samples as far as the file goes on.
func (w *wav) Stream(samples [][2]float64) (n int, ok bool) {
	n = min(len(samples), w.frames-w.position)
	if n == 0 || w.err != nil {
		return 0, false
	}
	frame := w.size * w.channels
	if len(w.buffer) < n*frame {
		w.buffer = make([]byte, n*frame)
	}
	b := w.buffer[:n*frame]
	if _, err := w.data.ReadAt(b, w.start+int64(w.position)*int64(frame)); err != nil {
		w.err = err
		return 0, false
	}
	for i := range n {
		left := w.sample(b[i*frame:])
		right := left
		if w.channels > 1 {
			right = w.sample(b[i*frame+w.size:])
		}
		samples[i] = [2]float64{left, right}
	}
	w.position += n
	return n, true
}

// Err returns why the file could not be read.
func (w *wav) Err() error { return w.err }

// Len returns the length in samples per channel.
func (w *wav) Len() int { return w.frames }

// Position returns what Stream delivers next, in samples per channel.
func (w *wav) Position() int { return w.position }

// Seek makes Stream go on at a position.
func (w *wav) Seek(position int) error {
	if position < 0 || position > w.frames {
		return fmt.Errorf("no position %d in %d samples", position, w.frames)
	}
	w.position = position
	return nil
}
