// Package capture has the sources of sound: what this computer's speakers play
// ([Loopback]), a test tone ([Tone]), a sound file ([File]), and [Auto], which
// takes the speakers where it can and the tone where not.
//
// A [Demand] says which sound is wanted, and whether anybody listens.
//
// A Loopback never opens a microphone. It opens the monitor of one output by
// name, asks the sound server whether that is what was opened before
// it lets a single sample through, and asks again whenever something changes.
package capture

import (
	"log/slog"
	"time"

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
	// Held says in one plain line why nothing is captured though nothing is
	// wrong: the owner never shares that output.
	Held string
	// Waiting says in one plain line what silence waits for: a program that
	// does not play just now.
	Waiting string
	// Muted tells that the output is silent here because it was asked for.
	Muted bool
}

// Config is what all sources need.
type Config struct {
	// Clock is what samples are stamped with.
	Clock audio.Clock
	Log   *slog.Logger
	// Frame is the duration of the packets that the sound goes into, 0 where that
	// is not known. For long ones a device is asked for longer blocks: a packet
	// has to wait for all of its sound anyway, and each block wakes the program.
	Frame time.Duration
	// Report is called on each change of the status from the goroutine of Run,
	// which it must not keep. It may be nil.
	Report func(Status)
	// Demand is what is wanted of the source. It may be nil: then what the
	// default output plays is wanted all the time.
	Demand *Demand
	// Mutes keeps account of what is muted. It may be nil: then Choice.Mute does
	// nothing.
	Mutes *Mutes
}

// block returns how many samples per channel a device shall hand over at once.
func (c Config) block() int {
	if c.Frame >= 2*audio.Duration(period) {
		return 2 * period
	}
	return period
}

// reporter passes on what is new in a status.
type reporter struct {
	Config
	told   bool
	status Status
	idle   bool // nobody listened when it was told
}

// set reports s unless that is known already.
func (r *reporter) set(s Status) {
	_, listened, _ := r.want()
	same, idle := r.told && s == r.status, !listened
	if same && (idle == r.idle || s.Trouble != "" || s.Held != "") {
		return
	}
	r.told, r.status, r.idle = true, s, idle
	switch {
	case s.Trouble != "":
		r.Log.Warn("no sound to capture", "trouble", s.Trouble, "output", s.Output)
	case s.Held != "":
		r.Log.Info("capturing nothing", "because", s.Held)
	case idle:
		r.Log.Info("capturing nothing until somebody listens", "output", s.Output)
	default:
		r.Log.Info("capturing", "output", s.Output, "waiting", s.Waiting, "muted", s.Muted)
	}
	if r.Report != nil && !same {
		r.Report(s)
	}
}

// trouble reports why there is no sound from the output last known.
func (r *reporter) trouble(text string) {
	r.set(Status{Output: r.status.Output, Trouble: text})
}
