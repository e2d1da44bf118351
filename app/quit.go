package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// quitTimeout bounds how long `earshot quit` waits. It is more than stopTimeout.
const quitTimeout = 15 * time.Second

type quitCommand struct{}

// Run ends the running app and returns when it has ended, so that an installer
// can replace it.
func (quitCommand) Run(s *settings, c *console) error {
	data := dataFolder(s.Data)
	if err := call(data.control(), "POST", "quit", &struct{}{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
	defer cancel()
	lock := flock.New(data.lock()) // which the app holds to its end
	_, err := lock.TryLockContext(ctx, 20*time.Millisecond)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("earshot was asked to quit, and still runs after %v: end its process", quitTimeout)
	}
	if err != nil {
		return fmt.Errorf("wait for the end of earshot: %w", err)
	}
	return lock.Close()
}

// quit implements controlled.
func (a *app) quit() { a.cancel() }
