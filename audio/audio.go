// Package audio turns captured samples into numbered, time-stamped Opus
// packets and gives those packets their wire form.
//
// It is pure Go and knows no device, no codec library and no network: sound
// comes in through a [Source] (package audio/capture), is encoded by an
// [Encoder] (package audio/opus) and leaves through the publish function that
// a [Pipeline] is given.
//
// All sound is interleaved stereo float32 at 48 kHz in [-1, 1]. A "frame" is
// one sample per channel where samples are counted, as in miniaudio, and one
// Opus frame (2.5 to 60 ms) where packets are, as in RFC 6716; the text says
// which.
package audio

import (
	"context"
	"time"
)

// The one sample format inside Earshot.
const (
	SampleRate = 48000 // samples per second and channel
	Channels   = 2     // interleaved: left, right
)

// Source delivers sound.
type Source interface {
	// Run writes captured samples to r until ctx ends, and then returns nil
	// with everything that it started stopped. It outlives trouble: a device
	// that goes away is waited for, not an error. An error means that this
	// source can't ever deliver (a file that is no WAV, say).
	//
	// Run has the only writer of r while it runs.
	Run(ctx context.Context, r *Ring) error
}

// Encoder makes Opus packets of fixed duration.
type Encoder interface {
	// Encode encodes pcm, one Opus frame of interleaved stereo samples, into
	// data and returns the number of bytes written.
	Encode(pcm []float32, data []byte) (int, error)
	// Delay is how much of the sound before pcm a packet begins with when it
	// is decoded.
	Delay() time.Duration
}

// Clock tells monotonic time since a moment that is fixed for the process.
// Packet stamps are read from it.
type Clock func() time.Duration

// NewClock returns a Clock that starts at zero.
func NewClock() Clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Duration returns how long n samples per channel last.
func Duration(n int) time.Duration {
	return time.Duration(n) * time.Second / SampleRate
}

// Samples returns how many samples per channel d holds.
func Samples(d time.Duration) int {
	return int(d * SampleRate / time.Second)
}
