package traytest

import (
	"os"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	logindPath    = "/org/freedesktop/login1"
	logindManager = "org.freedesktop.login1.Manager"
)

// Logind is the part of logind that tells of the computer's sleep, on a bus that
// stands for the system's.
type Logind struct {
	t     testing.TB
	conn  *dbus.Conn
	locks chan [2]*os.File // a pipe for each program that sleep waits for
}

// StartLogind brings it up on b.
func (b *Bus) StartLogind() *Logind {
	b.t.Helper()
	l := &Logind{t: b.t, conn: b.Connect(), locks: make(chan [2]*os.File, 8)}
	if err := l.conn.Export(inhibitor{l}, logindPath, logindManager); err != nil {
		b.t.Fatal(err)
	}
	own(b.t, l.conn, "org.freedesktop.login1")
	return l
}

// SystemEnv is env with this bus as the system's.
func (b *Bus) SystemEnv(env []string) []string {
	return append(env[:len(env):len(env)], "DBUS_SYSTEM_BUS_ADDRESS="+b.Address)
}

// Sleep says that the computer will sleep, as soon as the one program that
// holds it off lets it, and returns when it does.
func (l *Logind) Sleep() {
	l.t.Helper()
	var lock [2]*os.File
	select {
	case lock = <-l.locks:
	case <-time.After(deadline):
		l.t.Fatal("nobody asks logind to wait before it sleeps")
	}
	defer lock[0].Close()
	lock[1].Close() // the program has a copy
	l.prepare(true)
	if err := lock[0].SetReadDeadline(time.Now().Add(deadline)); err != nil {
		l.t.Fatal(err)
	}
	if _, err := lock[0].Read(make([]byte, 1)); os.IsTimeout(err) {
		l.t.Fatal("the sleep is held off for ever")
	}
}

// Wake says that the computer is awake again.
func (l *Logind) Wake() {
	l.t.Helper()
	l.prepare(false)
}

func (l *Logind) prepare(sleep bool) {
	l.t.Helper()
	if err := l.conn.Emit(logindPath, logindManager+".PrepareForSleep", sleep); err != nil {
		l.t.Fatal(err)
	}
}

// inhibitor is what programs see of Logind.
type inhibitor struct{ l *Logind }

// Inhibit returns a file descriptor that holds the sleep off while it is open.
func (i inhibitor) Inhibit(what, who, why, mode string) (dbus.UnixFD, *dbus.Error) {
	if what != "sleep" || mode != "delay" {
		return 0, dbus.MakeFailedError(os.ErrInvalid)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	i.l.locks <- [2]*os.File{read, write}
	return dbus.UnixFD(write.Fd()), nil
}
