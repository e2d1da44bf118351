//go:build !linux

package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"earshot/audio"
)

// Loopback captures what the speakers play, on Linux so far.
type Loopback struct{}

// NewLoopback returns a Loopback.
func NewLoopback(Config) *Loopback { return &Loopback{} }

// Run returns an error that wraps [errors.ErrUnsupported].
func (*Loopback) Run(context.Context, *audio.Ring) error {
	return fmt.Errorf("capture what the speakers play on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// available tells that there is nothing that a Loopback could capture.
func available(context.Context) bool { return false }
