package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
)

// watchSleep returns at once: nothing tells this program of sleep. A sound
// device that does not outlive it is opened anew.
func watchSleep(context.Context, *slog.Logger, func(asleep bool)) {}

// findFirewall knows of none: macOS asks the user itself when a program first
// listens.
func findFirewall(context.Context, string) (firewall, error) { return firewall{}, nil }

// ownPeer does not tell programs of other users apart.
func ownPeer(_, _ netip.AddrPort) (bool, error) { return true, nil }

// openURL opens url in the user's browser. url can be seen by all users of this
// computer.
func openURL(ctx context.Context, url string) error {
	if err := exec.CommandContext(ctx, "/usr/bin/open", url).Run(); err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	return nil
}

// notifier shows notifications. The zero notifier is ready; any goroutine may
// use it.
type notifier struct{}

// notify shows title and, smaller, text; both are plain: the script gets them as
// arguments, and reads neither.
func (*notifier) notify(ctx context.Context, title, text string) error {
	const script = "on run {title, body}\ndisplay notification body with title title\nend run"
	if err := exec.CommandContext(ctx, "/usr/bin/osascript", "-e", script, title, text).Run(); err != nil {
		return fmt.Errorf("show notification: %w", err)
	}
	return nil
}

func (*notifier) close() {}
