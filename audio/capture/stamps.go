package capture

import (
	"time"

	"earshot/audio"
)

const (
	// lost is how far a callback may lag behind the samples before it, until
	// samples must be missing: more than a device's buffer holds.
	lost = 300 * time.Millisecond
	// ahead is how far it may be ahead of them, until they were stamped wrong.
	ahead = 20 * time.Millisecond
	// Each callback makes up for this part of what it is late, or early: that
	// it is early says more, since nothing is captured before its time.
	partLate, partEarly = 50, 8
)

// stamps tells when samples were captured from when they were handed over,
// which on a busy machine is some milliseconds too late, and for several blocks
// at once after a stall. A block begins about where the one before it ended, and
// both are drawn slowly towards when they are handed over.
type stamps struct {
	started bool
	end     time.Duration // of the last block
}

// next returns when the last of n samples per channel, handed over now, was
// captured.
func (s *stamps) next(n int, now time.Duration) time.Duration {
	end := s.end + audio.Duration(n)
	switch late := now - end; {
	case !s.started || late < -ahead || late > lost:
		end = now
	case late < 0:
		end += late / partEarly
	default:
		end += late / partLate
	}
	s.started, s.end = true, end
	return end
}
