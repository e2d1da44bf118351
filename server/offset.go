package server

import (
	"sync"
	"time"

	"earshot/audio"
)

// offset is another clock, known by pings (RFC 5905 section 8, with one stamp of
// the other side's): the answer with the least error counts, which is half its
// round trip and grows as two cheap clocks may drift apart.
type offset struct {
	base audio.Clock

	mu      sync.Mutex // guards the rest
	value   time.Duration
	spread  time.Duration // how far off value may be, at since
	since   time.Duration
	known   bool // by an answer
	guessed bool // by what came
}

const drift = 2000 // parts of which clocks may drift by one

// now is the other clock.
func (o *offset) now() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.base() + o.value
}

// ping returns what a ping sent now shall carry, in ms.
func (o *offset) ping() float64 { return float64(o.base()) / float64(time.Millisecond) }

// pong takes an answer: the other clock was at at µs.
func (o *offset) pong(t float64, at int64) {
	now := o.base()
	sent := time.Duration(t * float64(time.Millisecond))
	if sent < 0 || sent > now || now-sent > 5*time.Second || at < 0 || at > 1<<53 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	spread := (now - sent) / 2
	if o.known && o.spread+(now-o.since)/drift < spread {
		return
	}
	o.value, o.spread, o.since, o.known = time.Duration(at)*time.Microsecond-(sent+now)/2, spread, now, true
}

// answered tells whether the other side answers pings.
func (o *offset) answered() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known
}

// heard takes the stamp of something that has just come: the other clock is
// there at least, and for who answers no pings the way here counts as nothing.
func (o *offset) heard(at time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if value := at - o.base(); !o.known && (!o.guessed || value > o.value) {
		o.value, o.guessed = value, true
	}
}
