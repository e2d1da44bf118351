package token

import (
	"errors"
	"slices"
	"time"
)

// Withdrawal is a token that was withdrawn, as a laptop tells its relays.
type Withdrawal struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"` // when it ends by itself, or may be forgotten
}

// Withdrawals returns what is withdrawn and has not ended by itself: all tokens
// made at all or before, unless that is zero, and those.
func (s *Store) Withdrawals() (all time.Time, those []Withdrawal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	for _, l := range s.file.Links {
		if l.Withdrawn && now.Before(l.Ends) {
			those = append(those, Withdrawal{l.ID, l.Ends})
		}
	}
	for _, w := range s.file.Withdrawn {
		if now.Before(w.Until) {
			those = append(those, Withdrawal(w))
		}
	}
	return s.file.All, those
}

// maxAdopted is how many withdrawals of others a Store keeps.
const maxAdopted = 2 * maxLinks

// Adopt takes over what another Store has withdrawn. Nothing that is withdrawn
// here is good again by that.
func (s *Store) Adopt(all time.Time, those []Withdrawal) error {
	if all.After(s.now().Add(leeway)) {
		return errors.New("take over withdrawals: they are of the future: set the clock of who withdraws")
	}
	for _, w := range those {
		if !good(w.ID) {
			return errors.New("take over withdrawals: one has a bad ID")
		}
	}
	return s.change(func(file *storeFile) error {
		if all = whole(all).UTC(); all.After(file.All) {
			file.All = all
		}
		known := map[string]int{}
		for i, w := range file.Withdrawn {
			known[w.ID] = i
		}
		latest := whole(s.now().Add(tenYears)).UTC()
		for _, w := range those {
			if w.Until.After(latest) {
				w.Until = latest
			}
			w.Until = w.Until.UTC()
			if i, there := known[w.ID]; !there {
				known[w.ID] = len(file.Withdrawn)
				file.Withdrawn = append(file.Withdrawn, withdrawal(w))
			} else if file.Withdrawn[i].Until.Before(w.Until) {
				file.Withdrawn[i].Until = w.Until
			}
		}
		if len(file.Withdrawn) > maxAdopted {
			return errors.New("take over withdrawals: there are too many: withdraw all links at once instead")
		}
		return nil
	})
}

// Covers tells whether all that is given is withdrawn here.
func (s *Store) Covers(all time.Time, those []Withdrawal) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !whole(all).After(s.file.All) && !slices.ContainsFunc(those, func(w Withdrawal) bool { return !s.dead[w.ID] })
}
