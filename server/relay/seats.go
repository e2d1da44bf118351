package relay

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// Seat is taken by a listener whose link is for so many at once.
type Seat struct {
	Listener uint64 `json:"listener"` // its connection's ID on its relay
	Link     string `json:"link"`
	Most     int    `json:"most"`           // that may listen with the link
	Page     string `json:"page,omitempty"` // its connections share a seat, whatever relays they are on; "" is none
	// Since is when it sat down, by its relay's clock of the day. All relays
	// compare the same times, so that they agree who is too many, and clocks that
	// differ can only make somebody else the oldest.
	Since time.Time `json:"since"`
}

// seatsKey is a part of what a relay said.
type seatsKey struct {
	relay string
	part  int
}

// tellSeats tells the other relays of the seats here, in place of so many parts
// before, and returns how many parts they are now.
func (m *Member) tellSeats(r Report, before int) (parts int) {
	for list := range slices.Chunk(r.Seats, seatsPart) {
		m.bus.publish(subject(m.stream.Name, toSeats), encode(seats{r.Relay, parts, list}))
		parts++
	}
	for gone := parts; gone < before; gone++ {
		m.bus.publish(subject(m.stream.Name, toSeats), encode(seats{Relay: r.Relay, Part: gone}))
	}
	return parts
}

// takeSeats takes what another relay says.
func (m *Member) takeSeats(msg *nats.Msg) {
	var s seats
	if json.Unmarshal(msg.Data, &s) != nil || s.Relay == "" {
		m.bus.stats.malformed.Add(1)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := seatsKey{s.Relay, s.Part}
	old, there := m.seats[key]
	if len(s.Seats) == 0 {
		delete(m.seats, key)
	} else {
		m.seats[key] = report{Report{Seats: s.Seats}, m.bus.now()}
	}
	if !there || !slices.EqualFunc(old.Seats, s.Seats, func(a, b Seat) bool { return a.Listener == b.Listener && a.Since.Equal(b.Since) }) {
		m.Changed()
	}
}

// excess returns those of own who are too many among all relays. m.mu is held.
func (m *Member) excess(own []Seat) []uint64 {
	if len(m.seats) == 0 {
		return nil
	}
	all := map[string][]Seat{m.bus.config.Name: own}
	for key, r := range m.seats {
		all[key.relay] = append(all[key.relay], r.Seats...)
	}
	return excess(m.bus.config.Name, all)
}

// place is one seat, which the connections of a page share.
type place struct {
	since    time.Time
	relay    string // of the oldest connection
	listener uint64 // likewise
	own      []uint64
}

func (p place) compare(o place) int {
	return cmp.Or(p.since.Compare(o.since), cmp.Compare(p.relay, o.relay), cmp.Compare(p.listener, o.listener))
}

// excess returns the listeners at relay who sit in a link's places beyond those
// that it has: the places that were taken last. Every relay that knows the same
// seats comes to the same places; one that doesn't know them all yet finds its
// own listeners older than they are, and ends nobody who may stay.
func excess(relay string, all map[string][]Seat) []uint64 {
	most := map[string]int{}
	for _, s := range all[relay] {
		most[s.Link] = s.Most
	}
	type key struct{ link, page string }
	pages := map[key]*place{}
	links := map[string][]*place{}
	for at, list := range all {
		for _, s := range list {
			if most[s.Link] == 0 {
				continue
			}
			p := &place{since: s.Since.Round(0), relay: at, listener: s.Listener}
			if s.Page != "" {
				k := key{s.Link, s.Page}
				switch there := pages[k]; {
				case there == nil:
					pages[k] = p
					links[s.Link] = append(links[s.Link], p)
				default:
					if p.compare(*there) < 0 {
						there.since, there.relay, there.listener = p.since, p.relay, p.listener
					}
					p = there
				}
			} else {
				links[s.Link] = append(links[s.Link], p)
			}
			if at == relay {
				p.own = append(p.own, s.Listener)
			}
		}
	}
	var over []uint64
	for link, places := range links {
		slices.SortFunc(places, func(a, b *place) int { return a.compare(*b) })
		for _, p := range places[min(most[link], len(places)):] {
			over = append(over, p.own...)
		}
	}
	slices.Sort(over)
	return over
}
