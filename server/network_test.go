//go:build network && linux

package server

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/server/nettest"
)

// Listeners behind a bad network, which then fails altogether, so that their
// connections are half open: nobody else notices, whoever is gone is let go of,
// with sound or without, and who comes back after an outage has lost the oldest
// sound and goes on at live.
func TestNetworkListeners(t *testing.T) {
	link := nettest.Connect(t, nettest.Conditions{Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.02}, 3)
	r := start(t, func(c *Config) { c.MaxListeners = 100 })
	// The server is at this end, on all its addresses.
	ln, err := net.Listen("tcp", link.NearAddr().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	second := New(r.srv.config)
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx, ln) }()
	t.Cleanup(func() { stop(); <-ended })
	clock := r.stream(240)
	w := watch(t, r.join("/listen"), clock)

	far := func() *websocket.Conn {
		t.Helper()
		var conn net.Conn
		link.Far(func() {
			s, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn = s
		})
		d := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		c, _, err := d.Dial("ws://"+ln.Addr().String()+"/listen", http.Header{"Token": {r.token(time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const others = 10
	for range others {
		far()
	}
	lone := far()
	packet := func() audio.Packet {
		t.Helper()
		_ = lone.SetReadDeadline(time.Now().Add(3 * deadline))
		return heard(t, lone, nil)
	}
	last := packet()
	for range 250 { // 5 s over the bad network: late, but all of it
		p := packet()
		if p.Seq != last.Seq+1 {
			t.Fatalf("packet %d after %d", p.Seq, last.Seq)
		}
		last = p
	}
	link.Set(nettest.Conditions{Loss: 1})
	time.Sleep(6 * time.Second)
	link.Set(nettest.Conditions{Delay: 20 * time.Millisecond})
	lost := 0
	for clock()-last.At > time.Second || lost == 0 { // what was in the kernel comes first
		p := packet()
		if p.Seq <= last.Seq {
			t.Fatalf("packet %d after %d", p.Seq, last.Seq)
		}
		lost += int(p.Seq - last.Seq - 1)
		last = p
		if lost == 0 && clock()-p.At < time.Second/2 {
			break // the kernel held all of it
		}
	}
	t.Logf("after an outage of 6 s %d packets were lost to it", lost)
	w.check()

	// All of them vanish.
	link.Set(nettest.Conditions{Loss: 1})
	begin := time.Now()
	for end := begin.Add(readTimeout + 2*deadline); len(r.hub.Listeners()) > 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of those who have vanished still listen", len(r.hub.Listeners())-1)
		}
	}
	t.Logf("they were let go of after %v", time.Since(begin))
	w.check()
}
