//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"earshot/tray/traytest"
)

// program writes a program to dir that writes its arguments, a line each, to
// the file that it returns.
func program(t *testing.T, dir, name string) (path, said string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path, said = filepath.Join(dir, name), filepath.Join(t.TempDir(), "said")
	text := "#!/bin/sh\nprintf '%s\\n' \"$@\" >'" + said + ".new' && mv '" + said + ".new' '" + said + "'\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, said
}

func enabled(t *testing.T, a *autostart, want bool) {
	t.Helper()
	on, err := a.enabled()
	if err != nil || on != want {
		t.Errorf("start on login is %v, %v; want %v", on, err, want)
	}
}

func TestAutostart(t *testing.T) {
	dir := t.TempDir()
	path, _ := program(t, dir, "earshot")
	a := &autostart{path: filepath.Join(dir, "config", "autostart", "earshot.desktop"), argv: []string{path}}
	enabled(t, a, false)
	for _, on := range []bool{true, true, false, false, true} {
		if err := a.set(on); err != nil {
			t.Fatal(err)
		}
		enabled(t, a, on)
	}
	if left, err := os.ReadDir(filepath.Dir(a.path)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}

	text, err := os.ReadFile(a.path)
	if err != nil {
		t.Fatal(err)
	}
	for line, switchedOff := range map[string]string{
		"Terminal=false":                 "Hidden=true",
		"X-GNOME-Autostart-enabled=true": "X-GNOME-Autostart-enabled=false",
	} {
		off := strings.Replace(string(text), line, switchedOff, 1)
		if off == string(text) {
			t.Fatalf("no line %s in\n%s", line, text)
		}
		if err := os.WriteFile(a.path, []byte(off), 0o644); err != nil {
			t.Fatal(err)
		}
		enabled(t, a, false)
		if err := a.set(true); err != nil {
			t.Fatal(err)
		}
		enabled(t, a, true)
	}

	// The program moves, and is switched on again from its new place.
	moved := filepath.Join(dir, "moved")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	enabled(t, a, false)
	a.argv[0] = moved
	if err := a.set(true); err != nil {
		t.Fatal(err)
	}
	enabled(t, a, true)
}

func TestAutostartIsOfThisProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for data, argv := range map[string][]string{
		defaultData(): {self},
		"/data":       {self, "--data", "/data"},
		"/other":      {self, "--data", "/other"},
	} {
		a, err := newAutostart(data)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.argv, argv) || filepath.Base(filepath.Dir(a.path)) != "autostart" ||
			(filepath.Base(a.path) == "earshot.desktop") != (data == defaultData()) {
			t.Errorf("for %s would start %q from %s", data, a.argv, a.path)
		}
		paths[a.path] = true
	}
	if len(paths) != 3 {
		t.Errorf("three data folders have the entries %v", paths)
	}
}

// starters are programs that start autostart entries as a login does. dex reads
// no quoting of special characters; GLib's reads all of it, and is what most
// desktops use.
var starters = map[string]func(config, entry string) *exec.Cmd{
	"dex": func(config, entry string) *exec.Cmd {
		cmd := exec.Command("dex", "--autostart", "--environment", "XFCE")
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+config, "XDG_CONFIG_DIRS="+config+"/none")
		return cmd
	},
	"gio": func(config, entry string) *exec.Cmd { return exec.Command("gio", "launch", entry) },
}

func TestAutostartStarts(t *testing.T) {
	tests := []struct {
		name, folder string
		args         []string
		by           []string
	}{
		{"plain", "bin", nil, []string{"dex", "gio"}},
		{"with spaces", "My Programs (ünï)", []string{"--data", "/a folder/b"}, []string{"dex", "gio"}},
		{"with all that is special", "a'b\"c$HOME`d\\e%f%%u;&=#~*?<>|", []string{"--data", "/x\"y\\$z%i\t`w'", "", "%"}, []string{"gio"}},
	}
	for _, tt := range tests {
		for _, by := range tt.by {
			t.Run(tt.name+" by "+by, func(t *testing.T) {
				dir := t.TempDir()
				path, said := program(t, filepath.Join(dir, tt.folder), "earshot")
				entry := filepath.Join(dir, "config", "autostart", "earshot.desktop")
				a := &autostart{path: entry, argv: append([]string{path}, tt.args...)}
				if err := a.set(true); err != nil {
					t.Fatal(err)
				}
				enabled(t, a, true)
				if out, err := exec.Command("desktop-file-validate", entry).CombinedOutput(); err != nil || len(out) > 0 {
					text, _ := os.ReadFile(entry)
					t.Errorf("desktop-file-validate (Debian package desktop-file-utils): %v\n%s\n%s", err, out, text)
				}
				if out, err := starters[by](filepath.Join(dir, "config"), entry).CombinedOutput(); err != nil {
					t.Fatalf("%s (Debian packages dex and libglib2.0-bin): %v\n%s", by, err, out)
				}
				traytest.Until(t, "the program to be started", func() bool {
					_, err := os.Stat(said)
					return err == nil
				})
				got, err := os.ReadFile(said)
				if err != nil {
					t.Fatal(err)
				}
				want := strings.Join(tt.args, "\n") + "\n"
				if string(got) != want {
					t.Errorf("started with %q, want %q", got, want)
				}
			})
		}
	}
}

func TestAutostartRefusesAPathThatNoEntryCanHold(t *testing.T) {
	a := &autostart{path: filepath.Join(t.TempDir(), "earshot.desktop"), argv: []string{"/bin/\xff"}}
	if err := a.set(true); err == nil {
		t.Error("wrote an entry that is not UTF-8")
	}
	enabled(t, a, false)
}
