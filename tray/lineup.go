package tray

import "time"

// lineup keeps each one in a list on a line of the menu for as long as they are
// there, so that a click never means somebody else: a line that was left stays
// empty for a while. K tells them apart; its zero value is nobody's.
type lineup[K comparable] struct {
	keys [most]K
	left [most]time.Time
}

// empty is how long a line stays empty: longer than a click takes.
const empty = 5 * time.Second

// place gives all their lines at now; a line holds one's place in all, or -1.
func (l *lineup[K]) place(all []K, now time.Time) (lines [most]int) {
	var nobody K
	waiting := map[K]int{}
	for i, key := range all {
		waiting[key] = i
	}
	for n, key := range l.keys {
		lines[n] = -1
		if i, there := waiting[key]; there && key != nobody {
			lines[n] = i
			delete(waiting, key)
		} else if key != nobody {
			l.keys[n], l.left[n] = nobody, now
		}
	}
	next := 0
	for n := range lines {
		if lines[n] >= 0 || now.Sub(l.left[n]) < empty {
			continue
		}
		for ; next < len(all); next++ {
			if i, there := waiting[all[next]]; there && i == next {
				lines[n], l.keys[n] = next, all[next]
				next++
				break
			}
		}
	}
	return lines
}

// lineups are those of all lists in the menu.
type lineups struct {
	listeners lineup[uint64]
	outputs   lineup[string]
	programs  lineup[string]
}

// places are the lines of all lists in the menu.
type places struct{ listeners, outputs, programs [most]int }

// place gives all in s their lines at now.
func (l *lineups) place(s State, now time.Time) places {
	var ids []uint64
	for _, one := range s.Listeners {
		ids = append(ids, one.ID)
	}
	return places{
		listeners: l.listeners.place(ids, now),
		outputs:   l.outputs.place(names(s.Sound.Outputs), now),
		programs:  l.programs.place(names(s.Sound.Programs), now),
	}
}

func names(all []Sharable) []string {
	list := make([]string, len(all))
	for i, one := range all {
		list[i] = one.Name
	}
	return list
}
