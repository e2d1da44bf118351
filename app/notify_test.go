//go:build linux

package main

import (
	"syscall"
	"testing"
	"time"

	"earshot/tray/traytest"

	"github.com/godbus/dbus/v5"
)

func TestNotify(t *testing.T) {
	bus := traytest.StartBus(t)
	notices := bus.StartNotices()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	var n notifier
	defer n.close()
	for _, text := range []string{"Link copied. It works on this network.", `<a href="http://evil">Ann</a> & co`} {
		if err := n.notify(t.Context(), "Earshot", text); err != nil {
			t.Fatal(err)
		}
	}
	all := notices.All()
	if len(all) != 2 || all[0].Title != "Earshot" || all[0].Body != "Link copied. It works on this network." ||
		all[1].Body != `&lt;a href="http://evil"&gt;Ann&lt;/a&gt; &amp; co` {
		t.Fatalf("sent %+v", all)
	}
	var picture pixels
	if err := dbus.Store([]any{all[0].Hints["image-data"].Value()}, &picture); err != nil || len(picture.Data) != 64*64*4 || !picture.Alpha {
		t.Errorf("the picture is %dx%d with %d bytes, %v", picture.Width, picture.Height, len(picture.Data), err)
	}
	if entry, _ := all[0].Hints["desktop-entry"].Value().(string); entry != "earshot" {
		t.Errorf("it is of the program %q", entry)
	}
	if quiet, _ := all[0].Hints["suppress-sound"].Value().(bool); !quiet {
		t.Error("the notification may chime, and listeners would hear it")
	}
}

func TestNotifyConnectsAgain(t *testing.T) {
	first := traytest.StartBus(t)
	first.StartNotices()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", first.Address)
	var n notifier
	defer n.close()
	if err := n.notify(t.Context(), "Earshot", "one"); err != nil {
		t.Fatal(err)
	}
	first.Kill()
	second := traytest.StartBus(t)
	notices := second.StartNotices()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", second.Address)
	traytest.Until(t, "a notification on the new bus", func() bool {
		return n.notify(t.Context(), "Earshot", "two") == nil
	})
	if all := notices.All(); len(all) != 1 || all[0].Body != "two" {
		t.Errorf("sent %+v", all)
	}
}

func TestNotifyWithoutADesktop(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	var n notifier
	if err := n.notify(t.Context(), "Earshot", "text"); err == nil {
		t.Error("no error without a session bus")
	}
	bus := traytest.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	defer n.close()
	if err := n.notify(t.Context(), "Earshot", "text"); err == nil {
		t.Error("no error where nothing shows notifications")
	}
}

func TestNotifyWaitsForNobodyLong(t *testing.T) {
	bus := traytest.StartBus(t)
	bus.StartNotices()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	bus.Signal(syscall.SIGSTOP)
	defer bus.Signal(syscall.SIGCONT)
	var n notifier
	defer n.close()
	start := time.Now()
	if err := n.notify(t.Context(), "Earshot", "text"); err == nil {
		t.Error("no error from a bus that does not answer")
	}
	if took := time.Since(start); took > 4*notifyLimit {
		t.Errorf("took %v", took)
	}
	if n.conn != nil {
		t.Error("kept a connection that never came about")
	}
}
