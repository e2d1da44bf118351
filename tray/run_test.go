//go:build linux

package tray

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot/assets/icons"
	"earshot/tray/traytest"
)

// app is this test binary run as a tray program.
type app struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	log  output // standard error
	out  output // standard output
	done chan struct{}
}

// output keeps what a program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func start(t *testing.T, env []string) *app {
	t.Helper()
	a := &app{t: t, cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	// Under the race detector, the library's races are none of our failures.
	a.cmd.Env = append(env, asProgram+"=run", "GORACE=exitcode=0")
	a.cmd.Stdout, a.cmd.Stderr = &a.out, &a.log
	in, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.in = in
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		a.cmd.Wait()
		close(a.done)
	}()
	t.Cleanup(func() {
		a.cmd.Process.Kill()
		<-a.done
		if t.Failed() {
			t.Logf("the program printed\n%sand logged\n%s", a.out.String(), a.log.String())
		}
	})
	return a
}

func (a *app) set(s State) {
	a.t.Helper()
	if err := json.NewEncoder(a.in).Encode(s); err != nil {
		a.t.Fatal(err)
	}
}

// prints waits until the program has printed line, n times in all.
func (a *app) prints(line string, n int) {
	a.t.Helper()
	traytest.Until(a.t, fmt.Sprintf("the program to print %q, %d times", line, n), func() bool {
		return strings.Count(a.out.String(), line+"\n") == n
	})
}

// ends waits until the program has ended, with status 0 and last as its last
// line.
func (a *app) ends(last string) {
	a.t.Helper()
	traytest.Until(a.t, "the program to end", func() bool {
		select {
		case <-a.done:
			return true
		default:
			return false
		}
	})
	if code := a.cmd.ProcessState.ExitCode(); code != 0 || !strings.HasSuffix(a.out.String(), last+"\n") {
		a.t.Errorf("the program ended with status %d, printing %q; want %q last", code, a.out.String(), last)
	}
}

// shows waits until the icon is want, a PNG.
func shows(t *testing.T, i *traytest.Item, name string, want []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	traytest.Until(t, "the icon "+name, func() bool { return same(i.Icon(), img) })
}

func same(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r1, g1, b1, a1 := a.At(x, y).RGBA()
			r2, g2, b2, a2 := b.At(x, y).RGBA()
			if r1 != r2 || g1 != g2 || b1 != b2 || a1 != a2 {
				return false
			}
		}
	}
	return true
}

func TestTray(t *testing.T) {
	t.Parallel()
	bus := traytest.StartBus(t)
	desktop := bus.StartTray()
	a := start(t, bus.Env(os.Environ()))
	a.set(State{Output: "Built-in Audio", AutostartKnown: true})
	icon := desktop.Item(a.cmd.Process.Pid)

	icon.WaitStatus("Stopped")
	shows(t, icon, "idle", icons.Idle)
	if icon.Title() != "Earshot" || icon.Tooltip() != "Earshot · Stopped" || icon.IsMenu() {
		t.Errorf("title %q, tooltip %q, a click opens the menu: %v", icon.Title(), icon.Tooltip(), icon.IsMenu())
	}
	want := []string{"Stopped", "Start", "Copy share link", "More links", "Listeners", "Start on login", "Go live when started", "Notifications", "Quit"}
	if got := traytest.Labels(icon.Menu()); !slices.Equal(got, want) {
		t.Errorf("the menu is %q, want %q", got, want)
	}

	icon.Click()
	a.prints("do toggle 0", 1)
	icon.Choose("Start")
	a.prints("do start 0", 1)
	a.set(State{Mode: Live, Output: "test_tone", AutostartKnown: true})
	icon.WaitStatus("Live · nobody listening")
	shows(t, icon, "live", icons.Live)
	want = []string{"Live · nobody listening", "Sharing test_tone", "Stop", "Copy share link", "More links", "Listeners", "Start on login", "Go live when started", "Notifications", "Quit"}
	if got := traytest.Labels(icon.Menu()); !slices.Equal(got, want) {
		t.Errorf("the menu is %q, want %q", got, want)
	}

	a.set(State{Mode: Live, Listeners: []Listener{
		{ID: 7, Name: "Ann_1", Since: time.Now().Add(-12 * time.Minute)}, {ID: 8, Name: "\u202ebob\n", Since: time.Now()},
	}, AutostartKnown: true, Autostart: true})
	icon.WaitStatus("Live · 2 listening")
	shows(t, icon, "listening", icons.Listening)
	icon.WaitMenu("two listeners", func(all []traytest.Line) bool {
		i := slices.IndexFunc(all, func(l traytest.Line) bool { return l.Label == "Listeners (2)" })
		return i >= 0 && slices.Equal(traytest.Labels(all[i].Lines), []string{"Ann_1 — 12 min", "bob — just now"})
	})
	if login, _ := icon.Find("Start on login"); !login.Checked {
		t.Error("start on login is on, and not checked")
	}
	icon.Choose("Start on login")
	a.prints("do toggle autostart 0", 1)
	icon.Choose("Go live when started")
	a.prints("do toggle start 0", 1)
	icon.Choose("Notifications", "Trouble with the sound")
	a.prints("do toggle trouble notice 0", 1)
	icon.Choose("Copy share link")
	a.prints("do copy link 0", 1)
	icon.Choose("More links", "Copy a link for 1 hour")
	a.prints("do copy link for an hour 0", 1)
	icon.Choose("More links", "Withdraw all links", "Yes, all that were made until now")
	a.prints("do withdraw all links 0", 1)
	icon.Choose("Listeners (2)", "bob — just now", "Remove and withdraw the link")
	a.prints("do remove and withdraw link 8", 1)

	a.set(State{Mode: Trouble, Trouble: "No sound server"})
	icon.WaitStatus("No sound server")
	shows(t, icon, "trouble", icons.Trouble)
	if _, there := icon.Find("Start on login"); there {
		t.Error("start on login is shown where it isn't known")
	}
	icon.WaitMenu("nobody listening", func(all []traytest.Line) bool {
		i := slices.IndexFunc(all, func(l traytest.Line) bool { return l.Label == "Listeners" })
		return i >= 0 && slices.Equal(traytest.Labels(all[i].Lines), []string{"Nobody yet"})
	})
	icon.Choose("Stop")
	a.prints("do stop 0", 1)
	icon.Choose("Quit")
	a.prints("do quit 0", 1)
	if strings.Contains(a.out.String(), "advice") {
		t.Error("said that there is no tray where there is one")
	}

	a.in.Close()
	a.ends("ended <nil>")
}

func TestTrayTakesADoubleClickAsOne(t *testing.T) {
	t.Parallel()
	bus := traytest.StartBus(t)
	desktop := bus.StartTray()
	a := start(t, bus.Env(os.Environ()))
	a.set(State{})
	icon := desktop.Item(a.cmd.Process.Pid)
	icon.Activate()
	icon.Activate()
	icon.Choose("Copy share link")
	a.prints("do copy link 0", 1)
	a.prints("do toggle 0", 1)
}

func TestTrayEndsWithTheSession(t *testing.T) {
	t.Parallel()
	bus := traytest.StartBus(t)
	desktop := bus.StartTray()
	a := start(t, bus.Env(os.Environ()))
	a.set(State{Mode: Live})
	desktop.Item(a.cmd.Process.Pid).WaitStatus("Live · nobody listening")
	bus.Kill()
	a.ends("session ended")
}

func TestTrayWithoutASession(t *testing.T) {
	t.Parallel()
	a := start(t, traytest.NoBus(os.Environ()))
	a.ends("no session")
}

// With no address at all, the usual way to connect runs dbus-launch, and a bus
// that nobody asked for stays behind.
func TestTrayStartsNoBus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DBUS_SESSION_BUS_ADDRESS=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, asProgram+"=run", "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("dbus-launch was run")
	}
}

func TestTrayWaitsForADesktopWithATray(t *testing.T) {
	for desktop, want := range map[string]string{"ubuntu:GNOME": "gnome-shell-extension-appindicator", "XFCE": "status tray"} {
		t.Run(desktop, func(t *testing.T) {
			t.Parallel()
			bus := traytest.StartBus(t)
			a := start(t, append(bus.Env(os.Environ()), "XDG_CURRENT_DESKTOP="+desktop))
			a.set(State{Mode: Live})
			traytest.Until(t, "advice on "+desktop, func() bool {
				return strings.Contains(a.out.String(), "advice") && strings.Contains(a.out.String(), want)
			})
			if strings.Contains(a.log.String(), "level=WARN msg=\"systray") {
				t.Errorf("the library complains of what was said already:\n%s", a.log.String())
			}

			first := bus.StartTray()
			first.Item(a.cmd.Process.Pid).WaitStatus("Live · nobody listening")
			first.Stop()
			second := bus.StartTray()
			icon := second.Item(a.cmd.Process.Pid)
			shows(t, icon, "live", icons.Live)
			icon.Choose("Stop")
			a.prints("do stop 0", 1)
			if n := strings.Count(a.out.String(), "advice"); n != 1 {
				t.Errorf("advised %d times", n)
			}
		})
	}
}
