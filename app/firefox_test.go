package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// firefox is a real Firefox with one tab, driven by WebDriver BiDi
// (https://w3c.github.io/webdriver-bidi/).
type firefox struct {
	t    testing.TB
	conn *websocket.Conn
	last int    // command
	tab  string // its browsing context
	id   int    // of its process
}

// firefoxPrefs let the name lan.test lead to this computer and keep Firefox from
// doing what it isn't told. Sound needs a click, as ever.
const firefoxPrefs = `
user_pref("network.dns.localDomains", "lan.test");
user_pref("dom.security.https_first", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("extensions.update.enabled", false);
user_pref("services.settings.server", "");
`

// openFirefox is an [opener]; more options are lines of preferences.
func openFirefox(t testing.TB, env []string, more ...string) player {
	t.Helper()
	path, err := exec.LookPath("firefox-esr")
	if err != nil {
		path, err = exec.LookPath("firefox")
	}
	if err != nil {
		t.Fatal("Firefox is missing: apt-get install firefox-esr, or run build/test, which does")
	}
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	text := firefoxPrefs + strings.Join(more, "\n")
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
	cmd.Env = append(env, "HOME="+home, "PULSE_SINK="+browserSink)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		// It ends by itself when asked to; a hanging one has to.
		select {
		case <-ended:
		case <-time.After(deadline):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	kill := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
	announced := regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)
	var address string
	waitFor(t, "Firefox listens", func() bool {
		said, err := os.ReadFile(log.Name())
		if found := announced.FindSubmatch(said); err == nil && found != nil {
			address = string(found[1])
		}
		return address != ""
	})
	f := &firefox{t: t, id: cmd.Process.Pid}
	if f.conn, _, err = websocket.DefaultDialer.DialContext(t.Context(), address+"/session", nil); err != nil {
		t.Fatal(err)
	}
	kill.Stop()
	t.Cleanup(func() {
		if _, err := f.send("browser.close", struct{}{}); err != nil {
			_ = cmd.Process.Kill()
		}
		f.conn.Close()
	})

	f.call("session.new", map[string]any{"capabilities": struct{}{}}, nil)
	var tree struct{ Contexts []struct{ Context string } }
	f.call("browsingContext.getTree", struct{}{}, &tree)
	if len(tree.Contexts) != 1 {
		t.Fatalf("Firefox has %d tabs", len(tree.Contexts))
	}
	f.tab = tree.Contexts[0].Context
	f.call("browsingContext.setViewport", map[string]any{
		"context": f.tab, "viewport": map[string]int{"width": 390, "height": 844},
	}, nil)
	return player{f, t}
}

// send sends a command and returns its result.
func (f *firefox) send(method string, params any) (json.RawMessage, error) {
	f.last++
	type command struct {
		ID     int    `json:"id"`
		Method string `json:"method"`
		Params any    `json:"params"`
	}
	_ = f.conn.SetReadDeadline(time.Now().Add(deadline))
	if err := f.conn.WriteJSON(command{f.last, method, params}); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	for {
		var answer struct {
			ID      int
			Result  json.RawMessage
			Error   string
			Message string
		}
		if err := f.conn.ReadJSON(&answer); err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		if answer.ID != f.last {
			continue // an event
		}
		if answer.Error != "" {
			return nil, fmt.Errorf("%s: %s: %s", method, answer.Error, answer.Message)
		}
		return answer.Result, nil
	}
}

// call sends a command that must succeed.
func (f *firefox) call(method string, params, result any) {
	f.t.Helper()
	raw, err := f.send(method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		f.t.Fatalf("Firefox: %v", err)
	}
}

func (f *firefox) evaluate(js string, value any) {
	f.t.Helper()
	var got struct {
		Type             string
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	f.call("script.evaluate", map[string]any{
		"expression":   "JSON.stringify(" + js + ")",
		"target":       map[string]string{"context": f.tab},
		"awaitPromise": false,
	}, &got)
	if got.Type != "success" {
		f.t.Fatalf("%s: %s", js, got.ExceptionDetails.Text)
	}
	if err := json.Unmarshal([]byte(got.Result.Value), value); err != nil {
		f.t.Fatalf("%s is %q: %v", js, got.Result.Value, err)
	}
}

func (f *firefox) navigate(url string) {
	f.t.Helper()
	f.call("browsingContext.navigate", map[string]string{"context": f.tab, "url": url, "wait": "complete"}, nil)
}

func (f *firefox) hide() {
	f.t.Helper()
	f.call("browsingContext.create", map[string]string{"type": "tab"}, nil)
}

func (f *firefox) pid() int { return f.id }

func (f *firefox) click(selector string) {
	f.t.Helper()
	type action struct {
		Type   string `json:"type"`
		X      int    `json:"x"`
		Y      int    `json:"y"`
		Button int    `json:"button"`
	}
	quoted, err := json.Marshal(selector)
	if err != nil {
		f.t.Fatal(err)
	}
	var at struct{ X, Y, Width, Height float64 }
	f.evaluate(fmt.Sprintf("document.querySelector(%s).getBoundingClientRect()", quoted), &at)
	x, y := int(at.X+at.Width/2), int(at.Y+at.Height/2)
	f.call("input.performActions", map[string]any{
		"context": f.tab,
		"actions": []any{map[string]any{
			"type": "pointer", "id": "mouse",
			"actions": []action{{"pointerMove", x, y, 0}, {"pointerDown", x, y, 0}, {"pointerUp", x, y, 0}},
		}},
	}, nil)
}
