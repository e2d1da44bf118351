package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/token"
)

// tokenFor returns a token for n listeners at once.
func (r *rig) tokenFor(n int) string {
	raw, _ := r.issue(token.Grant{Scope: token.ScopeListen, For: time.Hour, Listeners: n})
	return raw
}

// listen connects with a token and reads the welcome; it returns the connection
// and the status of the answer.
func (r *rig) listen(tok, query string) (*websocket.Conn, int) {
	r.t.Helper()
	conn, resp, err := r.dial("/listen"+query, http.Header{"Token": {tok}})
	if resp == nil {
		r.t.Fatal(err)
	}
	if err == nil {
		var w welcome
		if err := conn.ReadJSON(&w); err != nil || w.Type != "welcome" {
			r.t.Fatalf("welcome: %+v, %v", w, err)
		}
	}
	return conn, resp.StatusCode
}

func TestSeats(t *testing.T) {
	r := start(t)
	two := r.tokenFor(2)
	session := func(query string, want int) {
		t.Helper()
		if resp, body := r.ask("GET", "/api/session"+query, two, ""); resp.StatusCode != want || want == 409 && word(body) != inUse {
			t.Errorf("session%s: %d %s", query, resp.StatusCode, body)
		}
	}
	listen := func(query string, want int) *websocket.Conn {
		t.Helper()
		conn, got := r.listen(two, query)
		if got != want {
			t.Fatalf("listen%s: %d, want %d", query, got, want)
		}
		return conn
	}
	const a, b, c = "?page=aaaaaaaa", "?page=bbbbbbbb", "?page=cccccccc"
	first := listen(a, 101)
	second := listen(b, 101)
	session("", 409)
	session(c, 409)
	session(a, 200)
	listen("", 409)
	listen(c, 409)
	if _, status := r.listen(r.tokenFor(1), c); status != 101 {
		t.Errorf("another link is refused: %d", status)
	}

	again := listen(a, 101) // the tab keeps its seat
	if code := closeCode(t, first); code != closeReplaced {
		t.Errorf("close code %d", code)
	}
	listen(c, 409)

	// A request that was long on its way, and that the page has given up, doesn't
	// take the place of the one that the page made after it.
	newer := listen(b+"&attempt=7", 101)
	if code := closeCode(t, second); code != closeReplaced {
		t.Errorf("close code %d", code)
	}
	if code := closeCode(t, listen(b+"&attempt=6", 101)); code != closeReplaced {
		t.Errorf("close code %d", code)
	}
	second = newer
	r.publish(1, 1)
	next(t, second)

	// A handshake that fails takes no seat and replaces nobody.
	fail := func(query string) {
		t.Helper()
		if resp, body := r.ask("GET", "/listen"+query, two, ""); resp.StatusCode != http.StatusBadRequest || word(body) != badHandshake {
			t.Errorf("a request that is no handshake: %d %s", resp.StatusCode, body)
		}
	}
	fail(a)
	_ = second.Close()
	waitFor(t, "the seat is free", func() bool { return len(r.hub.Listeners()) == 2 })
	fail(c)
	session(c, 200)
	listen("", 101)
	listen("", 409)

	r.publish(1, 3)
	next(t, again)
	if got := r.srv.Refused()[inUse]; got != 6 {
		t.Errorf("%d refusals were counted", got)
	}
}

// However many come at once, as many get in as the link is for, and a tab that
// connects several times at once has one seat.
func TestSeatsInARush(t *testing.T) {
	const seats, rush = 5, 60
	r := start(t)
	tok := r.tokenFor(seats)
	for round := range 3 {
		var in, busy atomic.Int64
		var wg sync.WaitGroup
		conns := make(chan *websocket.Conn, 3*rush)
		for i := range rush {
			for range 1 + i%3 { // some tabs several times
				wg.Go(func() {
					conn, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+fmt.Sprintf("/listen?page=page-%04d", i), http.Header{"Token": {tok}})
					switch {
					case err == nil:
						in.Add(1)
						conns <- conn
					case resp != nil && resp.StatusCode == http.StatusConflict:
						busy.Add(1)
					default:
						t.Error(err)
					}
					if n := len(r.hub.Listeners()); n > seats {
						t.Errorf("%d listen at once", n)
					}
				})
			}
		}
		wg.Wait()
		close(conns)
		waitFor(t, "all seats are taken", func() bool { return len(r.hub.Listeners()) == seats })
		if in.Load() < seats || busy.Load() == 0 {
			t.Errorf("round %d: %d got in, %d did not", round, in.Load(), busy.Load())
		}
		for conn := range conns {
			_ = conn.Close()
		}
		waitFor(t, "all have left", func() bool { return len(r.hub.Listeners()) == 0 && !r.hub.Wanted() })
	}
}

// A tab whose first handshake is still under way when it tries again has one
// seat of a link, and it keeps the place of none that has ended.
func TestSeatOfHandshakes(t *testing.T) {
	hub := start(t).hub
	take := func(page, want string) *listener {
		t.Helper()
		l := newListener(hub, token.Claims{ID: "x", Listeners: 2}, page, "", "")
		if why := hub.take(l, 10); why != want {
			t.Errorf("page %s: %q, want %q", page, why, want)
		}
		return l
	}
	first, second := take("aaaaaaaa", ""), take("aaaaaaaa", "")
	other := take("bbbbbbbb", "")
	take("cccccccc", inUse)
	hub.leave(first)
	take("cccccccc", inUse)
	if n := hub.Review(func(c token.Claims) (time.Time, bool) { return time.Time{}, c.ID != "x" }); n != 2 {
		t.Errorf("%d were ended", n)
	}
	take("cccccccc", "")
	hub.leave(second)
	hub.leave(other)
}

func TestFull(t *testing.T) {
	r := start(t, func(c *Config) { c.MaxListeners = 2 })
	tok := r.token(time.Hour)
	for _, page := range []string{"?page=aaaaaaaa", "?page=bbbbbbbb", "?page=aaaaaaaa"} {
		if _, status := r.listen(tok, page); status != 101 {
			t.Fatalf("%s: %d", page, status)
		}
	}
	_, resp, err := r.dial("/listen", http.Header{"Token": {tok}})
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %v", err)
	}
	if resp, body := r.ask("GET", "/api/session", tok, ""); resp.StatusCode != http.StatusServiceUnavailable || word(body) != full {
		t.Errorf("session: %d %s", resp.StatusCode, body)
	}
}

func TestKick(t *testing.T) {
	r := start(t)
	tok, claims := r.issue(token.Grant{Scope: token.ScopeListen, For: time.Hour, Listeners: 1})
	conn, _ := r.listen(tok, "?page=aaaaaaaa")
	list := r.hub.Listeners()
	if len(list) != 1 || list[0].Link != claims.ID {
		t.Fatalf("listeners %+v", list)
	}
	if _, ok := r.hub.Kick(list[0].ID + 1); ok {
		t.Error("somebody who is not there was removed")
	}
	gone, ok := r.hub.Kick(list[0].ID)
	if !ok || gone.Name != "Bob" || gone.Link != claims.ID {
		t.Errorf("removed %+v, %v", gone, ok)
	}
	if _, again := r.hub.Kick(list[0].ID); again {
		t.Error("removed twice")
	}
	if _, status := r.listen(tok, ""); status != 101 {
		t.Errorf("the seat is not free at once: %d", status)
	}
	if code := closeCode(t, conn); code != closeRemoved {
		t.Errorf("close code %d", code)
	}
}

// A withdrawal ends what hears by it within a second, one who takes nothing any
// more included, and nothing else.
func TestWithdrawn(t *testing.T) {
	var withdrawn sync.Map
	r := start(t)
	r.tokens.Revoked = func(c token.Claims) bool { _, ok := withdrawn.Load(c.ID); return ok }
	tok, claims := r.issue(token.Grant{Scope: token.ScopeListen, For: time.Hour})
	stuck, _ := r.listen(tok, "")
	if err := stuck.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	other := r.join("/listen")
	waitFor(t, "nothing more goes to the stuck one", func() bool {
		r.publish(1, 1200)
		next(t, other)
		l := r.hub.Listeners()
		return l[1].Sent > l[0].Sent+100
	})
	conn, _ := r.listen(tok, "")

	withdrawn.Store(claims.ID, true)
	start := time.Now()
	if n := r.hub.Review(r.tokens.Good); n != 2 {
		t.Errorf("%d were ended", n)
	}
	if code := closeCode(t, conn); code != closeWithdrawn || time.Since(start) > time.Second {
		t.Errorf("close code %d after %v", code, time.Since(start))
	}
	waitFor(t, "the stuck one is gone", func() bool { return r.hub.count.Load() == 1 })
	if d := time.Since(start); d > 2*closeTimeout+time.Second {
		t.Errorf("that took %v", d)
	}
	if _, status := r.listen(tok, ""); status != http.StatusUnauthorized {
		t.Errorf("it is let in again: %d", status)
	}
	if resp, body := r.ask("GET", "/api/session", tok, ""); resp.StatusCode != http.StatusUnauthorized || word(body) != "withdrawn" {
		t.Errorf("session: %d %s", resp.StatusCode, body)
	}
	r.publish(2, 3)
	next(t, other)
}

// When a key is retired, who listens with a link of it learns that it ends soon,
// and ends with it.
func TestRetiredWhileListening(t *testing.T) {
	r := start(t)
	conn := r.join("/listen")
	retired := r.key.Verify()
	retired.Until = time.Now().Add(1500 * time.Millisecond)
	r.tokens.Use(retired)
	if n := r.hub.Review(r.tokens.Good); n != 0 {
		t.Errorf("%d were ended", n)
	}
	var e expiring
	if err := conn.ReadJSON(&e); err != nil || e.Type != "expiring" || e.Seconds < 1 || e.Seconds > 2 {
		t.Errorf("%+v, %v", e, err)
	}
	if code, off := closeCode(t, conn), time.Since(retired.Until); code != closeExpired || off < 0 || off > time.Second {
		t.Errorf("close code %d, %v after the end", code, off)
	}

	waitFor(t, "it is gone", func() bool { return len(r.hub.Listeners()) == 0 })

	// One whose key has ended before the hub was told, and one whose key is gone.
	for _, tt := range []struct {
		keys []token.VerifyKey
		want int
	}{{[]token.VerifyKey{retired}, closeExpired}, {nil, closeWithdrawn}} {
		r.tokens.Use(r.key.Verify())
		conn := r.join("/listen")
		r.tokens.Use(tt.keys...)
		if n := r.hub.Review(r.tokens.Good); n != 1 {
			t.Errorf("%d were ended", n)
		}
		if code := closeCode(t, conn); code != tt.want {
			t.Errorf("close code %d, want %d", code, tt.want)
		}
	}
}

// One whose link is withdrawn between the check of the token and the seat does
// not slip through.
func TestWithdrawnWhileJoining(t *testing.T) {
	r := start(t)
	var checks atomic.Int64
	r.tokens.Revoked = func(token.Claims) bool { return checks.Add(1) > 1 }
	if _, status := r.listen(r.token(time.Hour), ""); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	if len(r.hub.listeners) != 0 {
		t.Error("the seat was not given back")
	}
}

// The end of a token is told a minute before, or at once where less is left,
// and tokens may have none.
func TestExpiring(t *testing.T) {
	r := start(t)
	told := func(d time.Duration) (w welcome, e expiring, after time.Duration) {
		t.Helper()
		begin := time.Now()
		conn, _, err := r.dial("/listen", http.Header{"Token": {r.token(d)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.ReadJSON(&w); err != nil {
			t.Fatal(err)
		}
		if err := conn.ReadJSON(&e); err != nil || e.Type != "expiring" {
			t.Fatalf("%+v, %v", e, err)
		}
		return w, e, time.Since(begin)
	}
	if w, e, after := told(62 * time.Second); w.Left < 58 || w.Left > 62 || e.Seconds < 58 || e.Seconds > 60 || after < 500*time.Millisecond {
		t.Errorf("62 s: %+v, %+v after %v", w, e, after)
	}
	if w, e, after := told(30 * time.Second); w.Left < 25 || w.Left > 30 || e.Seconds < 25 || e.Seconds > 30 || after > 5*time.Second {
		t.Errorf("30 s: %+v, %+v after %v", w, e, after)
	}

	endless := newListener(r.hub, token.Claims{ID: "x"}, "", "", "")
	text, err := json.Marshal(endless.welcome(r.hub.state.Load()))
	var members map[string]any
	if err != nil || json.Unmarshal(text, &members) != nil || members["left"] != nil || members["expires"] != nil {
		t.Errorf("welcome of a token without an end: %s, %v", text, err)
	}
}
