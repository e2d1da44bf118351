package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// grace is how long a withdrawal is kept beyond its token's end, so that a
	// clock that was ahead for a while makes nothing live again.
	grace = 24 * time.Hour
	// tenYears is how long a token lives that is good until it is withdrawn.
	tenYears = 10 * 365 * 24 * time.Hour
	// clockSlack is how far clocks of computers are apart at most.
	clockSlack = 5 * time.Minute
	// maxWithdrawn is how many tokens of a stream are withdrawn at most, but for
	// all at once: 15 MB of the bucket.
	maxWithdrawn = 50_000
)

// Withdrawal is a token that is good no more, or all that were made until a
// moment.
type Withdrawal struct {
	ID    string    `json:"id,omitempty"`   // "" where it is all
	Until time.Time `json:"until,omitzero"` // the token's end, from when on nobody needs to know
	All   time.Time `json:"all,omitzero"`   // tokens issued then or before, and those that don't say when
}

// withdrawals are what of a stream's tokens is withdrawn, and what of that is not
// in the bucket yet. Any goroutine may use them.
type withdrawals struct {
	wake chan struct{} // capacity 1: there is something to store

	mu           sync.RWMutex         // guards the rest
	until, kept  map[string]time.Time // the ends of tokens by ID; and as the bucket has them
	all, keptAll time.Time
	due          map[string]bool // the IDs that are to be stored
	lost         map[string]bool // the hashes of IDs that the bucket has no more
	untold       []Withdrawal    // what the other relays were not told
	whole        chan struct{}   // closed when all is stored; nil where it is
}

func newWithdrawals() *withdrawals {
	return &withdrawals{
		wake:  make(chan struct{}, 1),
		until: map[string]time.Time{},
		kept:  map[string]time.Time{},
		due:   map[string]bool{},
		lost:  map[string]bool{},
	}
}

// sane returns All of a withdrawal as it may count: a moment that is far ahead,
// of a clock that is wrong, would end links that nobody has made yet.
func sane(all, now time.Time) time.Time {
	if all.After(now.Add(clockSlack)) {
		return now
	}
	return all
}

// add takes in what is in the bucket, or else shall be, and tells whether anything
// was not known to be withdrawn.
func (s *withdrawals) add(stored bool, list ...Withdrawal) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, w := range list {
		all := sane(w.All, now)
		if all.After(s.all) {
			s.all = all
			news = true
		}
		if stored && all.After(s.keptAll) {
			s.keptAll = all
		}
		if w.ID == "" {
			continue
		}
		until, there := s.until[w.ID]
		if !there || w.Until.After(until) {
			s.until[w.ID] = w.Until
		}
		news = news || !there
		if stored && w.Until.After(s.kept[w.ID]) {
			s.kept[w.ID] = w.Until
		}
		// What is kept is kept for grace beyond its end, and covers that.
		if kept, there := s.kept[w.ID]; there && s.until[w.ID].Sub(kept) <= grace {
			delete(s.due, w.ID)
		} else {
			s.due[w.ID] = true
		}
	}
	s.settle()
	return news
}

// settle tells who waits that all is stored, or whoever stores that it isn't.
// s.mu is held.
func (s *withdrawals) settle() {
	if len(s.due) > 0 || s.all.After(s.keptAll) {
		nudge(s.wake)
		if s.whole == nil {
			s.whole = make(chan struct{})
		}
	} else if s.whole != nil {
		close(s.whole)
		s.whole = nil
	}
}

// stored returns what is closed when all is stored that is withdrawn now.
func (s *withdrawals) stored() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.whole != nil {
		return s.whole
	}
	done := make(chan struct{})
	close(done)
	return done
}

// next returns something that is to be stored.
func (s *withdrawals) next() (Withdrawal, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.all.After(s.keptAll) {
		return Withdrawal{All: s.all}, true
	}
	for id := range s.due { // any: relays that all know of it share the work
		return Withdrawal{ID: id, Until: s.until[id]}, true
	}
	return Withdrawal{}, false
}

// news returns what the other relays were not told, and expects that to be done.
func (s *withdrawals) news() []Withdrawal {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.untold
	s.untold = nil
	return list
}

// forget takes nothing for stored any more.
func (s *withdrawals) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.kept)
	s.keptAll = time.Time{}
	for id := range s.until {
		s.due[id] = true
	}
	s.settle()
}

// lose takes in that the bucket has an ID no more, by its hash.
func (s *withdrawals) lose(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[hash] = true
}

// prune forgets those whose tokens have ended, has what the bucket lost before that
// stored anew, as where the clock of NATS was ahead, and what is not stored yet tried
// again. It is called each second.
func (s *withdrawals) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, until := range s.until {
		if now.Sub(until) > grace {
			delete(s.until, id)
			delete(s.kept, id)
			delete(s.due, id)
		} else if len(s.lost) > 0 && s.lost[hash(id)] {
			delete(s.kept, id)
			s.due[id] = true
		}
	}
	clear(s.lost)
	s.settle()
}

// hash is what stands for an ID, which is any text, in a key of the bucket.
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

func (s *withdrawals) has(id string, issued time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, there := s.until[id]
	return there || !s.all.IsZero() && !issued.After(s.all)
}

// Withdrawn tells whether a token of the stream is withdrawn, as far as this
// relay knows; [Bus.Admits] tells how far that is. A token without the time of
// issue was issued at the zero time.
func (m *Member) Withdrawn(id string, issued time.Time) bool { return m.withdrawn.has(id, issued) }

// Withdraw makes tokens good no more: here at once, and on all relays that the
// bus reaches within a moment, whether or not it can be stored just now. It doesn't
// wait for that: the channel is closed when all that is withdrawn is stored, which
// makes it last and reach the relays that are cut off. An Until that isn't ahead
// is taken for an end that nobody knows, which is in ten years. With an error
// nothing is withdrawn.
func (m *Member) Withdraw(list []Withdrawal) (stored <-chan struct{}, err error) {
	now := time.Now()
	latest := now.Add(tenYears)
	list = slices.Clone(list)
	for i, w := range list {
		if w.ID != "" && (!w.Until.After(now) || w.Until.After(latest)) {
			list[i].Until = latest
		}
	}
	s := m.withdrawn
	s.mu.Lock()
	more := 0
	for _, w := range list {
		if _, there := s.until[w.ID]; w.ID != "" && !there {
			more++
		}
	}
	if more > 0 && len(s.until)+more > maxWithdrawn {
		s.mu.Unlock()
		return nil, fmt.Errorf("withdraw: a relay remembers %d links at most: withdraw all at once", maxWithdrawn)
	}
	s.untold = append(s.untold, list...)
	s.mu.Unlock()
	m.withdraw(false, list...)
	m.Changed() // which tells the others
	return s.stored(), nil
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

// tellWithdrawn tells the other relays what was withdrawn here.
func (m *Member) tellWithdrawn() {
	const atOnce = 500 // some 100 kB
	for list := range slices.Chunk(m.withdrawn.news(), atOnce) {
		m.bus.publish(subject(m.stream.Name, toWithdraw), encode(list))
	}
}

// storeWithdrawn stores what is withdrawn until ctx ends. What can't be stored
// it tries again, as long as it takes: who has withdrawn it may be gone by then.
func (m *Member) storeWithdrawn(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.withdrawn.wake:
		}
		for ctx.Err() == nil {
			w, ok := m.withdrawn.next()
			if !ok {
				break
			}
			if err := m.bus.store(ctx, m.stream.Name, w); err != nil {
				m.bus.limited.warn("withdrawals can't be stored just now", err)
				break // until prune wakes it
			}
			m.withdraw(true, w)
		}
	}
}

// store puts a withdrawal into the bucket.
func (b *Bus) store(ctx context.Context, stream string, w Withdrawal) error {
	bk := b.bucket.Load()
	if bk == nil {
		return ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	if w.ID == "" {
		return bk.storeAll(ctx, keyWithdrawn+stream+".all", w.All)
	}
	key := keyWithdrawn + stream + "." + hash(w.ID)
	ttl := max(grace, time.Until(w.Until)+grace).Round(time.Second)
	_, err := bk.Create(ctx, key, encode(w), jetstream.KeyTTL(ttl))
	if !changed(err) {
		return err
	}
	// It is there, but may end too early.
	there, revision, err := bk.withdrawal(ctx, key)
	if err != nil || w.Until.Sub(there.Until) <= grace {
		return err
	}
	_, err = b.js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + bucketName + "." + key, Data: encode(w)},
		jetstream.WithMsgTTL(ttl), jetstream.WithExpectLastSequencePerSubject(revision))
	return err
}

// withdrawal reads a key; one that isn't there is zero.
func (bk *bucket) withdrawal(ctx context.Context, key string) (w Withdrawal, revision uint64, err error) {
	e, err := bk.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return Withdrawal{}, 0, nil
	case err != nil:
		return Withdrawal{}, 0, err
	}
	_ = json.Unmarshal(e.Value(), &w) // what is no Withdrawal is replaced
	return w, e.Revision(), nil
}

func (bk *bucket) storeAll(ctx context.Context, key string, all time.Time) error {
	for {
		there, revision, err := bk.withdrawal(ctx, key)
		if err != nil || !all.After(there.All) && sane(there.All, time.Now()).Equal(there.All) {
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
