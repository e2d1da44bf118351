package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"earshot/audio"
)

const (
	// leaseFor is how long a record that nobody renews keeps others out. Each
	// relay counts from when it first saw the record, on its own monotonic clock;
	// the holder counts leaseHeld from before it wrote it. So the holder is out
	// first, whatever the time of day is anywhere, as long as no clock runs 3 %
	// fast. Expiry by NATS itself (a key's TTL) would compare the clocks of
	// whichever servers lead, before and after an election.
	leaseFor  = 15 * time.Second
	leaseHeld = leaseFor - 500*time.Millisecond
	// renewEvery leaves 12 s at least for an election of a new leader, which takes
	// 4 to 9 s.
	renewEvery = 2 * time.Second
	renewAgain = 250 * time.Millisecond
	// tellEvery is between two records that are stored.
	tellEvery = 500 * time.Millisecond

	// queueLength is how many messages of sound wait to be sent: more than a
	// second of them would come too late.
	queueLength = 50

	maxAbout = 4 << 10
)

// Errors of claims and leases.
var (
	ErrTaken       = errors.New("another publisher has the stream")
	ErrUnavailable = errors.New("the relays' bus stores nothing just now")
	ErrReplaced    = errors.New("the same publisher has connected again")
	ErrLost        = errors.New("the lease of the stream could not be kept")
	errReleased    = errors.New("the lease was given back")
)

// Lease is the right of one publisher's connection to publish a stream. Any
// goroutine may use it.
type Lease struct {
	member *Member
	claim  Claim
	name   string
	epoch  uint64

	wanted atomic.Bool  // by other relays
	until  atomic.Int64 // when it ends unless it is renewed, on the bus's clock
	queue  chan []byte
	news   chan struct{} // capacity 1: About has changed

	ctx      context.Context // ends with the lease; its cause says why
	cancel   context.CancelCauseFunc
	kept     chan struct{} // closed when nobody renews it any more
	revision uint64        // of the record; keep's, then Release's
	released atomic.Bool
}

// Epoch is the lease's number: later leases have greater ones.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Done is closed when the lease has ended; then Err says why.
func (l *Lease) Done() <-chan struct{} { return l.ctx.Done() }

// Err returns ErrReplaced or ErrLost, and nil before Done.
func (l *Lease) Err() error {
	switch err := context.Cause(l.ctx); {
	case err == nil, errors.Is(err, ErrReplaced), errors.Is(err, errReleased):
		return err
	}
	return ErrLost
}

// end ends the lease.
func (l *Lease) end(why error) { l.cancel(why) }

// Publish sends a message of package audio to all who listen, here before it
// returns. It never waits for anybody and keeps the message. What is published
// after the lease's end comes to nothing. The error is of a message that is
// malformed.
func (l *Lease) Publish(message []byte) error {
	packets, err := audio.ParseMessage(message)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	m := l.member
	m.mu.Lock()
	// A computer that stood still may have lost it without knowing yet.
	good := m.lease == l && int64(m.bus.now()) < l.until.Load() && m.sound(l.epoch, packets)
	m.mu.Unlock()
	if !good || !l.wanted.Load() {
		return nil
	}
	b := envelope(kindSound, l.epoch, message)
	for {
		select {
		case l.queue <- b:
			return nil
		default:
		}
		select {
		case <-l.queue:
			m.bus.stats.dropped.Add(1)
		default:
		}
	}
}

// send passes on what is published. The connection may make it wait.
func (l *Lease) send() {
	to := subject(l.member.stream.Name, toSound)
	for {
		select {
		case <-l.ctx.Done():
			return
		case b := <-l.queue:
			l.member.bus.publish(to, b)
		}
	}
}

// Tell says something else of the publisher.
func (l *Lease) Tell(about json.RawMessage) error {
	if err := checkAbout(about); err != nil {
		return err
	}
	m := l.member
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease != l {
		return nil
	}
	m.known.About = about
	m.known.Number++
	m.tellState()
	// Behind the sound that is on its way.
	select {
	case l.queue <- envelope(kindRecord, l.epoch, encode(m.known)):
	default: // it is said again
	}
	nudge(l.news)
	return nil
}

// Kick ends a listener's connection, to this relay or another.
func (l *Lease) Kick(relay string, listener uint64) {
	m := l.member
	if relay != m.bus.config.Name {
		m.bus.publish(subject(m.stream.Name, toSound), envelope(kindKick, l.epoch, encode(kick{relay, listener})))
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stream.Kick(listener)
}

// keep renews the lease until it ends.
func (l *Lease) keep() {
	defer close(l.kept)
	m := l.member
	timer := time.NewTimer(renewEvery)
	var stored time.Duration // when that was done last
	defer timer.Stop()
	// By itself: a connection that takes nothing can hold up a write for longer.
	left := func() time.Duration { return time.Duration(l.until.Load()) - m.bus.now() }
	end := time.AfterFunc(left(), func() { l.lose(ErrLost) })
	defer end.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.news:
			if wait := stored + tellEvery - m.bus.now(); wait > 0 { // it says something else all the time
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		m.mu.Lock()
		r := m.known
		current := m.lease == l && r.Epoch == l.epoch
		m.mu.Unlock()
		next := renewEvery
		if current {
			ctx, cancel := context.WithTimeout(l.ctx, left())
			began := m.bus.now()
			switch err := l.store(ctx, r); {
			case err == nil:
				stored = began
				l.until.Store(int64(began + leaseHeld))
				end.Reset(left())
			case errors.Is(err, ErrLost):
				l.lose(err)
			default:
				next = renewAgain
			}
			cancel()
		}
		timer.Reset(next)
	}
}

// lose ends the lease, unless that has happened.
func (l *Lease) lose(why error) {
	m := l.member
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease == l {
		m.drop(why)
		m.tellState()
	}
}

// store replaces the lease's record. ErrLost says that another's is there.
func (l *Lease) store(ctx context.Context, r record) error {
	m := l.member
	bk := m.bus.bucket.Load()
	for tries := 0; ; tries++ {
		revision, err := bk.update(ctx, keyStream+m.stream.Name, encode(r), l.revision)
		if err == nil {
			l.revision = revision
			return nil
		}
		if !errors.Is(err, errRevision) || tries == 3 {
			return err
		}
		// Another's, or an earlier write of ours that brought no answer.
		m.refresh(ctx, bk)
		there, last, _ := m.view()
		switch {
		case last <= l.revision: // read from a server that is behind
			wait(ctx, claimAgain)
		case there.Lease == l.name:
			l.revision = last
		default:
			return ErrLost
		}
	}
}

// Release gives the lease back: the stream is free and its listeners know that
// nobody publishes. It returns when that is stored, or can't be for 2 s; then the
// lease ends by itself.
func (l *Lease) Release() {
	if l.released.Swap(true) {
		return
	}
	m := l.member
	m.mu.Lock()
	off := record{Lease: l.name, Identity: l.claim.Identity, Epoch: l.epoch, Number: m.known.Number + 1, About: m.known.About}
	if m.lease == l {
		m.drop(errReleased)
	}
	if m.known.Epoch == l.epoch {
		m.learn(off)
	}
	m.mu.Unlock()
	l.end(errReleased)
	<-l.kept
	m.bus.publish(subject(m.stream.Name, toSound), envelope(kindRecord, l.epoch, encode(off)))
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for l.store(ctx, off) != nil && ctx.Err() == nil {
		if there, _, _ := m.view(); there.Lease != l.name {
			return
		}
		wait(ctx, claimAgain)
	}
}

// tellClock answers another relay.
func (l *Lease) tellClock(msg *nats.Msg) {
	l.member.bus.publish(msg.Reply, encode(clockAnswer{l.epoch, l.claim.Clock().Microseconds()}))
}
