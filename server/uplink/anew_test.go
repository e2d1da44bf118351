package uplink

import (
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"earshot/server/token"
)

// way is a network between laptops and a relay, over which nothing goes while it
// is frozen: connections stay open, and new ones are taken and not answered.
type way struct {
	net.Listener
	mu     sync.Mutex
	frozen map[net.Conn]bool // those made before the last freeze
	open   map[net.Conn]bool
}

func (r *relay) through() *way {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	w := &way{Listener: ln, frozen: map[net.Conn]bool{}, open: map[net.Conn]bool{}}
	to := r.addr
	var work sync.WaitGroup
	work.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.open[near], w.open[far] = true, true
			w.mu.Unlock()
			work.Go(func() { _, _ = io.Copy(gated{w, near}, far) })
			work.Go(func() { _, _ = io.Copy(gated{w, far}, near) })
		}
	})
	r.t.Cleanup(func() {
		_ = ln.Close()
		w.mu.Lock()
		for conn := range w.open {
			_ = conn.Close()
		}
		w.mu.Unlock()
		work.Wait()
	})
	return w
}

// freeze makes the connections that there are carry nothing any more.
func (w *way) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.open {
		w.frozen[conn] = true
	}
}

type gated struct {
	w    *way
	conn net.Conn
}

func (g gated) Write(p []byte) (int, error) {
	g.w.mu.Lock()
	frozen := g.w.frozen[g.conn]
	g.w.mu.Unlock()
	if frozen {
		return len(p), nil
	}
	return g.conn.Write(p)
}

// After a sleep the connection of before is nobody's: sound goes on over a new
// one at once, though the relay has not noticed yet that the old one is dead.
func TestWake(t *testing.T) {
	r := newRelay(t)
	w := r.through()
	l := r.laptopAt(&url.URL{Scheme: "http", Host: w.Addr().String(), Path: "/radio"}, "")
	waitFor(t, "connected", l.is(Connected))
	_, heard := r.listen()
	waitFor(t, "wanted", l.Wanted)
	l.Publish(packet(1))
	<-heard
	w.freeze()
	begin := time.Now()
	l.Wake()
	waitFor(t, "connected anew", func() bool { s := l.Status(); return s.State == Connected && s.Since.After(begin) })
	waitFor(t, "wanted again", l.Wanted)
	l.Publish(packet(2))
	if got := <-heard; got.At != packet(2).At {
		t.Errorf("heard %+v", got)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("sound is back after %v", took)
	}
}

// In another network it connects anew, but not while the address is there that
// it is connected from; and what waits for its next attempt makes it.
func TestMoved(t *testing.T) {
	r := newRelay(t)
	l := r.laptop("")
	waitFor(t, "connected", l.is(Connected))
	since := l.Status().Since
	here := &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}
	there := &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}
	l.Moved([]net.Addr{there, here})
	_, heard := r.listen()
	waitFor(t, "wanted", l.Wanted)
	l.Publish(packet(1))
	<-heard
	if now := l.Status().Since; now != since {
		t.Error("connected anew with the address still there")
	}
	l.Moved([]net.Addr{there})
	waitFor(t, "connected anew", func() bool { s := l.Status(); return s.State == Connected && s.Since != since })

	known := r.key
	var err error
	if r.key, err = token.OpenKey(filepath.Join(t.TempDir(), "key.pem")); err != nil {
		t.Fatal(err)
	}
	other := r.laptop("")
	waitFor(t, "refused", other.is(Refused)) // it waits for 30 s
	r.key = known
	other.Moved([]net.Addr{there, here})
	waitFor(t, "connected", other.is(Connected))

	// But who was replaced is not for the network to bring back.
	waitFor(t, "replaced", l.is(Refused))
	l.Moved([]net.Addr{there})
	l.Wake()
	for end := time.Now().Add(2 * firstWait); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !l.is(Refused)() || !other.is(Connected)() {
			t.Fatalf("%+v, %+v", l.Status(), other.Status())
		}
	}
}

// When all is withdrawn, the laptop's own connection stays: it has a token from
// after that.
func TestWithdrawAll(t *testing.T) {
	r := newRelay(t)
	l := r.laptop("")
	waitFor(t, "connected", l.is(Connected))
	since := l.Status().Since
	l.mu.Lock()
	l.all = time.Now().Add(2 * time.Second) // later than the first token
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if !l.Withdraw(ctx) {
		t.Fatal("not withdrawn")
	}
	if !r.store.Revoked(token.Claims{ID: "x", Issued: time.Now()}) {
		t.Error("not all is withdrawn")
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // the relay looks each second
		if s := l.Status(); s.State != Connected || s.Since != since {
			t.Fatalf("%+v, before since %v", s, since)
		}
	}
}
