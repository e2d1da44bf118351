package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// grace is how long a withdrawal is kept beyond its token's end, so that a clock
// that was ahead for a while makes nothing live again.
const grace = 24 * time.Hour

// Withdrawal is a token that is good no more, or all that were made until a
// moment.
type Withdrawal struct {
	ID    string    `json:"id,omitempty"`   // "" where it is all
	Until time.Time `json:"until,omitzero"` // the token's end, from when on nobody needs to know
	All   time.Time `json:"all,omitzero"`   // tokens issued then or before, and those that don't say when
}

// withdrawals are what of a stream's tokens is withdrawn. Any goroutine may use
// them.
type withdrawals struct {
	mu     sync.RWMutex
	until  map[string]time.Time
	stored map[string]bool // those that are in the bucket
	all    time.Time
}

// add tells whether anything was not known to be withdrawn.
func (s *withdrawals) add(stored bool, list ...Withdrawal) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until, s.stored = map[string]time.Time{}, map[string]bool{}
	}
	for _, w := range list {
		if w.All.After(s.all) {
			s.all = w.All
			news = true
		}
		if w.ID == "" {
			continue
		}
		until, there := s.until[w.ID]
		if !there || w.Until.After(until) {
			s.until[w.ID] = w.Until
		}
		news = news || !there
		if stored {
			s.stored[w.ID] = true
		}
	}
	return news
}

// prune forgets those whose tokens have ended.
func (s *withdrawals) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, until := range s.until {
		if now.Sub(until) > grace {
			delete(s.until, id)
			delete(s.stored, id)
		}
	}
}

func (s *withdrawals) has(id string, issued time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, there := s.until[id]
	return there || !s.all.IsZero() && !issued.After(s.all)
}

func (s *withdrawals) isStored(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stored[id]
}

// Withdrawn tells whether a token of the stream is withdrawn, as far as this
// relay knows; [Bus.Admits] tells how far that is. A token without the time of
// issue was issued at the zero time.
func (m *Member) Withdrawn(id string, issued time.Time) bool { return m.withdrawn.has(id, issued) }

// Withdraw makes tokens good no more: here and on all relays that the bus
// reaches at once, whether or not it can be stored. It returns nil when it is
// stored, which makes it last and reach the relays that are cut off now. What it
// was called for with an error must be withdrawn again.
func (m *Member) Withdraw(ctx context.Context, list []Withdrawal) error {
	m.withdraw(false, list...)
	select {
	case <-m.bus.up:
	case <-ctx.Done():
		return fmt.Errorf("withdraw: %w", ErrUnavailable)
	}
	const atOnce = 500 // some 100 kB
	for rest := list; len(rest) > 0; rest = rest[min(atOnce, len(rest)):] {
		m.bus.publish(subject(m.stream.Name, toWithdraw), encode(rest[:min(atOnce, len(rest))]))
	}
	for _, w := range list {
		if w.ID != "" && !m.withdrawn.isStored(w.ID) {
			if err := m.storeOne(ctx, w); err != nil {
				return fmt.Errorf("store withdrawal: %w", err)
			}
			m.withdraw(true, w)
		}
		if !w.All.IsZero() {
			if err := m.storeAll(ctx, w.All); err != nil {
				return fmt.Errorf("store withdrawal: %w", err)
			}
		}
	}
	return nil
}

// withdraw takes in what is withdrawn.
func (m *Member) withdraw(stored bool, list ...Withdrawal) {
	if !m.withdrawn.add(stored, list...) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		m.stream.Review()
	}
}

func (m *Member) storeOne(ctx context.Context, w Withdrawal) error {
	bk := m.bus.bucket.Load()
	if bk == nil {
		return ErrUnavailable
	}
	sum := sha256.Sum256([]byte(w.ID)) // an ID is any text
	key := keyWithdrawn + m.stream.Name + "." + hex.EncodeToString(sum[:16])
	kept := max(grace, time.Until(w.Until)+grace).Round(time.Second)
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	_, err := bk.Create(ctx, key, encode(w), jetstream.KeyTTL(kept))
	if changed(err) {
		return nil // it is there
	}
	return err
}

func (m *Member) storeAll(ctx context.Context, all time.Time) error {
	bk := m.bus.bucket.Load()
	if bk == nil {
		return ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	key := keyWithdrawn + m.stream.Name + ".all"
	for {
		var there Withdrawal
		var revision uint64
		e, err := bk.Get(ctx, key)
		switch {
		case err == nil:
			revision = e.Revision()
			if json.Unmarshal(e.Value(), &there) == nil && !all.After(there.All) {
				return nil
			}
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		}
		if _, err := bk.update(ctx, key, encode(Withdrawal{All: all}), revision); !errors.Is(err, errRevision) {
			return err
		}
	}
}

// takeWithdrawals takes in what another relay was told just now.
func (b *Bus) takeWithdrawals(msg *nats.Msg) {
	m := b.members[strings.Split(msg.Subject, ".")[2]]
	if m == nil {
		return
	}
	var list []Withdrawal
	if json.Unmarshal(msg.Data, &list) != nil {
		b.stats.malformed.Add(1)
		return
	}
	m.withdraw(false, list...)
}
