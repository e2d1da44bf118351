package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// browserSink is the sink that browsers of the tests play into.
const browserSink = "browser"

// tab is a tab of some browser. One goroutine may use it.
type tab interface {
	navigate(url string)
	// evaluate puts into value what a JavaScript expression is as JSON.
	evaluate(js string, value any)
	// click clicks on an element as a person does.
	click(selector string)
	// hide opens another tab in front of it.
	hide()
	// pid is the browser's process.
	pid() int
}

// opener starts a browser with env, and with more options of that browser's:
// openChromium or openFirefox. The name lan.test leads to this computer; a page
// from there is no secure context, as one from http://192.168.… is none.
type opener func(t testing.TB, env []string, more ...string) player

// player is the web player in a tab.
type player struct {
	tab
	t testing.TB
}

// open goes to a share link and waits until it can be played.
func (p player) open(link string) {
	p.t.Helper()
	p.navigate(link)
	p.waitState("ready")
}

// play clicks on play and waits until sound comes.
func (p player) play() {
	p.t.Helper()
	p.click("#play")
	p.waitState("live")
}

// stop clicks on pause.
func (p player) stop() {
	p.t.Helper()
	p.click("#play")
	p.waitState("ready")
}

// run runs JavaScript in the page. No user did that, as far as it knows.
func (p player) run(js string) {
	p.t.Helper()
	p.evaluate("(() => {"+js+"})() ?? null", new(any))
}

// secure tells whether the page is a secure context.
func (p player) secure() (secure bool) {
	p.t.Helper()
	p.evaluate("isSecureContext", &secure)
	return secure
}

// dataset is what the player says of itself: its root's data attributes.
func (p player) dataset() map[string]string {
	p.t.Helper()
	var got map[string]string
	p.evaluate("({...document.documentElement?.dataset})", &got) // none while a page loads
	return got
}

// number is one of the player's figures; 0 where it doesn't say it yet.
func (p player) number(name string) (x float64) {
	p.t.Helper()
	p.evaluate(fmt.Sprintf("Number(document.documentElement.dataset[%q] ?? 0)", name), &x)
	return x
}

// waitState waits until the player says that it is in a state.
func (p player) waitState(want string) {
	p.t.Helper()
	var got string
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		if got = p.dataset()["state"]; got == want {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("the page's state is %q, want %q", got, want)
		}
	}
}

// waitWords waits until the page says something.
func (p player) waitWords(want string) {
	p.t.Helper()
	var got string
	waitFor(p.t, "the page says "+want, func() bool {
		p.evaluate("document.getElementById('state').innerText", &got)
		return strings.Contains(got, want)
	})
}

// settle waits until the player has learnt how much it must hold back on this
// machine: each lesson is a gap, and it counts them.
func (p player) settle() {
	p.t.Helper()
	var last string
	var since time.Time
	for end := time.Now().Add(3 * deadline); ; time.Sleep(100 * time.Millisecond) {
		d := p.dataset()
		if now := strings.Join([]string{d["underruns"], d["pauses"], d["skips"]}, ", "); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 5*time.Second {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("the player does not settle: underruns, pauses, skips are %s", last)
		}
	}
}
