package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"earshot/audio/audiotest"
	"earshot/tray/traytest"
)

// titles are those of the notifications so far.
func titles(all *traytest.Notices) []string {
	var titles []string
	for _, n := range all.All() {
		titles = append(titles, n.Title)
	}
	return titles
}

func titled(title string) func(traytest.Notice) bool {
	return func(n traytest.Notice) bool { return n.Title == title }
}

// A sound server that goes is told of once, and once when it is back; a change
// of headphones isn't.
func TestNoticesOfTheSound(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.LoadSink("headphones", "device.description=Headphones")
	bus := traytest.StartBus(t)
	notices := bus.StartNotices()
	r := launch(t, bus.Env(soundEnv(t, sound)), "--start")
	shared := func(name string) {
		t.Helper()
		r.waitStatus(name+" to be shared", func(st status) bool { return st.State == stateLive && strings.Contains(st.Output, name) })
	}
	shared("Null Output") // the speakers
	sound.SetDefaultSink("headphones")
	shared("Headphones")
	sound.UnloadSink("headphones")
	shared("Null Output")
	sound.Kill()
	gone := notices.Wait("the notification of the trouble", titled("Nobody can hear you"))
	if want := "The sound server is not running. The sound goes on by itself."; gone.Body != want {
		t.Errorf("it says %q, want %q", gone.Body, want)
	}
	sound.Start()
	notices.Wait("the notification of its end", titled("You can be heard again"))
	if got := slices.DeleteFunc(titles(notices), func(t string) bool { return t == "No tray icon" }); len(got) != 2 {
		t.Errorf("notifications: %q", got)
	}
}

func TestNoticeOfAListener(t *testing.T) {
	t.Parallel()
	r, _, notices := onDesktop(t, plainEnv(t.TempDir()), "--start")
	conn, _, _ := r.listen(r.made("--name", "Ann <b>&").Token)
	notices.Wait("the notification of the first listener", titled("Ann <b>& listens"))
	conn.Close()
	r.waitStatus("nobody to listen", func(st status) bool { return st.Listeners == 0 })
	r.listen(r.made("--name", "Bob").Token)
	r.must("stop")
	if got := titles(notices); len(got) != 1 {
		t.Errorf("notifications: %q", got)
	}
}

// checks waits until the line of the menu is checked, or not.
func checks(icon *traytest.Item, want bool, labels ...string) {
	icon.WaitMenu(strings.Join(labels, ", ")+" to change", func(lines []traytest.Line) bool {
		var line traytest.Line
		for _, label := range labels {
			i := slices.IndexFunc(lines, func(l traytest.Line) bool { return l.Label == label })
			if i < 0 {
				return false
			}
			line, lines = lines[i], lines[i].Lines
		}
		return line.Checked == want
	})
}

// What is chosen in the menu holds at once, and at the next start.
func TestChoices(t *testing.T) {
	t.Parallel()
	bus := traytest.StartBus(t)
	desktop, notices := bus.StartTray(), bus.StartNotices()
	display := traytest.StartDisplay(t)
	r := launch(t, display.Env(bus.Env(plainEnv(t.TempDir()))), "--source", "tone")
	icon := desktop.Item(r.cmd.Process.Pid)
	checks(icon, false, "Go live when started")
	checks(icon, true, "Notifications", "The first listener")
	checks(icon, true, "Notifications", "A link was copied")
	icon.Choose("Go live when started")
	checks(icon, true, "Go live when started")
	icon.Choose("Notifications", "A link was copied")
	checks(icon, false, "Notifications", "A link was copied")
	icon.Choose("Copy share link")
	waitFor(t, "the link", func() bool { return len(r.listed()) == 1 })
	if got := r.status().State; got != stateStopped {
		t.Errorf("going live when started made it %s at once", got)
	}
	r.listen(r.made("--name", "Ann").Token)
	notices.Wait("the notification of the first listener", titled("Ann waits to hear you"))
	r.quit()
	if got := titles(notices); len(got) != 1 {
		t.Errorf("notifications: %q", got)
	}

	r.start("--listen", "127.0.0.1:0", "--source", "tone")
	if got := r.status().State; got != stateLive {
		t.Errorf("started again it is %s", got)
	}
	icon = desktop.Item(r.cmd.Process.Pid)
	checks(icon, true, "Go live when started")
	checks(icon, false, "Notifications", "A link was copied")
	checks(icon, true, "Notifications", "Trouble with the sound")
	icon.Choose("Go live when started")
	checks(icon, false, "Go live when started")
	r.quit()

	// What the config file or a flag says holds, and the menu shows that.
	if err := os.WriteFile(filepath.Join(r.data, "choices.json"), []byte(`{"start":false,"notify":["link"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "EARSHOT_NOTIFY=none")
	r.start("--listen", "127.0.0.1:0", "--source", "tone", "--start")
	if got := r.status().State; got != stateLive {
		t.Errorf("with --start it is %s", got)
	}
	icon = desktop.Item(r.cmd.Process.Pid)
	checks(icon, true, "Go live when started")
	checks(icon, false, "Notifications", "A link was copied")
	icon.WaitMenu("what is fixed to be off", func(lines []traytest.Line) bool {
		start := slices.IndexFunc(lines, func(l traytest.Line) bool { return l.Label == "Go live when started" })
		notify := slices.IndexFunc(lines, func(l traytest.Line) bool { return l.Label == "Notifications" })
		return lines[start].Off && len(lines[notify].Lines) == 3 && lines[notify].Lines[0].Off
	})
	r.quit()

	// A file that makes no sense keeps nobody from starting.
	if err := os.WriteFile(filepath.Join(r.data, "choices.json"), []byte(`{"notify":["everything"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start("--listen", "127.0.0.1:0", "--source", "tone", "--headless")
	waitFor(t, "what is wrong with its choices", func() bool { return strings.Contains(r.log.String(), "everything") })
	r.quit()
}

// Who starts Earshot a second time learns from a notification that it runs.
func TestSecondStartOnADesktop(t *testing.T) {
	t.Parallel()
	r, _, notices := onDesktop(t, plainEnv(t.TempDir()))
	r.must()
	first := notices.Wait("the notification", titled("Earshot is already running"))
	if !strings.HasPrefix(first.Body, "Stopped. ") || !strings.Contains(first.Body, "tray") {
		t.Errorf("it says %q", first.Body)
	}
	r.must("--start")
	if got := r.status().State; got != stateLive {
		t.Errorf("after a second start with --start: %s", got)
	}
	if second := notices.All()[1]; !strings.HasPrefix(second.Body, "Live · nobody listening. ") {
		t.Errorf("it says %q", second.Body)
	}
	r.must("--headless")
	if got := titles(notices); len(got) != 2 {
		t.Errorf("notifications: %q", got)
	}
}

func TestChoicesAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "choices.json")
	f, err := openChoices(path)
	if err != nil {
		t.Fatal(err)
	}
	on, none := true, []noticeKind{}
	for _, change := range []func(*choices){
		func(c *choices) { c.Start = &on },
		func(c *choices) { c.Notify = &none },
	} {
		if err := f.set(change); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != `{"start":true,"notify":[]}`+"\n" {
		t.Errorf("wrote %q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := openChoices(path)
	if err != nil {
		t.Fatal(err)
	}
	s := settings{Notify: noticeKinds}
	if s.use(again.get()); !s.Start || len(s.Notify) != 0 {
		t.Errorf("settings %+v", s)
	}
	f.path = filepath.Join(path, "under a file")
	if err := f.set(func(c *choices) { c.Start = nil }); err == nil {
		t.Error("no error where nothing can be written")
	}
	if f.get().Start == nil {
		t.Error("what could not be written holds")
	}
}
