// Package traytest is a desktop for tests, all of it on a private D-Bus: the
// bus, a tray that takes in the icon and works its menu, and a notification
// service that remembers what it was told.
//
// Everything fails the test that it was started for, and ends with it.
package traytest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// deadline is how long anything may take before the test fails. It is only
// ever used up by a failure.
const deadline = 20 * time.Second

// Until waits for done and fails t, saying what it waited for, when that takes
// too long.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", deadline, what)
		}
	}
}

// busConfig lets everybody on the bus do everything. It starts no services by
// itself, so that no part of the machine's own desktop gets in.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  SERVICES
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// Bus is a private session bus.
type Bus struct {
	Address string

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when the daemon has ended
}

// StartBus starts a session bus of its own for t.
func StartBus(t testing.TB) *Bus {
	t.Helper()
	return startBus(t, "", os.Environ())
}

// startBus starts a bus in env. services is what its configuration says of
// services that it starts.
func startBus(t testing.TB, services string, env []string) *Bus {
	t.Helper()
	// Not t.TempDir: a socket's path may have 108 bytes at most.
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "bus.conf")
	text := strings.NewReplacer("SOCKET", filepath.Join(dir, "socket"), "SERVICES", services).Replace(busConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command("dbus-daemon", "--nofork", "--print-address=1", "--config-file="+config)
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a private D-Bus (Debian package dbus-daemon): %v", err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("dbus-daemon said no address: %v", err)
	}
	b := &Bus{Address: strings.TrimSpace(address), t: t, cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(b.done)
	}()
	t.Cleanup(b.Kill)
	return b
}

// Kill ends the bus as a logout does, and returns when it has ended.
func (b *Bus) Kill() {
	b.cmd.Process.Kill()
	<-b.done
}

// Signal sends the daemon a signal: SIGSTOP makes a bus that answers nobody.
func (b *Bus) Signal(s os.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
}

// Env is env with this bus as the session's.
func (b *Bus) Env(env []string) []string { return withBus(env, b.Address) }

// NoBus is env without a session bus. An address that leads nowhere says so
// more surely than none: with none, the bus of whoever runs the tests would be
// found under /run/user.
func NoBus(env []string) []string { return withBus(env, "unix:path=/nonexistent") }

func withBus(env []string, address string) []string {
	return append(slices.Clip(env), "DBUS_SESSION_BUS_ADDRESS="+address)
}

// Connect returns a connection of the test's own.
func (b *Bus) Connect() *dbus.Conn {
	b.t.Helper()
	conn, err := dbus.Connect(b.Address)
	if err != nil {
		b.t.Fatalf("connect to the private D-Bus: %v", err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// own takes name on the bus.
func own(t testing.TB, conn *dbus.Conn, name string) {
	t.Helper()
	reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue)
	if err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own %s: %v, %v", name, reply, err)
	}
}
