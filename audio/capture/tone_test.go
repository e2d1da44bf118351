package capture

import (
	"context"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// simulate runs a source for d of simulated time and returns what it delivers.
// Away is how long its clock jumps at half-time.
func simulate(t *testing.T, d, away time.Duration, source func(Config) audio.Source) []float32 {
	t.Helper()
	var pcm []float32
	synctest.Test(t, func(t *testing.T) {
		clock := audio.NewClock()
		var jump atomic.Int64
		src := source(Config{
			Clock: func() time.Duration { return clock() + time.Duration(jump.Load()) },
			Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		ring := audio.NewRing()
		ctx, cancel := context.WithTimeout(t.Context(), d+time.Millisecond)
		defer cancel()
		ended := make(chan error)
		go func() { ended <- src.Run(ctx, ring) }()
		block := make([]float32, period*audio.Channels)
		last := -audio.Duration(period)
		for {
			select {
			case <-ring.Wake():
				synctest.Wait()
				for {
					at, ok := ring.Read(block)
					if !ok {
						break
					}
					if step := at - last; step != audio.Duration(period) && jump.Load() == 0 {
						t.Errorf("stamp %v follows %v", at, last)
					}
					last = at
					pcm = append(pcm, block...)
				}
				if audio.Duration(len(pcm)/audio.Channels) >= d/2 {
					jump.Store(int64(away))
				}
			case err := <-ended:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
				if n := ring.Dropped(); n > 0 {
					t.Errorf("%d samples dropped", n)
				}
				return
			}
		}
	})
	return pcm
}

func TestToneKeepsTime(t *testing.T) {
	for _, want := range []float64{DefaultTone, 997} {
		pcm := simulate(t, 20*time.Second, 0, func(c Config) audio.Source { return NewTone(c, want) })
		if n := len(pcm) / audio.Channels; n != 20*audio.SampleRate {
			t.Errorf("%d samples in 20 s", n)
		}
		got := audiotest.Measure(pcm, want)
		if math.Abs(got.Hz-want) > 0.001 || math.Abs(got.Level-toneLevel) > 0.001 || len(got.Breaks) > 0 {
			t.Errorf("%v Hz: %v", want, got)
		}
	}
}

// TestToneAfterSleep: what was not played while the computer slept is not played
// at once when it wakes.
func TestToneAfterSleep(t *testing.T) {
	pcm := simulate(t, 4*time.Second, time.Hour, func(c Config) audio.Source { return NewTone(c, DefaultTone) })
	if d := audio.Duration(len(pcm) / audio.Channels); d < 3900*time.Millisecond || d > 4400*time.Millisecond {
		t.Errorf("%v of sound in 4 s", d)
	}
}
