package uplink

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"earshot/audio"
	"earshot/server"
	relaybus "earshot/server/relay"
	"earshot/server/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds everything that a test waits for.
const deadline = 10 * time.Second

// relay is a real one, on a port of its own, that can be stopped and started.
type relay struct {
	t      *testing.T
	folder string
	key    *token.Key
	addr   string
	cast   *server.Broadcast
	member *relaybus.Member
	stop   func()
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{t: t, folder: t.TempDir(), addr: "127.0.0.1:0"}
	var err error
	if r.key, err = token.OpenKey(filepath.Join(r.folder, "key.pem")); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *relay) start() {
	r.t.Helper()
	ln, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	known, err := token.ParsePublicLine(r.key.PublicLine(""))
	if err != nil {
		r.t.Fatal(err)
	}
	v := &token.Verifier{Audience: r.url().String(), Now: time.Now}
	v.Use(known)
	if r.cast, err = server.NewBroadcast(server.BroadcastConfig{Title: "radio", Tokens: v}); err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	bus, err := relaybus.New(relaybus.Config{Dir: filepath.Join(r.folder, "nats"), Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	member, err := bus.Serve("radio", r.cast)
	if err != nil {
		r.t.Fatal(err)
	}
	r.member = member
	v.Revoked = func(c token.Claims) bool { return member.Withdrawn(c.ID, c.Issued) }
	srv := server.New(server.Config{
		Streams: []server.Stream{{Name: "radio", Hub: r.cast.Hub(), Tokens: v, Broadcast: r.cast}},
		Player:  fstest.MapFS{"index.html": {}},
		Log:     log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ride, stop := context.WithCancel(context.Background())
	var served, rode sync.WaitGroup
	rode.Go(func() {
		if err := bus.Run(ride); err != nil {
			r.t.Error(err)
		}
	})
	served.Go(func() { _ = srv.Run(ctx, ln) })
	r.stop = func() { cancel(); served.Wait(); stop(); rode.Wait() }
	waitFor(r.t, "the relay admits", bus.Admits)
}

func (r *relay) url() *url.URL {
	return &url.URL{Scheme: "http", Host: r.addr, Path: "/radio"}
}

func (r *relay) token(g token.Grant) string {
	r.t.Helper()
	g.Audience = r.url().String()
	if g.For == 0 {
		g.For = time.Minute
	}
	raw, _, err := r.key.Issue(g, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// listen connects a listener and returns what it hears.
func (r *relay) listen() (*websocket.Conn, chan audio.Packet) {
	r.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/radio/listen", http.Header{"Token": {r.token(token.Grant{Scope: token.ScopeListen})}})
	if err != nil {
		r.t.Fatal(err)
	}
	heard := make(chan audio.Packet, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if packets, err := audio.ParseMessage(message); kind == websocket.BinaryMessage && err == nil {
				for _, p := range packets {
					heard <- p
				}
			}
		}
	}()
	r.t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn, heard
}

// laptop is an Uplink that runs.
type laptop struct {
	*Uplink
	mu   sync.Mutex
	all  time.Time
	some []token.Withdrawal
}

func (r *relay) laptop(name string) *laptop {
	r.t.Helper()
	return r.laptopAt(r.url(), name)
}

// laptopAt is one that reaches the relay at another address.
func (r *relay) laptopAt(to *url.URL, name string) *laptop {
	r.t.Helper()
	l := &laptop{}
	l.Uplink = New(Config{
		URL: to,
		Token: func(string) (string, error) {
			made := time.Now()
			l.mu.Lock()
			if !made.After(l.all) {
				made = l.all.Add(time.Second)
			}
			l.mu.Unlock()
			raw, _, err := r.key.Issue(token.Grant{Audience: r.url().String(), Scope: token.ScopePublish, Name: name, For: TokenLife}, made)
			return raw, err
		},
		About: func() server.About {
			return server.About{Title: "Ann", Frame: 20, Bitrate: 128_000, State: server.Live}
		},
		Withdrawn: func() (time.Time, []token.Withdrawal) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.all, l.some
		},
		Changed: func() {},
		Clock:   audio.NewClock(),
		Log:     slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { l.Run(ctx) })
	r.t.Cleanup(func() { cancel(); done.Wait() })
	return l
}

func (l *laptop) is(s State) func() bool { return func() bool { return l.Status().State == s } }

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func packet(seq uint32) audio.Packet {
	return audio.Packet{Seq: seq, At: time.Duration(seq) * 20 * time.Millisecond, Data: []byte{0xfc, 1}}
}

// Packets go out as they are while somebody listens, and not else; the sound
// goes on by itself when the relay is back, without what was missed.
func TestPublish(t *testing.T) {
	r := newRelay(t)
	l := r.laptop("")
	waitFor(t, "connected", l.is(Connected))
	if l.Wanted() {
		t.Error("wanted by nobody")
	}
	l.Publish(packet(1)) // nobody
	conn, heard := r.listen()
	waitFor(t, "wanted", l.Wanted)
	l.Publish(packet(2))
	if got := <-heard; got.Seq != 2 && got.At != packet(2).At || got.Data[1] != 1 {
		t.Errorf("heard %+v", got)
	}
	waitFor(t, "the list of listeners", func() bool { s := l.Status(); return s.Count == 1 && len(s.Listeners) == 1 })
	if err := l.Kick("", l.Status().Listeners[0].ID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "nobody listens", func() bool { return !l.Wanted() })
	_ = conn.Close()
	r.stop()
	waitFor(t, "not connected", func() bool { return l.Status().State != Connected })
	if err := l.Kick("", 1); err == nil {
		t.Error("kicked at a relay that is not there")
	}
	l.Publish(packet(3))
	r.start()
	_, heard = r.listen()
	waitFor(t, "wanted again", l.Wanted)
	l.Publish(packet(4))
	if got := <-heard; got.At != packet(4).At {
		t.Errorf("heard %+v", got)
	}
}

// The same identity elsewhere takes over, and then the two don't fight; another
// is told why it can't.
func TestTaken(t *testing.T) {
	r := newRelay(t)
	first := r.laptop("")
	waitFor(t, "connected", first.is(Connected))
	other := r.laptop("studio")
	waitFor(t, "refused", other.is(Refused))
	if why := other.Status().Why; !strings.Contains(why, "Somebody else") {
		t.Errorf("why: %s", why)
	}
	second := r.laptop("")
	waitFor(t, "second connected", second.is(Connected))
	waitFor(t, "first refused", first.is(Refused))
	for end := time.Now().Add(2 * firstWait); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // it would be back by then
		if !first.is(Refused)() || !second.is(Connected)() {
			t.Fatalf("%+v, %+v", first.Status(), second.Status())
		}
	}
	first.Hurry()
	waitFor(t, "first has taken it back", first.is(Connected))
	waitFor(t, "second refused", second.is(Refused))
}

// A relay that was away learns first of all what was withdrawn meanwhile.
func TestWithdraw(t *testing.T) {
	r := newRelay(t)
	l := r.laptop("")
	waitFor(t, "connected", l.is(Connected))
	withdraw := func(ids ...string) bool {
		l.mu.Lock()
		for _, id := range ids {
			l.some = append(l.some, token.Withdrawal{ID: id, Until: time.Now().Add(time.Hour)})
		}
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		return l.Withdraw(ctx)
	}
	begin := time.Now()
	if !withdraw("a") || !r.member.Withdrawn("a", time.Now()) || time.Since(begin) > time.Second {
		t.Errorf("not withdrawn after %v", time.Since(begin))
	}
	r.stop()
	waitFor(t, "not connected", func() bool { return l.Status().State != Connected })
	var many []string // more than a relay takes at once
	for range 7000 {
		many = append(many, rand.Text())
	}
	if withdraw(many...) {
		t.Error("stored at a relay that is not there")
	}
	r.start()
	waitFor(t, "connected again", l.is(Connected))
	since := l.Status().Since
	waitFor(t, "stored", func() bool {
		_, some := l.Withdrawn()
		return !slices.ContainsFunc(some, func(w token.Withdrawal) bool { return !r.member.Withdrawn(w.ID, time.Now()) })
	})
	if s := l.Status(); s.State != Connected || s.Since != since {
		t.Errorf("%+v, before since %v", s, since)
	}
}

// pretend returns the address of a stream of a relay that does what serve does over
// each connection, which ends then.
func (r *relay) pretend(serve func(*websocket.Conn)) *url.URL {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		conn, err := (&websocket.Upgrader{Subprotocols: []string{"earshot.v1"}}).Upgrade(w, q, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn)
	})}
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()
	r.t.Cleanup(func() { _ = srv.Close(); <-done })
	to := r.url()
	to.Host = ln.Addr().String()
	return to
}

// What is withdrawn is what a relay is told first of all; then only what it was not
// told yet, unless it has not stored that.
func TestWithdrawalsAreTold(t *testing.T) {
	r := newRelay(t)
	told := make(chan server.Said)
	var stores atomic.Bool
	stores.Store(true)
	l := r.laptopAt(r.pretend(func(conn *websocket.Conn) {
		if conn.WriteJSON(server.Told{Type: "welcome"}) != nil {
			return
		}
		for first := true; ; first = false {
			var m server.Said
			if conn.ReadJSON(&m) != nil {
				return
			}
			if !first && m.Type != "withdrawn" {
				continue
			}
			if stores.Load() && conn.WriteJSON(server.Told{Type: "withdrawn", N: m.N}) != nil {
				return
			}
			select {
			case told <- m:
			case <-t.Context().Done():
				return
			}
		}
	}), "")
	check := func(want ...string) {
		t.Helper()
		m := <-told
		var got []string
		for _, w := range m.Some {
			got = append(got, w.ID)
		}
		if m.Type != "withdrawn" || m.N == 0 || !slices.Equal(got, want) {
			t.Errorf("told %+v, want %q", m, want)
		}
	}
	withdraw := func(id string, want bool) {
		t.Helper()
		l.mu.Lock()
		l.some = append(l.some, token.Withdrawal{ID: id, Until: time.Now().Add(time.Hour)})
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := l.Withdraw(ctx); got != want {
			t.Errorf("%s is stored: %v", id, got)
		}
	}
	check()
	waitFor(t, "connected", l.is(Connected))
	for _, step := range []struct {
		id     string
		stored bool
		told   []string
	}{
		{"a", true, []string{"a"}},
		{"b", true, []string{"b"}},
		{"c", false, []string{"c"}},
		{"d", true, []string{"a", "b", "c", "d"}},
		{"e", true, []string{"e"}},
	} {
		stores.Store(step.stored)
		done := make(chan struct{})
		go func() { defer close(done); withdraw(step.id, step.stored) }()
		check(step.told...)
		<-done
	}
}

// A relay that asks for tokens without end gets one a second.
func TestAskedEndlessly(t *testing.T) {
	r := newRelay(t)
	var tokens atomic.Int32
	over := make(chan struct{})
	r.laptopAt(r.pretend(func(conn *websocket.Conn) {
		defer close(over)
		end := time.Now().Add(2500 * time.Millisecond)
		_ = conn.SetReadDeadline(end)
		go func() {
			for time.Now().Before(end) && conn.WriteJSON(server.Told{Type: "token"}) == nil {
				time.Sleep(time.Millisecond)
			}
		}()
		for {
			var m server.Said
			if conn.ReadJSON(&m) != nil {
				return
			}
			if m.Type == "token" {
				tokens.Add(1)
			}
		}
	}), "")
	<-over
	if n := tokens.Load(); n < 2 || n > 3 {
		t.Errorf("%d tokens in 2.5 s", n)
	}
}

// When all that was made is withdrawn, the laptop is back at once.
func TestAllWithdrawn(t *testing.T) {
	r := newRelay(t)
	l := r.laptop("")
	waitFor(t, "connected", l.is(Connected))
	since := l.Status().Since
	stored, err := r.member.Withdraw([]relaybus.Withdrawal{{All: time.Now()}}) // by another computer with the key
	if err != nil {
		t.Fatal(err)
	}
	<-stored
	waitFor(t, "connected anew", func() bool { s := l.Status(); return s.State == Connected && s.Since.After(since) })
}

func TestReasons(t *testing.T) {
	r := newRelay(t)
	known := r.key
	var err error
	if r.key, err = token.OpenKey(filepath.Join(t.TempDir(), "key.pem")); err != nil {
		t.Fatal(err)
	}
	l := r.laptop("")
	waitFor(t, "refused", l.is(Refused))
	if why := l.Status().Why; !strings.Contains(why, "earshot relay key") {
		t.Errorf("unknown key: %s", why)
	}
	r.key = known
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = http.Serve(ln, http.NotFoundHandler()) }()
	t.Cleanup(func() { _ = ln.Close() })
	r.addr = ln.Addr().String()
	l = r.laptop("")
	waitFor(t, "refused", l.is(Refused))
	if why := l.Status().Why; !strings.Contains(why, "no relay") {
		t.Errorf("another server: %s", why)
	}
	_ = ln.Close()
	l = r.laptop("")
	waitFor(t, "a reason", func() bool { return l.Status().Why != "" })
	if s := l.Status(); s.State != Connecting || !strings.Contains(s.Why, "refused") {
		t.Errorf("no server: %+v", s)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"wss://radio.example.org/mystream":      "https://radio.example.org/mystream",
		"https://Radio.example.org:443/my-1/":   "https://radio.example.org/my-1",
		"wss://radio.example.org:8443/mystream": "https://radio.example.org:8443/mystream",
		"ws://127.0.0.1:3278/x":                 "http://127.0.0.1:3278/x",
		"ws://localhost/x":                      "http://localhost/x",
		"ws://radio.example.org/x":              "",
		"http://192.0.2.1/x":                    "",
		"wss://radio.example.org":               "",
		"wss://radio.example.org/":              "",
		"wss://radio.example.org/a/b":           "",
		"wss://radio.example.org/listen":        "",
		"wss://radio.example.org/x?y":           "",
		"wss://radio.example.org/x#y":           "",
		"wss://me:pw@radio.example.org/x":       "",
		"ftp://radio.example.org/x":             "",
		"radio.example.org/x":                   "",
		"":                                      "",
	} {
		got, err := ParseURL(text)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
}
