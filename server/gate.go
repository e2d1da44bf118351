package server

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxConns may be open at once, WebSockets not counted; half of them from one
	// address, unless it is a trusted proxy's.
	maxConns = 1024

	// spareFiles is how many of the file descriptors that the program may have
	// are for other things than connections.
	spareFiles = 64
)

// shares divides the file descriptors that a program may have: how many may be
// connections that ask, and how many those of listeners.
func shares(files int) (asking, listening int) {
	files = max(files-spareFiles, 16)
	asking = min(maxConns, files/2)
	return asking, files - asking
}

// door tells of connections that can't be taken, once a second at most. The
// http.Server tries again.
type door struct {
	net.Listener
	log  *slog.Logger
	some rate.Sometimes
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		d.some.Do(func() { d.log.Error("nobody can connect: trying again", "err", err) })
	}
	return conn, err
}

// gate bounds the connections that ask, so that they leave file descriptors
// and memory for those who listen. Those have a limit of their own.
type gate struct {
	refusals *refusals
	trusted  func(netip.Addr) bool // to be a proxy
	most     int                   // connections

	mu    sync.Mutex // guards the rest
	conns map[net.Conn]visit
	each  map[netip.Prefix]int // connections of an address
}

// visit is a connection.
type visit struct {
	from  netip.Addr
	since time.Time
	asked bool // a whole request has come, or the time for it is over
}

func newGate(r *refusals, trusted func(netip.Addr) bool, most int) *gate {
	return &gate{refusals: r, trusted: trusted, most: most, conns: map[net.Conn]visit{}, each: map[netip.Prefix]int{}}
}

// state is an http.Server's ConnState. It closes a connection that is one too
// many, and counts those that sent no whole request in time.
func (g *gate) state(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state == http.StateNew {
		from := peer(c.RemoteAddr().String())
		g.conns[c] = visit{from: from, since: time.Now()}
		g.each[network(from)]++
		if len(g.conns) > g.most || g.each[network(from)] > g.most/2 && !g.trusted(from) {
			g.refusals.count(connections, from)
			_ = c.Close() // the server notices
		}
		return
	}
	v, open := g.conns[c]
	if !open {
		return
	}
	if !v.asked && time.Since(v.since) >= headerTimeout {
		g.refusals.count(tooSlow, v.from)
	}
	v.asked = true
	g.conns[c] = v
	if state == http.StateClosed || state == http.StateHijacked {
		delete(g.conns, c)
		home := network(v.from)
		if g.each[home]--; g.each[home] == 0 {
			delete(g.each, home)
		}
	}
}
