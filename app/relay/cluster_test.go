package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"earshot/audio"
	"earshot/server"
	"earshot/server/relay/relaytest"
	"earshot/server/token"
	"earshot/server/uplink"
)

// relayVariable makes this program earshot-relay with that config file.
const relayVariable = "EARSHOT_TEST_RELAY"

func TestMain(m *testing.M) {
	if file := os.Getenv(relayVariable); file != "" {
		os.Exit(run([]string{"--config", file}, os.Stdout, os.Stderr))
	}
	if relaytest.Serve() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func eventually(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// front is one address of several relays, as a balancer or DNS makes it: a
// connection goes to any that takes it.
type front struct {
	ln    net.Listener
	hosts []string
}

func newFront(t testing.TB, hosts []string) *front {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{ln, hosts}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { f.carry(near) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return f
}

func (f *front) carry(near net.Conn) {
	defer near.Close()
	for _, i := range rand.Perm(len(f.hosts)) {
		far, err := net.DialTimeout("tcp", f.hosts[i], time.Second)
		if err != nil {
			continue
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(far, near); far.Close(); near.Close() })
		_, _ = io.Copy(near, far)
		far.Close()
		near.Close()
		wg.Wait()
		return
	}
}

// program is an earshot-relay.
type program struct {
	cmd           *exec.Cmd
	port, metrics int
}

func (p *program) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// fleet is three relays at three NATS servers, behind one address, and the key
// that may publish the stream song to them.
type fleet struct {
	t        testing.TB
	nats     *relaytest.Cluster
	programs []*program
	front    *front
	key      *token.Key
	url      *url.URL // of the stream
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	return newFleetWith(t, "public = true")
}

// newFleetWith has more settings of the stream, and may have more keys for it.
func newFleetWith(t testing.TB, more string, keys ...*token.Key) *fleet {
	t.Helper()
	near := site{"127.0.0.1", "127.0.0.1", (*exec.Cmd).Start}
	return newFleetAt(t, relaytest.NewCluster(t), []site{near, near, near}, more, keys...)
}

// site is where a relay runs: its host, that of its metrics, "" for none, and how
// it is started there.
type site struct {
	host, metrics string
	start         func(*exec.Cmd) error
}

// newFleetAt has its relays at the sites, each at the NATS server of that number.
func newFleetAt(t testing.TB, nats *relaytest.Cluster, sites []site, more string, keys ...*token.Key) *fleet {
	t.Helper()
	f := &fleet{t: t, nats: nats}
	folder := t.TempDir()
	var err error
	if f.key, err = token.OpenKey(filepath.Join(folder, "key.pem")); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, k := range append(keys, f.key) {
		lines = append(lines, fmt.Sprintf("%q", k.PublicLine("laptop")))
	}
	var ports []int
	var hosts []string
	for _, at := range sites {
		ports = append(ports, freePort(t))
		hosts = append(hosts, fmt.Sprintf("%s:%d", at.host, ports[len(ports)-1]))
	}
	f.front = newFront(t, hosts)
	base := "http://" + f.front.ln.Addr().String()
	if f.url, err = uplink.ParseURL(base + "/song"); err != nil {
		t.Fatal(err)
	}
	for i, port := range ports {
		var urls []string
		for j := range f.nats.Nodes {
			urls = append(urls, fmt.Sprintf("%q", f.nats.Nodes[(i+j)%len(ports)].URL()))
		}
		metrics, address := freePort(t), ""
		if sites[i].metrics != "" {
			address = fmt.Sprintf("%s:%d", sites[i].metrics, metrics)
		}
		file := filepath.Join(folder, fmt.Sprintf("relay%d.toml", i))
		text := fmt.Sprintf(`
url = %q
listen = %q
metrics = %q
data = %q
log-level = "warn"
drain = "2s"
trusted-proxies = ["127.0.0.1/32"]
[nats]
urls = [%s]
name = "r%d"
[[stream]]
name = "song"
%s
keys = [%s]
max-listeners = 5000
`, base, hosts[i], address, filepath.Join(folder, fmt.Sprint("data", i)), strings.Join(urls, ", "), i, more, strings.Join(lines, ", "))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &program{exec.Command(os.Args[0]), port, metrics}
		p.cmd.Env = append(os.Environ(), relayVariable+"="+file)
		if os.Getenv("EARSHOT_TEST_LOG") != "" {
			p.cmd.Stderr = os.Stderr
		}
		if err := sites[i].start(p.cmd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		f.programs = append(f.programs, p)
	}
	for _, host := range hosts {
		eventually(t, patience, "the relay answers", func() bool {
			conn, err := net.Dial("tcp", host)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return f
}

// publish is the laptop: it publishes numbered packets of 20 ms until the test
// ends, by the way that Earshot takes.
func (f *fleet) publish() *uplink.Uplink { return f.publishBut(nil) }

// publishBut is one that has withdrawn what the function returns, if it is there.
func (f *fleet) publishBut(withdrawn func() (time.Time, []token.Withdrawal)) *uplink.Uplink {
	if withdrawn == nil {
		withdrawn = func() (time.Time, []token.Withdrawal) { return time.Time{}, nil }
	}
	clock := audio.NewClock()
	u := uplink.New(uplink.Config{
		URL: f.url,
		Token: func(string) (string, error) {
			raw, _, err := f.key.Issue(token.Grant{Scope: token.ScopePublish, Audience: f.url.String(), For: uplink.TokenLife}, time.Now())
			return raw, err
		},
		About:     func() server.About { return server.About{Title: "Song", Frame: 20, State: server.Live} },
		Withdrawn: withdrawn,
		Changed:   func() {},
		Clock:     clock,
		Log:       slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { u.Run(ctx) })
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for seq := uint32(1); ; seq++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				u.Publish(audio.Packet{Seq: seq, At: clock(), Data: binary.BigEndian.AppendUint32([]byte{0xfc}, seq)})
			}
		}
	})
	f.t.Cleanup(func() { cancel(); wg.Wait() })
	return u
}

// holder returns the number of the relay that has the publisher.
func (f *fleet) holder() int {
	f.t.Helper()
	for i, p := range f.programs {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", p.metrics))
		if err != nil {
			continue // it is dead
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && strings.Contains(string(text), "earshot_publisher{stream=\"song\"} 1") {
			return i
		}
	}
	f.t.Fatal("no relay has the publisher")
	return 0
}

// A crowd listens at three relays. The relay that has the publisher is killed,
// then a NATS server, then a relay is told to end.
func TestFleet(t *testing.T) {
	f := newFleet(t)
	u := f.publish()
	eventually(t, patience, "published", func() bool { return u.Status().State == uplink.Connected })
	c := f.listen(300)
	eventually(t, patience, "all hear", c.all)
	eventually(t, patience, "the owner sees them", func() bool { return u.Status().Count == c.size })
	// without returns how long anybody was without sound while f did something.
	without := func(what string, most time.Duration, do func()) {
		t.Helper()
		c.reset()
		do()
		time.Sleep(3 * time.Second) // what goes wrong does so by then, or everybody hears
		eventually(t, patience, "all hear after "+what, c.all)
		if longest := time.Duration(c.longer.Load()); longest > most {
			t.Errorf("%s: %v without sound", what, longest)
		} else {
			t.Logf("%s: at most %v without sound", what, longest)
		}
	}
	without("nothing", time.Second, func() {})
	first := f.holder()
	without("the death of the publisher's relay", 2*time.Second, f.programs[first].kill)
	second := f.holder()
	without("the death of a NATS server", 2*time.Second, f.nats.Nodes[second].Kill)
	// The servers may be electing a leader still, for which a new claim waits.
	without("the end of a relay", 10*time.Second, func() {
		_ = f.programs[second].cmd.Process.Signal(syscall.SIGTERM)
		_ = f.programs[second].cmd.Wait()
	})
	if n := c.wrong.Load(); n > 0 {
		t.Errorf("%d packets were heard twice or out of order", n)
	}
}
