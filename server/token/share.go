package token

import (
	"errors"
	"time"
)

// Withdrawal is a token that was withdrawn, as a laptop tells its relays.
type Withdrawal struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"` // when it ends by itself, or may be forgotten
}

// Withdrawals returns what is withdrawn and has not ended by itself: all tokens
// made at all or before, unless that is zero, and those. The latest links of all are
// among those, too: where the clock was ahead, all says nothing of them to a relay
// whose clock is not.
func (s *Store) Withdrawals() (all time.Time, those []Withdrawal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	for _, l := range s.file.Links {
		if (l.Withdrawn || s.file.before(l.Made)) && now.Before(l.Ends) {
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

// CheckWithdrawals says what is wrong with withdrawals that somebody else tells.
// What is of the future would end links that nobody has made yet.
func CheckWithdrawals(all time.Time, those []Withdrawal, now time.Time) error {
	if all.After(now.Add(leeway)) {
		return errors.New("take over withdrawals: they are of the future: set the clock of who withdraws")
	}
	for _, w := range those {
		if !good(w.ID) {
			return errors.New("take over withdrawals: one has a bad ID")
		}
	}
	return nil
}
