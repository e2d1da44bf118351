package capture

import (
	"context"
	"sync/atomic"
	"time"

	"earshot/audio"
)

// filler makes an even stream of what a device hands over that delivers nothing
// while nothing plays, as WASAPI's loopback does: silence goes out in its
// place, as the clock goes on. The device's thread calls take, and one goroutine
// run.
type filler struct {
	config Config
	out    *audio.Ring   // run has its only writer
	seq    atomic.Uint64 // of the choice by which the device is open

	in     *audio.Ring // stamped with when its samples were handed over
	stamps stamps      // run's
	silent [period * audio.Channels]float32
}

func newFiller(c Config, out *audio.Ring) *filler {
	return &filler{config: c, out: out, in: audio.NewRing()}
}

// idle is how long a device may stay away until nothing plays: longer than a busy
// computer holds it up, since late sound is dropped once silence has stood in for
// it, and shorter than listeners' buffers last. Silence goes out a period later
// than sound does, so that sound that comes back still finds its place.
const idle = 4 * step

// step is how long a period lasts.
const step = period * time.Second / audio.SampleRate

// take takes samples that a device hands over. It neither waits nor allocates.
func (f *filler) take(pcm []float32) { f.in.Write(pcm, f.config.Clock()) }

// run writes sound and silence to the ring until ctx ends.
func (f *filler) run(ctx context.Context) {
	pcm := make([]float32, period*audio.Channels)
	heard := f.config.Clock()
	filling := true // what came last was silence
	f.stamps = stamps{started: true, end: heard}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.in.Wake():
		case <-timer.C:
		}
		for {
			at, ok := f.in.Read(pcm)
			if !ok {
				break
			}
			if !f.config.current(f.seq.Load()) {
				continue
			}
			heard = at + step
			if f.stamps.end > heard {
				continue // late, and silence stood in for it
			}
			for filling && f.stamps.end < at { // the silence ends where this begins
				f.silence(min(at-f.stamps.end, step))
			}
			filling = false
			f.out.Write(pcm, f.stamps.next(period, heard))
		}
		now := f.config.Clock()
		if now-heard < idle {
			timer.Reset(heard + idle - now)
			continue
		}
		if now-f.stamps.end > lost { // nobody wants what a sleeping computer missed
			f.stamps.end = now - 2*step
		}
		for f.stamps.end+2*step <= now {
			f.silence(step)
		}
		filling = true
		timer.Reset(f.stamps.end + 2*step - now)
	}
}

// silence lets d of it follow, a period at most.
func (f *filler) silence(d time.Duration) {
	f.stamps.end += d
	f.out.Write(f.silent[:audio.Samples(d)*audio.Channels], f.stamps.end)
}
