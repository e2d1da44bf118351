package server

import (
	"net/netip"
	"sync"
)

// crowd is who listens without a link, by where they come from: nobody has given
// them their seats, and nobody could take them away.
type crowd struct {
	mu    sync.Mutex
	homes map[netip.Prefix]map[any]int // connections of a network, by page
}

// crowdMost is how many seats one address may have, of so many: a tenth, but
// enough for a class behind one address where there are enough.
func crowdMost(seats int) int { return min(max(20, seats/10), (seats+1)/2) }

// who is what has a seat: the page, or a program's connection.
func (c *crowd) who(l *listener) any {
	if l.page != "" {
		return l.page
	}
	return l
}

// room tells whether l, which comes from there, may have one of the seats.
func (c *crowd) room(from netip.Addr, l *listener, seats int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roomLocked(from, l, seats)
}

func (c *crowd) roomLocked(from netip.Addr, l *listener, seats int) bool {
	there := c.homes[network(from)]
	return there[c.who(l)] > 0 || len(there) < crowdMost(seats)
}

// enter notes that l has a seat, if it may; then leave must be called.
func (c *crowd) enter(from netip.Addr, l *listener, seats int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roomLocked(from, l, seats) {
		return false
	}
	home := network(from)
	if c.homes == nil {
		c.homes = map[netip.Prefix]map[any]int{}
	}
	if c.homes[home] == nil {
		c.homes[home] = map[any]int{}
	}
	c.homes[home][c.who(l)]++
	return true
}

func (c *crowd) leave(from netip.Addr, l *listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	home := network(from)
	there := c.homes[home]
	if there[c.who(l)]--; there[c.who(l)] == 0 {
		delete(there, c.who(l))
	}
	if len(there) == 0 {
		delete(c.homes, home)
	}
}

// crowds tells whether l counts for its address: not who has a link, nor who
// comes through a proxy that doesn't say for whom it asks.
func (s *stream) crowds(from netip.Addr, l *listener) bool {
	return s.config.Public && l.claims.ID == "" && !from.IsLoopback() && !s.trusts(from)
}
