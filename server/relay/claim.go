package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// claimPatience is how long a claim waits for NATS to store it.
	claimPatience = 10 * time.Second
	claimAgain    = 100 * time.Millisecond
)

// Claim is what a publisher says of itself.
type Claim struct {
	Identity string               // who it is; the same takes over from itself at once
	About    json.RawMessage      // for [State], up to 4 KB
	Clock    func() time.Duration // the publisher's clock, as this relay measures it; any goroutine may call it
}

// Claim takes the stream for a publisher whose connection is on this relay, or
// says that it is taken (ErrTaken) or that nobody can tell (ErrUnavailable),
// which takes 10 s at most. Where the same identity has the stream, here or on
// another relay, that lease ends with ErrReplaced. Stream.Wanted is called
// before Claim returns.
func (m *Member) Claim(ctx context.Context, c Claim) (*Lease, error) {
	if err := checkAbout(c.About); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	select {
	case <-m.bus.up:
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
	select {
	case m.claiming <- struct{}{}:
		defer func() { <-m.claiming }()
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
	r := record{Relay: m.bus.config.Name, Lease: random(), Identity: c.Identity, About: c.About}
	revision, began, err := m.take(ctx, r)
	if err != nil {
		return nil, err
	}
	l := &Lease{
		member:   m,
		claim:    c,
		name:     r.Lease,
		epoch:    revision,
		queue:    make(chan []byte, queueLength),
		news:     make(chan struct{}, 1),
		kept:     make(chan struct{}),
		revision: revision,
	}
	l.until.Store(int64(began + leaseHeld))
	l.ctx, l.cancel = context.WithCancelCause(m.bus.ctx)
	r.Epoch = revision
	if err := m.install(l, r); err != nil {
		l.end(err)
		return nil, err
	}
	m.bus.publish(subject(m.stream.Name, toSound), envelope(kindRecord, l.epoch, encode(r)))
	return l, nil
}

func checkAbout(about json.RawMessage) error {
	switch {
	case len(about) > maxAbout:
		return fmt.Errorf("what the publisher says of itself is longer than %d bytes", maxAbout)
	case about != nil && !json.Valid(about):
		return errors.New("what the publisher says of itself is no JSON")
	}
	return nil
}

// take stores a record that begins a lease, and returns its revision and when
// the lease began.
func (m *Member) take(ctx context.Context, r record) (revision uint64, began time.Duration, err error) {
	looked := false
	for ctx.Err() == nil {
		bk := m.bus.bucket.Load()
		if bk == nil {
			wait(ctx, claimAgain)
			continue
		}
		there, last, since := m.view()
		if there.Lease == r.Lease { // stored by an attempt that brought no answer
			return last, began, nil
		}
		if there.Relay != "" && there.Identity != r.Identity && m.bus.now()-since <= leaseFor {
			if looked {
				return 0, 0, ErrTaken
			}
			m.refresh(ctx, bk) // it may have been given back this moment
			looked = true
			if there, _, _ := m.view(); there.Relay != "" {
				return 0, 0, ErrTaken
			}
		}
		start := m.bus.now()
		if began == 0 {
			began = start
		}
		revision, err := bk.update(ctx, keyStream+m.stream.Name, encode(r), last)
		if err == nil {
			return revision, start, nil
		}
		m.refresh(ctx, bk)
		if _, now, _ := m.view(); now == last {
			wait(ctx, claimAgain)
		}
	}
	return 0, 0, ErrUnavailable
}

// wait waits, or for ctx to end.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// view returns the stream's entry of the bucket as far as it is known.
func (m *Member) view() (r record, revision uint64, since time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entry, m.revision, m.since
}

// refresh reads the stream's entry, which a server may answer that is behind:
// what is known already stays.
func (m *Member) refresh(ctx context.Context, bk *bucket) {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	if e, err := bk.Get(ctx, keyStream+m.stream.Name); err == nil {
		m.stored(e)
	}
}

// install makes l the stream's publisher.
func (m *Member) install(l *Lease, r record) error {
	// Not while m.mu is held: the connection may make it wait.
	subs := []*nats.Subscription{
		m.subscribe(toListeners, m.takeReport),
		m.subscribe(toClock, l.tellClock),
		m.subscribe(toSound, m.takeRecord),
	}
	context.AfterFunc(l.ctx, func() {
		for _, sub := range subs {
			if sub != nil {
				_ = sub.Unsubscribe()
			}
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.stopped:
		return ErrUnavailable
	case l.epoch < m.known.Epoch: // somebody took it since
		return ErrTaken
	}
	if old := m.lease; old != nil {
		why := ErrLost
		if old.claim.Identity == l.claim.Identity {
			why = ErrReplaced
		}
		m.drop(why)
	}
	clear(m.others)
	if m.revision < l.epoch {
		m.entry, m.revision, m.since = r, l.epoch, m.bus.now()
	}
	m.rise(l.epoch)
	m.lease, m.known, m.alive = l, r, m.bus.now()
	m.clock.use(l.claim.Clock)
	m.tellState()
	m.wanted = m.local > 0
	m.stream.Wanted(m.wanted)
	m.bus.work.Go(l.keep)
	m.bus.work.Go(l.send)
	return nil
}

// takeRecord hears of another publisher's lease.
func (m *Member) takeRecord(msg *nats.Msg) {
	if kind, _, _, ok := open(msg.Data); ok && kind == kindRecord {
		m.takeSound(msg)
	}
}
