package relay

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	// As many answers are kept; the one that was quickest is believed. At one in
	// 5 s clocks drift apart by less than 2 ms meanwhile.
	clockSamples = 8
	clockEvery   = 5 * time.Second
	clockTimeout = time.Second
)

// clock is the publisher's, which may be on another relay. The zero clock knows
// nothing.
type clock struct {
	mu      sync.Mutex
	here    func() time.Duration // of a publisher on this relay
	epoch   uint64
	samples []clockSample // oldest first
	asking  bool
	asked   time.Duration
}

// clockSample is one answer.
type clockSample struct {
	trip, ahead time.Duration // ahead of the bus's clock
}

// use makes it the clock of a publisher on this relay, or of none.
func (c *clock) use(here func() time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here = here
}

// reset forgets the clock of an earlier publisher.
func (c *clock) reset(epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch, c.samples = epoch, nil
}

func (c *clock) add(epoch uint64, s clockSample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	c.samples = append(c.samples, s)
	if len(c.samples) > clockSamples {
		c.samples = c.samples[1:]
	}
}

// Clock returns the publisher's clock; false where it isn't known. The stamps of
// packets are of that clock.
func (m *Member) Clock() (time.Duration, bool) {
	c := &m.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.here != nil:
		return c.here(), true
	case len(c.samples) == 0:
		return 0, false
	}
	best := slices.MinFunc(c.samples, func(a, b clockSample) int { return int(a.trip - b.trip) })
	return m.bus.now() + best.ahead, true
}

// askClock asks for the publisher's clock, if that is due.
func (m *Member) askClock(epoch uint64) {
	c := &m.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	now := m.bus.now()
	if c.asking || len(c.samples) >= clockSamples && now-c.asked < clockEvery {
		return
	}
	c.asking, c.asked = true, now
	n := max(1, clockSamples-len(c.samples))
	m.bus.work.Go(func() {
		for range n {
			if !m.askOnce(epoch) {
				break
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking = false
	})
}

func (m *Member) askOnce(epoch uint64) bool {
	ctx, cancel := context.WithTimeout(m.bus.ctx, clockTimeout)
	defer cancel()
	began := m.bus.now()
	msg, err := m.bus.nc.RequestWithContext(ctx, subject(m.stream.Name, toClock), nil)
	if err != nil {
		return false // nobody answers just now
	}
	now := m.bus.now()
	var a clockAnswer
	if json.Unmarshal(msg.Data, &a) != nil || a.Epoch != epoch {
		return false
	}
	trip := now - began
	m.clock.add(epoch, clockSample{trip, time.Duration(a.At)*time.Microsecond + trip/2 - now})
	return true
}
