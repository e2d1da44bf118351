package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// chromium is a real Chromium with one tab.
type chromium struct {
	t   testing.TB
	ctx context.Context
}

// openChromium is an [opener]; more options are NAME=VALUE, as on its command
// line.
func openChromium(t testing.TB, env []string, more ...string) player {
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
	for _, option := range more {
		name, value, _ := strings.Cut(option, "=")
		var flag any = value
		if value == "false" {
			flag = false // takes back what is usual
		}
		options = append(options, chromedp.Flag(name, flag))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	// The browser lives as long as the context that it is first used with.
	if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(390, 844)); err != nil {
		t.Fatal(err)
	}
	return player{&chromium{t, ctx}, t}
}

// do does something in the browser's tab.
func do[T any](c *chromium, action chromedp.Action[T]) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, deadline)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

func (c *chromium) navigate(url string) {
	c.t.Helper()
	do(c, chromedp.Navigate(url))
}

func (c *chromium) evaluate(js string, value any) {
	c.t.Helper()
	text := do(c, chromedp.Evaluate[string]("JSON.stringify("+js+")"))
	if err := json.Unmarshal([]byte(text), value); err != nil {
		c.t.Fatalf("%s is %q: %v", js, text, err)
	}
}

func (c *chromium) hide() {
	c.t.Helper()
	ctx, closeTab := chromedp.NewContext(c.ctx, chromedp.WithNewWindow(false))
	c.t.Cleanup(closeTab)
	if _, err := chromedp.Run(ctx, chromedp.Navigate("about:blank")); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chromium) pid() int { return chromedp.FromContext(c.ctx).Browser.Process().Pid }

func (c *chromium) click(selector string) {
	c.t.Helper()
	do(c, chromedp.Click(selector))
}
