package server

import "slices"

// seating counts seats: connections of one page share one, and so each who has no
// page has its own.
type seating struct {
	all   int
	links map[string]int         // by the link's ID
	pages map[string][]*listener // by the page, which is of one link; oldest first
}

func newSeating() seating {
	return seating{links: map[string]int{}, pages: map[string][]*listener{}}
}

// room says why there is no seat for l, as [Hub.room] does.
func (s *seating) room(l *listener, most int) string {
	switch {
	case len(s.pages[l.page]) > 0:
		return ""
	case l.claims.Listeners > 0 && s.links[l.claims.ID] >= l.claims.Listeners:
		return inUse
	case s.all >= most:
		return full
	}
	return ""
}

func (s *seating) add(l *listener) {
	if l.page != "" {
		s.pages[l.page] = append(s.pages[l.page], l)
		if len(s.pages[l.page]) > 1 {
			return
		}
	}
	s.all++
	s.links[l.claims.ID]++
}

// remove takes back what add gave.
func (s *seating) remove(l *listener) {
	if l.page != "" {
		left := slices.DeleteFunc(s.pages[l.page], func(o *listener) bool { return o == l })
		if len(left) > 0 {
			s.pages[l.page] = left
			return
		}
		delete(s.pages, l.page)
	}
	s.all--
	if s.links[l.claims.ID]--; s.links[l.claims.ID] == 0 {
		delete(s.links, l.claims.ID)
	}
}
