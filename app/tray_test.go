//go:build linux

package main

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"earshot/assets/icons"
	"earshot/tray/traytest"
)

// onDesktop launches earshot with its tray icon in a tray.
func onDesktop(t *testing.T, env []string, args ...string) (*running, *traytest.Item, *traytest.Notices) {
	t.Helper()
	bus := traytest.StartBus(t)
	desktop, notices := bus.StartTray(), bus.StartNotices()
	r := launch(t, bus.Env(env), append([]string{"--source", "tone"}, args...)...)
	return r, desktop.Item(r.cmd.Process.Pid), notices
}

// shows waits until the tray icon is the picture in file.
func shows(t *testing.T, icon *traytest.Item, what string, file []byte) {
	t.Helper()
	want, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the icon for "+what, func() bool {
		got := icon.Icon()
		for i := range 64 * 64 {
			if got.At(i%64, i/64) != color.NRGBAModel.Convert(want.At(i%64, i/64)) {
				return false
			}
		}
		return true
	})
}

// ends waits until the program has ended by itself, well.
func (r *running) ends() {
	r.t.Helper()
	waitFor(r.t, "earshot ends", func() bool {
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	if status := r.cmd.ProcessState.ExitCode(); status != 0 {
		r.t.Errorf("exit status %d", status)
	}
}

// works checks that link lets somebody in.
func (r *running) works(link string) {
	r.t.Helper()
	base, tok, found := strings.Cut(link, "/#")
	if !found || base != r.status().URL {
		r.t.Fatalf("%q is no share link of %s", link, r.status().URL)
	}
	if code, body := r.get("/api/session", tok); code != http.StatusOK {
		r.t.Errorf("the link gets %d, %s", code, body)
	}
}

func TestTrayStartsAndStops(t *testing.T) {
	t.Parallel()
	r, icon, _ := onDesktop(t, plainEnv(t.TempDir()))
	icon.WaitStatus("Stopped")
	shows(t, icon, "stopped", icons.Idle)
	want := []string{"Stopped", "Start", "Copy share link", "More links", "Listeners", "Start on login", "Go live when started", "Notifications", "Quit"}
	if got := traytest.Labels(icon.Menu()); !slices.Equal(got, want) {
		t.Errorf("the menu is %q, want %q", got, want)
	}

	for _, by := range []struct{ start, stop func() }{
		{icon.Click, icon.Click},
		{func() { icon.Choose("Start") }, func() { icon.Choose("Stop") }},
	} {
		by.start()
		r.waitStatus("live", func(st status) bool { return st.State == stateLive })
		icon.WaitStatus("Live · nobody listening")
		shows(t, icon, "live", icons.Live)
		icon.WaitMenu("what is shared", func(lines []traytest.Line) bool {
			return strings.HasPrefix(lines[1].Label, "Sharing ") && strings.Contains(lines[1].Label, "tone")
		})
		by.stop()
		r.waitStatus("stopped", func(st status) bool { return st.State == stateStopped })
		icon.WaitStatus("Stopped")
		shows(t, icon, "stopped", icons.Idle)
	}

	// What another program does is shown too.
	r.must("start")
	icon.WaitStatus("Live · nobody listening")
}

func TestTrayNamesListeners(t *testing.T) {
	t.Parallel()
	r, icon, _ := onDesktop(t, plainEnv(t.TempDir()), "--start")
	icon.WaitStatus("Live · nobody listening")
	conn, _, _ := r.listen(r.made("--name", "Bob\u202e_<b>\n").Token)
	defer conn.Close()
	icon.WaitStatus("Live · 1 listening")
	shows(t, icon, "listening", icons.Listening)
	icon.WaitMenu("the listener", func(lines []traytest.Line) bool {
		i := slices.IndexFunc(lines, func(l traytest.Line) bool { return l.Label == "Listeners (1)" })
		return i >= 0 && slices.Equal(traytest.Labels(lines[i].Lines), []string{"Bob_<b> — just now"})
	})
	if tip := icon.Tooltip(); tip != "Earshot · Live · 1 listening" {
		t.Errorf("the tooltip is %q", tip)
	}
	conn.Close()
	icon.WaitStatus("Live · nobody listening")
	shows(t, icon, "live", icons.Live)
}

func TestTrayTellsOfTrouble(t *testing.T) {
	t.Parallel()
	r, icon, _ := onDesktop(t, plainEnv(t.TempDir()), "--source", "loopback", "--start")
	r.waitStatus("trouble", func(st status) bool { return st.State == stateTrouble })
	icon.WaitMenu("the trouble", func(lines []traytest.Line) bool {
		return strings.EqualFold(lines[0].Label, r.status().Trouble)
	})
	shows(t, icon, "trouble", icons.Trouble)
	icon.Choose("Stop")
	icon.WaitStatus("Stopped")
	shows(t, icon, "stopped", icons.Idle)
}

func TestTrayCopiesALink(t *testing.T) {
	t.Parallel()
	display := traytest.StartDisplay(t)
	r, icon, notices := onDesktop(t, display.Env(plainEnv(t.TempDir())))
	icon.Choose("Copy share link")
	notice := notices.Wait("the notification that the link is copied", func(n traytest.Notice) bool {
		return strings.Contains(strings.ToLower(n.Title), "copied")
	})
	paste := exec.Command("xclip", "-out", "-selection", "clipboard")
	paste.Env = display.Env(os.Environ())
	link, err := paste.Output()
	if err != nil {
		t.Fatalf("paste (Debian package xclip): %v", err)
	}
	r.works(string(link))
	if !strings.Contains(notice.Body, "this computer") { // that it listens on
		t.Errorf("the notification doesn't say where the link works: %q", notice.Body)
	}
	_, tok, _ := strings.Cut(string(link), "#")
	if strings.Contains(notice.Title+notice.Body+r.log.String(), tok) {
		t.Error("the token is in the notification or the log")
	}
}

// The owner removes who listens and withdraws links from the menu.
func TestTrayRemovesAndWithdraws(t *testing.T) {
	t.Parallel()
	display := traytest.StartDisplay(t)
	r, icon, notices := onDesktop(t, display.Env(plainEnv(t.TempDir())), "--start")
	notice := func(title string) {
		t.Helper()
		notices.Wait("the notification "+title, func(n traytest.Notice) bool { return n.Title == title })
	}
	ann, bob := r.made("--name", "Ann"), r.made("--name", "Bob")
	annConn, _, _ := r.listen(ann.Token)
	bobConn, _, _ := r.listen(bob.Token)
	icon.Choose("Listeners (2)", "Bob — just now", "Remove")
	if code := closed(t, bobConn); code != 4402 {
		t.Errorf("removed: close code %d", code)
	}
	notice("Bob is removed")
	if conn, _, _ := r.listen(bob.Token); conn == nil {
		t.Error("removed alone, Bob can't come back")
	}
	icon.Choose("Listeners (2)", "Ann — just now", "Remove and withdraw the link")
	closed(t, annConn)
	notice("Ann is removed")
	if _, status, _ := r.listen(ann.Token); status != 401 {
		t.Errorf("the withdrawn link gets %d", status)
	}

	icon.Choose("More links", "Copy a link for one person only")
	notice("Share link copied")
	if l := r.listed()[0]; l.Listeners != 1 {
		t.Errorf("the newest link: %+v", l)
	}
	icon.Choose("More links", "Withdraw all links", "Yes, all that were made until now")
	notice("All links withdrawn")
	icon.WaitStatus("Live · nobody listening")
	for _, l := range r.listed() {
		if !l.Withdrawn {
			t.Errorf("%+v is good", l)
		}
	}
}

// Without a program to copy with, a page in the browser shows the link.
func TestTrayShowsALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\necho \"$@\" >'"+opened+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, icon, _ := onDesktop(t, append(plainEnv(t.TempDir()), "PATH="+dir))
	icon.Choose("Copy share link")
	var address string
	waitFor(t, "the page to be opened", func() bool {
		text, err := os.ReadFile(opened)
		address = strings.TrimSpace(string(text))
		return err == nil && strings.HasSuffix(string(text), "\n")
	})
	_, _, page := visit(t, "GET", address, "")
	_, rest, _ := strings.Cut(page, "<textarea")
	_, rest, _ = strings.Cut(rest, ">")
	link, _, found := strings.Cut(rest, "</textarea>")
	if !found {
		t.Fatalf("the page is %q", page)
	}
	r.works(link)
	_, tok, _ := strings.Cut(link, "#")
	if strings.Contains(address+r.log.String(), tok) {
		t.Error("the token is in an argument or the log")
	}
}

func TestTrayQuits(t *testing.T) {
	t.Parallel()
	r, icon, _ := onDesktop(t, plainEnv(t.TempDir()), "--start")
	icon.WaitStatus("Live · nobody listening")
	icon.Choose("Quit")
	r.ends()
}

func TestTrayQuitsWithTheSession(t *testing.T) {
	t.Parallel()
	bus := traytest.StartBus(t)
	desktop := bus.StartTray()
	r := launch(t, bus.Env(plainEnv(t.TempDir())), "--source", "tone", "--start")
	desktop.Item(r.cmd.Process.Pid).WaitStatus("Live · nobody listening")
	bus.Kill()
	r.ends()
}

func TestTrayComesWithItsDesktop(t *testing.T) {
	t.Parallel()
	bus := traytest.StartBus(t)
	r := launch(t, append(bus.Env(plainEnv(t.TempDir())), "XDG_CURRENT_DESKTOP=GNOME"), "--source", "tone", "--start")
	waitFor(t, "it says that there is no tray", func() bool {
		return strings.Contains(r.log.String(), "AppIndicator")
	})
	icon := bus.StartTray().Item(r.cmd.Process.Pid)
	icon.Choose("Stop")
	r.waitStatus("stopped", func(st status) bool { return st.State == stateStopped })
}

func TestNoTrayWithoutADesktop(t *testing.T) {
	t.Parallel()
	r := launch(t, traytest.NoBus(plainEnv(t.TempDir())), "--source", "tone", "--start")
	waitFor(t, "it says that it runs without a tray", func() bool {
		return strings.Contains(r.log.String(), "without a tray")
	})
	r.waitStatus("live", func(st status) bool { return st.State == stateLive })
	if status := r.quit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestTrayStartsOnLogin(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	writeConfig(t, home, "listen = \"127.0.0.1:0\"\nsource = \"tone\"\n")
	r, icon, _ := onDesktop(t, plainEnv(home))
	checked := func(want bool) {
		t.Helper()
		icon.WaitMenu("start on login to change", func([]traytest.Line) bool {
			line, ok := icon.Find("Start on login")
			return ok && line.Checked == want
		})
	}
	checked(false)
	icon.Choose("Start on login")
	checked(true)
	icon.Choose("Start on login")
	checked(false)
	icon.Choose("Start on login")
	checked(true)
	icon.Choose("Quit")
	r.ends()

	login := exec.Command("dex", "--autostart", "--environment", "XFCE")
	login.Env = append(r.env, "XDG_CONFIG_DIRS="+filepath.Join(home, "none"))
	// No pipe for what it prints: the program that it starts would hold that.
	if err := login.Run(); err != nil {
		t.Fatalf("log in (Debian package dex): %v", err)
	}
	waitFor(t, "a login starts earshot", func() bool { return r.run("status").status == 0 })
	if err := syscall.Kill(r.status().PID, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	waitFor(t, "that earshot ends", func() bool { return r.run("status").status == exitNotRunning })
}

// In a real panel the icon is there, a click on it starts the stream, and a
// right click opens the menu.
func TestTrayInAPanel(t *testing.T) {
	panel := traytest.StartPanel(t)
	r := launch(t, panel.Env(plainEnv(t.TempDir())), "--source", "tone")
	has := func(file []byte) func() bool {
		return func() bool { return hasColour(panel.Icon(), pictureColour(t, file)) }
	}
	waitFor(t, "the icon in the panel", has(icons.Idle))
	panel.Click(1)
	r.waitStatus("live", func(st status) bool { return st.State == stateLive })
	waitFor(t, "the icon to change", has(icons.Live))
	for _, name := range []string{"Ann", "Guest · Firefox on Android"} {
		r.listen(r.made("--name", name).Token)
	}
	waitFor(t, "the icon to change again", has(icons.Listening))

	before := panel.Screen()
	panel.Click(3)
	waitFor(t, "the menu", func() bool { return changed(before, panel.Screen()) > 10_000 })
	opens := func(what string, x, y int, beside image.Rectangle) {
		before := part(panel.Screen(), beside)
		waitFor(t, what, func() bool {
			x ^= 1 // a menu that was slow to open has missed the pointer before
			panel.Point(x, y)
			return changed(before, part(panel.Screen(), beside)) > 5_000
		})
	}
	opens("the submenu of listeners", 60, 175, image.Rect(250, 0, 800, 600))
	opens("what can be done about Ann", 300, 175, image.Rect(620, 165, 790, 215))
	var shot bytes.Buffer
	if err := png.Encode(&shot, part(panel.Screen(), image.Rect(0, 0, 800, 305))); err != nil {
		t.Fatal(err)
	}
	picture(t, "tray.png", shot.Bytes())
	panel.Press("Escape", "Escape", "Escape")
	if status := r.quit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	waitFor(t, "the icon to go", func() bool { return !has(icons.Listening)() })
}

// When the panel crashes and is back, so is the icon, as it should be now.
func TestTrayWhenThePanelRestarts(t *testing.T) {
	panel := traytest.StartPanel(t)
	r := launch(t, panel.Env(plainEnv(t.TempDir())), "--source", "tone")
	has := func(file []byte) func() bool {
		return func() bool { return hasColour(panel.Icon(), pictureColour(t, file)) }
	}
	waitFor(t, "the icon in the panel", has(icons.Idle))
	for range 3 {
		panel.Restart()
		waitFor(t, "the icon in the new panel", has(icons.Idle))
	}
	panel.Click(1)
	r.waitStatus("live", func(st status) bool { return st.State == stateLive })
	waitFor(t, "the icon to change", has(icons.Live))
	panel.Restart()
	waitFor(t, "the icon for live in the new panel", has(icons.Live))
}

// pictureColour is the one colour of a tray icon.
func pictureColour(t *testing.T, file []byte) color.Color {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 * 64 {
		if _, _, _, a := img.At(i%64, i/64).RGBA(); a != 0 {
			return img.At(i%64, i/64)
		}
	}
	t.Fatal("the icon is empty")
	return nil
}

// hasColour tells whether ten pixels of img, and so more than chance, are of
// colour c or nearly.
func hasColour(img image.Image, c color.Color) bool {
	r, g, b, _ := c.RGBA()
	near := func(a, b uint32) bool { return max(a, b)-min(a, b) < 0x0c00 }
	n := 0
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			r2, g2, b2, _ := img.At(x, y).RGBA()
			if near(r, r2) && near(g, g2) && near(b, b2) {
				n++
			}
		}
	}
	return n >= 10
}

// part is the part of img in r.
func part(img image.Image, r image.Rectangle) image.Image {
	out := image.NewRGBA(r)
	draw.Draw(out, r, img, r.Min, draw.Src)
	return out
}

// changed is how many pixels differ.
func changed(a, b image.Image) int {
	n := 0
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				n++
			}
		}
	}
	return n
}
