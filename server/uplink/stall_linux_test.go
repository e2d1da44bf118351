package uplink

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"earshot/audio"
)

// cable carries connections to a relay, with hardly a buffer of its own, until it
// is clamped: then it takes nothing.
type cable struct {
	addr   string
	clamp  sync.RWMutex // held while it is
	passed atomic.Int64 // bytes to the relay
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	c := &cable{}
	small := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return firstError(raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048) }), &err)
	}}
	ln, err := small.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.addr = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
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
			wg.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
			wg.Go(func() {
				defer far.Close()
				buf := make([]byte, 512)
				for {
					c.clamp.RLock() // waits while it is clamped
					n, err := near.Read(buf)
					c.clamp.RUnlock()
					if err != nil {
						return
					}
					c.passed.Add(int64(n))
					if _, err := far.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return c
}

func firstError(err error, other *error) error {
	if err != nil {
		return err
	}
	return *other
}

// After a stall of the network there is no backlog: what the system holds, and
// what waits here, is about as much as a live listener has use for.
func TestStall(t *testing.T) {
	r := newRelay(t)
	c := newCable(t, r.addr)
	to := r.url()
	to.Host = c.addr
	l := r.laptopAt(to, "")
	waitFor(t, "connected", l.is(Connected))
	_, heard := r.listen()
	waitFor(t, "wanted", l.Wanted)
	const frame, size = 20 * time.Millisecond, 320 // 128 kb/s
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(frame)
		defer tick.Stop()
		for seq := uint32(1); ; seq++ {
			select {
			case <-quit:
				return
			case <-tick.C:
				l.Publish(audio.Packet{Seq: seq, At: l.Clock(), Data: append([]byte{0xfc}, make([]byte, size-1)...)})
			}
		}
	})
	defer wg.Wait()
	defer close(quit)
	<-heard
	time.Sleep(time.Second)       // its buffers are as large as the system makes them
	const stall = 4 * time.Second // the connection would be given up after 5
	c.clamp.Lock()
	begin := l.Clock()
	time.Sleep(stall)
	end := l.Clock()
	before := c.passed.Load()
	c.clamp.Unlock()
	for len(heard) > 0 {
		<-heard
	}
	late, oldest := 0, time.Duration(0)
	for p := range heard {
		if p.At > end {
			break // that is live again
		}
		if age := l.Clock() - p.At; age > backlog {
			late++
			oldest = max(oldest, age)
		}
	}
	t.Logf("stalled for %v: %d packets (%v of sound) came late by more than %v, the oldest by %v; %d bytes", end-begin, late, time.Duration(late)*frame, backlog, oldest, c.passed.Load()-before)
	// Linux doubles what it is asked for, and the cable holds a little.
	if most := int((2*inKernel + 300*time.Millisecond) / frame); late > most {
		t.Errorf("%d packets came late, want %d at most", late, most)
	}
	if l.Status().State != Connected {
		t.Error("the connection is lost")
	}
}
