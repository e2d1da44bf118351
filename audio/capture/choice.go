package capture

import (
	"log/slog"
	"sync"
	"sync/atomic"
)

// Output is a sound output.
type Output struct {
	Name    string `json:"name"`    // the system's, which survives reboots
	Title   string `json:"title"`   // for people
	Default bool   `json:"default"` // it is the default one
}

// Program is a program that plays just now.
type Program struct {
	Name  string `json:"name"`  // as a Choice has it
	Title string `json:"title"` // for people

	binary string // the file that runs, where that is known
}

// Sounds is what can be captured just now. One that was handed over is not
// changed after.
type Sounds struct {
	Outputs  []Output  `json:"outputs"`
	Programs []Program `json:"programs"` // empty where CanProgram is false
}

// WatchConfig is what Watch needs; Mutes may be nil.
type WatchConfig struct {
	Log   *slog.Logger
	Mutes *Mutes
	Tell  func(Sounds)
}

// Choice is which sound is shared. The zero Choice is what plays on the default
// output, whichever that is at the time. A Choice handed over is not changed
// after.
type Choice struct {
	// Output is the name of the only output to capture; when it is gone it is
	// waited for, and no other taken instead.
	Output string
	// Program is the name of the only program to capture, on whatever output it
	// plays; Output does not matter then.
	Program string
	// Title is what people call that output or program; empty where that isn't
	// known.
	Title string
	// Never are names of outputs that are never captured, nor what a program
	// plays on them; Covers says which they mean.
	Never []string
	// Mute keeps the output silent here while its sound is captured.
	Mute bool
}

// called returns what people call what was chosen.
func (c Choice) called() string {
	switch {
	case c.Title != "":
		return c.Title
	case c.Program != "":
		return c.Program
	}
	return c.Output
}

// Demand is what the owner and the listeners want of a source just now. Any
// goroutine may use it.
type Demand struct {
	changed chan struct{} // capacity 1: the source has to look again
	seq     atomic.Uint64 // of the choice

	mu       sync.Mutex
	choice   Choice
	listened bool
}

// NewDemand returns a Demand of what nobody listens to yet.
func NewDemand(c Choice) *Demand {
	return &Demand{changed: make(chan struct{}, 1), choice: c}
}

// Choose changes which sound is captured. Nothing that was captured by the
// choice before comes through once Choose has returned.
func (d *Demand) Choose(c Choice) {
	d.mu.Lock()
	d.choice = c
	d.seq.Add(1)
	d.mu.Unlock()
	d.nudge()
}

// Listen says whether anybody listens. While nobody does, no device is open.
func (d *Demand) Listen(listened bool) {
	d.mu.Lock()
	changed := d.listened != listened
	d.listened = listened
	d.mu.Unlock()
	if changed {
		d.nudge()
	}
}

// Choice returns what is chosen.
func (d *Demand) Choice() Choice {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.choice
}

func (d *Demand) nudge() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// want returns what is wanted now; seq is the choice's, for current.
func (c Config) want() (choice Choice, listened bool, seq uint64) {
	if c.Demand == nil {
		return Choice{}, true, 0
	}
	c.Demand.mu.Lock()
	defer c.Demand.mu.Unlock()
	return c.Demand.choice, c.Demand.listened, c.Demand.seq.Load()
}

// changes receives a value after what is wanted has changed. It is nil where
// that never does.
func (c Config) changes() <-chan struct{} {
	if c.Demand == nil {
		return nil
	}
	return c.Demand.changed
}

// current tells whether seq is still that of the choice. What was captured by
// an older one must not go out. It neither waits nor allocates, so that a
// device's callback may call it.
func (c Config) current(seq uint64) bool {
	return c.Demand == nil || c.Demand.seq.Load() == seq
}
