//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"earshot/audio/audiotest"
)

// The system calls by which a program changes files, and how many of each there
// may be in a thread of one that writes a file.
var writes = map[string]int{
	"openat": 12, "write": 4, "fsync": 3, "renameat": 2, "renameat2": 2, "unlinkat": 2, "flock": 3,
}

// killedAt runs a command that is killed with -9 at the start of the nth such
// system call of a thread, and tells whether it was. A command that isn't ends with
// this status.
func killedAt(t *testing.T, cmd *exec.Cmd, call string, n, status int) bool {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: install the package strace")
	}
	cmd.Args = append([]string{strace, "-f", "-o", "/dev/null", "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	if ended, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ended.Signaled() {
		return true // strace ends as its program did
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("%v: status %d, want %d\n%s", cmd.Args, got, status, out)
	}
	return false
}

// Killed in the middle of writing a file, wherever that is, the program leaves the
// old one or the new one.
func TestKilledWhileItWritesAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "choices.json")
	const old = "what was there before"
	kills, news := 0, 0
	for call, most := range writes {
		for n := 1; n <= most; n++ {
			if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), writeVariable+"="+path)
			killed := killedAt(t, cmd, call, n, 0)
			got, err := os.ReadFile(path)
			if err != nil || string(got) != old && string(got) != newText || !killed && string(got) != newText {
				t.Errorf("killed at %s %d: %v, it holds %q, %v", call, n, killed, got, err)
			}
			if killed {
				kills++
			}
			if string(got) == newText {
				news++
			}
		}
	}
	if kills < 5 || news == 0 {
		t.Errorf("it was killed %d times, and the new text was there %d times", kills, news)
	}
}

// Killed in the middle of a command, wherever that is: what was withdrawn stays
// withdrawn, who had a link has it still, the key signs, and the command works the
// next time.
func TestKilledInTheMiddleOfACommand(t *testing.T) {
	t.Parallel()
	r := &running{t: t, env: plainEnv(t.TempDir()), data: filepath.Join(t.TempDir(), "data"), log: &output{}}
	r.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone")
	r.made("--name", "Ann")
	bob := r.made("--name", "Bob")
	r.must("revoke", bob.ID)
	r.quit()
	_ = os.Remove(filepath.Join(r.data, "control"))
	whole := r.data
	for _, args := range [][]string{
		{"link", "--name", "Kim"},
		{"revoke", bob.ID},
		{"revoke", "--all"},
		{"key", "rotate", "--keep", "7d"},
		{"relay", "add", "ws://127.0.0.1:1/radio"},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			t.Parallel()
			r := &running{t: t, env: r.env, log: &output{}}
			kills := 0
			for call, most := range writes {
				for n := 1; n <= most; n++ {
					r.data = filepath.Join(t.TempDir(), "data")
					if err := os.CopyFS(r.data, os.DirFS(whole)); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(r.data, 0o700); err != nil {
						t.Fatal(err)
					}
					for _, name := range []string{"key.pem", "links.json"} {
						if err := os.Chmod(filepath.Join(r.data, name), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					where := fmt.Sprintf("killed at %s %d", call, n)
					if !killedAt(t, earshot(t.Context(), t, r.env, append([]string{"--data", r.data}, args...)...), call, n, 0) {
						continue
					}
					kills++
					check := func(when string) {
						links := r.listed()
						ann := slices.ContainsFunc(links, func(l listedLink) bool { return l.Name == "Ann" && !l.Withdrawn })
						back := slices.ContainsFunc(links, func(l listedLink) bool { return l.Name == "Bob" && !l.Withdrawn })
						if back || !ann && args[1] != "--all" {
							t.Errorf("%s, %s: links %+v", where, when, links)
						}
						r.must("relay", "list")
						if key := r.must("relay", "key"); !strings.HasPrefix(key, "ed25519 ") {
							t.Errorf("%s, %s: key %s", where, when, key)
						}
					}
					check("then")
					r.must(args...)
					check("and once more")
					left, err := filepath.Glob(filepath.Join(r.data, "*.new"))
					if err != nil || len(left) > 0 {
						t.Errorf("%s: files %q are left", where, left)
					}
				}
			}
			if kills < 5 {
				t.Errorf("it was killed %d times only", kills)
			}
			t.Logf("it was killed %d times", kills)
		})
	}
}

// Killed while it unmutes what an earlier one left muted, wherever that is, the
// program leaves no output muted that its account doesn't name: the next start
// unmutes it, and leaves nothing else behind.
func TestKilledWhileItUnmutes(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.LoadSink("dock")
	outputs := []string{"speakers", "dock"}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(sound.Env(), "XDG_CONFIG_HOME="+t.TempDir(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent")
	// A wrong setting makes a start end as soon as it has unmuted.
	start := func() *exec.Cmd {
		return earshot(t.Context(), t, env, "--data", data, "--headless", "--source", "file:/nonexistent.wav")
	}
	path := filepath.Join(data, "muted.json")
	const old = `["speakers","dock"]`
	kills, partly := 0, 0
	calls := maps.Clone(writes)
	calls["write"] = 40 // to the sound server, too
	for call, most := range calls {
		for n := 1; n <= most+2; n++ {
			for _, name := range outputs {
				sound.Pactl("set-sink-mute", name, "1")
			}
			if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
			if killedAt(t, start(), call, n, exitUsage) {
				kills++
			}
			text, err := os.ReadFile(path)
			var account []string
			if err != nil || json.Unmarshal(text, &account) != nil {
				t.Fatalf("killed at %s %d: it holds %q, %v", call, n, text, err)
			}
			if len(account) == 1 {
				partly++
			}
			for _, name := range outputs {
				if sound.Muted(name) && !slices.Contains(account, name) {
					t.Errorf("killed at %s %d: %s is muted, and the account is %s", call, n, name, text)
				}
			}
			if err := start().Run(); err == nil {
				t.Fatal("it starts")
			}
			left, err := filepath.Glob(filepath.Join(data, "*muted*"))
			if err != nil || len(left) != 1 || sound.Muted("speakers") || sound.Muted("dock") {
				t.Errorf("killed at %s %d: after the next start: speakers %v, dock %v, files %q", call, n, sound.Muted("speakers"), sound.Muted("dock"), left)
			}
		}
	}
	if kills < 5 || partly == 0 {
		t.Errorf("it was killed %d times, %d of them between the two outputs", kills, partly)
	}
	t.Logf("it was killed %d times, %d of them between the two outputs", kills, partly)
}
