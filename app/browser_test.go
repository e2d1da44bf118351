package main

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserSink is the sink that browsers of the tests play into.
const browserSink = "browser"

// browser is a real Chromium with one tab.
type browser struct {
	t   testing.TB
	ctx context.Context
}

// openBrowser starts Chromium with env and more options. The name lan.test leads to this
// computer; a page from there is no secure context, as one from
// http://192.168.… is none.
func openBrowser(t testing.TB, env []string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: apt-get install chromium, or run build/test, which does")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // the tests may run as root
		chromedp.Flag("mute-audio", false),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("host-resolver-rules", "MAP lan.test 127.0.0.1"),
		chromedp.Env(append(env, "PULSE_SINK="+browserSink)...),
		chromedp.UserDataDir(t.TempDir()),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	t.Cleanup(cancel)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	// The browser lives as long as the context that it is first used with.
	if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(390, 844)); err != nil {
		t.Fatal(err)
	}
	return &browser{t, ctx}
}

// do does something in the browser's tab.
func do[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, deadline)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// open goes to a share link and waits until it can be played.
func (b *browser) open(link string) {
	b.t.Helper()
	do(b, chromedp.Navigate(link))
	b.waitState("ready")
}

// state is what the page says of itself.
func (b *browser) state() string {
	b.t.Helper()
	return do(b, chromedp.Evaluate[string]("document.documentElement.dataset.state"))
}

func (b *browser) waitState(want string) {
	b.t.Helper()
	var got string
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		if got = b.state(); got == want {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("the page's state is %q, want %q", got, want)
		}
	}
}

// click clicks on an element as a person does.
func (b *browser) click(selector string) {
	b.t.Helper()
	do(b, chromedp.Click(selector))
}

// settle waits until the player has learnt how much it must hold back on this
// machine: each lesson is a gap, and it counts them.
func (b *browser) settle() {
	b.t.Helper()
	const lessons = "(d => [d.underruns, d.pauses, d.skips].join())(document.documentElement.dataset)"
	var last string
	var since time.Time
	for end := time.Now().Add(3 * deadline); ; time.Sleep(100 * time.Millisecond) {
		if now := do(b, chromedp.Evaluate[string](lessons)); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 5*time.Second {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("the player does not settle: underruns, pauses, skips are %s", last)
		}
	}
}
