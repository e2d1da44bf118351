package relay

import (
	"sync"
	"time"
)

// calendar tells a time of day to forget by. A clock that was set ahead it believes
// after a day, and one that was set back at once. Any goroutine may use it.
type calendar struct {
	mu      sync.Mutex
	since   time.Duration // of the latest of the times below
	before  time.Time     // the least that the time of day was when the relay started, as it was in the day until since
	present time.Time     // and as it is since then
}

const calendarDay = 24 * time.Hour

// sure takes a time of day, and how long ago the relay started by a clock that
// nobody sets.
func (c *calendar) sure(now time.Time, passed time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	start := now.Add(-passed)
	switch {
	case c.present.IsZero():
		c.before, c.present = start, start
	case passed-c.since >= calendarDay:
		c.since, c.before, c.present = passed, c.present, start
	case start.Before(c.present):
		c.present = start
	}
	if c.present.Before(c.before) {
		return c.present.Add(passed)
	}
	return c.before.Add(passed)
}
