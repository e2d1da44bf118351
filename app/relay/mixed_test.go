package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/server/token"
)

// Two laptops' connections take over from each other and from themselves, at
// relays that are chosen by chance. What a listener of any relay hears is each
// time of one connection, in order, and never of one before.
func TestNeverMixed(t *testing.T) {
	friend, err := token.OpenKey(filepath.Join(t.TempDir(), "friend.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFleetWith(t, "public = true", friend)
	keys := []*token.Key{f.key, friend}
	var mu sync.Mutex
	newest := make([]byte, len(f.programs)) // whom each listener hears
	var listening sync.WaitGroup
	t.Cleanup(listening.Wait) // after all are closed
	for i := range f.programs {
		conn, status := f.visit(i, "")
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("listener: %d", status)
		}
		listening.Go(func() {
			var of byte
			var last time.Duration
			for {
				kind, message, err := conn.ReadMessage()
				if err != nil {
					return
				}
				if kind != websocket.BinaryMessage {
					continue
				}
				packets, err := audio.ParseMessage(message)
				if err != nil {
					t.Error(err)
				}
				for _, p := range packets {
					if mark := p.Data[1]; mark < of || mark == of && p.At <= last {
						t.Errorf("relay %d: a packet of connection %d at %v after one of %d at %v", i, mark, p.At, of, last)
					} else {
						of, last = mark, p.At
					}
				}
				mu.Lock()
				newest[i] = of
				mu.Unlock()
			}
		})
	}
	type source struct {
		conn *websocket.Conn
		quit chan struct{}
	}
	var sending sync.WaitGroup
	var former *source
	leave := func() {
		if former != nil {
			close(former.quit)
			former = nil
		}
	}
	taken := 0
	for mark := byte(1); mark <= 16; mark++ {
		who := int(mark) / 2 % 2 // the same takes over from itself, then the other comes
		var conn *websocket.Conn
		eventually(t, patience, fmt.Sprintf("connection %d is let in", mark), func() bool {
			raw, _, err := keys[who].Issue(token.Grant{Scope: token.ScopePublish, Audience: f.url.String(), For: time.Minute}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			var answer *http.Response
			conn, answer, err = websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/song/publish", f.programs[int(mark)%len(f.programs)].port), http.Header{"Token": {raw}})
			if err == nil {
				return true
			}
			if answer == nil {
				t.Fatal(err)
			}
			var said struct{ Error string }
			_ = json.NewDecoder(answer.Body).Decode(&said)
			if answer.StatusCode != http.StatusConflict || mark%2 == 1 {
				t.Fatalf("connection %d: %d %s", mark, answer.StatusCode, said.Error)
			}
			taken++
			leave() // it goes when the other has asked
			return false
		})
		s := &source{conn, make(chan struct{})}
		sending.Go(func() { // reads, so that it is closed in good order
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		})
		sending.Go(func() {
			defer conn.Close()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			clock := audio.NewClock()
			for seq := uint32(1); ; seq++ {
				select {
				case <-s.quit:
					return
				case <-tick.C:
				}
				// It goes on when it was replaced, until it is closed.
				packet := audio.Packet{Seq: seq, At: clock(), Data: []byte{0xfc, mark}}
				if conn.WriteMessage(websocket.BinaryMessage, audio.AppendMessage(nil, packet)) != nil {
					return
				}
			}
		})
		former = s
		eventually(t, patience, fmt.Sprintf("connection %d is heard at all relays", mark), func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, of := range newest {
				if of != mark {
					return false
				}
			}
			return true
		})
	}
	leave()
	sending.Wait()
	if taken == 0 {
		t.Error("nobody was ever in the other's way")
	}
}
