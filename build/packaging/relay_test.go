//go:build linux

package packaging

import (
	"bytes"
	"debug/elf"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// relayFiles are those of every package of the relay, below its prefix.
var relayFiles = []string{
	"bin/earshot-relay",
	"lib/systemd/system/earshot-relay.service",
	"share/doc/earshot-relay/README.md",
	"share/doc/earshot-relay/copyright",
	"share/doc/earshot-relay/nginx.conf",
	"share/doc/earshot-relay/notices.txt",
	"share/doc/earshot-relay/relay.toml",
}

// The relay's packages have the same files, and a program that needs nothing.
func TestRelayPackages(t *testing.T) {
	tr := pack(t)
	for arch, endings := range map[string][]string{
		"amd64": {"_amd64.deb", "-linux-amd64.tar.gz"},
		"arm64": {"_arm64.deb", "-linux-arm64.tar.gz"},
	} {
		t.Run(arch, func(t *testing.T) {
			for _, ending := range endings {
				dir := unpack(t, tr.relayPackage(t, ending))
				want := slices.Clone(relayFiles)
				if strings.HasSuffix(ending, ".deb") {
					want = append(want, "share/doc/earshot-relay/changelog.gz")
				}
				slices.Sort(want)
				if got := filesIn(t, dir); !slices.Equal(got, want) {
					t.Errorf("%s has\n%s\nwant\n%s", ending, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				program := filepath.Join(dir, "bin/earshot-relay")
				file, err := elf.Open(program)
				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
					t.Errorf("%s: the program is linked to libraries", ending)
				}
				file.Close()
				unit, err := os.ReadFile(filepath.Join(dir, "lib/systemd/system/earshot-relay.service"))
				prefix := "/usr"
				if strings.HasSuffix(ending, ".gz") {
					prefix = "/usr/local"
				}
				if err != nil || !strings.Contains(string(unit), "\nExecStart="+prefix+"/bin/earshot-relay\n") {
					t.Errorf("%s: %v\n%s", ending, err, unit)
				}
				readme, err := os.ReadFile(filepath.Join(dir, "share/doc/earshot-relay/README.md"))
				if err != nil || !strings.HasPrefix(string(readme), "## Run a relay\n") || !strings.Contains(string(readme), "### Several relays") {
					t.Errorf("%s: %v\n%s", ending, err, readme)
				}
				run := []string{program, "version"}
				if e := emulator(arch); e != nil {
					run = append(e[:1:1], run...)
				}
				if said := output(t, "qemu-user-static", run[0], run[1:]...); !strings.Contains(said, "linux/"+arch) || strings.Contains(said, "unknown") {
					t.Errorf("its version:\n%s", said)
				}
			}
		})
	}
	notices, err := os.ReadFile(filepath.Join(unpack(t, tr.relayPackage(t, "_"+runtime.GOARCH+".deb")), "share/doc/earshot-relay/notices.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{"github.com/nats-io/nats-server/v2 v", "github.com/caddyserver/certmagic v", "opus-decoder"} {
		if !strings.Contains(string(notices), of) {
			t.Errorf("the notices lack %q", of)
		}
	}
	for line := range strings.Lines(output(t, "lintian", "lintian", "--allow-root", "--suppress-tags", "hardening-no-pie,no-manual-page,statically-linked-binary,maintainer-script-calls-systemctl,non-standard-file-perm", tr.relayPackage(t, "_"+runtime.GOARCH+".deb"))) {
		t.Error(line)
	}
}

// The relay's .deb is installed, configured, started, upgraded, and purged. It
// starts nothing by itself, and its configuration is its own user's alone.
func TestRelayDeb(t *testing.T) {
	tr := pack(t)
	first := tr.relayPackage(t, "_"+runtime.GOARCH+".deb")
	// The same once more, as a later version.
	work := t.TempDir()
	output(t, "dpkg", "dpkg-deb", "--raw-extract", first, filepath.Join(work, "next"))
	control := filepath.Join(work, "next/DEBIAN/control")
	text, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(control, []byte(strings.Replace(string(text), "\nVersion: 0.", "\nVersion: 9.", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(work, "next.deb")
	output(t, "dpkg", "dpkg-deb", "--root-owner-group", "--build", filepath.Join(work, "next"), second)

	s := startSystem(t)
	_ = s.inside("dpkg", "--purge", "earshot-relay").Run() // this computer's own
	s.must(s.inside("rm", "-rf", "/etc/earshot-relay", "/var/lib/earshot-relay"))
	before := s.traces()
	s.must(s.inside("dpkg", "--install", first))
	const config = "/etc/earshot-relay/relay.toml"
	owner := func() string { return s.must(s.inside("stat", "--format", "%U %a", config)) }
	if got := owner(); got != "earshot-relay 600" {
		t.Errorf("the configuration is %s", got)
	}
	if said := s.must(s.inside("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/earshot-relay.service")); said != "" {
		t.Errorf("systemd-analyze: %s", said)
	}
	as := func(args ...string) []string { // what the unit does
		return append([]string{"-u", "earshot-relay", "--", "/usr/bin/earshot-relay"}, args...)
	}
	said, err := s.inside("runuser", as("check")...).CombinedOutput()
	if err == nil || !strings.Contains(string(said), "earshot relay key") {
		t.Errorf("as it comes: %v %s", err, said)
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	own := fmt.Sprintf("listen = %q\nurl = %q\nmetrics = \"\"\n[[stream]]\nname = \"radio\"\npublic = true\nsecret = \"0123456789abcdef0123456789abcdef\"\n", addr, "http://"+addr)
	write := s.inside("tee", config)
	write.Stdin = strings.NewReader(own)
	s.must(write)
	if said := s.must(s.inside("runuser", as("check")...)); strings.Contains(said, "WRONG") {
		t.Errorf("check: %s", said)
	}
	relay := s.inside("runuser", as()...)
	log := &bytes.Buffer{}
	relay.Stdout, relay.Stderr = log, log
	relay.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = relay.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-relay.Process.Pid, syscall.SIGKILL)
		<-done
		if t.Failed() {
			t.Logf("the relay printed:\n%s", log)
		}
	})
	answers := func() bool {
		answer, err := (&http.Client{Timeout: time.Second}).Get("http://" + addr + "/radio")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK
	}
	waitFor(t, "the relay answers", answers)

	s.must(s.inside("dpkg", "--install", second))
	if got := s.must(s.inside("cat", config)); got != strings.TrimSpace(own) {
		t.Errorf("upgraded, the configuration is\n%s", got)
	}
	if got := owner(); got != "earshot-relay 600" {
		t.Errorf("upgraded, the configuration is %s", got)
	}
	if !answers() {
		t.Error("upgraded, the relay that ran is gone")
	}
	if err := syscall.Kill(-relay.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(deadline):
		t.Error("the relay does not end")
	}

	s.must(s.inside("dpkg", "--remove", "earshot-relay"))
	if got := s.must(s.inside("cat", config)); got != strings.TrimSpace(own) {
		t.Errorf("removed, the configuration is\n%s", got)
	}
	s.must(s.inside("dpkg", "--purge", "earshot-relay"))
	if after := s.traces(); !slices.Equal(before, after) {
		t.Errorf("purged, there is\n%s\nbefore there was\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if err := s.inside("getent", "passwd", "earshot-relay").Run(); err == nil {
		t.Error("purged, the user is still there")
	}
}
