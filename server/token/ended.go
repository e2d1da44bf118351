package token

import (
	"slices"
	"time"
)

// How much stays in the file of what is over. The clock has no say in that: however
// far it was ahead, and for how long, what it took to have ended is there when it is
// set back. Without a link that was withdrawn, that would live again; without
// another one, it would be good and in no list.
const (
	maxEnded   = 10_000 // withdrawn tokens; and links that have not been, with those that have not ended
	maxUnder   = 300    // links that were withdrawn with all others
	maxRetired = 100    // keys
)

// prune drops what is over, but for the latest. A retired key stays as long as its
// links.
func (f *storeFile) prune(now time.Time) {
	ended := func(l Link) bool { return !now.Before(l.Ends) }
	good := 0
	for _, l := range f.Links {
		if !l.Withdrawn && !f.before(l.Made) && !ended(l) {
			good++
		}
	}
	f.Links = forget(f.Links, maxUnder, func(l Link) (time.Time, bool) { return l.Made, f.before(l.Made) })
	f.Links = forget(f.Links, maxEnded, func(l Link) (time.Time, bool) { return l.Ends, l.Withdrawn && ended(l) })
	f.Links = forget(f.Links, max(0, maxEnded-good), func(l Link) (time.Time, bool) {
		return l.Ends, !l.Withdrawn && !f.before(l.Made) && ended(l)
	})
	f.Withdrawn = forget(f.Withdrawn, maxEnded, func(w withdrawal) (time.Time, bool) { return w.Until, !now.Before(w.Until) })
	f.Retired = forget(f.Retired, maxRetired, func(r retirement) (time.Time, bool) {
		id := thumbprint(r.Public)
		return r.Until, !now.Before(r.Until) && !slices.ContainsFunc(f.Links, func(l Link) bool { return l.Key == id && !ended(l) })
	})
}

// forget drops, of those that are over, all but so many of the latest.
func forget[T any](all []T, most int, over func(T) (at time.Time, is bool)) []T {
	var times []time.Time
	for _, one := range all {
		if at, is := over(one); is {
			times = append(times, at)
		}
	}
	if len(times) <= most {
		return all
	}
	slices.SortFunc(times, time.Time.Compare)
	gone := times[:len(times)-most]
	last := gone[len(gone)-1]
	of := 0 // that moment: so many
	for _, at := range gone {
		if at.Equal(last) {
			of++
		}
	}
	return slices.DeleteFunc(all, func(one T) bool {
		at, is := over(one)
		if is && at.Equal(last) {
			of--
			return of >= 0
		}
		return is && at.Before(last)
	})
}

// Ahead returns the latest moment in the list that this clock has not reached yet,
// by more than clocks differ: when a link was made that is good by then only, or
// until when all are withdrawn. It is zero where there is none.
func (s *Store) Ahead() (made, all time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now().Add(leeway)
	for _, l := range s.file.Links {
		if l.Made.After(now) && l.Made.After(made) && !s.dead[l.ID] && !s.file.before(l.Made) {
			made = l.Made
		}
	}
	if s.file.All.After(now) {
		all = s.file.All
	}
	return made, all
}
