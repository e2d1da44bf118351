package audiotest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"earshot/audio"
)

// tone returns d of a sine.
func tone(hz, level float64, d time.Duration) []float32 {
	pcm := make([]float32, audio.Samples(d)*audio.Channels)
	for i := range pcm {
		pcm[i] = float32(level * math.Sin(2*math.Pi*hz/audio.SampleRate*float64(i/2)))
	}
	return pcm
}

func TestMeasureSteadyTone(t *testing.T) {
	for _, hz := range []float64{440, 990, 997, 1003.5, 5000} {
		pcm := tone(hz, 0.25, 3*time.Second)
		noise := rand.New(rand.NewPCG(1, 2))
		for i := range pcm {
			pcm[i] += float32(0.01 * noise.NormFloat64())
		}
		near := math.Round(hz/10) * 10
		got := Measure(pcm, near)
		if math.Abs(got.Hz-hz) > 0.05 || math.Abs(got.Level-0.25) > 0.005 || len(got.Breaks) != 0 ||
			got.From != 0 || got.To != 3*time.Second {
			t.Errorf("%v Hz: %v", hz, got)
		}
	}
}

func TestMeasureBreaks(t *testing.T) {
	second := audio.SampleRate * audio.Channels
	tests := []struct {
		name     string
		spoil    func(pcm []float32) []float32
		from, to time.Duration // bounds of Longest
	}{
		{"steady", func(p []float32) []float32 { return p }, 0, 0},
		{"silent start and end", func(p []float32) []float32 {
			return slices.Concat(make([]float32, second/2), p, make([]float32, second/2))
		}, 0, 10 * time.Millisecond},
		{"pause of 50 ms", func(p []float32) []float32 {
			return slices.Concat(p[:second], make([]float32, second/20), p[second:])
		}, 45 * time.Millisecond, 65 * time.Millisecond},
		{"3 samples lost", func(p []float32) []float32 { return slices.Delete(p, second, second+6) },
			1, 10 * time.Millisecond},
		{"10 ms lost", func(p []float32) []float32 { return slices.Delete(p, second, second+second/100) },
			1, 10 * time.Millisecond},
		{"10 ms lost in the middle of a window", func(p []float32) []float32 {
			return slices.Delete(p, second+window, second+window+second/100)
		}, 1, 10 * time.Millisecond},
		{"20 ms doubled", func(p []float32) []float32 { return slices.Insert(p, second, p[second-second/50:second]...) },
			1, 10 * time.Millisecond},
		{"click", func(p []float32) []float32 { p[second], p[second+1] = 1, 1; return p }, 1, 5 * time.Millisecond},
		{"played 0.3 % too fast", func([]float32) []float32 { return tone(1000, 0.25, 3*time.Second) }, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Measure(test.spoil(tone(997, 0.25, 3*time.Second)), 997)
			if d := got.Longest(); d < test.from || d > test.to {
				t.Errorf("%v, want longest in %v to %v: %v", got, test.from, test.to, got.Breaks)
			}
		})
	}
}

func TestMeasureSilence(t *testing.T) {
	if got := Measure(make([]float32, 96000), 997); got.Level != 0 {
		t.Error(got)
	}
	if got := Measure(nil, 997); got.Level != 0 {
		t.Error(got)
	}
}

func TestLevel(t *testing.T) {
	pcm := tone(997, 0.25, time.Second)
	for i, x := range tone(300, 0.1, time.Second) {
		pcm[i] += x
	}
	for hz, want := range map[float64]float64{997: 0.25, 300: 0.1, 600: 0} {
		if got := Level(pcm, hz); math.Abs(got-want) > 0.001 {
			t.Errorf("level at %v Hz is %v, want %v", hz, got, want)
		}
	}
}
