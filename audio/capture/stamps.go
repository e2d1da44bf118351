package capture

import (
	"time"

	"earshot/audio"
)

const (
	// lost is how far a callback may lag behind the samples before it, until
	// samples must be missing: more than a device's buffer holds.
	lost = 300 * time.Millisecond
	// settle is what part of a lag each callback takes off.
	settle = 50
)

// stamps tells when samples were captured from when they were handed over,
// which on a busy machine is some milliseconds too late, and for several blocks
// at once after a stall. A block begins where the one before it ended; the end
// is never later than now and is drawn towards it slowly.
type stamps struct {
	started bool
	end     time.Duration // of the last block
}

// next returns when the last of n samples per channel, handed over now, was
// captured.
func (s *stamps) next(n int, now time.Duration) time.Duration {
	end := s.end + audio.Duration(n)
	switch lag := now - end; {
	case !s.started || lag < 0 || lag > lost:
		end = now
	default:
		end += lag / settle
	}
	s.started, s.end = true, end
	return end
}
