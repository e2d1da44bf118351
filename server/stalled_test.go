//go:build !windows

package server

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// Listeners who stop reading, and one whose line is too thin for the stream: they
// delay nobody, cost no more memory than their kernel buffers, and are gone after
// a while; who reads on has lost its oldest, and is told why.
func TestStalledListeners(t *testing.T) {
	t.Parallel()
	r := start(t)
	const size = 1200 // a packet of 480 kb/s, which fills buffers soon
	clock := r.stream(size)
	w := watch(t, r.join("/listen"), clock)
	narrow := func() *websocket.Conn {
		conn := r.join("/listen")
		if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	const stalled = 30
	before := held()
	for range stalled {
		narrow()
	}
	thin := narrow()
	_ = thin.NetConn().SetReadDeadline(time.Now().Add(time.Minute))

	// Half of what is sent.
	type got struct {
		lost int
		back bool          // the next packet after a loss was older than the last
		late time.Duration // how old the oldest was that came after a loss
		code int
	}
	reader := make(chan got, 1)
	go func() {
		var g got
		var next uint32
		for first := true; ; first = false {
			_, message, err := thin.ReadMessage()
			if closed, ok := err.(*websocket.CloseError); ok {
				g.code = closed.Code
			}
			if err != nil {
				reader <- g
				return
			}
			if packets, err := audio.ParseMessage(message); err == nil {
				p := packets[0]
				if step := int32(p.Seq - next); !first && step != 0 {
					g.lost += int(step)
					g.back = g.back || step < 0
					g.late = max(g.late, clock()-p.At)
				}
				next = p.Seq + 1
			}
			time.Sleep(40 * time.Millisecond)
		}
	}()

	time.Sleep(8 * time.Second) // their buffers are full
	// The lane remembers 256 packets, framed and not, for all of them together.
	if more := held() - before - 2*256*(size+200); more > stalled*64<<10 {
		t.Errorf("each of them takes %d kB, with what stands for it in this test", more/stalled>>10)
	}
	if n := len(r.hub.Listeners()); n != stalled+2 {
		t.Errorf("%d listen while the buffers are full", n)
	}
	begin := time.Now()
	for len(r.hub.Listeners()) > 2 {
		if time.Since(begin) > writeTimeout+deadline {
			t.Fatalf("%d still listen who take nothing", len(r.hub.Listeners())-2)
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.check()
	select {
	case g := <-reader:
		if g.code != closeSlow || g.lost == 0 || g.back {
			t.Errorf("who reads slowly: %+v", g)
		}
		t.Logf("who reads slowly: %+v", g)
	case <-time.After(maxSlow + writeTimeout + deadline):
		t.Error("who reads slowly is never told")
	}
	w.check()
}

// Who pings while its line is stalled is not cut off for that.
func TestStalledListenerPings(t *testing.T) {
	t.Parallel()
	r := start(t)
	clock := r.stream(8000) // which fills buffers at once
	conn := r.join("/listen")
	if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	sent, since := uint64(0), time.Now()
	waitFor(t, "its buffers are full", func() bool {
		if now := r.hub.Listeners()[0].Sent; now != sent {
			sent, since = now, time.Now()
		}
		return time.Since(since) > time.Second/2
	})
	if err := conn.WriteControl(websocket.PingMessage, []byte("here"), time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // longer than gorilla would wait to answer
	ponged := false
	conn.SetPongHandler(func(data string) error { ponged = data == "here"; return nil })
	_ = conn.SetReadDeadline(time.Now().Add(deadline))
	for at := clock(); !ponged; {
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if packets, err := audio.ParseMessage(message); err == nil && packets[0].At > at+deadline {
			t.Fatal("no pong")
		}
	}
}

// Who pings, slowly or as fast as is allowed, and reads nothing more once it
// listens, or only what it must to be sent more, is no less stalled for that: it
// delays nobody, costs no more memory than its kernel's buffers, and is gone after
// a while. Not beside other tests, whose memory it would measure.
func TestPingsWithoutReading(t *testing.T) {
	r := start(t)
	const size = 1200
	clock := r.stream(size)
	w := watch(t, r.join("/listen"), clock)
	var all sync.WaitGroup
	const each = 10
	var pings atomic.Int64
	before := held()
	for _, tt := range []struct {
		every time.Duration // between two pings
		reads int           // so many bytes after each, until it reads nothing more
	}{
		{time.Second, 0},
		{time.Second / readRate, 0},
		{time.Second / readRate, 1000},
	} {
		for range each {
			conn := r.join("/listen")
			tcp := conn.NetConn().(*net.TCPConn)
			if err := tcp.SetReadBuffer(4096); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				tick := time.NewTicker(tt.every)
				defer tick.Stop()
				began := time.Now()
				for {
					<-tick.C
					if _, err := tcp.Write(masked(pinged, strings.Repeat("x", 125))); err != nil {
						return // it was thrown out
					}
					pings.Add(1)
					if time.Since(began) < 5*time.Second {
						_ = tcp.SetReadDeadline(time.Now().Add(tt.every))
						_, _ = io.CopyN(io.Discard, tcp, int64(tt.reads))
					}
				}
			})
		}
	}
	began := time.Now()
	for len(r.hub.Listeners()) > 1 {
		if more := held() - before - 2*256*(size+200); more > 3*each*64<<10 {
			t.Fatalf("each of them takes %d kB, with what stands for it in this test", more/(3*each)>>10)
		}
		if time.Since(began) > maxSlow+2*writeTimeout+deadline {
			t.Fatalf("%d still listen who read nothing", len(r.hub.Listeners())-1)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("the last of them is gone after %v and %d pings", time.Since(began), pings.Load())
	all.Wait()
	w.check()
	if pings.Load() < 3*each*5 {
		t.Errorf("they pinged %d times", pings.Load())
	}
}

// A connection that is half open, since the other side is gone and nobody said
// so, ends whether or not there is sound; one that only waits stays.
func TestStalledHandshake(t *testing.T) {
	t.Parallel()
	r := start(t)
	clock := r.stream(240)
	w := watch(t, r.join("/listen"), clock)
	// The answer to an upgrade is not read, nor anything after it.
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_, err = io.WriteString(conn, "GET /listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nToken: "+r.token(time.Hour)+"\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it listens", func() bool { return len(r.hub.Listeners()) == 2 })
	end := time.Now().Add(readTimeout + 2*deadline) // no pong comes
	for len(r.hub.Listeners()) > 1 {
		if time.Now().After(end) {
			t.Fatal("it still listens")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.check()
}
