package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/server/token"
	"earshot/server/uplink"
)

// link returns a token to listen, and what withdraws it.
func (f *fleet) link() (string, token.Withdrawal) {
	f.t.Helper()
	raw, c, err := f.key.Issue(token.Grant{Scope: token.ScopeListen, Audience: f.url.String(), For: time.Hour}, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	return raw, token.Withdrawal{ID: c.ID, Until: c.Expires}
}

// visit listens at a relay, or returns the status that it was refused with.
func (f *fleet) visit(relay int, raw string) (*websocket.Conn, int) {
	f.t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/song/listen", f.programs[relay].port), http.Header{"Token": {raw}})
	switch {
	case err == nil:
		f.t.Cleanup(func() { conn.Close() })
		return conn, http.StatusSwitchingProtocols
	case answer == nil:
		f.t.Fatal(err)
	}
	return nil, answer.StatusCode
}

// ended waits until a connection is closed, and returns with which code.
func ended(t *testing.T, conn *websocket.Conn, within time.Duration) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	for {
		var closed *websocket.CloseError
		if _, _, err := conn.ReadMessage(); errors.As(err, &closed) {
			return closed.Code
		} else if err != nil {
			t.Errorf("not closed: %v", err)
			return 0
		}
	}
}

// The relays' servers store nothing, and then are gone. What is withdrawn counts
// at once where it can be heard of, without a stop in the sound; it isn't said to
// be stored before it is; and when nothing is heard for 15 s nobody new gets in.
func TestOutage(t *testing.T) {
	f := newFleetWith(t, "")
	var mu sync.Mutex
	var gone []token.Withdrawal
	u := f.publishBut(func() (time.Time, []token.Withdrawal) { mu.Lock(); defer mu.Unlock(); return time.Time{}, gone })
	revoke := func(w token.Withdrawal, within time.Duration) bool {
		mu.Lock()
		gone = append(gone, w)
		mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return u.Withdraw(ctx)
	}
	eventually(t, patience, "published", func() bool { return u.Status().State == uplink.Connected })
	at := f.holder()
	stays, _ := f.link()
	listener, status := f.visit(at, stays)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("listener: %d", status)
	}
	var last time.Time // when it heard something; the longest time without
	var longest time.Duration
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for {
			kind, _, err := listener.ReadMessage()
			if err != nil {
				return
			}
			if kind == websocket.BinaryMessage {
				mu.Lock()
				if !last.IsZero() {
					longest = max(longest, time.Since(last))
				}
				last = time.Now()
				mu.Unlock()
			}
		}
	}()
	eventually(t, patience, "sound", func() bool { mu.Lock(); defer mu.Unlock(); return !last.IsZero() })

	// Two servers of three die: nothing can be stored. The relays of those change
	// to the third.
	first, withdraw := f.link()
	phone, _ := f.visit(at, first)
	for _, i := range []int{1, 2} {
		f.nats.Nodes[(at+i)%3].Kill()
	}
	cut := time.Now()
	began := time.Now()
	var stored bool
	var done sync.WaitGroup
	done.Go(func() { stored = revoke(withdraw, 3*time.Second) })
	if code := ended(t, phone, time.Second); code != 4401 {
		t.Errorf("withdrawn with %d after %v", code, time.Since(began))
	}
	done.Wait()
	if stored {
		t.Error("said to be stored, and can't be")
	}
	second, withdrawToo := f.link()
	tablet, status := f.visit(at, second)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("so early in an outage: %d", status)
	}
	done.Go(func() { stored = revoke(withdrawToo, time.Second) }) // while the relay tries still
	if code := ended(t, tablet, time.Second); code != 4401 {
		t.Errorf("the second is withdrawn with %d", code)
	}
	done.Wait()
	mu.Lock()
	if longest > time.Second {
		t.Errorf("%v without sound", longest)
	}
	t.Logf("%v after the servers died: at most %v without sound", time.Since(cut), longest)
	mu.Unlock()

	// The third dies, too.
	f.nats.Nodes[at].Kill()
	refused := func() bool {
		raw, _ := f.link()
		for i := range f.programs {
			if conn, status := f.visit(i, raw); status != http.StatusServiceUnavailable {
				if conn != nil {
					conn.Close()
				}
				return false
			}
		}
		return true
	}
	eventually(t, time.Until(cut.Add(17*time.Second)), "nobody new is let in", refused)
	t.Logf("nobody new is let in %v after the servers died", time.Since(cut))
	select {
	case <-heard:
		t.Error("who listens was sent away")
	default:
	}

	// All of it comes back.
	for _, n := range f.nats.Nodes {
		n.Begin()
	}
	eventually(t, 2*patience, "the laptop is back", func() bool { return u.Status().State == uplink.Connected })
	eventually(t, 2*patience, "withdrawn at every relay, and others are let in", func() bool {
		for i := range f.programs {
			for _, raw := range []string{first, second} {
				if _, status := f.visit(i, raw); status != http.StatusUnauthorized {
					return false
				}
			}
			if conn, status := f.visit(i, stays); status != http.StatusSwitchingProtocols {
				return false
			} else {
				conn.Close()
			}
		}
		return true
	})
	_, third := f.link()
	if !revoke(third, patience) {
		t.Error("not stored after the outage")
	}
	listener.Close()
	<-heard
}

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
		t.Cleanup(func() { conn.Close(); listening.Wait() })
	}
	type source struct {
		conn *websocket.Conn
		quit chan struct{}
	}
	var sending sync.WaitGroup
	var former *source
	leave := func(s *source) { close(s.quit) }
	taken := 0
	for mark := byte(1); mark <= 40; mark++ {
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
			leave(former) // it goes when the other has asked
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
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for seq := uint32(1); ; seq++ {
				select {
				case <-s.quit:
					return
				case <-tick.C:
				}
				// It goes on when it was replaced, until it is closed.
				packet := audio.Packet{Seq: seq, At: time.Duration(seq) * 20 * time.Millisecond, Data: []byte{0xfc, mark}}
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
	leave(former)
	sending.Wait()
	if taken == 0 {
		t.Error("nobody was ever in the other's way")
	}
}
