package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"

	"github.com/atotto/clipboard"

	"earshot/tray"
)

// noSoundServer says how to get a sound server.
const noSoundServer = "Log out and in again, or run: systemctl --user restart pipewire pipewire-pulse (for PulseAudio: pulseaudio --start)"

// systemName names the system and the desktop, as people know them.
func systemName() string {
	name, err := shellValue("/etc/os-release", "PRETTY_NAME")
	if err != nil || name == "" {
		name = "Linux"
	}
	for _, key := range []string{"XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE"} {
		if value := os.Getenv(key); value != "" {
			name += ", " + value
		}
	}
	return name
}

// clockIsExact tells whether a time server keeps the clock right, if that is
// known.
func clockIsExact() (exact, known bool) {
	const unsync = 0x40 // STA_UNSYNC, adjtimex(2)
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err != nil {
		return false, false
	}
	return t.Status&unsync == 0, true
}

// systemChecks looks at the desktop.
func systemChecks(ctx context.Context) []finding {
	host := finding{Name: "tray", State: checkOK, Says: "the desktop shows tray icons"}
	told := finding{Name: "notifications", State: checkOK, Says: "the desktop shows them"}
	has, advice, err := tray.HasHost(ctx)
	switch {
	case errors.Is(err, tray.ErrNoSession):
		host.State, host.Says, host.Do = checkNote, "no desktop session is here, and so no tray", "In a terminal of the desktop this would say more."
	case err != nil:
		host.State, host.Says = checkWrong, err.Error()
	case !has:
		host.State, host.Says, host.Do = checkWrong, "the desktop shows no tray icons", advice
	}
	checks := []finding{host}
	if err == nil {
		if ok, err := showsNotifications(ctx); err != nil || !ok {
			told.State, told.Says = checkNote, "nothing on this desktop shows them"
			told.Do = "Install a notification service, such as dunst, if the desktop has none of its own."
		}
		checks = append(checks, told)
	}
	return append(checks, clipboardCheck())
}

// showsNotifications tells whether something on the desktop shows notifications,
// or would be started for that.
func showsNotifications(ctx context.Context) (bool, error) {
	bus, err := tray.SessionBus(ctx)
	if err != nil {
		return false, err
	}
	defer bus.Close()
	for _, list := range []string{"ListNames", "ListActivatableNames"} {
		var names []string
		if err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus."+list, 0).Store(&names); err != nil {
			return false, err
		}
		if slices.Contains(names, "org.freedesktop.Notifications") {
			return true, nil
		}
	}
	return false, nil
}

func clipboardCheck() finding {
	k := finding{Name: "clipboard", State: checkOK, Says: "links can be copied"}
	switch {
	case clipboard.Unsupported:
		k.State, k.Says, k.Do = checkNote, "nothing here can copy: links are shown in the browser", "Install "+noClipboard().install
	case os.Getenv("DISPLAY")+os.Getenv("WAYLAND_DISPLAY") == "":
		k.State, k.Says = checkNote, "there is no display, and so no clipboard"
	}
	return k
}
