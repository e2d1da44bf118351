//go:build linux

package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/token"
	"earshot/server/uplink"
)

// hearer is somebody who listens.
type hearer struct {
	name  string
	link  madeLink
	heard func() (heard, missed int, longest time.Duration)
	code  chan int // capacity 1: that it was closed with
}

// hear listens by a link until the end of the test.
func (r *running) hear(l madeLink) *hearer {
	r.t.Helper()
	conn, status, word := r.listen(l.Token)
	if conn == nil {
		r.t.Fatalf("%s gets %d %s", l.Name, status, word)
	}
	return newHearer(r.t, l, conn)
}

func newHearer(t testing.TB, l madeLink, conn *websocket.Conn) *hearer {
	h := &hearer{name: l.Name, link: l, code: make(chan int, 1)}
	conn.SetCloseHandler(func(code int, _ string) error {
		h.code <- code
		return nil
	})
	h.heard = follow(t, conn)
	return h
}

// more waits for so many packets more, and checks that none is missing.
func (h *hearer) more(t testing.TB, n int) {
	t.Helper()
	before, _, _ := h.heard()
	end := time.Now().Add(deadline + time.Duration(n)*20*time.Millisecond)
	for now := before; now < before+n; now, _, _ = h.heard() {
		if time.Now().After(end) {
			t.Fatalf("%s heard %d packets, want %d", h.name, now-before, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, missed, longest := h.heard(); missed > 0 || longest > time.Second {
		t.Fatalf("%s missed %d packets, and waited %v", h.name, missed, longest)
	}
}

// ends waits until the connection is closed, with this code.
func (h *hearer) ends(t testing.TB, want int) {
	t.Helper()
	select {
	case code := <-h.code:
		if code != want {
			t.Errorf("%s is closed with %d, want %d", h.name, code, want)
		}
	case <-time.After(deadline):
		t.Errorf("%s listens on", h.name)
	}
}

// The jumps of a clock, forth and back.
var jumps = []struct {
	name string
	by   time.Duration
}{
	{"30 seconds ahead", 30 * time.Second},
	{"2 hours ahead", 2 * time.Hour},
	{"2 hours back", -2 * time.Hour},
	{"a day back", -24 * time.Hour},
	{"to before the key was made", -3 * 365 * 24 * time.Hour},
	{"14 years ahead", 14 * 365 * 24 * time.Hour},
}

// The computer's clock is set while people listen, and later set right: nobody
// misses a packet but those whose links have ended by the new time, who are told
// so; what the owner does meanwhile works, or says why not; what was withdrawn
// stays so; and the log tells of it.
func TestClockJumps(t *testing.T) {
	for _, tt := range jumps {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clock := newClock(t)
			r := launch(t, clock.env(plainEnv(t.TempDir())), "--headless", "--source", "tone", "--start")
			hour, year := r.made("--name", "Hour", "--for", "1h"), r.made("--name", "Year", "--for", "3650d")
			gone, lost := r.made("--name", "Gone", "--for", "1h"), r.made("--name", "Lost", "--for", "forever")
			r.must("revoke", gone.ID, lost.ID)
			dead := []madeLink{gone, lost}
			all := []*hearer{r.hear(hour), r.hear(year), r.hear(r.made("--name", "Ann", "--for", "365d"))}
			for _, h := range all {
				h.more(t, 10)
			}

			clock.set(tt.by)
			now := time.Now().Add(tt.by)
			waitFor(t, "the log tells", func() bool { return strings.Contains(r.log.String(), "links follow it") })
			for _, h := range slices.Clone(all) {
				if h.link.Ends.Before(now) {
					h.ends(t, 4400)
					all = slices.DeleteFunc(all, func(o *hearer) bool { return o == h })
					if _, status, word := r.listen(h.link.Token); status != 401 || word != "expired" {
						t.Errorf("%s gets %d %s", h.name, status, word)
					}
				}
			}
			began := time.Now()
			made := r.made("--name", "Eve")
			eve := r.hear(made)
			eve.more(t, 10)
			for _, h := range slices.Clone(all) {
				if h.name == "Ann" {
					r.must("revoke", h.link.ID)
					h.ends(t, 4401)
					all = slices.DeleteFunc(all, func(o *hearer) bool { return o == h })
					dead = append(dead, h.link)
				}
			}
			for _, l := range dead {
				if _, status, _ := r.listen(l.Token); status != 401 {
					t.Errorf("%s gets %d", l.Name, status)
				}
			}
			r.must("stop")
			r.must("start")
			for _, what := range []string{"status", "listeners", "links"} {
				r.must(what)
			}
			if tt.by > -7*24*time.Hour { // else links of the old key have ended when the clock is right again
				r.must("key", "rotate", "--keep", "7d")
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the owner waits %v", took)
			}
			for _, h := range all {
				h.more(t, 50)
			}

			clock.set(0)
			waitFor(t, "the log tells of that, too", func() bool { return strings.Count(r.log.String(), "links follow it") == 2 })
			for _, h := range all {
				h.more(t, 50)
			}
			for _, l := range dead {
				if _, status, word := r.listen(l.Token); status != 401 || word != "withdrawn" {
					t.Errorf("%s gets %d %s", l.Name, status, word)
				}
			}
			r.must("link")
			doctor := r.run("doctor").out
			switch {
			case tt.by > time.Minute: // by this clock it will be made
				if !strings.Contains(doctor, "a link was made at") || !strings.Contains(doctor, "make that link anew") {
					t.Errorf("doctor says nothing of it:\n%s", doctor)
				}
				if _, status, word := r.listen(made.Token); status != 401 || word != "not-yet-valid" {
					t.Errorf("a link of the future gets %d %s", status, word)
				}
			case !made.Ends.After(time.Now()):
				eve.ends(t, 4400)
			default:
				eve.more(t, 10)
			}
			if status := r.quit(); status != 0 {
				t.Errorf("it ends with %d", status)
			}
			r.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone", "--start")
			for _, l := range dead {
				if _, status, word := r.listen(l.Token); status != 401 || word != "withdrawn" {
					t.Errorf("after a new start %s gets %d %s", l.Name, status, word)
				}
			}
			if conn, status, word := r.listen(year.Token); conn == nil {
				t.Errorf("after a new start %s gets %d %s", year.Name, status, word)
			}
		})
	}
}

// While a laptop publishes to a relay, the clock of either is set, and later set
// right: who listens there misses no packet, for longer than a token for publishing
// lives, unless their link has ended by the relay's new time.
func TestClockJumpsAtARelay(t *testing.T) {
	t.Parallel()
	type row struct {
		name  string
		by    time.Duration
		clock *testClock // that is set
		own   bool       // it is the laptop's
		app   *running
		relay *relayProgram
		gone  madeLink
		all   []*hearer
	}
	for _, build := range []func() (string, error){clockedBinary, clockedRelayBinary} { // not while others run
		if _, err := build(); err != nil {
			t.Fatal(err)
		}
	}
	var rows []*row
	// All of them at once: each takes two minutes, of waiting.
	for _, jump := range jumps {
		for _, own := range []bool{true, false} {
			laptop, server := newClock(t), newClock(t)
			one := &row{name: "the relay's " + jump.name, by: jump.by, clock: server, own: own}
			if own {
				one.name, one.clock = "the laptop's "+jump.name, laptop
			}
			r := launch(t, laptop.env(plainEnv(t.TempDir())), "--headless", "--source", "tone", "--start")
			relay := newRelayProgram(t, "", fmt.Sprintf("keys = [%q]", r.must("relay", "key")))
			relay.clock = server
			relay.start()
			r.must("relay", "add", relay.url())
			one.app, one.relay = r, relay
			for _, args := range [][]string{{"--name", "Hour", "--for", "1h"}, {"--name", "Year", "--for", "3650d"}} {
				l := r.made(args...)
				l.Name += ", " + one.name + ","
				one.all = append(one.all, relay.hear(l))
			}
			one.gone = r.made("--name", "Gone", "--for", "3650d")
			r.must("revoke", one.gone.ID)
			rows = append(rows, one)
		}
	}
	for _, one := range rows {
		for _, h := range one.all {
			h.more(t, 10)
		}
		one.clock.set(one.by)
	}
	for _, one := range rows {
		now := time.Now().Add(one.by)
		one.all = slices.DeleteFunc(one.all, func(h *hearer) bool {
			if one.own || h.link.Ends.After(now) {
				return false
			}
			h.ends(t, 4400)
			return true
		})
	}
	hear := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			for _, one := range rows {
				for _, h := range one.all {
					h.more(t, 1)
				}
			}
		}
	}
	hear(75 * time.Second) // a token for publishing lives a minute
	for _, one := range rows {
		one.clock.set(0)
	}
	hear(40 * time.Second) // and is renewed after half of that
	for _, one := range rows {
		if st := one.app.status().Relays[0]; st.State != uplink.Connected {
			t.Errorf("%s: %s %s", one.name, st.State, st.Why)
		}
		if _, status := one.relay.dial(one.gone.Token); status != 401 {
			t.Errorf("%s: who was withdrawn gets %d", one.name, status)
		}
	}
}

// dial opens a listener's connection; nil where it isn't let in.
func (r *relayProgram) dial(tok string) (*websocket.Conn, int) {
	r.t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/radio/listen", http.Header{"Token": {tok}})
	if answer == nil {
		r.t.Fatal(err)
	}
	return conn, answer.StatusCode
}

// hear listens by a link until the end of the test.
func (r *relayProgram) hear(l madeLink) *hearer {
	r.t.Helper()
	conn, status := r.dial(l.Token)
	if conn == nil {
		r.t.Fatalf("%s gets %d", l.Name, status)
	}
	return newHearer(r.t, l, conn)
}

// All links are withdrawn by a laptop whose clock is ahead: that counts at once at
// the relay, too, and ends no connection of the laptop's own, now or later, nor what
// another key makes later.
func TestWithdrawnByAClockAhead(t *testing.T) {
	t.Parallel()
	laptop := newClock(t)
	r := launch(t, laptop.env(plainEnv(t.TempDir())), "--headless", "--source", "tone", "--start")
	other, err := token.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q, %q]", r.must("relay", "key"), other.PublicLine("other")))
	r.must("relay", "add", relay.url())
	bob := r.made("--name", "Bob")
	hears := relay.hear(bob)
	hears.more(t, 10)
	since := r.status().Relays[0].Since
	laptop.set(2 * time.Hour)
	if out := r.must("revoke", "--all"); strings.Contains(out, "reached") {
		t.Errorf("revoke --all: %s", out)
	}
	hears.ends(t, 4401)
	waitFor(t, "the laptop sees it", func() bool { return strings.Contains(r.log.String(), "the clock was set forward") })
	laptop.set(0)
	waitFor(t, "the clock is back", func() bool { return strings.Contains(r.log.String(), "the clock was set back") })
	if got := r.run("link"); got.status != exitFailure || !strings.Contains(got.err, "wait until then") {
		t.Errorf("a link: status %d, %s", got.status, got.err)
	}
	if st := r.status().Relays[0]; st.State != uplink.Connected || !st.Since.Equal(since) {
		t.Errorf("connected since %v, before since %v; %s", st.Since, since, st.Why)
	}
	// And over a new connection.
	r.quit()
	r.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone", "--start")
	r.waitStatus("the relay is there", func(s status) bool { return s.Relays[0].State == uplink.Connected })
	since = r.status().Relays[0].Since
	if out := r.must("revoke", "--all"); strings.Contains(out, "reached") {
		t.Errorf("revoke --all again: %s", out)
	}
	time.Sleep(3 * time.Second) // the relay looks at tokens each second
	if st := r.status().Relays[0]; st.State != uplink.Connected || !st.Since.Equal(since) {
		t.Errorf("connected since %v, before since %v; %s", st.Since, since, st.Why)
	}
	if _, status := relay.dial(bob.Token); status != 401 {
		t.Errorf("who was withdrawn gets %d", status)
	}
	raw, _, err := other.Issue(token.Grant{Audience: relay.url(), Scope: token.ScopeListen, For: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	later := relay.hear(madeLink{Token: raw, Link: token.Link{Name: "Later"}})
	for end := time.Now().Add(35 * time.Second); time.Now().Before(end); { // the laptop renews its token after 30
		later.more(t, 1)
	}
}

// A link that was made by a clock that was ahead, and then withdrawn with all others,
// is not good at the relay when its time has come, though the laptop is away.
func TestEarlyLinkIsWithdrawn(t *testing.T) {
	t.Parallel()
	laptop := newClock(t)
	r := launch(t, laptop.env(plainEnv(t.TempDir())), "--headless", "--source", "tone", "--start")
	relay := newRelayProgram(t, "", fmt.Sprintf("keys = [%q]", r.must("relay", "key")))
	relay.clock = newClock(t)
	relay.start()
	r.must("relay", "add", relay.url())
	r.waitStatus("the relay is there", func(s status) bool { return s.Relays[0].State == uplink.Connected })
	laptop.set(2 * time.Hour)
	early := r.made("--name", "Early")
	if out := r.must("revoke", "--all"); strings.Contains(out, "reached") {
		t.Errorf("revoke --all: %s", out)
	}
	kept := r.made("--name", "Kept")
	r.quit()
	relay.clock.set(2*time.Hour + 5*time.Minute)
	if _, status := relay.dial(early.Token); status != 401 {
		t.Errorf("who was withdrawn gets %d", status)
	}
	if conn, status := relay.dial(kept.Token); conn == nil {
		t.Errorf("who got a link afterwards gets %d", status)
	} else {
		_ = conn.Close()
	}
}
