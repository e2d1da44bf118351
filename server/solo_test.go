package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"earshot/audio"
	"earshot/server/token"
)

// solo is a [Member] that keeps nothing: package relay, which has the real one, needs
// this package, and its tests have a server in front.
type solo struct {
	cast *Broadcast

	gone sync.RWMutex // guards what is withdrawn
	all  time.Time
	ids  map[string]bool

	mu    sync.Mutex // guards the rest, and is held while the Broadcast is called
	epoch uint64
	lease *soloLease // of who publishes; nil for nobody
}

// newSolo makes b the stream of one relay alone.
func newSolo(b *Broadcast) *solo {
	s := &solo{cast: b, ids: map[string]bool{}}
	b.Join(s)
	return s
}

func (s *solo) revoked(c token.Claims) bool {
	s.gone.RLock()
	defer s.gone.RUnlock()
	return s.ids[c.ID] || !c.Issued.After(s.all)
}

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

func (s *solo) Withdraw(all time.Time, some []token.Withdrawal) (<-chan struct{}, error) {
	s.gone.Lock()
	if all.After(s.all) {
		s.all = all
	}
	for _, w := range some {
		s.ids[w.ID] = true
	}
	s.gone.Unlock()
	s.cast.Review()
	stored := make(chan struct{})
	close(stored)
	return stored, nil
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
