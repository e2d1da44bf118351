package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"earshot/audio"
	"earshot/server/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds everything that a test waits for.
const deadline = 10 * time.Second

// rig is a server on a real port.
type rig struct {
	t      testing.TB
	hub    *Hub
	srv    *Server
	tokens *token.Verifier
	key    *token.Key
	addr   string
	stop   func() // and wait for it to have stopped
}

// start starts a server with a config that may be changed before.
func start(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	key, err := token.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	hub, err := NewHub(HubConfig{
		Title:  "Ann's music",
		Format: Format{Frame: 20 * time.Millisecond, Bitrate: 128000},
		Clock:  func() time.Duration { return time.Hour },
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens := &token.Verifier{Audience: token.AudienceDesktop, Now: time.Now}
	tokens.Use(key.Verify())
	config := Config{
		Stream: Stream{Hub: hub, Tokens: tokens},
		Player: fstest.MapFS{"index.html": {Data: []byte("<p>player")}, "static/a.js": {Data: []byte("a")}},
		Log:    slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&config)
	}
	r := startConfig(t, config)
	r.hub, r.tokens, r.key = hub, tokens, key
	return r
}

// startConfig starts a server.
func startConfig(t testing.TB, config Config) *rig {
	t.Helper()
	srv := New(config)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx, ln) }()
	stopped := false
	r := &rig{t: t, srv: srv, addr: ln.Addr().String()}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(deadline):
			t.Error("the server did not stop")
		}
	}
	t.Cleanup(r.stop)
	return r
}

// token returns a token for listening.
func (r *rig) token(d time.Duration) string {
	r.t.Helper()
	raw, _ := r.issue(token.Grant{Scope: token.ScopeListen, For: d})
	return raw
}

// issue signs a token for Bob.
func (r *rig) issue(g token.Grant) (string, token.Claims) {
	r.t.Helper()
	g.Audience, g.Name = token.AudienceDesktop, "Bob"
	raw, claims, err := r.key.Issue(g, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return raw, claims
}

// ask makes a request with a token and returns the answer and its body.
func (r *rig) ask(method, path, tok, body string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tok)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(text)
}

// word is the error of a refusal.
func word(body string) string {
	var r refusal
	_ = json.Unmarshal([]byte(body), &r)
	return r.Error
}

func (r *rig) dial(path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+path, header)
	if err == nil {
		r.t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(deadline))
	}
	return conn, resp, err
}

// join connects a listener and reads its welcome.
func (r *rig) join(path string) *websocket.Conn {
	r.t.Helper()
	conn, _, err := r.dial(path, http.Header{"Token": {r.token(time.Hour)}})
	if err != nil {
		r.t.Fatal(err)
	}
	var w welcome
	if err := conn.ReadJSON(&w); err != nil || w.Type != "welcome" {
		r.t.Fatalf("welcome: %+v, %v", w, err)
	}
	return conn
}

func (r *rig) publish(seq uint32, size int) {
	r.t.Helper()
	p := audio.Packet{Seq: seq, At: time.Duration(seq) * 20 * time.Millisecond, Data: bytes.Repeat([]byte{0xfc}, size)}
	r.hub.Publish(p)
}

// next reads the next packet.
func next(t *testing.T, conn *websocket.Conn) audio.Packet {
	t.Helper()
	kind, msg, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	packets, err := audio.ParseMessage(msg)
	if err != nil || kind != websocket.BinaryMessage || len(packets) != 1 {
		t.Fatalf("message %q of kind %d: %v", msg, kind, err)
	}
	return packets[0]
}

// closeCode reads until the connection ends and returns its close code.
func closeCode(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				t.Fatalf("no close frame: %v", err)
			}
			return closed.Code
		}
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestTokenPlaces(t *testing.T) {
	r := start(t)
	good := r.token(time.Hour)
	tests := []struct {
		name   string
		path   string
		header http.Header
		want   token.Reason // "" is let in
	}{
		{"Authorization", "/listen", http.Header{"Authorization": {"Bearer " + good}}, ""},
		{"authorization in lower case", "/listen", http.Header{"Authorization": {"bearer " + good}}, ""},
		{"header token", "/listen", http.Header{"Token": {good}}, ""},
		{"header token at the root", "/", http.Header{"Token": {good}}, ""},
		{"subprotocol", "/listen", http.Header{"Sec-Websocket-Protocol": {"earshot.v1, earshot.bearer." + good}}, ""},
		{"the first place counts", "/listen", http.Header{"Authorization": {"Bearer " + good}, "Token": {"x"}}, ""},

		{"none", "/listen", nil, token.Missing},
		{"none at the root", "/", nil, token.Missing},
		{"a bad one first", "/listen", http.Header{"Authorization": {"Bearer x"}, "Token": {good}}, token.Malformed},
		{"in the query", "/listen?token=" + good, nil, token.Missing},
		{"another scheme", "/listen", http.Header{"Authorization": {"Basic " + good}}, token.Missing},
		{"ended", "/listen", http.Header{"Token": {r.token(-time.Minute)}}, token.Expired},
		{"subprotocol ended", "/listen", http.Header{"Sec-Websocket-Protocol": {"earshot.v1, earshot.bearer." + r.token(-time.Minute)}}, token.Expired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, resp, err := r.dial(tt.path, tt.header)
			if resp == nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if err != nil {
					t.Fatalf("status %d: %v", resp.StatusCode, err)
				}
				if strings.Contains(conn.Subprotocol(), "bearer") {
					t.Error("the token was echoed")
				}
				return
			}
			var refused refusal
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusUnauthorized || json.Unmarshal(body, &refused) != nil ||
				refused.Error != string(tt.want) || refused.Message == "" {
				t.Errorf("status %d, %q, want 401 and %s", resp.StatusCode, body, tt.want)
			}
			if resp.Header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate (RFC 9110 section 15.5.2)")
			}
		})
	}
}

func TestSession(t *testing.T) {
	r := start(t)
	resp, body := r.ask("GET", "/api/session", r.token(time.Hour), "")
	var got about
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if got.Name != "Bob" || got.Title != "Ann's music" || got.State != Paused ||
		time.Until(time.Unix(got.Expires, 0)) < 59*time.Minute || got.Left < 3598 || got.Left > 3600 {
		t.Errorf("session %+v", got)
	}
	issuer, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour})
	for tok, want := range map[string]struct {
		status int
		word   string
	}{
		"":                    {401, "missing"},
		"x":                   {401, "malformed"},
		r.token(-time.Minute): {401, "expired"},
		issuer:                {403, "scope"}, // RFC 6750 section 3.1
	} {
		if resp, body := r.ask("GET", "/api/session", tok, ""); resp.StatusCode != want.status || word(body) != want.word {
			t.Errorf("want %v, got %d %s", want, resp.StatusCode, body)
		}
	}
}

func TestOrigin(t *testing.T) {
	r := start(t, func(c *Config) {
		c.PublicURL = &url.URL{Scheme: "https", Host: "radio.example"}
		c.Origins = []string{"https://blog.example"}
	})
	good := r.token(time.Hour)
	for origin, want := range map[string]bool{
		"http://" + r.addr:           true,
		"https://radio.example":      true,
		"https://blog.example":       true,
		"http://blog.example":        false,
		"https://blog.example:444":   false,
		"https://a.blog.example":     false,
		"http://evil.example":        false,
		"null":                       false,
		"http://" + r.addr + ".evil": false,
	} {
		conn, resp, err := r.dial("/listen", http.Header{"Token": {good}, "Origin": {origin}})
		if (err == nil) != want || !want && resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %s: let in: %v", origin, err == nil)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	if got := r.srv.Refused()[badOrigin]; got != 6 {
		t.Errorf("%d refusals were counted", got)
	}
	// HTTP/1.0 may leave out Host, which is not an origin's then.
	req := httptest.NewRequest("GET", "/listen", nil)
	req.Host = ""
	req.Header.Set("Origin", "null")
	if r.srv.streams[0].welcomes(req) {
		t.Error("null is the origin of no host")
	}
	if r.srv.streams[0].config.Origins = []string{"null"}; !r.srv.streams[0].welcomes(req) {
		t.Error("null is configured and refused")
	}
}

func TestPacketsAndStates(t *testing.T) {
	r := start(t)
	if r.hub.Wanted() {
		t.Error("wanted while nobody listens")
	}
	conn := r.join("/listen")
	if !r.hub.Wanted() {
		t.Error("not wanted while somebody listens")
	}
	if err := r.hub.SetState(Live); err != nil {
		t.Fatal(err)
	}
	var s stateMessage
	if err := conn.ReadJSON(&s); err != nil || s != (stateMessage{Type: "state", State: Live}) {
		t.Fatalf("state %+v, %v", s, err)
	}
	for seq := range uint32(100) {
		r.publish(seq, 3)
	}
	for seq := range uint32(100) {
		if p := next(t, conn); p.Seq != seq {
			t.Fatalf("packet %d, want %d", p.Seq, seq)
		}
	}
	list := r.hub.Listeners()
	if len(list) != 1 || list[0].Name != "Bob" || list[0].Address != "127.0.0.1" {
		t.Errorf("listeners %+v", list)
	}
	_ = conn.Close()
	waitFor(t, "the listener leaves", func() bool { return !r.hub.Wanted() && len(r.hub.Listeners()) == 0 })
}

func TestPingAndStats(t *testing.T) {
	r := start(t)
	conn := r.join("/listen")
	send := func(text string) {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "x", "[]", "null", `{"type":"ping"}`, `{"type":"ping","t":"1"}`, `{"type":"unknown"}`,
		`{"type":"stats","latency":"1"}`, `{"type":"stats","underruns":-1}`} {
		send(text) // nothing comes back
	}
	send(`{"type":"ping","t":12.5}`)
	var got pong
	if err := conn.ReadJSON(&got); err != nil || got != (pong{"pong", 12.5, 3_600_000_000}) {
		t.Errorf("pong %+v, %v", got, err)
	}
	if got := r.hub.Listeners()[0].Stats; got != nil {
		t.Errorf("stats before any: %+v", got)
	}
	send(`{"type":"stats","profile":"live","latency":74.5,"underruns":2,"new":{}}`)
	waitFor(t, "the stats are in the list", func() bool {
		s := r.hub.Listeners()[0].Stats
		return s != nil && s.Profile == "live" && *s.Latency == 74.5 && s.Underruns == 2 && s.Jitter == nil
	})
}

func TestBuffer(t *testing.T) {
	r := start(t)
	r.publish(1, 3)
	r.publish(2, 3)
	with := r.join("/listen?buffer=4000")
	without := r.join("/listen")
	r.publish(3, 3)
	if kind, msg, err := with.ReadMessage(); err != nil || kind != websocket.BinaryMessage {
		t.Errorf("with a buffer: message of kind %d, %v", kind, err)
	} else if packets, err := audio.ParseMessage(msg); err != nil || len(packets) != 2 || packets[0].Seq != 1 || packets[1].Seq != 2 {
		t.Errorf("with a buffer: %+v first, %v; want packets 1 and 2", packets, err)
	}
	if p := next(t, with); p.Seq != 3 {
		t.Errorf("with a buffer: packet %d after that, want 3", p.Seq)
	}
	if p := next(t, without); p.Seq != 3 {
		t.Errorf("without: first packet %d, want 3", p.Seq)
	}
	for _, query := range []string{"buffer=x", "buffer=-1", "page=short", "page=" + strings.Repeat("x", 65)} {
		_, resp, err := r.dial("/listen?"+query, http.Header{"Token": {r.token(time.Hour)}})
		if err == nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestCloseCodes(t *testing.T) {
	t.Run("expired", func(t *testing.T) {
		r := start(t)
		conn, _, err := r.dial("/listen", http.Header{"Token": {r.token(time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		if code := closeCode(t, conn); code != closeExpired {
			t.Errorf("close code %d", code)
		}
	})
	t.Run("replaced", func(t *testing.T) {
		r := start(t)
		tok := http.Header{"Token": {r.token(time.Hour)}}
		first, _, err := r.dial("/listen?page=12345678&attempt=1", tok)
		if err != nil {
			t.Fatal(err)
		}
		other := r.join("/listen?page=12345678") // another link
		if _, _, err := r.dial("/listen?page=12345678&attempt=2", tok); err != nil {
			t.Fatal(err)
		}
		if code := closeCode(t, first); code != closeReplaced {
			t.Errorf("close code %d", code)
		}
		waitFor(t, "two remain", func() bool { return len(r.hub.Listeners()) == 2 })
		r.publish(1, 3)
		next(t, other)
	})
	t.Run("restart", func(t *testing.T) {
		r := start(t)
		conn := r.join("/listen")
		code := make(chan int)
		go func() { code <- closeCode(t, conn) }()
		r.stop()
		if got := <-code; got != closeRestart {
			t.Errorf("close code %d", got)
		}
	})
	t.Run("the player's table", func(t *testing.T) {
		text, err := os.ReadFile("../assets/player/src/codes.json")
		if err != nil {
			t.Fatal(err)
		}
		var table struct{ Codes []struct{ Code int } }
		if err := json.Unmarshal(text, &table); err != nil {
			t.Fatal(err)
		}
		known := map[int]bool{}
		for _, c := range table.Codes {
			known[c.Code] = true
			if closeReasons[c.Code] == "" {
				t.Errorf("the server never sends %d", c.Code)
			}
		}
		for code, reason := range closeReasons {
			if !known[code] && code != closeTooMany && code != closeTooBig && code != closeNoText { // it sends none of that
				t.Errorf("the player does not know %d (%s)", code, reason)
			}
		}
	})
}

// One who does not read delays nobody, loses its oldest packets, and is told
// so by their numbers once it reads again.
func TestSlowListener(t *testing.T) {
	r := start(t)
	slow, quick := r.join("/listen"), r.join("/listen")
	if err := slow.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	var seq uint32
	waitFor(t, "more waits for the slow one than the lane holds", func() bool {
		r.publish(seq, audio.MaxPacketSize)
		if p := next(t, quick); p.Seq != seq {
			t.Fatalf("the quick one got %d, want %d", p.Seq, seq)
		}
		seq++
		return uint64(seq) > r.hub.Listeners()[0].Sent+uint64(len(r.hub.live.slots))+1
	})
	if got := r.hub.Listeners()[1].Lost; got != 0 {
		t.Errorf("the quick one lost %d", got)
	}
	lost, end := false, 2*seq
	_ = slow.SetReadDeadline(time.Now().Add(deadline))
	for want := uint32(0); want < end && !lost; want++ {
		lost = next(t, slow).Seq != want
		r.publish(seq, 3) // something to get, however long the old ones took
		seq++
	}
	if !lost {
		t.Error("the slow one lost nothing")
	}
	if r.hub.Listeners()[0].Lost == 0 {
		t.Error("the loss was not counted")
	}
}

func TestPage(t *testing.T) {
	r := start(t)
	for path, want := range map[string]struct {
		status int
		cache  string
		body   string
	}{
		"/":            {200, "no-cache", "<p>player"},
		"/static/a.js": {200, "public, max-age=31536000, immutable", "a"},
		"/static/":     {404, "", ""},
		"/static/x":    {404, "", ""},
		"/x":           {404, "", ""},
		"/healthz":     {200, "no-store", "ok\n"},
	} {
		resp, body := r.ask("GET", path, "", "")
		if resp.StatusCode != want.status || want.body != "" && body != want.body ||
			resp.Header.Get("Cache-Control") != want.cache {
			t.Errorf("%s: %d, %q, %q", path, resp.StatusCode, resp.Header.Get("Cache-Control"), body)
		}
	}
}

// Every answer has the headers that keep browsers from what we don't mean.
func TestSecurityHeaders(t *testing.T) {
	r := start(t, func(c *Config) { c.Embed = []string{"https://blog.example", "https://b.example"} })
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200},
		{"GET", "/static/a.js", 200},
		{"GET", "/healthz", 200},
		{"GET", "/api/session", 401},
		{"GET", "/listen", 401},
		{"GET", "/x", 404},
		{"GET", "/static/../x", 404},
		{"POST", "/api/session", 405},
		{"OPTIONS", "/api/session", 405},
		{"POST", "/api/links", 404},
	} {
		resp, _ := r.ask(tt.method, tt.path, "", "")
		h := resp.Header
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s: %d", tt.method, tt.path, resp.StatusCode)
		}
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self' ") ||
			!strings.HasSuffix(csp, "; frame-ancestors https://blog.example https://b.example") ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Permissions-Policy"), "microphone=()") || h.Get("Cross-Origin-Opener-Policy") != "" ||
			h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: headers %v", tt.method, tt.path, h)
		}
	}
	if csp := contentPolicy(nil); !strings.HasSuffix(csp, "; frame-ancestors 'none'") {
		t.Errorf("policy without sites: %s", csp)
	}
}

func TestPageCompressed(t *testing.T) {
	page := playerHandler(fstest.MapFS{
		"index.html":     {Data: []byte("plain")},
		"index.html.br":  {Data: []byte("br")},
		"index.html.gz":  {Data: []byte("gzip")},
		"static/a.js":    {Data: []byte("plain")},
		"static/a.js.gz": {Data: []byte("gzip")},
	})
	for _, tt := range []struct{ path, accept, want string }{
		{"/", "gzip, deflate, br, zstd", "br"},
		{"/", "br;q=0, gzip;q=0.5", "gzip"},
		{"/", "BR ; q=1.0", "br"},
		{"/", "", "plain"},
		{"/static/a.js", "br", "plain"},
		{"/static/a.js", "gzip,br", "gzip"},
	} {
		req, _ := http.NewRequest("GET", "http://x"+tt.path, nil)
		req.Header.Set("Accept-Encoding", tt.accept)
		rec := httptest.NewRecorder()
		page.ServeHTTP(rec, req)
		coding := rec.Header().Get("Content-Encoding")
		if rec.Body.String() != tt.want || tt.want != "plain" && coding != tt.want || tt.want == "plain" && coding != "" {
			t.Errorf("%s for %q: %q, Content-Encoding %q", tt.path, tt.accept, rec.Body, coding)
		}
		if got := rec.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/") {
			t.Errorf("%s: Content-Type %q", tt.path, got)
		}
	}
}

func TestDisplayName(t *testing.T) {
	const android = "Mozilla/5.0 (Android 16; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0"
	tests := []struct{ name, agent, want string }{
		{"Ann", android, "Ann"},
		{"", android, "Guest · Firefox on Android"},
		{" \n\t", android, "Guest · Firefox on Android"},
		{"", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", "Guest · Chrome on Linux"},
		{"", "", "Guest"},
		{"Ann\n\x1b[31mBob\u202e", "", "Ann [31mBob"},
		{strings.Repeat("ä", 100), "", strings.Repeat("ä", maxName-1) + "…"},
	}
	for _, tt := range tests {
		if got := displayName(tt.name, tt.agent); got != tt.want {
			t.Errorf("displayName(%q, %q) = %q, want %q", tt.name, tt.agent, got, tt.want)
		}
	}
}

// Streams of one server have names, listeners and keys of their own.
func TestStreams(t *testing.T) {
	var streams []Stream
	var tokens []string
	for _, name := range []string{"one", "two"} {
		key, err := token.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		hub, err := NewHub(HubConfig{Title: name, Format: Format{Frame: 20 * time.Millisecond}, Clock: audio.NewClock()})
		if err != nil {
			t.Fatal(err)
		}
		v := &token.Verifier{Audience: "https://radio.example/" + name, Now: time.Now}
		v.Use(key.Verify())
		streams = append(streams, Stream{Name: name, Hub: hub, Tokens: v, Embed: []string{"https://" + name + ".example"}})
		raw, _, err := key.Issue(token.Grant{Audience: v.Audience, Scope: token.ScopeListen, For: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, raw)
	}
	r := start(t, func(c *Config) { c.Stream, c.Streams = Stream{}, streams })
	for i, name := range []string{"one", "two"} {
		for _, path := range []string{"/" + name, "/" + name + "/"} {
			answer, body := r.ask("GET", path, "", "")
			if answer.StatusCode != 200 || body != "<p>player" || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "frame-ancestors https://"+name+".example") {
				t.Errorf("%s: %d %s %v", path, answer.StatusCode, body, answer.Header)
			}
		}
		if answer, body := r.ask("GET", "/"+name+"/api/session", tokens[i], ""); answer.StatusCode != 200 || !strings.Contains(body, `"title":"`+name+`"`) {
			t.Errorf("%s: %d %s", name, answer.StatusCode, body)
		}
		if answer, body := r.ask("GET", "/"+name+"/api/session", tokens[1-i], ""); answer.StatusCode != 401 {
			t.Errorf("%s with the other's token: %d %s", name, answer.StatusCode, body)
		}
	}
	for _, path := range []string{"/", "/listen", "/api/session", "/three", "/one/two", "/one/publish", "/one/api/links"} {
		if answer, _ := r.ask("GET", path, tokens[0], ""); answer.StatusCode != 404 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if answer, body := r.ask("GET", "/static/a.js", "", ""); answer.StatusCode != 200 || body != "a" {
		t.Errorf("static: %d %s", answer.StatusCode, body)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "my-stream-2": true, strings.Repeat("a", 63): true,
		"": false, strings.Repeat("a", 64): false, "A": false, "a/b": false, "a.b": false, "ä": false, "*": false, ">": false, "a b": false, "a\n": false,
		"api": false, "static": false, "listen": false, "publish": false, "healthz": false, "metrics": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
