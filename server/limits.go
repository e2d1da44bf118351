package server

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often an address may ask. What fails is counted apart from what doesn't,
// and so are links that have ended, were withdrawn or have not begun: a good
// token is let in however many others came before it. Whoever has a good one,
// though, can use up the successes of an address, for as long as they ask.
const (
	failureEvery = 6 * time.Second
	failureBurst = 10
	successRate  = 50 // a second
	successBurst = 500

	// limitsSize is how many addresses are remembered at least, and half of
	// how many at most: 2 MB.
	limitsSize = 4096
)

// limits is how often each address has asked. It forgets those that were
// longest ago.
type limits struct {
	mu         sync.Mutex            // guards the rest
	young, old map[netip.Prefix]*use // old is what young was when it was full
}

// use is how often an address may ask still.
type use struct {
	failures, endings, successes *rate.Limiter
}

func newLimits() *limits { return &limits{young: map[netip.Prefix]*use{}} }

// fail counts a request that was refused, ended one whose token isn't good now
// but was or will be, and succeed one that was let in. They return 0, or how
// long the address must wait before the next such one.
func (l *limits) fail(from netip.Addr) time.Duration    { return spend(l.use(from).failures) }
func (l *limits) ended(from netip.Addr) time.Duration   { return spend(l.use(from).endings) }
func (l *limits) succeed(from netip.Addr) time.Duration { return spend(l.use(from).successes) }

// spent tells how long an address must wait before it may fail once more, and
// counts nothing.
func (l *limits) spent(from netip.Addr) time.Duration { return left(l.use(from).failures, time.Now()) }

func spend(r *rate.Limiter) time.Duration {
	now := time.Now()
	if r.AllowN(now, 1) {
		return 0
	}
	return left(r, now)
}

func left(r *rate.Limiter, now time.Time) time.Duration {
	return max(0, time.Duration((1-r.TokensAt(now))/float64(r.Limit())*float64(time.Second)))
}

func (l *limits) use(from netip.Addr) *use {
	l.mu.Lock()
	defer l.mu.Unlock()
	home := network(from)
	u := l.young[home]
	if u != nil {
		return u
	}
	if u = l.old[home]; u == nil {
		u = &use{
			failures:  rate.NewLimiter(rate.Every(failureEvery), failureBurst),
			endings:   rate.NewLimiter(successRate, successBurst), // a class's, say
			successes: rate.NewLimiter(successRate, successBurst),
		}
	}
	if len(l.young) >= limitsSize {
		l.young, l.old = map[netip.Prefix]*use{}, l.young
	}
	l.young[home] = u
	return u
}

// network is what counts as one address: one of IPv4, or an IPv6 network of 64
// bits (RFC 4291 section 2.5.4), in which a host has all that it likes.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for no address
	return p
}
