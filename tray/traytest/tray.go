package traytest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

const watcher = "org.kde.StatusNotifierWatcher"

// Tray is the desktop's part of a system tray: icons register with it.
type Tray struct {
	t    testing.TB
	conn *dbus.Conn

	mu         sync.Mutex
	registered []dbus.Sender
}

// StartTray brings a tray up on b.
func (b *Bus) StartTray() *Tray {
	b.t.Helper()
	tray := &Tray{t: b.t, conn: b.Connect()}
	if err := tray.conn.Export(registry{tray}, "/StatusNotifierWatcher", watcher); err != nil {
		b.t.Fatal(err)
	}
	own(b.t, tray.conn, watcher)
	return tray
}

// Stop takes the tray away, as a panel that crashes does.
func (tr *Tray) Stop() { tr.conn.Close() }

// Item waits until the program with process ID pid shows its icon.
func (tr *Tray) Item(pid int) *Item {
	tr.t.Helper()
	i := &Item{t: tr.t, conn: tr.conn, pid: pid}
	Until(tr.t, fmt.Sprintf("the tray icon of process %d", pid), func() bool {
		tr.mu.Lock()
		registered := tr.registered
		tr.mu.Unlock()
		for _, sender := range registered {
			var owner uint32
			err := tr.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, string(sender)).Store(&owner)
			if err == nil && int(owner) == pid {
				i.sender = string(sender)
				return true
			}
		}
		return false
	})
	return i
}

// registry is what icons see of a Tray on the bus.
type registry struct{ tray *Tray }

// RegisterStatusNotifierItem is called by an icon that wants to be shown.
func (r registry) RegisterStatusNotifierItem(sender dbus.Sender, path string) *dbus.Error {
	r.tray.mu.Lock()
	defer r.tray.mu.Unlock()
	r.tray.registered = append(r.tray.registered, sender)
	return nil
}
