package main

import (
	"context"
	"time"
)

const (
	// lookAtClock is how often it is looked whether the time of day has jumped.
	lookAtClock = 2 * time.Second
	// leap is how far it may be off in that time, as time servers correct it,
	// before that is a jump.
	leap = time.Second
)

// watchClock calls jumped when the time of day has jumped, by so much beyond what
// has passed, until ctx ends: the clock was set or, where the system's other clock
// stands still then, the computer slept.
func watchClock(ctx context.Context, jumped func(by time.Duration)) {
	look := time.NewTicker(lookAtClock)
	defer look.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := time.Now()
		by := now.Round(0).Sub(last.Round(0)) - now.Sub(last) // Round(0) is the time of day
		if last = now; by.Abs() > leap {
			jumped(by)
		}
	}
}

// clockJumped makes links follow the new time of day at once: who listens by one
// that has ended by it is gone, and everybody else hears on.
func (a *app) clockJumped(by time.Duration) {
	if err := a.access.useKeys(); err != nil { // retired ones may have ended, or not yet
		a.log.Error("retired keys don't follow the clock", "err", err)
	}
	ended := a.hub.Review(a.access.tokens.Good)
	said := "the clock was set back: links follow it"
	if by > 0 {
		said = "the clock was set forward, or this computer slept: links follow it"
	}
	a.log.Warn(said, "by", by.Round(time.Second), "listeners whose links have ended", ended)
	a.relays.withdraw() // what they were not told of, since it had ended by the old time
}
