package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/audio/audiotest"
	"earshot/audio/capture"
	"earshot/server"
	"earshot/server/uplink"
)

// relayBinary is earshot-relay as packages have it.
var relayBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("EARSHOT_RELAY_BINARY"); path != "" { // it can't be built as root, say
		return path, nil
	}
	path := filepath.Join(scratch, "earshot-relay")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./relay")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build earshot-relay: %w\n%s", err, out)
	}
	return path, nil
})

// relayProgram is an earshot-relay with a stream called radio.
type relayProgram struct {
	t             testing.TB
	folder        string
	addr, metrics string
	log           *output
	cmd           *exec.Cmd
	done          chan struct{}
	clock         *testClock // nil for the computer's
}

func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// launchRelay starts one; more goes into the stream's table, and before is what
// stands before that.
func launchRelay(t testing.TB, before, more string) *relayProgram {
	t.Helper()
	r := newRelayProgram(t, before, more)
	r.start()
	return r
}

// newRelayProgram is launchRelay without the start.
func newRelayProgram(t testing.TB, before, more string) *relayProgram {
	t.Helper()
	r := &relayProgram{t: t, folder: t.TempDir(), addr: freePort(t), metrics: freePort(t), log: &output{}}
	text := fmt.Sprintf("listen = %q\nurl = %q\ndata = %q\nmetrics = %q\n%s\n[[stream]]\nname = \"radio\"\ntitle = \"The blog's radio\"\n%s\n",
		r.addr, "http://"+r.addr, filepath.Join(r.folder, "data"), r.metrics, before, more)
	if err := os.WriteFile(r.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *relayProgram) config() string { return filepath.Join(r.folder, "relay.toml") }
func (r *relayProgram) url() string    { return "http://" + r.addr + "/radio" }

func (r *relayProgram) command(args ...string) *exec.Cmd {
	r.t.Helper()
	env, built := []string{"PATH=/usr/bin:/bin"}, relayBinary
	if r.clock != nil {
		env, built = r.clock.env(env), clockedRelayBinary
	}
	path, err := built()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, append([]string{"--config", r.config()}, args...)...)
	cmd.Env = env
	return cmd
}

func (r *relayProgram) start() {
	r.t.Helper()
	cmd := r.command()
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	r.cmd, r.done = cmd, done
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if r.t.Failed() {
			r.t.Logf("earshot-relay printed:\n%s", r.log)
		}
	})
	waitFor(r.t, "the relay is ready", func() bool {
		status, _ := fetch(r.t, "http://"+r.metrics+"/readyz")
		return status == 200
	})
}

// stop ends it as systemd does.
func (r *relayProgram) stop() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-time.After(deadline):
		r.t.Fatal("the relay does not end")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		r.t.Errorf("exit status %d", code)
	}
}

// waitFree waits until nobody publishes.
func (r *relayProgram) waitFree() {
	r.t.Helper()
	waitFor(r.t, "nobody publishes", func() bool {
		_, text := fetch(r.t, "http://"+r.metrics+"/metrics")
		return strings.Contains(text, "earshot_publisher{stream=\"radio\"} 0")
	})
}

// fetch returns 0 where nobody answers.
func fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(text)
}

// visitor is somebody who listens at a relay.
type visitor struct {
	conn    *websocket.Conn
	packets chan audio.Packet
	states  chan string
	closed  chan int
}

func (r *relayProgram) visit(tok string) *visitor {
	r.t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/radio/listen", http.Header{"Token": {tok}})
	if err != nil {
		r.t.Fatalf("%v: %v", err, answer)
	}
	v := &visitor{conn, make(chan audio.Packet, 10_000), make(chan string, 100), make(chan int, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				code := 0
				if closed, ok := err.(*websocket.CloseError); ok {
					code = closed.Code
				}
				v.closed <- code
				return
			}
			if packets, err := audio.ParseMessage(message); kind == websocket.BinaryMessage && err == nil {
				for _, p := range packets {
					v.packets <- p
				}
				continue
			}
			var m struct{ Type, State string }
			if json.Unmarshal(message, &m) == nil && m.State != "" {
				v.states <- m.State
			}
		}
	}()
	r.t.Cleanup(func() { _ = conn.Close(); <-done })
	return v
}

// state waits until the stream is as wanted.
func (v *visitor) state(t testing.TB, want string) {
	t.Helper()
	for end := time.After(deadline); ; {
		select {
		case got := <-v.states:
			if got == want {
				return
			}
		case <-end:
			t.Fatalf("never %s", want)
		}
	}
}

// hear waits for so many packets, all of them in order.
func (v *visitor) hear(t testing.TB, n int) {
	t.Helper()
	last := v.packet(t)
	for range n - 1 {
		p := v.packet(t)
		if int32(p.Seq-last.Seq) <= 0 {
			t.Fatalf("packet %d after %d", p.Seq, last.Seq)
		}
		last = p
	}
}

// packet waits for the next one.
func (v *visitor) packet(t testing.TB) audio.Packet {
	t.Helper()
	select {
	case p := <-v.packets:
		return p
	case <-time.After(deadline):
		t.Fatal("no sound")
		return audio.Packet{}
	}
}

func tokenOf(t testing.TB, link string) string {
	t.Helper()
	_, tok, found := strings.Cut(link, "#")
	if !found {
		t.Fatalf("%s is no link", link)
	}
	return tok
}

// A laptop publishes to a relay, by the line that relay key prints; its links
// lead there; what it withdraws ends there within a second, also when the relay
// was away; and its listeners stay and hear it again when it was away itself.
func TestRelay(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start", "--title", "Ann's laptop")
	key := app.must("relay", "key")
	relay := launchRelay(t, `drain = "1s"`, fmt.Sprintf("keys = [%q]", key))

	if out := app.must("relay", "add", "ws://"+relay.addr+"/radio"); !strings.Contains(out, "connected") {
		t.Errorf("relay add: %s", out)
	}
	link := app.must("link", "--name", "Bob")
	if !strings.HasPrefix(link, relay.url()+"/#") {
		t.Fatalf("link %s", link)
	}
	if direct := app.must("link", "--direct"); !strings.HasPrefix(direct, "http://"+app.address()+"/#") {
		t.Errorf("direct link %s", direct)
	}
	if status, _ := app.get("/api/session", tokenOf(t, link)); status != 401 {
		t.Errorf("the relay's link at the laptop: %d", status)
	}
	bob := relay.visit(tokenOf(t, link))
	bob.state(t, "live")
	bob.hear(t, 50)
	one := relay.visit(tokenOf(t, app.must("link", "--name", "Ann", "--listeners", "1")))
	one.hear(t, 10)
	app.waitStatus("both listen", func(s status) bool {
		return s.Listeners == 2 && len(s.Relays) == 1 && s.Relays[0].State == uplink.Connected && s.Relays[0].Count == 2
	})
	_, text := fetch(t, "http://"+relay.metrics+"/metrics")
	for _, want := range []string{`earshot_listeners{stream="radio"} 2`, `earshot_publisher{stream="radio"} 1`, "earshot_sent_bytes_total", "earshot_publish_gaps_total{stream=\"radio\"} 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}

	// Removing one.
	var list []server.Listener
	if err := json.Unmarshal([]byte(app.must("listeners", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(l server.Listener) bool { return l.Name == "Ann" })
	if i < 0 {
		t.Fatalf("listeners %+v", list)
	}
	app.must("kick", fmt.Sprint(list[i].ID))
	if code := <-one.closed; code != 4402 {
		t.Errorf("removed with %d", code)
	}

	// The laptop goes and comes back: Bob stays.
	app.quit()
	bob.state(t, "offline")
	app.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone", "--start")
	bob.state(t, "live")
	for len(bob.packets) > 0 {
		<-bob.packets
	}
	bob.hear(t, 20)

	// Withdrawing.
	begin := time.Now()
	if out := app.must("revoke", link); strings.Contains(out, "reached") {
		t.Errorf("revoke: %s", out)
	}
	if code := <-bob.closed; code != 4401 || time.Since(begin) > time.Second {
		t.Errorf("withdrawn with %d after %v", code, time.Since(begin))
	}
	second := app.must("link", "--name", "Carl")
	carl := relay.visit(tokenOf(t, second))
	carl.hear(t, 5)
	relay.stop()
	if code := <-carl.closed; code != 1012 {
		t.Errorf("sent away with %d", code)
	}
	app.waitStatus("the relay is gone", func(s status) bool { return s.Relays[0].State == uplink.Connecting })
	if out := app.must("revoke", second); !strings.Contains(out, "can't be reached") {
		t.Errorf("revoke without the relay: %s", out)
	}
	relay.start()
	app.waitStatus("connected again", func(s status) bool { return s.Relays[0].State == uplink.Connected })
	for what, tok := range map[string]string{"before": tokenOf(t, link), "meanwhile": tokenOf(t, second)} {
		if _, answer, err := websocket.DefaultDialer.Dial("ws://"+relay.addr+"/radio/listen", http.Header{"Token": {tok}}); err == nil || answer.StatusCode != 401 {
			t.Errorf("the link that was withdrawn %s: %v", what, err)
		}
	}
	if out := app.must("relay", "list"); !strings.Contains(out, relay.url()) || !strings.Contains(out, "connected") {
		t.Errorf("relay list: %s", out)
	}
	app.must("relay", "remove", relay.url())
	app.waitStatus("no relay", func(s status) bool { return len(s.Relays) == 0 })
	if direct := app.must("link"); !strings.HasPrefix(direct, "http://"+app.address()) {
		t.Errorf("link without a relay: %s", direct)
	}
}

// While nobody listens nothing is sent, and a link for one is for one.
func TestRelaySendsWhatIsWanted(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	app.must("relay", "add", relay.url())
	received := func() string {
		_, text := fetch(t, "http://"+relay.metrics+"/metrics")
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, "earshot_received_bytes_total") {
				return l
			}
		}
		t.Fatal("no metric")
		return ""
	}
	time.Sleep(time.Second)
	if got := received(); !strings.HasSuffix(got, " 0") {
		t.Errorf("with nobody there: %s", got)
	}
	tok := tokenOf(t, app.must("link", "--listeners", "1"))
	v := relay.visit(tok)
	v.hear(t, 5)
	if _, answer, err := websocket.DefaultDialer.Dial("ws://"+relay.addr+"/radio/listen", http.Header{"Token": {tok}}); err == nil || answer.StatusCode != 409 {
		t.Errorf("a second by the same link: %v", err)
	}
	_ = v.conn.Close()
	app.waitStatus("nobody", func(s status) bool { return s.Listeners == 0 })
	before := received()
	time.Sleep(time.Second)
	if after := received(); after != before {
		t.Errorf("with nobody there again: %s, then %s", before, after)
	}
}

// A plain program of Node publishes with a token in a header: one of the
// laptop's key, or of a shared secret.
func TestNodePublishes(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]\nsecret = %q", app.must("relay", "key"), strings.Repeat("s3cret-", 6)))
	out, err := relay.command("token", "radio", "--name", "studio").Output()
	if err != nil {
		t.Fatal(err)
	}
	app.must("relay", "add", relay.url())
	listener := app.must("link", "--token")
	for name, tok := range map[string]string{
		"shared secret": strings.TrimSpace(string(out)),
		"laptop's key":  app.must("token", "--publish", "ws://"+relay.addr+"/radio", "--for", "15d"),
	} {
		t.Run(name, func(t *testing.T) {
			app.must("relay", "remove", relay.url())
			relay.waitFree()
			v := relay.visit(listener)
			packet := audio.AppendMessage(nil, audio.Packet{Seq: 1, At: time.Second, Data: []byte{0xfc, 1, 2, 3}})
			var said struct {
				Status  int
				Error   string
				Welcome struct {
					Type   string
					Wanted bool
				}
			}
			nobody := func() {}
			publish := func(tok string, during func()) {
				t.Helper()
				said.Status = 0
				text := nodeWhile(t, during, "test", []string{"URL=ws://" + relay.addr + "/radio/publish", "TOKEN=" + tok, fmt.Sprintf("PACKET=%x", packet)}, "plain-publisher.mjs")
				if err := json.Unmarshal(text, &said); err != nil {
					t.Fatalf("%v: %s", err, text)
				}
			}
			var p audio.Packet
			publish(tok, func() {
				select {
				case p = <-v.packets:
				case <-time.After(deadline):
				}
			})
			if said.Welcome.Type != "welcome" || !said.Welcome.Wanted {
				t.Errorf("said %+v", said)
			}
			if !bytes.Equal(p.Data, []byte{0xfc, 1, 2, 3}) || p.At != time.Second {
				t.Errorf("heard %+v", p)
			}
			if publish("x", nobody); said.Status != 401 || said.Error != "malformed" {
				t.Errorf("a bad token: %+v", said)
			}
			if publish(listener, nobody); said.Status != 403 || said.Error != "scope" {
				t.Errorf("a listener's token: %+v", said)
			}
			relay.waitFree()
			app.must("relay", "add", relay.url())
			app.waitStatus("connected", func(s status) bool { return s.Relays[0].State == uplink.Connected })
			if publish(tok, nobody); said.Status != 409 || said.Error != "taken" {
				t.Errorf("while the laptop publishes: %+v", said)
			}
		})
	}
}

// Many listeners are sent away over a while at the end, not all at once.
func TestRelayDrains(t *testing.T) {
	relay := launchRelay(t, `drain = "2s"`, `secret = "0123456789abcdef0123456789abcdef"
public = true`)
	var all []*visitor
	for range 20 {
		all = append(all, relay.visit(""))
	}
	begin := time.Now()
	var first, last time.Duration
	stopped := make(chan struct{})
	go func() { relay.stop(); close(stopped) }()
	for _, v := range all {
		if code := <-v.closed; code != 1012 {
			t.Errorf("sent away with %d", code)
		}
		last = time.Since(begin)
		if first == 0 {
			first = last
		}
	}
	<-stopped
	if last < 1500*time.Millisecond || last > 4*time.Second {
		t.Errorf("sent away within %v", last)
	}
}

// The relay's page plays in a frame on a page of a blog that may show it, by
// embed.js and by a plain frame, and in no other.
func TestEmbed(t *testing.T) {
	sound := audiotest.StartPulse(t, browserSink)
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	var relay *relayProgram
	page := `<!doctype html><title>Blog</title><h1>My blog</h1>`
	blog := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/script":
			fmt.Fprintf(w, `%s<script src="http://%s/embed.js" data-stream="radio"></script>`, page, relay.addr)
		case "/frame":
			fmt.Fprintf(w, `%s<iframe src="%s" width="400" height="420"></iframe>`, page, relay.url())
		}
	}))
	t.Cleanup(blog.Close)
	_, port, _ := net.SplitHostPort(blog.Listener.Addr().String())
	relay = launchRelay(t, "", fmt.Sprintf("keys = [%q]\npublic = true\nembed = [\"http://blog.test:%s\"]", app.must("relay", "key"), port))
	app.must("relay", "add", relay.url())
	for _, path := range []string{"/script", "/frame"} {
		p := openChromium(t, soundEnv(t, sound), "host-resolver-rules=MAP *.test 127.0.0.1", "disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests")
		c := p.tab.(*chromium)
		// clickPlay clicks where the frame's page has its button.
		clickPlay := func() {
			var box struct{ X, Y, W, H float64 }
			waitFor(t, "the frame", func() bool {
				// A page that is just being left gives no answer.
				text, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](`(() => { const b = document.querySelector("iframe")?.getBoundingClientRect(); return b ? JSON.stringify({X: b.x, Y: b.y, W: b.width, H: b.height}) : "" })()`))
				return err == nil && json.Unmarshal([]byte(text), &box) == nil && box.W > 100
			})
			time.Sleep(2 * time.Second) // the frame's page tells nobody that it is there
			do(c, chromedp.MouseClickXY(box.X+box.W/2, box.Y+box.H*0.4))
		}
		c.navigate("http://other.test:" + port + path)
		clickPlay()
		time.Sleep(2 * time.Second)
		if n := app.status().Listeners; n > 0 {
			t.Errorf("%s: a site that may not shows the page", path)
		}
		c.navigate("http://blog.test:" + port + path)
		// The browser may keep a page that was left, to go back to: nobody listens there.
		for range 2 {
			clickPlay()
			app.waitStatus("a listener", func(s status) bool { return s.Listeners == 1 })
			waitTone(t, sound, path, capture.DefaultTone)
			c.navigate("about:blank")
			app.waitStatus("nobody", func(s status) bool { return s.Listeners == 0 })
			var timer int
			c.evaluate(`setTimeout(() => history.back())`, &timer)
		}
	}
}

// The relay is one static file, and neither program links what is the other's.
func TestLinked(t *testing.T) {
	path, err := relayBinary()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "version", "-m", path).Output(); err != nil || !strings.Contains(string(out), "CGO_ENABLED=0") {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := exec.Command("ldd", path).CombinedOutput(); !strings.Contains(string(out), "not a dynamic executable") {
		t.Errorf("ldd: %s", out)
	}
	for dir, never := range map[string][]string{
		"./relay": {"github.com/gen2brain/malgo", "github.com/hraban/opus", "fyne.io/systray", "earshot/tray", "earshot/audio/capture"},
		".":       {"github.com/nats-io/", "github.com/caddyserver/certmagic", "github.com/prometheus/"},
	} {
		out, err := exec.Command("go", "list", "-tags", "nolibopusfile", "-deps", dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			for _, bad := range never {
				if strings.HasPrefix(lines.Text(), bad) {
					t.Errorf("%s links %s", dir, lines.Text())
				}
			}
		}
	}
}

// A page at a relay stays when the laptop goes, and plays again by itself when
// that is back, as close to live as before.
func TestRelayPage(t *testing.T) {
	sound := audiotest.StartPulse(t, browserSink)
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	app.must("relay", "add", relay.url())
	p := openChromium(t, soundEnv(t, sound))
	p.navigate(relay.url())
	p.waitState("unlinked")
	p.open(app.must("link", "--name", "Bob"))
	p.play()
	waitTone(t, sound, "the laptop", capture.DefaultTone)
	lag := func(when string) {
		t.Helper()
		waitFor(t, "a latency "+when, func() bool {
			ms := p.number("latency")
			return ms > 20 && ms < 400
		})
		t.Logf("%s: %.0f ms behind live", when, p.number("latency"))
	}
	lag("at first")
	app.quit()
	p.waitState("offline")
	app.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone", "--start")
	p.waitState("live")
	waitTone(t, sound, "the laptop again", capture.DefaultTone)
	lag("again")
	app.must("stop")
	p.waitState("paused")
}
