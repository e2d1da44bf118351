package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

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
	var listener *websocket.Conn
	for i := range f.programs {
		eventually(t, patience, "relay admits", func() bool { // once it knows what is withdrawn
			conn, status := f.visit(i, stays)
			if i == at {
				listener = conn
			} else if conn != nil {
				conn.Close()
			}
			return status == http.StatusSwitchingProtocols
		})
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
				// Who asks so often is told why no more.
				if _, status := f.visit(i, raw); status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
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
