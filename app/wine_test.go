//go:build wine

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/assets/icons"
	"earshot/audio"
	"earshot/audio/audiotest"
	"earshot/tray/traytest"
)

// wine is Windows as Wine has it, with a display of its own. build/test makes
// what these tests need: bin/wine, bin/earshot.exe and bin/capture.test.exe.
type wine struct {
	t       *testing.T
	display *traytest.Display
	env     []string
	local   string // %LocalAppData%
	roaming string // %AppData%
	log     *output
}

// bin is where build/test puts what these tests run.
func bin(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "bin", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: run ./build/test, which makes it", err)
	}
	return path
}

// startWine brings up a desktop for t, with a program in it.
func startWine(t *testing.T, env ...string) *wine {
	t.Helper()
	prefix := bin(t, "wine")
	w := &wine{t: t, display: traytest.StartDisplay(t), log: &output{}}
	home, err := os.ReadDir(filepath.Join(prefix, "drive_c", "users"))
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range home {
		if user.Name() != "Public" {
			w.local = filepath.Join(prefix, "drive_c", "users", user.Name(), "AppData", "Local")
			w.roaming = filepath.Join(prefix, "drive_c", "users", user.Name(), "AppData", "Roaming")
		}
	}
	w.env = append(w.display.Env([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.Getenv("HOME"),
		"WINEPREFIX=" + prefix,
		"WINEDEBUG=-all",
		"WINEDLLOVERRIDES=mscoree,mshtml=",
		"PULSE_SERVER=none",
	}), env...)
	// Else each program that ends would take all of Windows with it.
	w.launch("explorer", "/desktop=earshot,800x600")
	t.Cleanup(func() {
		for _, how := range []string{"-k", "-w"} { // end all, and wait for that
			cmd := exec.Command("wineserver", how)
			cmd.Env = w.env
			_ = cmd.Run() // fails where nothing runs
		}
		for _, dir := range []string{w.local, w.roaming} {
			if err := os.RemoveAll(filepath.Join(dir, "Earshot")); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("earshot printed:\n%s", w.log)
		}
	})
	return w
}

// start starts earshot on a desktop with a taskbar, and waits until it answers.
func (w *wine) start(args ...string) {
	w.t.Helper()
	w.launch(append([]string{"explorer", "/desktop=earshot,800x600", bin(w.t, "earshot.exe")}, args...)...)
	w.answers()
}

// launch starts a program of Wine's and leaves it running.
func (w *wine) launch(args ...string) {
	w.t.Helper()
	cmd := exec.Command("wine", args...)
	cmd.Env = w.env
	// Not a buffer: whatever the program leaves behind would hold the pipe.
	log, err := os.Create(filepath.Join(w.t.TempDir(), "log"))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatalf("start Wine (Debian packages wine and wine64): %v", err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil {
			_, _ = w.log.Write(text)
		}
	})
}

// answers waits until an earshot answers. The first time of all Wine hangs, since
// its pipes begin otherwise than those of Windows.
func (w *wine) answers() {
	w.t.Helper()
	var got result
	for range 60 { // a busy machine takes its time to start Wine
		if got = w.run("status"); got.status == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	w.t.Fatalf("earshot does not answer: %+v", got)
}

// run runs earshot.exe to its end.
func (w *wine) run(args ...string) result {
	w.t.Helper()
	return w.wine(append([]string{bin(w.t, "earshot.exe")}, args...)...)
}

// wine runs a program of Wine's to its end.
func (w *wine) wine(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline) // when the test ends, too
	defer cancel()
	cmd := exec.CommandContext(ctx, "wine", args...)
	cmd.Env = w.env
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		w.t.Fatalf("run Wine (Debian packages wine and wine64): %v", err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func (w *wine) must(args ...string) string {
	w.t.Helper()
	got := w.run(args...)
	if got.status != 0 {
		w.t.Fatalf("earshot %s: status %d\n%s", strings.Join(args, " "), got.status, got.err)
	}
	return strings.TrimSpace(got.out)
}

func (w *wine) status() (st status) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.must("status", "--json")), &st); err != nil {
		w.t.Fatal(err)
	}
	return st
}

// The icon is at the right end of the taskbar; its menu ends where it is
// clicked, and has lines of 17 pixels.
var (
	iconAt   = image.Pt(791, 590)
	iconPart = image.Rect(780, 580, 800, 600)
)

func (w *wine) click(at image.Point, button int) {
	w.t.Helper()
	w.display.Do(w.t, "mousemove", fmt.Sprint(at.X), fmt.Sprint(at.Y), "click", fmt.Sprint(button))
}

func (w *wine) shows(what string, file []byte) {
	w.t.Helper()
	want := pictureColour(w.t, file)
	waitFor(w.t, "the icon for "+what, func() bool { return hasColour(part(w.display.Screen(w.t), iconPart), want) })
}

// menu opens the menu and returns where its lines are, by their numbers: the
// first is 0, the last -1.
func (w *wine) menu() func(line int) image.Point {
	w.t.Helper()
	before := w.display.Screen(w.t)
	w.click(iconAt, 3)
	white := func(img image.Image, y int) bool {
		r, g, b, _ := img.At(iconAt.X-15, y).RGBA()
		return min(r, g, b) > 0xd000
	}
	var now image.Image
	waitFor(w.t, "the menu", func() bool {
		now = w.display.Screen(w.t)
		return changed(before, now) > 10_000
	})
	top := iconAt.Y - 10
	for white(now, top-1) || white(now, top-10) { // lines, and what is between them
		top--
	}
	return func(line int) image.Point {
		y := iconAt.Y - 12 + 17*(line+1)
		if line >= 0 {
			y = top + 11 + 17*line
			if line > 0 {
				y += 9 // what parts the status from the rest
			}
		}
		return image.Pt(iconAt.X-100, y)
	}
}

// Lines of the menu while the stream is stopped.
const (
	lineStart     = 1
	lineCopy      = 2
	lineAutostart = -4
	lineQuit      = -1
)

func (w *wine) choose(line int) {
	w.t.Helper()
	w.click(w.menu()(line), 1)
}

func (w *wine) registry(args ...string) result {
	w.t.Helper()
	return w.wine(append([]string{"reg"}, args...)...)
}

func TestWineServer(t *testing.T) {
	w := startWine(t)
	w.start("--source", "tone", "--listen", "127.0.0.1:0")
	if _, err := os.Stat(filepath.Join(w.local, "Earshot", "key.pem")); err != nil {
		t.Errorf("no key in the data folder: %v", err)
	}
	if st := w.status(); st.State != stateStopped {
		t.Errorf("status %+v", st)
	}
	w.must("start")
	if st := w.status(); st.State != stateLive {
		t.Errorf("status %+v", st)
	}
	var made madeLink
	if err := json.Unmarshal([]byte(w.must("link", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+w.status().Listen+"/",
		http.Header{"Authorization": {"Bearer " + made.Token}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for packets := 0; packets < 50; {
		if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		kind, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		if _, err := audio.ParseMessage(message); err != nil {
			t.Fatal(err)
		}
		packets++
	}
	if _, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+w.status().Listen+"/", nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("without a token: %v", err)
	}
	if all := w.must("listeners"); !strings.Contains(all, "Guest") {
		t.Errorf("listeners: %s", all)
	}

	// The port is taken, and so is the folder.
	if got := w.run("--headless", "--listen", w.status().Listen, "--data", `C:\other`); got.status != exitFailure || !strings.Contains(got.err, "is taken by another program") {
		t.Errorf("a second one at the same port: %+v", got)
	}
	if got := w.run("--headless"); got.status != 0 || !strings.Contains(got.out, "already running") {
		t.Errorf("a second one: %+v", got)
	}
	if got := w.run("status", "--data", `C:\none`); got.status != exitNotRunning {
		t.Errorf("the status of none: %+v", got)
	}

	// A crash leaves nothing in the way.
	if got := w.wine("taskkill", "/f", "/im", "earshot.exe"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	waitFor(t, "it to be gone", func() bool { return w.run("status").status == exitNotRunning })
	w.launch(bin(t, "earshot.exe"), "--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	w.answers()
	if l := w.must("links"); !strings.Contains(l, made.ID[:8]) {
		t.Errorf("the links are gone: %s", l)
	}
}

// A program that opens no window of its own still says what it has to say where
// it was started. (Wine would hand its console down anyhow; Windows does not.)
func TestWineConsole(t *testing.T) {
	w := startWine(t)
	program := "Z:" + strings.ReplaceAll(bin(t, "earshot.exe"), "/", `\`)
	for name, line := range map[string]string{
		"console":    `wine cmd /c '` + program + ` version'`,
		"redirected": `wine cmd /c '` + program + ` version > C:\said.txt' && cat "$WINEPREFIX/drive_c/said.txt"`,
	} {
		if out := w.terminal(line); !strings.Contains(out, "earshot "+version) || !strings.Contains(out, "windows/amd64") {
			t.Errorf("%s: %q", name, out)
		}
	}
}

// terminal runs line in a terminal, which is closed when it ends, and returns
// what is to be seen there.
func (w *wine) terminal(line string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", line, "/dev/null")
	cmd.Env = w.env
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		w.t.Errorf("%s (Debian package bsdutils): %v", line, err)
	}
	return string(out)
}

func TestWineTray(t *testing.T) {
	w := startWine(t)
	w.start("--source", "tone", "--listen", "127.0.0.1:0")
	w.shows("stopped", icons.Idle)
	w.click(iconAt, 1)
	w.shows("live", icons.Live)
	if st := w.status(); st.State != stateLive {
		t.Errorf("after a click: %+v", st)
	}
	time.Sleep(time.Second) // else it would be a double click
	w.click(iconAt, 1)
	w.shows("stopped", icons.Idle)
	w.choose(lineStart)
	w.shows("live", icons.Live)
	w.must("stop")
	w.shows("stopped", icons.Idle)

	// Started twice, it says so in a box, and ends when that is closed.
	before := w.display.Screen(t)
	ended := make(chan result, 1)
	go func() { ended <- w.run() }()
	box := image.Rect(100, 150, 700, 450)
	waitFor(t, "a box", func() bool { return changed(part(before, box), part(w.display.Screen(t), box)) > 5_000 })
	select {
	case got := <-ended:
		t.Errorf("a second one does not wait for its box: %+v", got)
	default:
	}
	w.display.Do(t, "search", "--name", "^Earshot$", "mousemove", "--window", "%1", "149", "67", "click", "1") // OK
	if got := <-ended; got.status != 0 || !strings.Contains(got.out, "already running") {
		t.Errorf("a second one: %+v", got)
	}

	before = w.display.Screen(t)
	w.choose(lineCopy)
	var link string
	waitFor(t, "the link on the clipboard", func() bool {
		paste := exec.Command("xclip", "-out", "-selection", "clipboard")
		paste.Env = w.env
		out, err := paste.Output()
		link = string(out)
		return err == nil && strings.HasPrefix(link, "http://")
	})
	_, tok, _ := strings.Cut(link, "#")
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+w.status().Listen+"/", http.Header{"Authorization": {"Bearer " + tok}})
	if err != nil {
		t.Fatalf("the link that was copied: %v", err)
	}
	conn.Close()
	balloon := image.Rect(400, 520, 800, 575)
	waitFor(t, "a notification", func() bool { return changed(part(before, balloon), part(w.display.Screen(t), balloon)) > 5_000 })
	var shot bytes.Buffer
	if err := png.Encode(&shot, w.display.Screen(t)); err != nil {
		t.Fatal(err)
	}
	picture(t, "windows.png", shot.Bytes())
}

// What the menu writes down makes a login start earshot, unless the user has
// switched it off in Settings.
func TestWineStartsOnLogin(t *testing.T) {
	w := startWine(t)
	if err := os.MkdirAll(filepath.Join(w.roaming, "Earshot"), 0o700); err != nil {
		t.Fatal(err)
	}
	config := []byte("listen = \"127.0.0.1:0\"\nsource = \"tone\"\n")
	if err := os.WriteFile(filepath.Join(w.roaming, "Earshot", "config.toml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		run      = `HKCU\Software\Microsoft\Windows\CurrentVersion\Run`
		approved = `HKCU\Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run`
	)
	w.start()
	w.shows("stopped", icons.Idle)
	says := func(want string) {
		t.Helper()
		waitFor(t, "doctor to say that start on login is "+want, func() bool { return w.finding("start on login").Says == want })
	}
	says("off")
	w.choose(lineAutostart)
	says("on")
	if got := w.registry("query", run, "/v", "Earshot"); !strings.Contains(got.out, "earshot.exe") {
		t.Errorf("the Run key: %+v", got)
	}
	if got := w.registry("add", approved, "/v", "Earshot", "/t", "REG_BINARY", "/d", "030000000000000000000000"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	says("off")
	w.must("start") // anything that makes the tray look again
	w.must("stop")
	w.choose(lineAutostart)
	says("on")
	w.choose(lineQuit)
	waitFor(t, "it to end", func() bool { return w.run("status").status == exitNotRunning })

	w.launch("wineboot")
	w.answers()
	if got := w.registry("delete", run, "/v", "Earshot", "/f"); got.status != 0 {
		t.Errorf("%+v", got)
	}
	says("off")
}

// finding is what doctor says of name.
func (w *wine) finding(name string) finding {
	w.t.Helper()
	got := w.run("doctor", "--json", "--source", "tone")
	var report checkup
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		w.t.Fatalf("doctor: %v: %+v", err, got)
	}
	for _, f := range report.Checks {
		if f.Name == name {
			return f
		}
	}
	w.t.Fatalf("doctor says nothing of %s: %+v", name, report)
	return finding{}
}

func TestWineFirewall(t *testing.T) {
	w := startWine(t)
	const policy = `HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy`
	set := func(key, name, kind, value string) {
		t.Helper()
		if got := w.registry("add", policy+`\`+key, "/v", name, "/t", kind, "/d", value, "/f"); got.status != 0 {
			t.Fatalf("%+v", got)
		}
	}
	t.Cleanup(func() { w.registry("delete", policy, "/f") })
	want := func(state, says, do string) {
		t.Helper()
		f := w.finding("firewall")
		if f.State != state || !strings.Contains(f.Says, says) || !strings.Contains(f.Do, do) {
			t.Errorf("%+v, want %s, %q, %q", f, state, says, do)
		}
	}
	program := "Z:" + strings.ReplaceAll(bin(t, "earshot.exe"), "/", `\`)
	want(checkOK, "none known", "")
	set("FirewallRules", "other", "REG_SZ", `v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=17|App=`+program+`|Name=a|`)
	set("StandardProfile", "EnableFirewall", "REG_DWORD", "1")
	want(checkNote, "Windows Defender Firewall is on", "netsh advfirewall firewall add rule name=Earshot dir=in action=allow protocol=TCP localport=3277")
	set("FirewallRules", "port", "REG_SZ", `v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3277|Name=b|`)
	want(checkOK, "lets listeners in", "")
	set("FirewallRules", "cancel", "REG_SZ", `v2.31|Action=Block|Active=TRUE|Dir=In|Protocol=6|App=`+strings.ToUpper(program)+`|Name=earshot.exe|`)
	want(checkWrong, "holds listeners on other devices back", `set rule name="earshot.exe" dir=in new action=allow`)
	set("FirewallRules", "cancel", "REG_SZ", `v2.31|Action=Block|Active=FALSE|Dir=In|Protocol=6|App=`+program+`|Name=earshot.exe|`)
	want(checkOK, "lets listeners in", "")
}

// Capture is what Windows does, but for the loopback, which Wine has not: the
// monitor of an output stands in for it.
func TestWineCapture(t *testing.T) {
	server := audiotest.StartPulse(t, "speakers")
	w := startWine(t, server.Env()...)
	server.PlaySine("speakers", 440)
	got := w.wine(bin(t, "capture.test.exe"), "-test.run", "Monitor", "-test.v")
	if got.status != 0 || !strings.Contains(got.out, "--- PASS: TestMonitor") {
		t.Errorf("status %d\n%s%s", got.status, got.out, got.err)
	}
}
