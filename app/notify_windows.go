package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/windows"

	"earshot/tray"
)

// notifier shows notifications at the tray icon. Toasts by themselves would need
// a program that is installed, with a shortcut in the start menu. The zero
// notifier is ready; any goroutine may use it.
type notifier struct{}

// notify shows title and, smaller, text; both are plain. Before there is a tray
// icon it returns an error.
func (*notifier) notify(_ context.Context, title, text string) error {
	if err := tray.Balloon(title, text); err != nil {
		return fmt.Errorf("show notification: %w", err)
	}
	return nil
}

func (*notifier) close() {}

// announce shows a notification of a program that is about to end, and waits
// until it has been read: with the program its icon would go, and the
// notification with that. A console has said it already.
func announce(title, text string) {
	if hasConsole() {
		return
	}
	caption, err := windows.UTF16PtrFromString("Earshot")
	both, err2 := windows.UTF16PtrFromString(title + "\n\n" + text)
	if err != nil || err2 != nil {
		return // a NUL in it, which is nobody's text
	}
	_, _ = windows.MessageBox(0, both, caption, windows.MB_OK|windows.MB_ICONINFORMATION|windows.MB_SETFOREGROUND)
}
