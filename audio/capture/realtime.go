package capture

import (
	"context"
	"time"

	"earshot/audio"
)

// realtime calls fill for a period's samples, interleaved stereo, as often as
// the clock says that they are due, and writes them into ring, until ctx ends or
// fill fails. The number of samples follows the clock exactly: nothing drifts.
// While nobody listens it rests.
func realtime(ctx context.Context, c Config, ring *audio.Ring, fill func(pcm []float32) error) error {
	clock := c.Clock
	ticker := time.NewTicker(audio.Duration(period))
	defer ticker.Stop()
	pcm := make([]float32, period*audio.Channels)
	start := clock()
	for n := 0; ; { // samples per channel since start
		if _, listened, _ := c.want(); !listened {
			ticker.Stop()
			select {
			case <-ctx.Done():
				return nil
			case <-c.changes():
			}
			ticker.Reset(audio.Duration(period))
			start, n = clock(), 0
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if late := clock() - start - audio.Duration(n+period); late > lost {
			// Nobody wants to catch up with what a sleeping computer missed.
			start += late
		}
		for audio.Duration(n+period) <= clock()-start {
			if err := fill(pcm); err != nil {
				return err
			}
			n += period
			ring.Write(pcm, start+audio.Duration(n))
		}
	}
}
