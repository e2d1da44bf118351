// Package capture has the sources of sound: what this computer's speakers play
// ([Loopback]), a test tone ([Tone]), a sound file ([File]), and [Auto], which
// takes the speakers where it can and the tone where not.
//
// A Loopback never opens a microphone. It opens the monitor of the default
// output by name, asks the sound server whether that is what was opened before
// it lets a single sample through, and asks again whenever something changes.
package capture

import (
	"log/slog"

	"earshot/audio"
)

// Status tells where a source's sound comes from.
type Status struct {
	// Output is the output whose sound is captured, as people know it ("Built-in
	// Audio Analog Stereo"), or what stands in for it ("test tone"). It is empty
	// before one was found.
	Output string
	// Trouble says in one plain line why there is no sound just now ("the sound
	// server is not running"); empty when there is none. The source goes on by
	// itself when the trouble ends.
	Trouble string
}

// Config is what all sources need.
type Config struct {
	// Clock is what samples are stamped with.
	Clock audio.Clock
	Log   *slog.Logger
	// Report is called on each change of the status from the goroutine of Run,
	// which it must not keep. It may be nil.
	Report func(Status)
}

// reporter passes on what is new in a status.
type reporter struct {
	Config
	told   bool
	status Status
}

// set reports s unless that is known already.
func (r *reporter) set(s Status) {
	if r.told && s == r.status {
		return
	}
	r.told, r.status = true, s
	if s.Trouble == "" {
		r.Log.Info("capturing", "output", s.Output)
	} else {
		r.Log.Warn("no sound to capture", "trouble", s.Trouble, "output", s.Output)
	}
	if r.Report != nil {
		r.Report(s)
	}
}

// trouble reports why there is no sound from the output last known.
func (r *reporter) trouble(text string) {
	r.set(Status{Output: r.status.Output, Trouble: text})
}
