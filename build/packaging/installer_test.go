//go:build linux

package packaging

import (
	"context"
	"debug/pe"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// windows is a Windows of Wine's, for one test.
type windows struct {
	t      *testing.T
	prefix string
	env    []string
}

// startWindows sets one up, of the version that Wine takes by default.
func startWindows(t *testing.T) *windows {
	t.Helper()
	w := &windows{t: t, prefix: filepath.Join(t.TempDir(), "wine")}
	w.env = append(os.Environ(), "WINEPREFIX="+w.prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=,winemenubuilder.exe=", "DISPLAY=", "WAYLAND_DISPLAY=")
	t.Cleanup(func() {
		for _, how := range []string{"--kill", "--wait"} {
			end := exec.Command("wineserver", how)
			end.Env = w.env
			_ = end.Run()
		}
	})
	w.run("wineboot", "--init")
	// What Wine 8 lacks for Go programs.
	output(t, "gcc-mingw-w64-x86-64", "x86_64-w64-mingw32-gcc", "-shared", "-o", w.path("windows/system32/bcryptprimitives.dll"), "../wine.c", "-ladvapi32")
	return w
}

func (w *windows) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	w.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = w.env
	return cmd
}

// run runs a program of Wine's and returns what it printed.
func (w *windows) run(name string, args ...string) string {
	w.t.Helper()
	// No pipe: what the program starts and leaves behind would hold that. On
	// standard error Wine itself says harmless things.
	out, err := os.CreateTemp(w.t.TempDir(), "printed")
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	cmd := w.command(name, args...)
	cmd.Stdout = out
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if err != nil || readErr != nil {
		w.t.Fatalf("%s (Debian packages wine, wine64): %v\n%s", strings.Join(cmd.Args, " "), errors.Join(err, readErr), text)
	}
	return string(text)
}

// path is where a file of drive C is.
func (w *windows) path(name string) string { return filepath.Join(w.prefix, "drive_c", name) }

// profile is where a file of the user's profile is.
func (w *windows) profile(name string) string {
	w.t.Helper()
	found, err := filepath.Glob(w.path("users/*/AppData"))
	if err != nil || len(found) != 1 {
		w.t.Fatalf("profiles: %v %v", found, err)
	}
	return filepath.Join(found[0], name)
}

// registry returns what a key has, or that it isn't there.
func (w *windows) registry(key string) (text string, there bool) {
	out, err := w.command("wine", "reg", "query", key).Output()
	return string(out), err == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The installer puts Earshot there without a question, replaces one that runs
// and starts it again; the uninstaller takes away all but the user's own.
func TestInstaller(t *testing.T) {
	installer := pack(t).package_(t, "-installer.exe")
	w := startWindows(t)

	w.run("wine", "winecfg", "-v", "win7")
	if err := w.command("wine", installer, "/S").Run(); err == nil {
		t.Error("Windows 7 is good enough for it")
	}
	w.run("wine", "winecfg", "-v", "win10")
	w.run("wine", installer, "/S")
	program := w.profile("Local/Programs/Earshot/earshot.exe")
	shortcut := w.profile("Roaming/Microsoft/Windows/Start Menu/Programs/Earshot.lnk")
	for _, path := range []string{program, shortcut, filepath.Join(filepath.Dir(program), "notices.txt")} {
		if !exists(path) {
			t.Errorf("%s is not there", path)
		}
	}
	const settings = `HKCU\Software\Microsoft\Windows\CurrentVersion\Uninstall\Earshot`
	if text, _ := w.registry(settings); !strings.Contains(text, `"C:\users\`) || !strings.Contains(text, `\uninstall.exe" /S`) {
		t.Errorf("the list of programs has:\n%s", text)
	}
	if got := w.run("wine", program, "version"); !strings.Contains(got, "windows/amd64") {
		t.Errorf("its version: %s", got)
	}

	config := w.profile("Roaming/Earshot/config.toml")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("listen = \"127.0.0.1:0\"\nsource = \"tone\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type status struct {
		PID         int
		URL, Listen string
	}
	running := func() (st status, up bool) {
		out, err := w.command("wine", program, "status", "--json").Output()
		return st, err == nil && json.Unmarshal(out, &st) == nil
	}
	launch := func(args ...string) (ended chan struct{}) {
		cmd := w.command("wine", append([]string{program}, args...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended = make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		return ended
	}
	first, other := launch(), launch("--data", `C:\other data`)
	// One that somebody has elsewhere is none of the installer's business.
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.path("portable"), 0o755); err != nil {
		t.Fatal(err)
	}
	portable := w.path("portable/earshot.exe")
	if err := os.WriteFile(portable, text, 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := w.command("wine", portable, "--data", `C:\portable\data`)
	if err := elsewhere.Start(); err != nil {
		t.Fatal(err)
	}
	portableEnded := make(chan struct{})
	go func() { _ = elsewhere.Wait(); close(portableEnded) }()
	waitFor(t, "the portable one is up", func() bool { return exists(w.path("portable/data/key.pem")) })
	waitFor(t, "the installed Earshot answers", func() bool { _, up := running(); return up })
	waitFor(t, "the other one is up", func() bool { return exists(w.path("other data/key.pem")) })
	before, _ := running()
	serves := func(st status) {
		t.Helper()
		resp, err := http.Get("http://" + st.Listen + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("its page: %s", resp.Status)
		}
	}
	serves(before)

	w.run("wine", installer, "/S")
	<-first
	<-other
	waitFor(t, "the new one runs", func() bool { st, up := running(); return up && st.PID != before.PID })
	after, _ := running()
	serves(after)

	const login = `HKCU\Software\Microsoft\Windows\CurrentVersion\Run`
	asWindows := strings.TrimSpace(w.run("winepath", "--windows", program))
	for name, command := range map[string]string{"Earshot": asWindows, "Earshot 01234567": `"` + asWindows + `" --data "C:\other data"`, "Other": `C:\other.exe`} {
		w.run("wine", "reg", "add", login, "/v", name, "/d", command, "/f")
	}
	w.run("wine", filepath.Join(filepath.Dir(program), "uninstall.exe"), "/S")
	waitFor(t, "all is removed", func() bool {
		_, listed := w.registry(settings)
		return !listed && !exists(filepath.Dir(program)) && !exists(shortcut)
	})
	waitFor(t, "no login starts it", func() bool { text, _ := w.registry(login); return !strings.Contains(text, "Earshot") })
	if text, _ := w.registry(login); !strings.Contains(text, "Other") {
		t.Errorf("logins start:\n%s", text)
	}
	if _, err := http.Get("http://" + after.Listen + "/"); err == nil {
		t.Error("it still runs")
	}
	select {
	case <-portableEnded:
		t.Error("the portable Earshot has ended, too")
	default:
	}
	if !exists(config) || !exists(w.profile("Local/Earshot/key.pem")) {
		t.Error("the user's settings and key are gone")
	}
	own := []string{filepath.Dir(config), w.profile("Local/Earshot"), w.path("other data"), w.path("portable")}
	err = filepath.WalkDir(w.path(""), func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(own, path):
			return fs.SkipDir
		case strings.Contains(strings.ToLower(e.Name()), "earshot"):
			t.Errorf("%s is left", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The portable program needs no DLL but the system's, opens no console window,
// and has an icon, a manifest and its version in it.
func TestPortable(t *testing.T) {
	dir := t.TempDir()
	output(t, "libarchive-tools", "bsdtar", "-xf", pack(t).package_(t, "-windows-amd64.zip"), "-C", dir)
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(found) != 3 {
		t.Fatalf("it has %v", found)
	}
	path := filepath.Join(filepath.Dir(found[0]), "earshot.exe")
	file, err := pe.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		_, library, _ := strings.Cut(s, ":")
		switch strings.ToLower(library) {
		case "kernel32.dll", "msvcrt.dll", "user32.dll", "shell32.dll", "advapi32.dll", "ole32.dll":
		default:
			t.Errorf("it needs %s", library)
		}
	}
	header, ok := file.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || header.Subsystem != pe.IMAGE_SUBSYSTEM_WINDOWS_GUI {
		t.Error("it opens a console window")
	}
	section := file.Section(".rsrc")
	if section == nil {
		t.Fatal("it has no resources")
	}
	data, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	wide := func(s string) string { // as Windows has text
		var out strings.Builder
		for _, c := range []byte(s) {
			out.WriteByte(c)
			out.WriteByte(0)
		}
		return out.String()
	}
	for what, want := range map[string]string{
		"an icon":                   "\x89PNG\r\n\x1a\n",
		"a manifest":                "PerMonitorV2",
		"Windows 10 in it":          "{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}",
		"its version":               wide("ProductVersion"),
		"the commit of the version": wide("-git"),
	} {
		if !strings.Contains(strings.ToLower(string(data)), strings.ToLower(want)) {
			t.Errorf("it lacks %s", what)
		}
	}
}
