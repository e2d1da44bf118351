package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// openGrace is how soon xdg-open has failed if it fails.
const openGrace = 5 * time.Second

// openURL opens url in the user's browser. It waits openGrace at most, or until
// ctx ends, for an error of that; the browser stays. url can be seen by all
// users of this computer.
func openURL(ctx context.Context, url string) error {
	cmd := exec.Command("xdg-open", url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the browser outlives us
	if err := cmd.Start(); errors.Is(err, exec.ErrNotFound) {
		return errors.New("no program to open a browser with: install xdg-utils")
	} else if err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	// Some browsers run in xdg-open's place, so this ends when they do.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("open browser: xdg-open: %w", err)
		}
	case <-time.After(openGrace):
	case <-ctx.Done():
	}
	return nil
}
