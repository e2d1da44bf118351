package server

import "time"

const (
	// tooLate is how much later than the soonest sound may come and still be of
	// use: who plays 2 s behind, in messages of 1 s, needs it by then.
	tooLate = time.Second
	// latePatience is for how long all sound may be too late before that is how
	// this way is, unless it comes catchUp times as fast as it is played: a backlog
	// does. What doesn't is of a publisher that paused without its stamps, of a
	// clock that was set, or of a line that never gets rid of its queue. Late sound
	// is better than none.
	latePatience = 250 * time.Millisecond
	catchUp      = 2
)

// lateness tells what came too late, a backlog after a stall of the network, by
// how the stamps of what comes go on against our clock. The publisher's clock
// need not be known, and may be slow by a part of drift.
type lateness struct {
	begun bool
	least time.Duration // our time minus a stamp, of what came the soonest
	last  time.Duration // when something last came
	since time.Duration // since when all is too late; 0: it isn't
	from  time.Duration // the stamp that was too late first
}

// late takes the stamp of what has come now.
func (l *lateness) late(now, stamp time.Duration) bool {
	way := now - stamp
	if l.begun {
		l.least += (now - l.last) / drift
	}
	l.last = now
	switch {
	case !l.begun || way < l.least:
		l.begun, l.least, l.since = true, way, 0
	case way-l.least <= tooLate:
		l.since = 0
	case l.since == 0:
		l.since, l.from = now, stamp
		return true
	case now-l.since <= latePatience, stamp-l.from > catchUp*(now-l.since):
		return true
	default:
		l.least, l.since = way, 0
	}
	return false
}
