package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"earshot/audio"
	"earshot/server/token"
)

// solo is the [Member] of a stream that one relay alone serves.
type solo struct {
	cast  *Broadcast
	store *token.Store

	mu    sync.Mutex // guards the rest, and is held while the Broadcast is called
	epoch uint64
	lease *soloLease // of who publishes; nil for nobody
}

// NewSolo makes b the stream of one relay alone, whose withdrawals are kept in
// store.
func NewSolo(b *Broadcast, store *token.Store) { b.Join(&solo{cast: b, store: store}) }

func (s *solo) Claim(_ context.Context, c Claim) (Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.lease; old != nil {
		if old.claim.Identity != c.Identity {
			return nil, ErrTaken
		}
		old.end(ErrReplaced)
	}
	s.epoch++
	s.lease = &soloLease{solo: s, claim: c, epoch: s.epoch, done: make(chan struct{})}
	return s.lease, nil
}

func (s *solo) Withdraw(_ context.Context, all time.Time, some []token.Withdrawal) error {
	if s.store.Covers(all, some) {
		return nil
	}
	if err := s.store.Adopt(all, some); err != nil {
		return err
	}
	s.cast.Review()
	return nil
}

func (s *solo) Changed()     {}
func (s *solo) Admits() bool { return true }

func (s *solo) Clock() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil {
		return 0, false
	}
	return s.lease.claim.Clock(), true
}

// soloLease is a Lease of a solo; its mutex guards what changes.
type soloLease struct {
	solo  *solo
	claim Claim
	epoch uint64
	done  chan struct{}
	err   error // set before done is closed
	last  uint32
	begun bool // last is the number of a packet that came
}

// end ends the lease. solo.mu is held.
func (l *soloLease) end(err error) {
	l.err = err
	close(l.done)
}

func (l *soloLease) Publish(message []byte) error {
	packets, err := audio.ParseMessage(message)
	if err != nil {
		return err
	}
	l.solo.mu.Lock()
	defer l.solo.mu.Unlock()
	if l.solo.lease != l {
		return nil // too late
	}
	for len(packets) > 0 && l.begun && int32(packets[0].Seq-l.last) <= 0 {
		packets = packets[1:]
	}
	for i, p := range packets {
		if i > 0 && int32(p.Seq-l.last) <= 0 {
			return errors.Join(audio.ErrMessage, errors.New("its numbers don't rise"))
		}
		l.last, l.begun = p.Seq, true
	}
	l.solo.cast.Sound(l.epoch, packets)
	return nil
}

func (l *soloLease) Tell(about []byte) {
	l.solo.mu.Lock()
	defer l.solo.mu.Unlock()
	if l.solo.lease == l {
		l.solo.cast.State(l.epoch, true, about)
	}
}

func (l *soloLease) Kick(_ string, listener uint64) { l.solo.cast.Kick(listener) }
func (l *soloLease) Done() <-chan struct{}          { return l.done }
func (l *soloLease) Err() error                     { return l.err }

func (l *soloLease) Release() {
	l.solo.mu.Lock()
	defer l.solo.mu.Unlock()
	if l.solo.lease != l {
		return
	}
	l.solo.lease = nil
	l.end(errors.New("it was given back"))
	l.solo.cast.State(l.epoch, false, nil)
}
