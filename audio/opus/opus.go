// Package opus encodes sound with libopus (RFC 6716).
//
// Build with the tag nolibopusfile, which leaves libopusfile and libogg out.
package opus

import (
	"fmt"
	"time"

	hraban "github.com/hraban/opus"

	"earshot/audio"
)

// The range of bit rates that libopus takes for stereo, in bits per second.
const (
	MinBitrate = 6000
	MaxBitrate = 510000
)

// lowDelayBitrate is from where on the encoder is restricted to its CELT mode,
// which it chooses for music from there on anyway: that takes 4 ms off the
// delay. Below it, speech is clearer with the other modes.
const lowDelayBitrate = 64000

// Frames are the durations of a packet that an [Encoder] makes.
var Frames = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond}

// What libopus answers to OPUS_GET_LOOKAHEAD, which the binding can't ask;
// TestDelay measures it.
const (
	lowDelay  = 2500 * time.Microsecond
	fullDelay = 6500 * time.Microsecond
)

// Encoder encodes stereo sound. It implements audio.Encoder; one goroutine at
// a time.
type Encoder struct {
	enc   *hraban.Encoder
	delay time.Duration
}

// NewEncoder returns an Encoder for a bit rate in bits per second between
// MinBitrate and MaxBitrate.
func NewEncoder(bitrate int) (*Encoder, error) {
	mode, delay := hraban.AppAudio, fullDelay
	if bitrate >= lowDelayBitrate {
		mode, delay = hraban.AppRestrictedLowdelay, lowDelay
	}
	enc, err := hraban.NewEncoder(audio.SampleRate, audio.Channels, mode)
	if err != nil {
		return nil, fmt.Errorf("create opus encoder: %w", err)
	}
	if err := enc.SetBitrate(bitrate); err != nil {
		return nil, fmt.Errorf("set opus bit rate %d: %w", bitrate, err)
	}
	if err := enc.SetComplexity(10); err != nil {
		return nil, fmt.Errorf("set opus complexity: %w", err)
	}
	return &Encoder{enc: enc, delay: delay}, nil
}

// Encode encodes interleaved stereo samples in [-1, 1], as many as one of
// Frames holds, into data and returns the number of bytes written. It does not
// allocate.
func (e *Encoder) Encode(pcm []float32, data []byte) (int, error) {
	// The binding takes the slice's capacity for its length.
	return e.enc.EncodeFloat32(pcm, data[:len(data):len(data)])
}

// Delay implements audio.Encoder.
func (e *Encoder) Delay() time.Duration { return e.delay }

// Version names the libopus that is linked, as "libopus 1.3.1".
func Version() string { return hraban.Version() }
