package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"

	"earshot/server"
	"earshot/server/uplink"
	"earshot/tray/traytest"
)

// Withdrawing all links ends none of the laptop's own connections: a link from
// after that works at once.
func TestRevokeAllWhilePublishing(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	app.must("relay", "add", relay.url())
	bob := relay.visit(tokenOf(t, app.must("link")))
	bob.hear(t, 5)
	since := app.status().Relays[0].Since
	if out := app.must("revoke", "--all"); strings.Contains(out, "reached") {
		t.Errorf("revoke --all: %s", out)
	}
	if code := <-bob.closed; code != 4401 {
		t.Errorf("closed with %d", code)
	}
	ann := relay.visit(tokenOf(t, app.must("link")))
	ann.state(t, "live")
	ann.hear(t, 150) // 3 s: the relay looks at tokens each second
	if now := app.status().Relays[0]; now.State != uplink.Connected || !now.Since.Equal(since) {
		t.Errorf("connected since %v, before since %v; %s", now.Since, since, now.Why)
	}
	if len(ann.states) > 0 {
		t.Errorf("the stream is %s meanwhile", <-ann.states)
	}
}

// Who listens at relays of one stream has a number of their own in the list, and
// the one that is named is removed.
func TestNumbersOfListeners(t *testing.T) {
	bus, err := nats.NewServer(&nats.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	bus.Start()
	t.Cleanup(func() { bus.Shutdown(); bus.WaitForShutdown() })
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	key := fmt.Sprintf("keys = [%q]", app.must("relay", "key"))
	front := freePort(t)
	var all [2]*relayProgram
	for i := range all {
		all[i] = launchRelay(t, fmt.Sprintf("nats = { urls = [%q], replicas = 1, name = \"relay%d\" }", bus.ClientURL(), i), key)
		all[i].rename(t, "http://"+front)
	}
	forward(t, front, all[0].addr)
	app.must("relay", "add", "ws://"+front+"/radio")
	here, _, _ := app.listen(app.made("--name", "Hal", "--direct").Token)
	left := make(chan struct{})
	go func() {
		defer close(left)
		for {
			if _, _, err := here.ReadMessage(); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = here.Close(); <-left })
	var visitors [2]*visitor
	for i, name := range []string{"Ann", "Bob"} {
		visitors[i] = all[i].visit(tokenOf(t, app.must("link", "--name", name)))
		visitors[i].hear(t, 1)
	}
	list := func() (list []server.Listener) {
		if err := json.Unmarshal([]byte(app.must("listeners", "--json")), &list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	waitFor(t, "three listeners", func() bool { return len(list()) == 3 })
	ids := map[uint64]string{}
	for _, l := range list() {
		ids[l.ID] = l.Name
	}
	if len(ids) != 3 {
		t.Fatalf("numbers: %v", ids)
	}
	if again := list(); slices.ContainsFunc(again, func(l server.Listener) bool { return ids[l.ID] != l.Name }) {
		t.Errorf("numbers: %v, and then %+v", ids, again)
	}
	for id, name := range ids {
		if name == "Bob" {
			if out := app.must("kick", fmt.Sprint(id)); !strings.Contains(out, "Bob") {
				t.Errorf("kick: %s", out)
			}
		}
	}
	if code := <-visitors[1].closed; code != 4402 {
		t.Errorf("removed with %d", code)
	}
	visitors[0].hear(t, 20)
	waitFor(t, "two listeners", func() bool { return len(list()) == 2 })
	if left := list(); ids[left[0].ID]+ids[left[1].ID] != "HalAnn" || len(visitors[0].closed) > 0 {
		t.Errorf("left are %+v", left)
	}
}

// rename starts a relay again that visitors find elsewhere.
func (r *relayProgram) rename(t testing.TB, base string) {
	t.Helper()
	text, err := os.ReadFile(r.config())
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "http://"+r.addr, base, 1))
	if err := os.WriteFile(r.config(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.start()
}

// forward hands connections to addr on.
func forward(t testing.TB, addr, to string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
		}
	}()
}

// Once the laptop is awake again it connects to the relay at once, and listeners
// hear it.
func TestRelayAfterSleep(t *testing.T) {
	logind := traytest.StartBus(t)
	computer := logind.StartLogind()
	app := launch(t, logind.SystemEnv(plainEnv(t.TempDir())), "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	app.must("relay", "add", relay.url())
	bob := relay.visit(tokenOf(t, app.must("link")))
	bob.state(t, "live")
	since := app.status().Relays[0].Since
	computer.Sleep()
	bob.state(t, "offline")
	awake := time.Now()
	computer.Wake()
	bob.state(t, "live")
	for len(bob.packets) > 0 {
		<-bob.packets
	}
	bob.hear(t, 5)
	t.Logf("sound is back %v after waking", time.Since(awake))
	if took := time.Since(awake); took > 3*time.Second {
		t.Errorf("sound is back %v after waking", took)
	}
	if now := app.status().Relays[0].Since; !now.After(since) {
		t.Errorf("the connection is that of before the sleep")
	}
}

// A program that makes links gets those that Copy share link has.
func TestProgramLinksToRelay(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	issuer := app.must("link", "--scope", "issue")
	ask := func() string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+app.address()+"/api/links", strings.NewReader(`{"name": "Ann"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+issuer)
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var made struct{ Link string }
		if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || answer.StatusCode != 201 {
			t.Fatalf("%s, %v", answer.Status, err)
		}
		return made.Link
	}
	if link := ask(); !strings.HasPrefix(link, "http://"+app.address()+"/#") {
		t.Errorf("without a relay: %s", link)
	}
	app.must("relay", "add", relay.url())
	link := ask()
	if !strings.HasPrefix(link, relay.url()+"/#") {
		t.Fatalf("with a relay: %s", link)
	}
	ann := relay.visit(tokenOf(t, link))
	ann.hear(t, 5)
	waitFor(t, "Ann listens by it", func() bool { return strings.Contains(app.must("links"), "1: Ann") })
	app.must("relay", "remove", relay.url())
	if link := ask(); !strings.HasPrefix(link, "http://"+app.address()+"/#") {
		t.Errorf("without a relay again: %s", link)
	}
}
