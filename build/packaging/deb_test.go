//go:build linux

package packaging

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"earshot/tray/traytest"
)

// system is this computer's own system with all that changes kept apart: what
// is installed in it is gone with the test. Its processes, network and /tmp are
// this computer's.
type system struct {
	t    *testing.T
	root string
	pid  string // of the process that holds the mounts
}

// enter makes the mounts and says its process ID, then holds them until its
// standard input ends.
const enter = `
	base=$1 root=$1/root
	mount -t tmpfs none "$base"
	mkdir "$root"
	for dir in / /usr /var; do
		mountpoint -q "$dir" || continue
		layers=$base/layers$dir
		mkdir -p "$layers/upper" "$layers/work"
		mount -t overlay overlay -o "lowerdir=$dir,upperdir=$layers/upper,workdir=$layers/work" "$root$dir"
	done
	for dir in /proc /sys /dev /tmp; do mount --rbind "$dir" "$root$dir"; done
	echo $$
	read -r _ || :
`

// asRoot is a command that root runs.
func asRoot(name string, args ...string) *exec.Cmd {
	if os.Geteuid() != 0 {
		return exec.Command("sudo", append([]string{name}, args...)...)
	}
	return exec.Command(name, args...)
}

func startSystem(t *testing.T) *system {
	t.Helper()
	base := filepath.Join(t.TempDir(), "system")
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Fatal(err)
	}
	hold := asRoot("unshare", "--mount", "--propagation", "private", "sh", "-euc", enter, "sh", base)
	hold.Stderr = os.Stderr
	in, err := hold.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := hold.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Start(); err != nil {
		t.Fatalf("change this system in a copy, which takes root: %v", err)
	}
	t.Cleanup(func() { in.Close(); _ = hold.Wait() })
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no copy of this system to change, which takes root and a kernel with overlayfs: %v", err)
	}
	return &system{t, filepath.Join(base, "root"), strings.TrimSpace(pid)}
}

// inside is a command of root's in the system, and as a command of the user's
// who runs the tests.
func (s *system) inside(name string, args ...string) *exec.Cmd {
	return asRoot("nsenter", append([]string{"--target", s.pid, "--mount", "chroot", s.root, name}, args...)...)
}

func (s *system) as(env []string, name string, args ...string) *exec.Cmd {
	user := fmt.Sprintf("--userspec=%d:%d", os.Getuid(), os.Getgid())
	args = append(append(append([]string{user, s.root, "env", "-i"}, env...), name), args...)
	return asRoot("nsenter", append([]string{"--target", s.pid, "--mount", "chroot"}, args...)...)
}

// must runs a command and returns what it printed.
func (s *system) must(cmd *exec.Cmd) string {
	s.t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, &errs)
	}
	return strings.TrimSpace(string(out))
}

// traces are files of Earshot's, by their names, where packages put files.
func (s *system) traces() []string {
	return strings.Fields(s.must(s.inside("find", "/usr", "/etc", "/opt", "/var/lib", "-xdev", "-name", "*earshot*")))
}

// The .deb is installed, started, upgraded while it runs, and purged.
func TestDeb(t *testing.T) {
	tr := pack(t)
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Fatal("dpkg is missing: these packages are made and tested on Debian and Ubuntu")
	}
	first := filepath.Join(t.TempDir(), "first.deb")
	output(t, "coreutils", "cp", tr.package_(t, "_"+runtime.GOARCH+".deb"), first)
	next := tree{filepath.Join(t.TempDir(), "next")}
	if err := run(exec.Command("git", "clone", "--quiet", tr.dir, next.dir)); err != nil {
		t.Fatal(err)
	}
	// A snapshot's version has the commit's time in seconds.
	later := strings.TrimSpace(output(t, "git", "git", "-C", next.dir, "log", "-1", "--format=%ct"))
	seconds, err := strconv.Atoi(later)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_COMMITTER_DATE", fmt.Sprintf("@%d +0000", seconds+1))
	if err := next.git("commit", "--quiet", "--allow-empty", "--message", "the next"); err != nil {
		t.Fatal(err)
	}
	if err := next.pack(nil, "deb-"+runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	second := next.package_(t, "_"+runtime.GOARCH+".deb")
	s := startSystem(t)
	_ = s.inside("dpkg", "--purge", "earshot").Run() // this computer's own
	before := s.traces()

	s.must(s.inside("dpkg", "--install", first))
	if changed := s.must(s.inside("dpkg", "--verify", "earshot")); changed != "" {
		t.Errorf("not as in the package: %s", changed)
	}
	home := t.TempDir()
	bus := traytest.StartBus(t)
	tray := bus.StartTray()
	env := bus.Env([]string{"PATH=/usr/bin:/bin", "HOME=" + home, "XDG_RUNTIME_DIR=" + home, "XDG_CURRENT_DESKTOP=XFCE",
		"EARSHOT_LISTEN=127.0.0.1:0", "EARSHOT_SOURCE=tone"})
	earshot := func(args ...string) string { t.Helper(); return s.must(s.as(env, "earshot", args...)) }
	type status struct {
		PID         int
		URL, Listen string
	}
	running := func() (st status, up bool) {
		out, err := s.as(env, "earshot", "status", "--json").Output()
		return st, err == nil && json.Unmarshal(out, &st) == nil
	}
	launch := func(how ...string) *exec.Cmd {
		t.Helper()
		app := s.as(env, how[0], how[1:]...)
		if err := app.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "earshot answers", func() bool { _, up := running(); return up })
		t.Cleanup(func() { // where the test fails before it quits
			if st, up := running(); up {
				_ = syscall.Kill(st.PID, syscall.SIGKILL)
			}
		})
		return app
	}
	app := launch("earshot")
	old, _ := running()
	icon := tray.Item(old.PID)
	icon.WaitStatus("Stopped")
	icon.Choose("Start on login")
	entry := filepath.Join(home, ".config/autostart/earshot.desktop")
	waitFor(t, "the autostart entry", func() bool { _, err := os.Stat(entry); return err == nil })
	works := func() {
		t.Helper()
		link := earshot("link", "--json")
		var made struct{ Token string }
		if err := json.Unmarshal([]byte(link), &made); err != nil {
			t.Fatalf("%v: %s", err, link)
		}
		st, _ := running()
		req, err := http.NewRequest("GET", "http://"+st.Listen+"/api/session", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+made.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("its link gets %s", resp.Status)
		}
	}
	works()
	versions := []string{earshot("version")}
	written, err := os.ReadFile(entry)
	if err != nil || !strings.Contains(string(written), "Exec=/usr/bin/earshot\n") {
		t.Errorf("the autostart entry: %v\n%s", err, written)
	}

	s.must(s.inside("dpkg", "--install", second))
	if versions = append(versions, earshot("version")); versions[0] == versions[1] {
		t.Errorf("the version stays:\n%s", versions[0])
	}
	if now, up := running(); !up || now != old {
		t.Errorf("upgraded while it ran: %+v, before %+v", now, old)
	}
	works()
	icon.Choose("Start")
	icon.WaitStatus("Live · nobody listening")
	icon.Choose("Quit")
	_ = app.Wait()

	login := launch("dex", "--autostart", "--environment", "XFCE")
	_ = login.Wait()
	upgraded, _ := running()
	if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", upgraded.PID)); err != nil || !strings.HasSuffix(program, "/usr/bin/earshot") {
		t.Errorf("a login starts %s, %v", program, err)
	}
	tray.Item(upgraded.PID).Choose("Quit")
	waitFor(t, "earshot quits", func() bool { _, up := running(); return !up })

	s.must(s.inside("dpkg", "--purge", "earshot"))
	if after := s.traces(); !slices.Equal(before, after) {
		t.Errorf("purged, there is\n%s\nbefore there was\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	for _, own := range []string{entry, filepath.Join(home, ".local/share/earshot/key.pem")} {
		if _, err := os.Stat(own); err != nil {
			t.Errorf("the user's own went, too: %v", err)
		}
	}
}
