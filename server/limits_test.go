package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/token"
)

// One who tries bad tokens is told to wait, and holds up nobody else at the
// same address.
func TestFailures(t *testing.T) {
	r := start(t)
	good, ended := r.token(time.Hour), r.token(-time.Minute)
	for i := range failureBurst {
		if resp, body := r.ask("GET", "/api/session", "x", ""); resp.StatusCode != 401 {
			t.Fatalf("failure %d: %d %s", i, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/api/session", "/listen"} {
		resp, body := r.ask("GET", path, "x", "")
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != 429 || word(body) != tooMany || err != nil || wait < 1 || wait > 6 {
			t.Errorf("%s: %d %s, Retry-After %d", path, resp.StatusCode, body, wait)
		}
	}
	if resp, body := r.ask("GET", "/api/session", good, ""); resp.StatusCode != 200 {
		t.Errorf("a good token: %d %s", resp.StatusCode, body)
	}
	if _, status := r.listen(good, ""); status != 101 {
		t.Errorf("a good token: %d", status)
	}
	if resp, body := r.ask("GET", "/api/session", ended, ""); resp.StatusCode != 401 || word(body) != "expired" {
		t.Errorf("a token that was good: %d %s", resp.StatusCode, body)
	}
	got := r.srv.Refused()
	if got["malformed"] != failureBurst || got[tooMany] != 2 || got["expired"] != 1 {
		t.Errorf("counted: %v", got)
	}
}

// Links that have ended are told so, but not without an end, and hold up nobody
// with a good one at the same address.
func TestEndings(t *testing.T) {
	r := start(t)
	good, ended := r.token(time.Hour), r.token(-time.Minute)
	ask := func(tok string) int {
		req := httptest.NewRequest("GET", "/api/session", nil)
		req.Header.Set("Token", tok)
		rec := httptest.NewRecorder()
		r.srv.ServeHTTP(rec, req)
		return rec.Code
	}
	told, refused := 0, 0
	for range 3 * successBurst {
		switch code := ask(ended); code {
		case 401:
			told++
		case 429:
			refused++
		default:
			t.Fatalf("status %d", code)
		}
	}
	if told < successBurst || refused == 0 {
		t.Errorf("%d were told, %d refused", told, refused)
	}
	if code := ask(good); code != 200 {
		t.Errorf("a good token: %d", code)
	}
}

// A classroom gets in at once; one who asks without an end doesn't for ever.
func TestSuccesses(t *testing.T) {
	r := start(t)
	good := r.token(time.Hour)
	ask := func() *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", "/api/session", nil)
		req.Header.Set("Token", good)
		rec := httptest.NewRecorder()
		r.srv.ServeHTTP(rec, req)
		return rec
	}
	for i := range successBurst {
		if rec := ask(); rec.Code != 200 {
			t.Fatalf("request %d: %d", i, rec.Code)
		}
	}
	for range 2 * successBurst {
		if rec := ask(); rec.Code == 429 {
			if word(rec.Body.String()) != tooMany {
				t.Errorf("answer %s", rec.Body)
			}
			return
		}
	}
	t.Error("there is no limit")
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits()
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		for range failureBurst {
			if wait := l.fail(a); wait != 0 {
				t.Fatalf("wait %v", wait)
			}
		}
		if wait := l.fail(a); wait != failureEvery {
			t.Errorf("wait %v, want %v", wait, failureEvery)
		}
		if l.succeed(a) != 0 || l.fail(b) != 0 {
			t.Error("another count has to wait, too")
		}
		time.Sleep(failureEvery)
		if l.fail(a) != 0 || l.fail(a) == 0 {
			t.Error("after the wait there is not one more")
		}

		// However many others come, who goes on is not forgotten, and the table
		// has an end.
		for i := range 3 * limitsSize {
			l.fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
			if l.fail(a) == 0 {
				t.Fatalf("forgotten after %d others", i)
			}
		}
		if n := len(l.young) + len(l.old); n > 2*limitsSize {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:80":              "192.0.2.1/32",
		"::ffff:192.0.2.1":          "192.0.2.1/32",
		"[2001:db8:1:2:3::4]:80":    "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":       "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"radio.example":             "invalid Prefix",
		"":                          "invalid Prefix",
		"192.0.2.1, 192.0.2.2":      "invalid Prefix",
		"2001:db8:1:2:3::4]:80":     "invalid Prefix",
		"192.0.2.1:80 192.0.2.2:80": "invalid Prefix",
	} {
		if got := network(peer(text)).String(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestClient(t *testing.T) {
	trusting := &Server{config: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	for _, tt := range []struct {
		peer string
		path []string // X-Forwarded-For
		want string
	}{
		{"192.0.2.9:1", nil, "192.0.2.9"},
		{"192.0.2.9:1", []string{"192.0.2.1"}, "192.0.2.9"}, // anybody's word
		{"192.0.2.9:1", []string{"10.0.0.1"}, "192.0.2.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"10.0.0.1:1", []string{"192.0.2.1, 192.0.2.2"}, "192.0.2.2"}, // the client sent the first
		{"10.0.0.1:1", []string{"192.0.2.1", "192.0.2.2, 10.0.0.2"}, "192.0.2.2"},
		{"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"[::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"[::1]:1", []string{"[2001:db8::1]:8080"}, "2001:db8::1"},
		{"10.0.0.1:1", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"192.0.2.1,"}, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.path}}
		if got := trusting.client(r).String(); got != tt.want {
			t.Errorf("%s, %q: %s, want %s", tt.peer, tt.path, got, tt.want)
		}
	}

	header := http.Header{"X-Forwarded-For": {"192.0.2.7"}}
	for _, tt := range []struct {
		proxies []netip.Prefix
		want    string
	}{
		{nil, "127.0.0.1"},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, "192.0.2.7"},
		{[]netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.1/128")}, "192.0.2.7"},
		{[]netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.0/104")}, "192.0.2.7"},
		{[]netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.2/128")}, "127.0.0.1"},
	} {
		r := start(t, func(c *Config) { c.TrustedProxies = tt.proxies })
		header.Set("Token", r.token(time.Hour))
		if _, _, err := r.dial("/listen", header); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "it has joined", r.hub.Wanted)
		if got := r.hub.Listeners()[0].Address; got != tt.want {
			t.Errorf("address %s, want %s", got, tt.want)
		}
	}
}

// One address can't take all connections, and all can't take more than there
// are.
func TestConnections(t *testing.T) {
	r := start(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	open := func(from string) bool { // an answer comes
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(deadline))
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return false
		}
		_, err = c.Read(make([]byte, 1))
		return err == nil
	}
	listening := r.join("/listen")
	for i, from := range []string{"127.0.0.1", "127.0.0.2"} {
		for n := range maxConns / 2 {
			if !open(from) {
				t.Fatalf("connection %d of %s is refused", n, from)
			}
		}
		if open(from) {
			t.Errorf("%s has one more than its share", from)
		}
		waitFor(t, "it is counted", func() bool { return r.srv.Refused()[connections] == uint64(i+1) })
	}
	if open("127.0.0.3") {
		t.Error("there is one more than there are")
	}
	r.publish(1, 3)
	next(t, listening)
	for _, c := range conns {
		_ = c.Close()
	}
	waitFor(t, "there is room again", func() bool { return open("127.0.0.3") })
}

// Whoever takes too long to ask is cut off, and counted.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	r := start(t, issuing(nil))
	issuer, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour})
	send := func(text string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(requestTimeout + deadline))
		return c
	}
	silent := send("")
	slow := send("GET /listen HTTP/1.1\r\nHost: x\r\nX:")
	body := send("POST /api/links HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + issuer + "\r\nContent-Length: 9\r\n\r\n{")
	hasty := send("GET /listen HTTP/1.1\r\nHost: x\r\nX:")
	_ = hasty.Close() // this is nobody's fault
	for _, c := range []net.Conn{silent, slow} {
		if text, err := io.ReadAll(c); err != nil || len(text) > 0 {
			t.Errorf("read %q, %v", text, err)
		}
	}
	waitFor(t, "two are counted", func() bool { return r.srv.Refused()[tooSlow] == 2 })
	if text, err := io.ReadAll(body); err != nil || !bytes.HasPrefix(text, []byte("HTTP/1.1 408 ")) {
		t.Errorf("read %q, %v", text, err)
	}
	if got := r.srv.Refused()[tooSlow]; got != 3 {
		t.Errorf("%d are counted", got)
	}
}

// What a listener may send has limits, and whoever breaks them is told by the
// close code, however much is still under way.
func TestListenerLimits(t *testing.T) {
	text := func(c *websocket.Conn, n int) error {
		return c.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), n))
	}
	control := func(kind, n int) func(*websocket.Conn) error {
		return func(c *websocket.Conn) error {
			for range n {
				if err := c.WriteControl(kind, nil, time.Now().Add(deadline)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	// frames sends a text that never ends, in frames with so many bytes in each.
	frames := func(size int) func(*websocket.Conn) error {
		return func(c *websocket.Conn) error {
			frame := append([]byte{0, 0x80 | byte(size), 0, 0, 0, 0}, make([]byte, size)...) // RFC 6455 section 5.2
			first := bytes.Clone(frame)
			first[0] = websocket.TextMessage
			if _, err := c.NetConn().Write(first); err != nil {
				return err
			}
			many := bytes.Repeat(frame, 1000)
			for {
				if _, err := c.NetConn().Write(many); err != nil {
					return err
				}
			}
		}
	}
	tests := []struct {
		name string
		send func(*websocket.Conn) error
		want int // close code; 0 goes on
	}{
		{"as long as it may be", func(c *websocket.Conn) error { return text(c, readLimit) }, 0},
		{"as many as there may be", func(c *websocket.Conn) error {
			for range readBurst {
				if err := text(c, 1); err != nil {
					return err
				}
			}
			return nil
		}, 0},
		{"as much as there may be", func(c *websocket.Conn) error {
			for range readBurst {
				if err := text(c, readLimit); err != nil {
					return err
				}
			}
			return nil
		}, 0},
		{"empty frames without end", frames(0), closeTooMany},
		{"small frames without end", frames(1), closeTooBig},
		{"too long", func(c *websocket.Conn) error { return text(c, readLimit+1) }, closeTooBig},
		{"far too long", func(c *websocket.Conn) error { return text(c, 4<<20) }, closeTooBig},
		{"too many messages", func(c *websocket.Conn) error {
			for range 20 * readBurst {
				if err := text(c, 1); err != nil {
					return err
				}
			}
			return nil
		}, closeTooMany},
		{"too many pings", control(websocket.PingMessage, 4*readBurst), closeTooMany},
		{"too many pongs", control(websocket.PongMessage, 4*readBurst), closeTooMany},
		{"a frame that is none", func(c *websocket.Conn) error {
			_, err := c.NetConn().Write([]byte{0xff, 0xff, 0xff})
			return err
		}, websocket.CloseProtocolError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			conn := r.join("/listen")
			sent := make(chan error, 1)
			go func() { sent <- tt.send(conn) }()
			if tt.want == 0 {
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond) // it has come
				r.publish(1, 3)
				next(t, conn)
				return
			}
			if code := closeCode(t, conn); code != tt.want {
				t.Errorf("close code %d, want %d", code, tt.want)
			}
			_ = conn.Close()
			<-sent // or an error: it was cut off
			waitFor(t, "it is gone", func() bool { return !r.hub.Wanted() })
			if name := closeReasons[tt.want]; name != "" && r.srv.Refused()[name] != 1 {
				t.Errorf("counted: %v", r.srv.Refused())
			}
		})
	}
}

// lines is a log's output.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Refusals are logged once a second at most, with their number, and no log line
// holds a token or a query.
func TestRefusalsInTheLog(t *testing.T) {
	var log lines
	r := start(t, issuing(errors.New("disk full")), func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	begin := time.Now()
	good, ended := r.token(time.Hour), r.token(-time.Minute)
	issuer, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour})
	bad := good[:len(good)-8] + "AAAAAAAA"
	for range 5 {
		for _, tok := range []string{ended, bad} {
			for _, path := range []string{"/listen?token=" + tok, "/api/session?secret=query", "/" + tok} {
				r.ask("GET", path, tok, "")
			}
		}
		r.ask("POST", "/api/links?"+issuer, issuer, "")
		r.ask("POST", "/api/links?"+issuer, good, "")
	}
	if _, status := r.listen(good, "?secret=query&token="+good); status != 101 {
		t.Errorf("status %d", status)
	}
	r.stop()
	got := log.String()
	for _, tok := range []string{good, ended, bad, issuer} {
		for _, part := range strings.Split(tok, ".")[1:] {
			if strings.Contains(got, part) {
				t.Errorf("a token is in the log: %s", got)
			}
		}
	}
	if strings.Contains(got, "secret") {
		t.Errorf("a query is in the log: %s", got)
	}
	if n := strings.Count(got, `msg="no link was made"`); n < 1 || n > 1+int(time.Since(begin)/time.Second) {
		t.Errorf("%d lines of links that were not made: %s", n, got)
	}
	if n := strings.Count(got, "msg=refused"); n < 1 || n > 1+int(time.Since(begin)/time.Second) {
		t.Errorf("%d lines of refusals: %s", n, got)
	}
}

func TestRefusalsAreCountedInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		r := newRefusals(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
					return slog.Attr{}
				}
				return a
			},
		})))
		for i := range 5 {
			r.count("expired", netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
		}
		time.Sleep(time.Second)
		r.count(inUse, netip.MustParseAddr("2001:db8::1"))
		want := "msg=refused reasons.expired=1 last=192.0.2.0\n" +
			"msg=refused reasons.expired=4 reasons.in-use=1 last=2001:db8::1\n"
		if got := log.String(); got != want {
			t.Errorf("log:\n%swant:\n%s", got, want)
		}
		log.text.Reset()
		for i := range 3 {
			r.notMade(fmt.Sprint(i), errors.New("disk full"))
		}
		time.Sleep(time.Second)
		r.notMade("3", errors.New("disk full"))
		want = "msg=\"no link was made\" times=1 by=0 err=\"disk full\"\n" +
			"msg=\"no link was made\" times=3 by=3 err=\"disk full\"\n"
		if got := log.String(); got != want {
			t.Errorf("log:\n%swant:\n%s", got, want)
		}
		if got := fmt.Sprint(r.total); got != "map[expired:5 in-use:1]" {
			t.Errorf("total %s", got)
		}
	})
}
