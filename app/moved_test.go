package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot/audio/audiotest"
	"earshot/server"
)

// between is a proxy that can tell a page something in the server's name.
type between struct {
	net.Listener
	server string
	copies sync.WaitGroup

	mu   sync.Mutex // guards the rest, and what goes to the page
	page net.Conn   // the newest WebSocket's; nil before
}

// putBetween starts a proxy to a server.
func putBetween(t *testing.T, server string) *between {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &between{Listener: ln, server: server}
	b.copies.Go(func() {
		for {
			page, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				_ = page.Close()
				continue
			}
			b.copies.Go(func() { _, _ = io.Copy(up, page); _ = up.Close() })
			b.copies.Go(func() { b.down(page, up); _ = page.Close(); _ = up.Close() })
		}
	})
	t.Cleanup(func() { _ = ln.Close() })
	return b
}

// down carries what the server says: a WebSocket's frames one by one.
func (b *between) down(page, up net.Conn) {
	r := bufio.NewReader(up)
	head, err := r.Peek(len("HTTP/1.1 101"))
	if err != nil || !strings.HasSuffix(string(head), " 101") {
		_, _ = io.Copy(page, r)
		return
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.Write(page) != nil {
		return
	}
	b.mu.Lock()
	b.page = page
	b.mu.Unlock()
	for {
		head, err := r.Peek(2)
		if err != nil {
			return
		}
		size, more := int(head[1]), map[byte]int{126: 2, 127: 8}[head[1]] // RFC 6455 section 5.2
		if more > 0 {
			if head, err = r.Peek(2 + more); err != nil {
				return
			}
			size = 0
			for _, digit := range head[2:] {
				size = size<<8 | int(digit)
			}
		}
		size += 2 + more
		b.mu.Lock()
		_, err = io.CopyN(page, r, int64(size))
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// tell tells the page that was connected last.
func (b *between) tell(t *testing.T, text string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.page.Write(append([]byte{0x81, byte(len(text))}, text...)); err != nil {
		t.Error(err)
	}
}

// A page that is asked to take longer messages, as by a computer that can't keep
// up, agrees when it holds enough, and is moved there and back. It pauses for as
// long as it is to be later, and skips as much: its listener hears no other gap.
// (TestOverload in server/fanout sees the server ask.)
func TestMovedPage(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers", browserSink)
	sound.PlaySine("speakers", pitch)
	app := launch(t, soundEnv(t, sound), "--headless", "--start")
	proxy := putBetween(t, app.address())
	page := openChromium(t, sound.Env())
	page.open(strings.Replace(app.link(""), app.address(), proxy.Addr().String(), 1))
	page.play()
	in := func(want server.Lane) {
		t.Helper()
		waitFor(t, "the page is in the lane "+string(want), func() bool {
			var all []server.Listener
			if err := json.Unmarshal([]byte(app.must("listeners", "--json")), &all); err != nil || len(all) != 1 {
				t.Fatalf("listeners %v: %v", all, err)
			}
			return all[0].Lane == want
		})
	}
	in(server.LiveLane)
	page.settle()
	var got audiotest.Tone
	for range 3 { // on a busy machine the browser itself may stutter
		const length = 25 * time.Second
		recorded := make(chan []float32, 1)
		go func() { recorded <- sound.Record(browserSink, length) }()
		proxy.tell(t, `{"type":"move","lane":"balanced","length":100}`)
		in(server.BalancedLane)
		proxy.tell(t, `{"type":"move","lane":"live","length":20}`)
		in(server.LiveLane)
		got = audiotest.Measure(<-recorded, pitch)
		t.Log(got)
		if got.To-got.From > length-time.Second && len(got.Breaks) <= 2 && got.Longest() < 200*time.Millisecond {
			return
		}
	}
	t.Errorf("the sound has more gaps than two, or long ones: %v", got)
}
