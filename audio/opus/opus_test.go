package opus

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	hraban "github.com/hraban/opus"

	"earshot/audio"
)

// sine returns n frames of 997 Hz from frame first on.
func sine(first, n int) []float32 {
	pcm := make([]float32, 0, n*audio.Channels)
	for i := first; i < first+n; i++ {
		v := float32(0.5 * math.Sin(2*math.Pi*997*float64(i)/audio.SampleRate))
		pcm = append(pcm, v, v)
	}
	return pcm
}

// What is encoded decodes to the same level, at every frame and at the ends of
// the range of bit rates, and fits into a packet.
func TestEncode(t *testing.T) {
	for _, bitrate := range []int{MinBitrate, 32000, 128000, MaxBitrate} {
		for _, frame := range Frames {
			enc, err := NewEncoder(bitrate)
			if err != nil {
				t.Fatal(err)
			}
			dec, err := hraban.NewDecoder(audio.SampleRate, audio.Channels)
			if err != nil {
				t.Fatal(err)
			}
			n := audio.Samples(frame)
			data, out := make([]byte, audio.MaxPacketSize), make([]float32, n*audio.Channels)
			var power float64
			for i := range 20 {
				size, err := enc.Encode(sine(i*n, n), data)
				if err != nil {
					t.Fatalf("%d b/s, %v: %v", bitrate, frame, err)
				}
				if got, err := dec.DecodeFloat32(data[:size:size], out); err != nil || got != n {
					t.Fatalf("%d b/s, %v: decoded %d samples, %v", bitrate, frame, got, err)
				}
				if i >= 10 {
					for _, v := range out {
						power += float64(v) * float64(v)
					}
				}
			}
			rms := math.Sqrt(power / float64(10*n*audio.Channels))
			tolerance := 1.5 // dB
			if bitrate == MinBitrate {
				tolerance = 4 // 5 ms are less than four bytes then
			}
			if math.Abs(20*math.Log10(rms/(0.5/math.Sqrt2))) > tolerance {
				t.Errorf("%d b/s, %v: level %.3f", bitrate, frame, rms)
			}
		}
	}
}

// The encoder says how far the sound of a decoded packet is behind.
func TestDelay(t *testing.T) {
	const frame, frames = 960, 10
	for _, bitrate := range []int{32000, 128000} {
		enc, err := NewEncoder(bitrate)
		if err != nil {
			t.Fatal(err)
		}
		dec, err := hraban.NewDecoder(audio.SampleRate, audio.Channels)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		in, out := make([]float32, frames*frame*audio.Channels), make([]float32, frames*frame*audio.Channels)
		for i := range in {
			in[i] = random.Float32() - 0.5
		}
		data := make([]byte, audio.MaxPacketSize)
		for at := 0; at < len(in); at += frame * audio.Channels {
			part := func(pcm []float32) []float32 { return pcm[at : at+frame*audio.Channels] }
			size, err := enc.Encode(part(in), data)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dec.DecodeFloat32(data[:size:size], part(out)); err != nil {
				t.Fatal(err)
			}
		}
		// The delay is where what came out is most like what went in.
		var best int
		var most float32
		for delay := range frame {
			var like float32
			for i := frame * audio.Channels; i < len(out); i += audio.Channels {
				like += out[i] * in[i-delay*audio.Channels]
			}
			if like > most {
				best, most = delay, like
			}
		}
		if got := audio.Duration(best); got != enc.Delay() {
			t.Errorf("%d b/s: a delay of %v, it says %v", bitrate, got, enc.Delay())
		}
	}
}

func TestBitrateOutOfRange(t *testing.T) {
	if _, err := NewEncoder(-5); err == nil {
		t.Error("no error")
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	enc, err := NewEncoder(128000)
	if err != nil {
		t.Fatal(err)
	}
	pcm, data := sine(0, 960), make([]byte, audio.MaxPacketSize)
	if n := testing.AllocsPerRun(50, func() { _, err = enc.Encode(pcm, data) }); n != 0 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
}

func TestVersion(t *testing.T) {
	if !strings.HasPrefix(Version(), "libopus") {
		t.Errorf("version %q", Version())
	}
}
