package capture

import "time"

// backoff spaces out attempts that fail: the pause doubles from first to most.
type backoff struct {
	first, most time.Duration

	pause time.Duration // before the next attempt; 0 after a success
	until time.Time     // when that is
}

// failed begins the next pause.
func (b *backoff) failed() {
	b.pause = min(max(2*b.pause, b.first), b.most)
	b.until = time.Now().Add(b.pause)
}

// reset ends the pause.
func (b *backoff) reset() { b.pause, b.until = 0, time.Time{} }

// left returns how long to wait until the next attempt; not more than 0 when it
// is time.
func (b *backoff) left() time.Duration {
	if b.pause == 0 {
		return 0
	}
	return time.Until(b.until)
}
