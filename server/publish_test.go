package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/server/token"
)

// relayRig is a relay with one stream, "radio", and two keys that may publish to
// it, and another stream that a third may publish to.
type relayRig struct {
	*rig
	cast *Broadcast
	keys []*token.Key
	url  string
}

func startRelay(t testing.TB, change ...func(*Config)) *relayRig {
	t.Helper()
	r := &relayRig{url: "https://radio.example/radio"}
	for i := range 3 {
		key, err := token.OpenKey(filepath.Join(t.TempDir(), fmt.Sprintf("key%d.pem", i)))
		if err != nil {
			t.Fatal(err)
		}
		r.keys = append(r.keys, key)
	}
	stream := func(name string, keys ...*token.Key) Stream {
		v := &token.Verifier{Audience: "https://radio.example/" + name, Now: time.Now}
		var use []token.VerifyKey
		for _, k := range keys {
			one, err := token.ParsePublicLine(k.PublicLine("ann@laptop"))
			if err != nil {
				t.Fatal(err)
			}
			use = append(use, one)
		}
		v.Use(use...)
		cast, err := NewBroadcast(BroadcastConfig{Title: name, Tokens: v})
		if err != nil {
			t.Fatal(err)
		}
		v.Revoked = newSolo(cast).revoked
		if name == "radio" {
			r.cast = cast
		}
		return Stream{Name: name, Hub: cast.Hub(), Tokens: v, Broadcast: cast}
	}
	config := Config{
		Streams: []Stream{stream("radio", r.keys[0], r.keys[1]), stream("other", r.keys[2])},
		Player:  fstest.MapFS{"index.html": {Data: []byte("<p>player")}},
		Log:     slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&config)
	}
	r.rig = startConfig(t, config)
	return r
}

// tok returns a token for radio by a key.
func (r *relayRig) tok(key int, g token.Grant) string {
	r.t.Helper()
	if g.Audience == "" {
		g.Audience = r.url
	}
	if g.For == 0 {
		g.For = time.Hour
	}
	raw, _, err := r.keys[key].Issue(g, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// source is a publisher.
type source struct {
	*websocket.Conn
	t   testing.TB
	seq uint32
}

func (r *relayRig) tryPublish(key int, name string) (*source, *http.Response) {
	r.t.Helper()
	raw := r.tok(key, token.Grant{Scope: token.ScopePublish, Name: name})
	conn, answer, err := r.dial("/radio/publish", http.Header{"Token": {raw}})
	if err != nil {
		return nil, answer
	}
	return &source{conn, r.t, 0}, nil
}

// publisher connects, and reads the welcome.
func (r *relayRig) publisher(key int) *source {
	r.t.Helper()
	s, answer := r.tryPublish(key, "")
	if s == nil {
		r.t.Fatalf("not let in to publish: %v", answer)
	}
	if m := s.until("welcome"); m.Wanted == nil {
		r.t.Fatalf("welcome: %+v", m)
	}
	return s
}

// until reads until a message of a type comes, and returns that.
func (s *source) until(kind string) Told {
	s.t.Helper()
	for {
		var m Told
		if err := s.ReadJSON(&m); err != nil {
			s.t.Fatalf("while waiting for %s: %v", kind, err)
		}
		if m.Type == kind {
			return m
		}
	}
}

func (s *source) say(m Said) {
	s.t.Helper()
	if err := s.WriteJSON(m); err != nil {
		s.t.Fatal(err)
	}
}

// sound sends one packet whose data is mark.
func (s *source) sound(mark byte) error {
	message := audio.AppendMessage(nil, audio.Packet{Seq: s.seq, At: time.Duration(s.seq) * 20 * time.Millisecond, Data: []byte{0xfc, mark}})
	s.seq++
	return s.WriteMessage(websocket.BinaryMessage, message)
}

// listen connects a listener to radio and reads its welcome.
func (r *relayRig) listen(g token.Grant) *websocket.Conn {
	r.t.Helper()
	g.Scope = token.ScopeListen
	conn, answer, err := r.dial("/radio/listen", http.Header{"Token": {r.tok(0, g)}})
	if err != nil {
		r.t.Fatalf("%v: %v", err, answer)
	}
	var w welcome
	if err := conn.ReadJSON(&w); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// heard reads on to the next packet, and notes states on the way.
func heard(t testing.TB, conn *websocket.Conn, states *[]State) audio.Packet {
	t.Helper()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if kind == websocket.BinaryMessage {
			packets, err := audio.ParseMessage(message)
			if err != nil {
				t.Fatal(err)
			}
			return packets[0]
		}
		if states != nil {
			var s stateMessage
			if json.Unmarshal(message, &s) == nil && s.Type == "state" {
				*states = append(*states, s.State)
			}
		}
	}
}

func TestPublishRefused(t *testing.T) {
	r := startRelay(t)
	publish := func(g token.Grant) token.Grant { g.Scope = token.ScopePublish; return g }
	expired, _, err := r.keys[0].Issue(publish(token.Grant{Audience: r.url, For: time.Minute}), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := token.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, _, err := stranger.Issue(publish(token.Grant{Audience: r.url, For: time.Minute}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := r.tok(0, publish(token.Grant{}))
	tests := []struct {
		name, tok string
		header    http.Header
		status    int
		word      string
	}{
		{"none", "", nil, 401, "missing"},
		{"nonsense", "x", nil, 401, "malformed"},
		{"expired", expired, nil, 401, "expired"},
		{"unknown key", foreign, nil, 401, "signature"},
		{"a listener's", r.tok(0, token.Grant{Scope: token.ScopeListen}), nil, 403, "scope"},
		{"for another relay", r.tok(0, publish(token.Grant{Audience: "https://elsewhere.example/radio"})), nil, 403, "audience"},
		{"for another stream", r.tok(0, publish(token.Grant{Audience: "https://radio.example/other"})), nil, 403, "audience"},
		{"key of another stream", r.tok(2, publish(token.Grant{})), nil, 403, "stream"},
		{"key of another stream, for that", r.tok(2, publish(token.Grant{Audience: "https://radio.example/other"})), nil, 403, "stream"},
		{"from a page", good, http.Header{"Origin": {"https://radio.example"}}, 403, "origin"},
		{"good", good, nil, 101, ""},
		{"good in Authorization", "", http.Header{"Authorization": {"Bearer " + good}}, 101, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := tt.header.Clone()
			if header == nil {
				header = http.Header{}
			}
			if tt.tok != "" {
				header.Set("Token", tt.tok)
			}
			conn, answer, err := r.dial("/radio/publish", header)
			if err == nil {
				_ = conn.Close()
				waitFor(t, "left", func() bool { return r.free() })
			}
			if answer.StatusCode != tt.status {
				t.Fatalf("%d, want %d: %v", answer.StatusCode, tt.status, err)
			}
			body := make([]byte, 1000)
			n, _ := answer.Body.Read(body)
			if got := word(string(body[:n])); tt.status != 101 && got != tt.word {
				t.Errorf("error %q, want %q", got, tt.word)
			}
		})
	}
}

// free tells whether nobody publishes.
func (r *relayRig) free() bool {
	s := r.srv.streams[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.publishers) == 0
}

func TestPublish(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{Name: "Bob"})
	p := r.publisher(0)
	p.say(Said{Type: "hello", About: &About{Title: "Ann", Frame: 10, Bitrate: 64000, State: Live}})
	var s stateMessage
	if err := listener.ReadJSON(&s); err != nil || s != (stateMessage{"state", Live, "Ann", 10, 64000}) {
		t.Fatalf("%+v, %v", s, err)
	}
	ping := p.until("ping")
	if m := p.until("listeners"); m.Count != 1 || len(m.Listeners) != 1 || m.Listeners[0].Name != "Bob" {
		t.Errorf("listeners: %+v", m)
	}
	p.say(Said{Type: "pong", T: ping.T, At: time.Hour.Microseconds()})
	if err := p.sound(1); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, listener, nil); got.Data[1] != 1 || got.At != 0 {
		t.Errorf("packet %+v", got)
	}
	// The listener's ping is answered by the publisher's clock.
	waitFor(t, "the publisher's clock", func() bool { at := r.cast.clock(); return at >= time.Hour && at < time.Hour+deadline })
	ask := 1.0
	if err := listener.WriteJSON(report{Type: "ping", T: &ask}); err != nil {
		t.Fatal(err)
	}
	var answer pong
	if err := listener.ReadJSON(&answer); err != nil || answer.At < time.Hour.Microseconds() || answer.At > (time.Hour+deadline).Microseconds() {
		t.Errorf("pong %+v, %v", answer, err)
	}
	p.say(Said{Type: "state", About: &About{State: Paused}})
	s = stateMessage{}
	if err := listener.ReadJSON(&s); err != nil || s.State != Paused || s.Title != "Ann" {
		t.Errorf("%+v, %v", s, err)
	}
	_ = listener.Close()
	if m := p.until("wanted"); *m.Wanted {
		t.Errorf("wanted with nobody there: %+v", m)
	}
	_ = r.listen(token.Grant{Name: "Carl"})
	if m := p.until("wanted"); !*m.Wanted {
		t.Errorf("not wanted with somebody there: %+v", m)
	}
	var carl Listener
	for carl.Name != "Carl" {
		if m := p.until("listeners"); len(m.Listeners) > 0 {
			carl = m.Listeners[0]
		}
	}
	p.say(Said{Type: "kick", ID: carl.ID})
	if m := p.until("wanted"); *m.Wanted {
		t.Errorf("wanted after the kick: %+v", m)
	}
}

// A publisher that says nothing but sound is live, with packets as long as they
// are.
func TestPlainPublisher(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{})
	p := r.publisher(0)
	if err := p.sound(7); err != nil {
		t.Fatal(err)
	}
	var states []State
	if got := heard(t, listener, &states); got.Data[1] != 7 || len(states) != 1 || states[0] != Live {
		t.Errorf("%+v, %v", got, states)
	}
}

// Listeners stay while the publisher is gone, and hear the next one, whose
// numbers go on where the former's ended.
func TestListenersStay(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{})
	var states []State
	first := r.publisher(0)
	first.say(Said{Type: "hello", About: &About{Frame: 20}})
	first.seq = 5000
	for mark := range byte(3) {
		if err := first.sound(mark); err != nil {
			t.Fatal(err)
		}
	}
	last := audio.Packet{}
	for range 3 {
		last = heard(t, listener, &states)
	}
	_ = first.Close()
	waitFor(t, "offline", func() bool { return r.hub().state.Load().state == Offline })
	second := r.publisher(1)
	second.say(Said{Type: "hello", About: &About{Frame: 10}})
	if err := second.sound(9); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, listener, &states); got.Data[1] != 9 || got.Seq != last.Seq+1 {
		t.Errorf("%+v after %+v", got, last)
	}
	if fmt.Sprint(states) != "[live offline live]" {
		t.Errorf("states %v", states)
	}
}

func (r *relayRig) hub() *Hub { return r.cast.hub }

func TestTakeover(t *testing.T) {
	r := startRelay(t)
	first := r.publisher(0)
	if _, answer := r.tryPublish(1, ""); answer == nil || answer.StatusCode != 409 {
		t.Fatalf("another key: %v", answer)
	}
	if _, answer := r.tryPublish(0, "studio"); answer == nil || answer.StatusCode != 409 {
		t.Fatalf("another name: %v", answer)
	}
	begin := time.Now()
	second := r.publisher(0)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took over after %v", took)
	}
	if code := closeCode(t, first.Conn); code != closeReplaced {
		t.Errorf("the former is closed with %d", code)
	}
	if err := second.sound(1); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "only the second is left", func() bool { s := r.srv.streams[0]; s.mu.Lock(); defer s.mu.Unlock(); return len(s.publishers) == 1 })
	if _, answer := r.tryPublish(1, ""); answer == nil || answer.StatusCode != 409 {
		t.Fatalf("another key after the takeover: %v", answer)
	}
	_ = second.Close()
	waitFor(t, "the second has left", r.free)
	if third, answer := r.tryPublish(1, ""); third == nil {
		t.Errorf("another key when all have left: %v", answer)
	}
}

// A connection whose other end is gone without a word is no obstacle to the same
// publisher, and for others only as long as it takes to notice.
func TestHalfOpenPublisher(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{})
	dead := r.publisher(0) // which reads nothing any more, so answers no ping
	if err := dead.sound(1); err != nil {
		t.Fatal(err)
	}
	heard(t, listener, nil)
	alive := r.publisher(0)
	if err := alive.sound(2); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, listener, nil); got.Data[1] != 2 {
		t.Errorf("%+v", got)
	}
	_ = dead.sound(3) // what was still on its way
	if err := alive.sound(4); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, listener, nil); got.Data[1] != 4 {
		t.Errorf("%+v", got)
	}
	if testing.Short() {
		return
	}
	begin := time.Now() // alive reads nothing from here on
	waitFor20(t, "somebody else", func() bool { p, _ := r.tryPublish(1, ""); return p != nil })
	if took := time.Since(begin); took < 5*time.Second {
		t.Errorf("somebody else is let in after %v", took)
	}
}

func waitFor20(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * deadline); !cond(); time.Sleep(7 * time.Second) { // a refusal costs
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Two publishers that race for one stream never both have it, and no listener
// gets packets of both.
func TestRace(t *testing.T) {
	r := startRelay(t)
	wins := [2]int{}
	for round := range 1000 {
		r.srv.limits = newLimits() // a refusal costs, and here are many
		var wait sync.WaitGroup
		var got [2]*source
		for who := range 2 {
			wait.Go(func() { got[who], _ = r.tryPublish(who, "") })
		}
		wait.Wait()
		if (got[0] == nil) == (got[1] == nil) {
			t.Fatalf("round %d: %v", round, got)
		}
		for who, p := range got {
			if p != nil {
				wins[who]++
				_ = p.Close()
			}
		}
		waitFor(t, "both gone", r.free)
	}
	t.Logf("wins: %v", wins)
}

// What the publisher withdraws ends within a second.
func TestWithdraw(t *testing.T) {
	r := startRelay(t)
	raw, claims, err := r.keys[0].Issue(token.Grant{Audience: r.url, Scope: token.ScopeListen, For: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	listener, _, err := r.dial("/radio/listen", http.Header{"Token": {raw}})
	if err != nil {
		t.Fatal(err)
	}
	p := r.publisher(0)
	begin := time.Now()
	p.say(Said{Type: "withdrawn", N: 5, Some: []token.Withdrawal{{ID: claims.ID, Until: claims.Expires}}})
	if code := closeCode(t, listener); code != closeWithdrawn || time.Since(begin) > time.Second {
		t.Errorf("closed with %d after %v", code, time.Since(begin))
	}
	if m := p.until("withdrawn"); m.N != 5 {
		t.Errorf("answer %+v", m)
	}
	if answer, body := r.ask("GET", "/radio/api/session", raw, ""); answer.StatusCode != 401 || word(body) != "withdrawn" {
		t.Errorf("again: %d %s", answer.StatusCode, body)
	}
	other := r.tok(0, token.Grant{Scope: token.ScopeListen})
	if answer, _ := r.ask("GET", "/radio/api/session", other, ""); answer.StatusCode != 200 {
		t.Errorf("another link: %d", answer.StatusCode)
	}
	// What is not of this world is not taken over, and not answered, nor is the rest
	// of the same.
	p.say(Said{Type: "withdrawn", Some: []token.Withdrawal{{ID: "a b", Until: time.Now()}}})
	p.say(Said{Type: "withdrawn", N: 7})
	time.Sleep(100 * time.Millisecond) // a later answer would be one to this, too
	p.say(Said{Type: "withdrawn", N: 8})
	if m := p.until("withdrawn"); m.N != 8 {
		t.Errorf("answer %+v", m)
	}
	if answer, body := r.ask("GET", "/radio/api/session", other, ""); answer.StatusCode != 200 {
		t.Errorf("after what is wrong: %d %s", answer.StatusCode, body)
	}
	// The clock of who withdraws all may be ahead: what was made until now is meant.
	p.say(Said{Type: "withdrawn", N: 9, All: time.Now().Add(time.Hour)})
	p.until("withdrawn")
	if answer, body := r.ask("GET", "/radio/api/session", other, ""); answer.StatusCode != 401 || word(body) != "withdrawn" {
		t.Errorf("after all were withdrawn: %d %s", answer.StatusCode, body)
	}
}

// A program that may publish can neither remove listeners nor withdraw links.
func TestProgramsOrderNothing(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{})
	p, answer := r.tryPublish(0, "studio")
	if p == nil {
		t.Fatalf("not let in to publish: %v", answer)
	}
	p.say(Said{Type: "kick", ID: r.hub().Listeners()[0].ID})
	p.say(Said{Type: "withdrawn", N: 1, All: time.Now()})
	p.say(Said{Type: "state", About: &About{State: Paused}})
	var s stateMessage
	for s.State != Paused { // which came after those
		if err := listener.ReadJSON(&s); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.hub().Listeners()); n != 1 {
		t.Errorf("%d listen still", n)
	}
}

// The connection ends with its token, unless a new one comes before.
func TestPublishToken(t *testing.T) {
	r := startRelay(t)
	grant := token.Grant{Scope: token.ScopePublish, For: 2 * time.Second}
	conn, _, err := r.dial("/radio/publish", http.Header{"Token": {r.tok(0, grant)}})
	if err != nil {
		t.Fatal(err)
	}
	p := &source{conn, t, 0}
	grant.For = 4 * time.Second
	p.say(Said{Type: "token", Token: r.tok(0, grant)})
	begin := time.Now()
	if code := closeCode(t, conn); code != closeExpired || time.Since(begin) < 2500*time.Millisecond {
		t.Errorf("closed with %d after %v", code, time.Since(begin))
	}
	waitFor(t, "left", r.free)
	for name, raw := range map[string]string{"nonsense": "x", "another publisher's": r.tok(1, grant), "a listener's": r.tok(0, token.Grant{Scope: token.ScopeListen})} {
		p := r.publisher(0)
		p.say(Said{Type: "token", Token: raw})
		if code := closeCode(t, p.Conn); code != closeRestart {
			t.Errorf("%s: closed with %d", name, code)
		}
		waitFor(t, "left", r.free)
	}
}

// A publisher whose clock is wrong stays by answering what the relay asked on this
// connection, and not by what was asked before or on another.
func TestPublishTokenByAWrongClock(t *testing.T) {
	r := startRelay(t)
	renewed := func(nonce string, off time.Duration) Said {
		raw, _, err := r.keys[0].Issue(token.Grant{Audience: r.url, Scope: token.ScopePublish, Nonce: nonce, For: time.Minute}, time.Now().Add(off))
		if err != nil {
			t.Fatal(err)
		}
		return Said{Type: "token", Token: raw}
	}
	first := r.publisher(0)
	old := first.until("ping").Nonce
	p := r.publisher(0) // which replaces it
	nonce := p.until("ping").Nonce
	if nonce == "" || nonce == old {
		t.Fatalf("asked with %q, and then with %q", old, nonce)
	}
	for i, off := range []time.Duration{2 * time.Hour, -24 * time.Hour} {
		p.say(renewed(nonce, off))
		n := uint64(i + 1)
		p.say(Said{Type: "withdrawn", N: n})
		for p.until("withdrawn").N != n {
		}
	}
	p.say(renewed(old, 2*time.Hour))
	if code := closeCode(t, p.Conn); code != closeRestart {
		t.Errorf("with another connection's answer: closed with %d", code)
	}
}

// Who hammers is told to wait, whatever they are refused for.
func TestPublishHammering(t *testing.T) {
	for name, header := range map[string]http.Header{
		"no token":        {},
		"no right":        {"Token": {"listen"}},
		"somebody's seat": {"Token": {"publish"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRelay(t)
			_ = r.publisher(1)
			if kind := header.Get("Token"); kind != "" {
				header = http.Header{"Token": {r.tok(0, token.Grant{Scope: kind})}}
			}
			for n := range failureBurst + 1 {
				_, answer, err := r.dial("/radio/publish", header)
				if err == nil {
					t.Fatal("let in")
				}
				if late := n == failureBurst; late != (answer.StatusCode == 429) || late != (answer.Header.Get("Retry-After") != "") {
					t.Errorf("attempt %d: %d", n, answer.StatusCode)
				}
			}
		})
	}
}

func TestBadPublisher(t *testing.T) {
	big := make([]byte, publisherLimit+1)
	tests := map[string]struct {
		send func(*source) error
		want int
	}{
		"no packets":      {func(p *source) error { return p.WriteMessage(websocket.BinaryMessage, []byte{9, 9}) }, closeTooMany},
		"no JSON":         {func(p *source) error { return p.WriteMessage(websocket.TextMessage, []byte("{")) }, closeTooMany},
		"an odd frame":    {func(p *source) error { return p.WriteJSON(Said{Type: "hello", About: &About{Frame: 7}}) }, closeTooMany},
		"an odd state":    {func(p *source) error { return p.WriteJSON(Said{Type: "hello", About: &About{State: "x"}}) }, closeTooMany},
		"a great message": {func(p *source) error { return p.WriteMessage(websocket.BinaryMessage, big) }, closeTooBig},
		"a flood": {func(p *source) error {
			for range (publisherBurst + 1) * publisherPackets {
				if p.sound(1) != nil {
					return nil // it is closed already
				}
			}
			return nil
		}, closeTooMany},
		"a flood in few messages": {func(p *source) error {
			var message []byte
			for seq := range uint32(publisherPackets) {
				message = append(message, audio.AppendMessage(nil, audio.Packet{Seq: seq, Data: []byte{0xfc}})[min(1, len(message)):]...)
			}
			for range publisherBurst + 2 {
				if p.WriteMessage(websocket.BinaryMessage, message) != nil {
					return nil
				}
			}
			return nil
		}, closeTooMany},
		"a flood of states": {func(p *source) error {
			for range 2 * publisherOrderBurst {
				if p.WriteJSON(Said{Type: "state", About: &About{State: Paused}}) != nil {
					return nil
				}
			}
			return nil
		}, closeTooMany},
	}
	r := startRelay(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := r.publisher(0)
			if err := tt.send(p); err != nil {
				t.Fatal(err)
			}
			if code := closeCode(t, p.Conn); code != tt.want {
				t.Errorf("closed with %d, want %d", code, tt.want)
			}
			waitFor(t, "left", r.free)
		})
	}
}

// Who publishes is told to come back when the relay stops.
func TestPublisherAtRestart(t *testing.T) {
	r := startRelay(t)
	p := r.publisher(0)
	code := make(chan int)
	go func() { code <- closeCode(t, p.Conn) }()
	r.stop()
	if got := <-code; got != closeRestart {
		t.Errorf("close code %d", got)
	}
}

// A public stream lets in who has no token, and who has a bad one.
func TestPublicStream(t *testing.T) {
	r := startRelay(t, func(c *Config) { c.Streams[0].Public = true })
	for _, header := range []http.Header{{}, {"Token": {"x"}}, {"Token": {r.tok(0, token.Grant{Scope: token.ScopeListen, Name: "Ann"})}}} {
		if _, _, err := r.dial("/radio/listen", header); err != nil {
			t.Errorf("%v: %v", header, err)
		}
	}
	p := r.publisher(0)
	p.say(Said{Type: "withdrawn", N: 1, Some: []token.Withdrawal{{ID: "x", Until: time.Now().Add(time.Hour)}}})
	p.until("withdrawn")
	if n := len(r.hub().Listeners()); n != 3 {
		t.Errorf("%d listen after something was withdrawn", n)
	}
	if m, _ := r.ask("GET", "/other/api/session", "", ""); m.StatusCode != 401 {
		t.Errorf("the other stream: %d", m.StatusCode)
	}
}
