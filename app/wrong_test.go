//go:build linux

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"earshot/audio/audiotest"
	"earshot/tray/traytest"
)

// A config file that is wrong is told of also where nobody sees a terminal: after
// a login.
func TestWrongConfigIsTold(t *testing.T) {
	home := t.TempDir()
	bus := traytest.StartBus(t)
	notices := bus.StartNotices()
	env := bus.Env(plainEnv(home))
	const wrong = "config.toml: public-url: "
	writeConfig(t, home, "public-url = \"ftp://ann:sesame@example.org\"\n")

	got := command(t, env)
	if got.status != exitUsage || !strings.Contains(got.err, wrong) {
		t.Errorf("%+v", got)
	}
	if told := notices.Wait("the notification", titled("Earshot can't start")); !strings.Contains(told.Body, wrong) {
		t.Errorf("it says %q", told.Body)
	}
	path := filepath.Join(home, ".local", "state", "earshot", "earshot.log")
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), wrong) {
		t.Errorf("the log: %q, %v", text, err)
	}
	if got := command(t, env, "--headless"); got.status != exitUsage || len(notices.All()) != 1 {
		t.Errorf("headless: %+v, and %q", got, titles(notices))
	}
	if got := command(t, env, "status"); got.status != exitUsage || !strings.Contains(got.err, wrong) {
		t.Errorf("status: %+v", got)
	}

	report := command(t, env, "doctor", "--json", "--source", "tone", "--listen", "127.0.0.1:0")
	_, by := examined(t, report)
	expect(t, by["settings"], checkWrong, wrong, "use http(s)://HOST")
	expect(t, by["port"], checkOK)
	if strings.Contains(report.out, "sesame") {
		t.Errorf("doctor tells a password:\n%s", report.out)
	}

	// So is what is wrong with two settings together.
	writeConfig(t, home, "output = \"a\"\nprogram = \"b\"\n")
	if got := command(t, env); got.status != exitUsage || len(notices.All()) != 2 {
		t.Errorf("%+v, and %q", got, titles(notices))
	}
	_, by = examined(t, command(t, env, "doctor", "--json", "--listen", "127.0.0.1:0"))
	expect(t, by["settings"], checkWrong, "output and program")
}

// What a crash left muted is unmuted by the next start, whatever comes of that.
func TestEveryStartUnmutes(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	crash := func(data string) {
		t.Helper()
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, "muted.json"), []byte(`["speakers"]`), 0o600); err != nil {
			t.Fatal(err)
		}
		sound.Pactl("set-sink-mute", "speakers", "1")
	}
	tests := map[string]struct {
		args   []string
		config string
	}{
		"the port is taken":  {args: []string{"--listen", taken.Addr().String()}},
		"a setting is wrong": {config: "listen = 7\n"},
		"no such file":       {args: []string{"--source", "file:/nonexistent.wav", "--listen", "127.0.0.1:0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			writeConfig(t, home, tt.config)
			env := append(soundEnv(t, sound), "XDG_CONFIG_HOME="+filepath.Join(home, "config"))
			data := filepath.Join(t.TempDir(), "data")
			crash(data)
			if got := command(t, env, append(tt.args, "--headless", "--data", data)...); got.status == 0 {
				t.Errorf("%+v", got)
			}
			if sound.Muted("speakers") {
				t.Error("the speakers are still muted")
			}
		})
	}
	t.Run("another source", func(t *testing.T) {
		r := &running{t: t, env: soundEnv(t, sound), data: filepath.Join(t.TempDir(), "data"), log: &output{}}
		crash(r.data)
		r.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone")
		if sound.Muted("speakers") {
			t.Error("the speakers are still muted")
		}
	})
}
