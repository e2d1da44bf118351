package server

import (
	"slices"
	"sync"
	"time"
)

const (
	// A lane's load is what part of the time between two of its messages it
	// takes until one is with everybody. Over tooMuch, in all lanes together,
	// listeners of the live lane are asked to take longer messages, which cost
	// less; while it has been under little for calm they are asked back: then each
	// message is with everybody before the next is due. In between nothing changes,
	// and both are so far apart that no such move leads from one to the other.
	tooMuch = 2.0
	little  = 0.8
	// calm doubles, up to calmMost, each time that it was too short: there is too
	// much again within regret.
	calm     = 10 * time.Second
	calmMost = 10 * time.Minute
	regret   = 30 * time.Second
	// moveEvery is how long after some listeners were asked the next ones are: one,
	// or where there are many one of so many. Nothing is lost meanwhile: writers
	// send several messages at once where they are late. The way back is slower, so
	// that the load shows what the last ones cost before many others are asked.
	moveEvery = 100 * time.Millisecond
	backEvery = 300 * time.Millisecond
	oneOf     = 16
	// smoothed is over how long the load is averaged.
	smoothed = time.Second
	// stale is for how long a lane's load counts when it sends nothing.
	stale = 2 * time.Second
)

// Why says why a listener is in its lane.
type Why string

// The reasons.
const (
	Chosen Why = "chosen" // the listener wants it
	Busy   Why = "busy"   // this computer can't keep up with more messages
)

// pressure finds out whether the writers keep up, and moves listeners to larger
// messages and back accordingly.
type pressure struct {
	hub *Hub

	mu       sync.Mutex // guards the rest
	loads    map[*lane]load
	next     time.Time // nobody is asked before
	lowSince time.Time // since when there is little to do; zero while there isn't
	calm     time.Duration
	returned time.Time   // when somebody was last asked back
	moved    []*listener // who is in a larger lane for it; last moved last
}

// load is a lane's.
type load struct {
	part float64
	at   time.Time // of its last message
}

// note takes a message of l into account, that at now was with everybody in all,
// so long after it was published.
func (p *pressure) note(l *lane, took time.Duration, now time.Time, all []place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.judge(l, took, now) {
	case longer:
		if l == p.hub.live {
			p.relieve(now, all)
		}
	case shorter:
		p.giveBack(now)
	}
}

// verdict is what is to be done.
type verdict int

const (
	stay   verdict = iota
	longer         // messages for somebody
	shorter
)

// judge says whether somebody is to be asked now. p.mu is held.
func (p *pressure) judge(l *lane, took time.Duration, now time.Time) verdict {
	if p.loads == nil {
		p.loads, p.calm = map[*lane]load{}, calm
	}
	length := time.Duration(l.length.Load())
	last := p.loads[l]
	if now.Sub(last.at) > stale {
		last.part = 0
	}
	// Each of the lane's writers notes each message.
	passed := min(max(now.Sub(last.at), length/time.Duration(len(l.writers))), 2*length)
	last.part += min(1, float64(passed)/float64(smoothed)) * (float64(took)/float64(length) - last.part)
	last.at = now
	p.loads[l] = last
	total := 0.0
	for _, each := range p.loads {
		if now.Sub(each.at) < stale {
			total += each.part
		}
	}
	if total > little {
		p.lowSince = time.Time{}
	} else if p.lowSince.IsZero() {
		p.lowSince = now
	}
	switch {
	case now.Before(p.next):
	case total > tooMuch:
		return longer
	case len(p.moved) > 0 && !p.lowSince.IsZero() && now.Sub(p.lowSince) >= p.calm:
		return shorter
	}
	return stay
}

// relieve asks some of the live lane's listeners to take longer messages. p.mu is
// held.
func (p *pressure) relieve(now time.Time, all []place) {
	if !p.returned.IsZero() && now.Sub(p.returned) < regret {
		p.calm = min(2*p.calm, calmMost)
		p.returned = time.Time{}
	}
	to := p.hub.lane(BalancedLane)
	some := max(1, len(all)/oneOf)
	for _, one := range slices.Backward(all) { // who came last first
		// Who was asked and has not answered can't.
		if l := one.listener; l.place.Load() == one.number && l.why.Load() == nil && l.offered.CompareAndSwap(nil, to) {
			l.offer()
			p.next = now.Add(moveEvery)
			if some--; some == 0 {
				return
			}
		}
	}
}

// giveBack asks some of those who were moved last to come back. p.mu is held.
func (p *pressure) giveBack(now time.Time) {
	for range max(1, len(p.moved)/oneOf) {
		l := p.moved[len(p.moved)-1]
		p.moved = p.moved[:len(p.moved)-1]
		if l.offered.CompareAndSwap(nil, p.hub.live) {
			l.offer()
			p.next = now.Add(backEvery)
			p.returned = now
		}
	}
}

// answered notes that a listener agrees to the move that it was asked for.
func (p *pressure) answered(l *listener, to *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to == p.hub.live {
		l.why.Store(nil)
		return
	}
	why := Busy
	l.why.Store(&why)
	p.moved = append(p.moved, l)
}

// forget notes that a listener has left, or chosen a lane.
func (p *pressure) forget(l *listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = slices.DeleteFunc(p.moved, func(o *listener) bool { return o == l })
}
