package capture

import (
	"context"
	"fmt"
	"math"

	"earshot/audio"
)

const (
	// DefaultTone is the usual pitch of a test tone in Hz, concert A (ISO 16).
	DefaultTone = 440
	// toneLevel is its amplitude: loud enough to be heard, and not painful.
	toneLevel = 0.25
)

// Tone makes a test tone: a steady sine on both channels.
type Tone struct {
	config Config
	hz     float64
	name   string
}

// NewTone returns a Tone of hz.
func NewTone(c Config, hz float64) *Tone {
	return &Tone{config: c, hz: hz, name: fmt.Sprintf("test tone of %v Hz", hz)}
}

// Run plays the tone into ring in real time until ctx ends.
func (t *Tone) Run(ctx context.Context, ring *audio.Ring) error {
	r := reporter{Config: t.config}
	r.set(Status{Output: t.name})
	turns := 0.0
	return realtime(ctx, t.config, ring, func(pcm []float32) error {
		for i := 0; i < len(pcm); i += audio.Channels {
			x := float32(toneLevel * math.Sin(2*math.Pi*turns))
			pcm[i], pcm[i+1] = x, x
			_, turns = math.Modf(turns + t.hz/audio.SampleRate)
		}
		return nil
	})
}
