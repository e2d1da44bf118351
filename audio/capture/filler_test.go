package capture

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"earshot/audio"
)

// A part of what a device does: for so long it hands over a period of sound
// every 10 ms, or nothing.
type part struct {
	lasts time.Duration
	plays bool
	stall bool // what is missed is handed over at the end, all at once
}

// fill runs a filler on a device that does parts, and returns what comes out:
// how much sound and silence, and when the last of it was captured. It checks
// that stamps and samples keep to the clock all the way.
func fill(t *testing.T, parts []part) (sound, silence, end time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		clock := audio.NewClock()
		out := audio.NewRing()
		f := newFiller(Config{Clock: clock}, out)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.run(ctx); close(ended) }()

		block, got := make([]float32, period*audio.Channels), make([]float32, period*audio.Channels)
		read := func() {
			synctest.Wait()
			for {
				at, ok := out.Read(got)
				if !ok {
					break
				}
				if drift := at - end; end != 0 && drift.Abs() > step+time.Millisecond {
					t.Errorf("at %v a stamp is %v, after one that ends at %v", clock(), at, end)
				}
				end = at + step
				if got[0] == 0 {
					silence += step
				} else {
					sound += step
				}
			}
			if late := clock() - end; late < -step || late > idle+2*step {
				t.Errorf("at %v the last that came out was captured at %v", clock(), end)
			}
			if slip := clock() - (sound + silence); slip < -2*step || slip > idle+2*step {
				t.Errorf("at %v there are %v of samples", clock(), sound+silence)
			}
		}
		for i := range block {
			block[i] = 0.5
		}
		for _, p := range parts {
			for done := time.Duration(0); done < p.lasts; done += time.Millisecond {
				time.Sleep(time.Millisecond)
				if p.plays && done%step == 0 {
					f.take(block)
				}
				if !p.stall { // then all of it is late
					read()
				}
			}
			if p.stall {
				for range p.lasts / step {
					f.take(block)
				}
				read()
			}
		}
		cancel()
		<-ended
		if n := f.in.Dropped() + out.Dropped(); n > 0 {
			t.Errorf("%d samples dropped", n)
		}
	})
	return sound, silence, end
}

func TestFiller(t *testing.T) {
	const ms = time.Millisecond
	play := func(d time.Duration) part { return part{lasts: d, plays: true} }
	pause := func(d time.Duration) part { return part{lasts: d} }
	tests := map[string]struct {
		parts          []part
		sound, silence time.Duration // 20 ms more or less
	}{
		"sound":             {[]part{play(2000 * ms)}, 2000 * ms, 0},
		"nothing at all":    {[]part{pause(2000 * ms)}, 0, 2000 * ms},
		"a pause":           {[]part{play(500 * ms), pause(1000 * ms), play(500 * ms)}, 1000 * ms, 1000 * ms},
		"a short pause":     {[]part{play(500 * ms), pause(55 * ms), play(500 * ms)}, 1000 * ms, 55 * ms},
		"a jitter":          {[]part{play(500 * ms), pause(12 * ms), play(500 * ms)}, 1000 * ms, 0},
		"sound at last":     {[]part{pause(3003 * ms), play(500 * ms)}, 500 * ms, 3003 * ms},
		"a stall":           {[]part{play(500 * ms), {lasts: 200 * ms, stall: true}, play(500 * ms)}, 1010 * ms, 180 * ms},
		"a very long pause": {[]part{play(100 * ms), pause(time.Minute), play(100 * ms)}, 200 * ms, time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sound, silence, _ := fill(t, tt.parts)
			if d := sound - tt.sound; d.Abs() > 20*ms {
				t.Errorf("%v of sound, want %v", sound, tt.sound)
			}
			if d := silence - tt.silence; d.Abs() > 20*ms {
				t.Errorf("%v of silence, want %v", silence, tt.silence)
			}
		})
	}
}

// Sound that comes back does so at any moment of the filler's own period; over
// and over that must not add up.
func TestFillerDoesNotSlip(t *testing.T) {
	var parts []part
	for i := range 200 {
		parts = append(parts, part{lasts: 100 * time.Millisecond, plays: true},
			part{lasts: time.Duration(50+i%23) * time.Millisecond})
	}
	fill(t, parts) // checks that itself
}

// A laptop that slept hands nothing over and misses nothing.
func TestFillerSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := audio.NewClock()
		var jump atomic.Int64
		out := audio.NewRing()
		f := newFiller(Config{Clock: func() time.Duration { return clock() + time.Duration(jump.Load()) }}, out)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.run(ctx); close(ended) }()
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		jump.Store(int64(time.Hour))
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		cancel()
		<-ended
		got := make([]float32, period*audio.Channels)
		var last time.Duration
		n := 0
		for {
			at, ok := out.Read(got)
			if !ok {
				break
			}
			last, n = at, n+1
		}
		if late := clock() + time.Duration(jump.Load()) - last; late > 50*time.Millisecond || n > 45 {
			t.Errorf("%d periods came out, the last captured %v ago", n, late)
		}
	})
}

// What was chosen before goes out no more, not even what is on its way.
func TestFillerKeepsToTheChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := audio.NewRing()
		d := NewDemand(Choice{})
		f := newFiller(Config{Clock: audio.NewClock(), Demand: d}, out)
		block := make([]float32, period*audio.Channels)
		block[0] = 1
		f.take(block)
		d.Choose(Choice{Output: "another"})
		f.take(block)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.run(ctx); close(ended) }()
		time.Sleep(100 * time.Millisecond)
		cancel()
		<-ended
		for {
			_, ok := out.Read(block)
			if !ok {
				break
			}
			if block[0] != 0 {
				t.Error("sound of the choice before")
			}
		}
	})
}
