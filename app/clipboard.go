package main

import (
	"fmt"
	"os"
	"time"

	"github.com/atotto/clipboard"
)

// copyLimit bounds how long copying takes. A frozen display can hold up the
// program that does it.
const copyLimit = 3 * time.Second

// noClipboardError says that this computer has no program to copy with.
type noClipboardError struct {
	install string // what would help
}

func (e *noClipboardError) Error() string {
	return "no program to copy with: install " + e.install
}

// noClipboard says what would help where nothing can copy.
func noClipboard() *noClipboardError {
	if os.Getenv("WAYLAND_DISPLAY") != "" {
		return &noClipboardError{install: "wl-clipboard"}
	}
	return &noClipboardError{install: "xclip"}
}

// copyText puts text on the clipboard, where it stays when this program ends.
// Without a program to copy with the error is a noClipboardError; there may
// also be one that fails, since it has no display say.
func copyText(text string) error {
	if clipboard.Unsupported {
		return noClipboard()
	}
	copied := make(chan error, 1)
	go func() { copied <- clipboard.WriteAll(text) }() // can't be stopped, only left
	select {
	case err := <-copied:
		if err != nil {
			return fmt.Errorf("copy to the clipboard: %w", err)
		}
		return nil
	case <-time.After(copyLimit):
		return fmt.Errorf("copy to the clipboard: not done after %v", copyLimit)
	}
}
