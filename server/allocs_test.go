//go:build !windows

package server

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"earshot/audio"
)

// hears is a listener who takes all there is and looks at none of it, since what
// it did would count as the server's.
func (r *rig) hears() {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "GET /listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nToken: %s\r\n\r\n", r.token(time.Hour))
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{conn}, make([]byte, 4096))
	}()
	r.t.Cleanup(func() { _ = conn.Close(); <-done })
}

// To publish allocates the message, and nothing for each who listens.
func TestPublishAllocates(t *testing.T) {
	allocs := map[int]float64{}
	for _, n := range []int{1, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := start(t)
			for range n {
				r.hears()
			}
			waitFor(t, "all listen", func() bool { return len(r.hub.Listeners()) == n })
			p := audio.Packet{Data: make([]byte, 200)}
			late := false
			send := func() {
				sent := r.hub.Totals().Messages + uint64(n)
				r.hub.Publish(p)
				p.Seq++
				for end := time.Now().Add(deadline); !late && r.hub.Totals().Messages < sent; runtime.Gosched() {
					late = time.Now().After(end)
				}
			}
			send()
			allocs[n] = testing.AllocsPerRun(100, send)
			if late {
				t.Error("not everybody was sent each message")
			}
		})
	}
	t.Logf("allocations a packet: %v", allocs)
	if allocs[200] > allocs[1]+1 {
		t.Errorf("a packet takes %v allocations for one listener and %v for 200", allocs[1], allocs[200])
	}
}
