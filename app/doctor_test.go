//go:build linux

package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/audio/audiotest"
	"earshot/tray/traytest"
)

// examined is what doctor says, by the names of its checks.
func examined(t *testing.T, got result) (checkup, map[string]finding) {
	t.Helper()
	var r checkup
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	byName := map[string]finding{}
	for _, f := range r.Checks {
		byName[f.Name] = f
		if f.Says == "" || f.State == checkWrong && f.Do == "" {
			t.Errorf("%+v says too little", f)
		}
	}
	if wrong := r.Wrong > 0; (got.status != 0) != wrong || strings.Contains(got.err, "not all is well") != wrong {
		t.Errorf("%d are wrong, and the status is %d, %q", r.Wrong, got.status, got.err)
	}
	return r, byName
}

// expect checks how a check came out and that it says all of words.
func expect(t *testing.T, f finding, state string, words ...string) {
	t.Helper()
	if f.State != state {
		t.Errorf("%+v, want %s", f, state)
	}
	for _, word := range words {
		if !strings.Contains(f.Says+"\n"+f.Do, word) {
			t.Errorf("%+v lacks %q", f, word)
		}
	}
}

// On a desktop where all is well, doctor says so, and nothing that is secret.
func TestDoctor(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	bus := traytest.StartBus(t)
	desktop, _ := bus.StartTray(), bus.StartNotices()
	display := traytest.StartDisplay(t)
	env := append(display.Env(bus.Env(soundEnv(t, sound))), "XDG_CURRENT_DESKTOP=XFCE")
	r := launch(t, env, "--start", "--title", "Ann's music")
	desktop.Item(r.cmd.Process.Pid).WaitStatus("Live · nobody listening")
	link := r.made("--name", "Carol")
	r.listen(link.Token)

	_, silent := examined(t, r.run("doctor", "--json"))
	expect(t, silent["sound"], checkNote, "Null Output plays nothing just now")

	sound.PlaySine("speakers", pitch)
	var got result
	var all checkup
	var by map[string]finding
	for end := time.Now().Add(deadline); by["sound"].State != checkOK && time.Now().Before(end); { // until it plays
		got = r.run("doctor", "--json")
		all, by = examined(t, got)
	}
	if all.Wrong != 0 || all.Version != version || !strings.Contains(all.System, "XFCE") {
		t.Errorf("%+v", all)
	}
	expect(t, by["program"], checkOK, "1 listening")
	expect(t, by["sound server"], checkOK, "pulseaudio ")
	expect(t, by["sound"], checkOK, "Null Output plays, -12 dB")
	expect(t, by["port"], checkOK, r.address())
	expect(t, by["address"], checkNote, "http://"+r.address(), "on this computer")
	expect(t, by["firewall"], checkOK)
	expect(t, by["tray"], checkOK)
	expect(t, by["notifications"], checkOK)
	expect(t, by["clipboard"], checkOK)
	expect(t, by["start on login"], checkOK, "off")
	expect(t, by["files"], checkOK, filepath.Base(r.data)+"/earshot.log")

	text := r.run("doctor")
	if text.status != 0 || !strings.Contains(text.out, "ok ") || strings.Count(text.out, "\n") < len(all.Checks) {
		t.Errorf("%+v", text)
	}
	home := ""
	for _, v := range env {
		if value, found := strings.CutPrefix(v, "HOME="); found {
			home = value
		}
	}
	for _, secret := range append(strings.Split(link.Token, ".")[1:], link.ID, "Carol", "Ann's", home+"/") {
		if strings.Contains(got.out+text.out, secret) {
			t.Errorf("doctor tells %q:\n%s", secret, text.out)
		}
	}

	// A sound server that hangs holds doctor up for some seconds only.
	sound.Freeze()
	begin := time.Now()
	_, hangs := examined(t, r.run("doctor", "--json"))
	sound.Thaw()
	expect(t, hangs["sound server"], checkWrong, "no sound server answers", "systemctl --user restart")
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("that took %v", took)
	}
}

// Where next to nothing is there, doctor says what is missing.
func TestDoctorWithoutADesktop(t *testing.T) {
	home := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	bin := t.TempDir() // no program to copy with
	env := append(plainEnv(home), "PATH="+bin)
	_, by := examined(t, command(t, env, "doctor", "--json", "--listen", ln.Addr().String()))
	expect(t, by["program"], checkNote, "does not run")
	expect(t, by["sound server"], checkWrong, "no sound server")
	expect(t, by["port"], checkWrong, "taken by another program", "--listen")
	expect(t, by["tray"], checkNote, "no desktop session")
	expect(t, by["clipboard"], checkNote, "Install xclip")
	expect(t, by["files"], checkOK, "log ~/", "data ~/")

	// A desktop without a tray.
	bus := traytest.StartBus(t)
	env = append(bus.Env(env), "XDG_CURRENT_DESKTOP=GNOME")
	_, by = examined(t, command(t, env, "doctor", "--json", "--source", "tone", "--listen", "127.0.0.1:0"))
	expect(t, by["sound"], checkOK, "tone")
	expect(t, by["port"], checkOK, "free")
	expect(t, by["tray"], checkWrong, "AppIndicator")
	expect(t, by["notifications"], checkNote, "dunst")

	// A public address that leads elsewhere, and then nowhere.
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	r := launch(t, plainEnv(home), "--headless", "--source", "tone", "--public-url", other.URL)
	_, by = examined(t, r.run("doctor", "--json"))
	expect(t, by["address"], checkWrong, "something else, which says 404", "public-url")
	expect(t, by["firewall"], checkOK)
	other.Close()
	_, by = examined(t, r.run("doctor", "--json"))
	expect(t, by["address"], checkWrong, "refused", "public-url")
}

// An output that is there but gives no sound is what doctor says first.
func TestDoctorWithoutAnOutput(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.UnloadSink("speakers")
	env := soundEnv(t, sound)
	_, by := examined(t, command(t, env, "doctor", "--json", "--listen", "127.0.0.1:0"))
	expect(t, by["sound server"], checkOK)
	expect(t, by["sound"], checkWrong, "no sound output", "Choose an output")
}

// What is never shared doctor doesn't listen to either, and it tells of names that
// nothing has.
func TestDoctorListensToWhatIsShared(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers", "other")
	sound.PlaySine("speakers", pitch)
	doctor := func(args ...string) map[string]finding {
		t.Helper()
		_, by := examined(t, command(t, soundEnv(t, sound), append([]string{"doctor", "--json", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, args...)...))
		return by
	}
	by := doctor("--never-share", "speakers")
	expect(t, by["sound"], checkNote, "is never shared")
	if k, there := by["sound settings"]; there {
		t.Errorf("%+v", k)
	}
	by = doctor("--output", "other", "--never-share", "headset")
	expect(t, by["sound"], checkNote, "plays nothing just now")
	expect(t, by["sound settings"], checkNote, `never-share: there is no output "headset"`, "earshot outputs")
	by = doctor("--output", "headset")
	expect(t, by["sound"], checkWrong, "headset")
	expect(t, by["sound settings"], checkNote, `output: there is no output "headset"`)
	by = doctor("--program", "mpv")
	expect(t, by["sound"], checkNote, "waiting for mpv to play")
}

func TestDoctorKnowsTheClock(t *testing.T) {
	if made := built(); made.After(time.Now()) {
		t.Errorf("built at %v", made)
	}
	if _, known := clockIsExact(); !known {
		t.Error("the kernel doesn't tell whether its clock is right")
	}
}

func TestWithoutHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if got := withoutHome("log " + home + "/a, data " + home + "/b"); got != "log ~/a, data ~/b" {
		t.Errorf("%q", got)
	}
	t.Setenv("HOME", "/home/an")
	for text, want := range map[string]string{
		"log /home/anna/a":             "log /home/anna/a",
		"log /home/an.old/a":           "log /home/an.old/a",
		"data /home/an":                "data ~",
		"open /home/an/a: /home/an.":   "open ~/a: ~.",
		"/home/an: no such folder":     "~: no such folder",
		`"/home/an", /home/an, and so`: `"~", ~, and so`,
	} {
		if got := withoutHome(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
