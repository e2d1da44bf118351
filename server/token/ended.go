package token

import (
	"slices"
	"time"
)

const (
	// grace is how long what has ended stays in the file, so that a clock that
	// was ahead for a moment takes nothing out of the list.
	grace = 24 * time.Hour

	// maxEnded is how many withdrawn tokens stay in the file that have ended. The
	// clock has no say in that: however far it was ahead, and for how long, none
	// of so many lives again when it is set back.
	maxEnded = 10_000
)

// prune drops the links that All keeps withdrawn, and what has ended a day ago;
// of what was withdrawn only what is beyond maxEnded. A key stays as long as its
// links, which end with it. Where there are many links, those that just ended go,
// too, unless they were withdrawn.
func (f *storeFile) prune(now time.Time) {
	past := now.Add(-grace)
	f.Links = slices.DeleteFunc(f.Links, func(l Link) bool { return f.before(l.Made) || !l.Withdrawn && !past.Before(l.Ends) })
	if len(f.Links) > maxLinks {
		f.Links = slices.DeleteFunc(f.Links, func(l Link) bool { return !l.Withdrawn && !now.Before(l.Ends) })
	}
	f.Links = forget(f.Links, func(l Link) (time.Time, bool) { return l.Ends, l.Withdrawn && !now.Before(l.Ends) })
	f.Withdrawn = forget(f.Withdrawn, func(w withdrawal) (time.Time, bool) { return w.Until, !now.Before(w.Until) })
	f.Retired = slices.DeleteFunc(f.Retired, func(r retirement) bool {
		id := thumbprint(r.Public)
		return !past.Before(r.Until) && !slices.ContainsFunc(f.Links, func(l Link) bool { return l.Key == id && past.Before(l.Ends) })
	})
}

// forget drops, of those that have ended, all but the maxEnded that did so last.
func forget[T any](all []T, end func(T) (at time.Time, ended bool)) []T {
	var ends []time.Time
	for _, one := range all {
		if at, ended := end(one); ended {
			ends = append(ends, at)
		}
	}
	if len(ends) <= maxEnded {
		return all
	}
	slices.SortFunc(ends, time.Time.Compare)
	first := ends[len(ends)-maxEnded] // of those that stay
	return slices.DeleteFunc(all, func(one T) bool {
		at, ended := end(one)
		return ended && at.Before(first)
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
