package tray

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// watcher is the name on the bus that a desktop with a tray owns
// (freedesktop.org's StatusNotifierItem, "StatusNotifierWatcher").
const watcher = "org.kde.StatusNotifierWatcher"

// watchHost tells the user, once, if the desktop has no tray. The icon itself
// needs nothing of it: the library registers it whenever a tray comes up.
func watchHost(ctx context.Context, c Config, bus *dbus.Conn) {
	changes := make(chan *dbus.Signal, 8)
	bus.Signal(changes)
	defer bus.RemoveSignal(changes)
	err := bus.AddMatchSignalContext(ctx,
		dbus.WithMatchSender("org.freedesktop.DBus"),
		dbus.WithMatchInterface("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, watcher))
	var has bool
	if err == nil {
		err = bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, watcher).Store(&has)
	}
	if err != nil {
		if ctx.Err() == nil && bus.Connected() {
			c.Log.Warn("can't tell whether this desktop has a tray", "err", err)
		}
		return
	}

	wait := time.NewTimer(hostWait)
	defer wait.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-changes:
			if !ok {
				return // the bus went away
			}
			if s.Name != "org.freedesktop.DBus.NameOwnerChanged" || len(s.Body) != 3 {
				continue
			}
			owner, _ := s.Body[2].(string)
			if has = owner != ""; has && told {
				c.Log.Info("this desktop has a tray now")
			}
		case <-wait.C:
			if has {
				continue
			}
			told = true
			text := advice(os.Getenv("XDG_CURRENT_DESKTOP"))
			c.Log.Warn("no tray: " + text)
			if c.NoHost != nil {
				c.NoHost(text)
			}
		}
	}
}

// HasHost tells whether the desktop shows tray icons, and where it doesn't, what
// the user can do about that. The error wraps ErrNoSession where there is no
// desktop.
func HasHost(ctx context.Context) (has bool, advises string, err error) {
	bus, err := SessionBus(ctx)
	if err != nil {
		return false, "", err
	}
	defer bus.Close()
	err = bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, watcher).Store(&has)
	if err != nil {
		return false, "", fmt.Errorf("ask for the tray: %w", err)
	}
	if !has {
		advises = advice(os.Getenv("XDG_CURRENT_DESKTOP"))
	}
	return has, advises, nil
}

// advice is what to do on a desktop that shows no tray icons. desktop is
// $XDG_CURRENT_DESKTOP, a list with colons.
func advice(desktop string) string {
	if slices.Contains(strings.Split(strings.ToUpper(desktop), ":"), "GNOME") {
		return "GNOME shows tray icons only with the AppIndicator extension. " +
			"Install gnome-shell-extension-appindicator, log out and in again, and switch it on in Extensions."
	}
	return "this desktop shows no tray icons. Add a status tray to its panel; the icon appears as soon as there is one."
}
