package relaytest

import (
	"net"
	"sync"
	"testing"
)

// Cable is a TCP way that can be cut: nothing gets through then, and nobody is
// told.
type Cable struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	whole chan struct{} // closed while it is
	conns map[net.Conn]bool
}

func newCable(t testing.TB, to string) *Cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{ln: ln, to: to, whole: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(c.whole)
	var wg sync.WaitGroup
	quit := make(chan struct{})
	wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(near, quit, &wg) })
		}
	})
	t.Cleanup(func() {
		close(quit)
		ln.Close()
		c.mu.Lock()
		for conn := range c.conns {
			conn.Close()
		}
		c.mu.Unlock()
		wg.Wait()
	})
	return c
}

func (c *Cable) serve(near net.Conn, quit chan struct{}, wg *sync.WaitGroup) {
	if !c.pass(quit) {
		near.Close()
		return
	}
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		near.Close()
		return
	}
	c.mu.Lock()
	c.conns[near], c.conns[far] = true, true
	c.mu.Unlock()
	carry := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if err != nil || !c.pass(quit) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	wg.Go(func() { carry(near, far) })
	carry(far, near)
}

// pass waits until the cable is whole.
func (c *Cable) pass(quit chan struct{}) bool {
	c.mu.Lock()
	whole := c.whole
	c.mu.Unlock()
	select {
	case <-whole:
		return true
	case <-quit:
		return false
	}
}

// Cut cuts it.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = make(chan struct{})
}

// Heal makes it whole: what was on its way arrives.
func (c *Cable) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.whole)
}
