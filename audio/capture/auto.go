package capture

import (
	"context"
	"time"

	"earshot/audio"
)

// Auto captures what the speakers play where there is a sound server, and plays
// a test tone until there is one: a computer without sound (a container, say)
// still has something to hear, and at a login this program may be up first.
// Once it has seen a sound server it waits for that when it goes away, since
// nobody wants a test tone in the middle of a song.
type Auto struct {
	config Config
	seen   bool // a sound server, in this Run or one before
}

// NewAuto returns an Auto.
func NewAuto(c Config) *Auto { return &Auto{config: c} }

// Run captures into ring until ctx ends. It returns as [Loopback.Run] does.
func (a *Auto) Run(ctx context.Context, ring *audio.Ring) error {
	if !a.seen && !available(ctx) {
		if err := a.tone(ctx, ring); err != nil || ctx.Err() != nil {
			return err
		}
	}
	a.seen = true
	return NewLoopback(a.config).Run(ctx, ring)
}

// tone plays the test tone until there is a sound server or ctx ends.
func (a *Auto) tone(ctx context.Context, ring *audio.Ring) error {
	tone := NewTone(a.config, DefaultTone)
	tone.name += " (no sound server is running)"
	playing, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- tone.Run(playing, ring) }()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended: // with ctx
			return err
		case <-ticker.C:
			// Where no server listens this makes no connection.
			if available(ctx) {
				stop()
				return <-ended
			}
		}
	}
}
