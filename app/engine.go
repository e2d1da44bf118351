package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"earshot/audio"
	"earshot/audio/capture"
	"earshot/server"
)

// engine runs the sound's way while the owner wants it: it is what Start and
// Stop start and stop. Any goroutine may use it.
type engine struct {
	demand   *capture.Demand // what the pipeline's source follows
	pipeline *audio.Pipeline
	hub      *server.Hub
	relays   *relays // nil: none
	changed  func()  // called after the state changed; returns at once
	log      *slog.Logger

	wake chan struct{} // capacity 1: on has changed

	mu     sync.Mutex
	on     bool
	asleep bool      // nothing is captured, whatever on says
	since  time.Time // when it was last started
	sound  capture.Status
	failed string // why it stopped by itself
}

// newEngine returns an engine that is off. The caller sets the pipeline's source
// and encoder.
func newEngine(hub *server.Hub, p *audio.Pipeline, changed func(), log *slog.Logger) *engine {
	e := &engine{
		demand: capture.NewDemand(capture.Choice{}), pipeline: p, hub: hub, changed: changed, log: log,
		wake: make(chan struct{}, 1),
	}
	p.Wanted = e.wanted
	p.Publish = e.publish
	p.Log = log
	return e
}

// wanted tells whether anybody listens, here or at a relay.
func (e *engine) wanted() bool { return e.hub.Wanted() || e.relays != nil && e.relays.wanted() }

// publish hands p on unless the owner has stopped the stream, so that stopping
// takes effect at once even while a device takes its time to close.
func (e *engine) publish(p audio.Packet) {
	if !e.runs() {
		return
	}
	e.hub.Publish(p)
	if e.relays != nil {
		e.relays.publish(p)
	}
}

// start makes the stream live.
func (e *engine) start() {
	e.set(func() {
		if !e.on {
			e.on, e.since, e.failed = true, time.Now(), ""
		}
	})
}

// stop ends it: nothing is captured any more.
func (e *engine) stop() { e.set(func() { e.on, e.failed = false, "" }) }

// sleep ends it for as long as the computer sleeps, and then goes on as before.
func (e *engine) sleep(asleep bool) { e.set(func() { e.asleep = asleep }) }

// runs tells whether there should be sound now.
func (e *engine) runs() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.on && !e.asleep
}

// toggle does what the other of start and stop is now.
func (e *engine) toggle() {
	if e.status().on {
		e.stop()
	} else {
		e.start()
	}
}

// report takes what the source says of itself.
func (e *engine) report(s capture.Status) { e.set(func() { e.sound = s }) }

// set changes the state and tells everybody.
func (e *engine) set(change func()) {
	e.mu.Lock()
	change()
	state := server.Paused
	switch {
	case e.asleep:
		state = server.Offline
	case e.on && e.sound.Trouble != "":
		state = server.Interrupted
	case e.on && e.sound.Held != "":
		state = server.Paused
	case e.on:
		state = server.Live
	}
	err := e.hub.SetState(state)
	if e.relays != nil {
		e.relays.tell(state)
	}
	e.mu.Unlock()
	if err != nil {
		e.log.Error("listeners not told", "err", err)
	}
	e.nudge()
	e.changed()
}

// nudge makes run look again.
func (e *engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// linger is how long the device stays open after the last listener has gone: a
// page that is reloaded, or a phone that changes networks, finds it open.
const linger = 5 * time.Second

// audience says that somebody came or went. It returns at once.
func (e *engine) audience() {
	if e.wanted() {
		e.demand.Listen(true)
	}
	e.nudge()
	e.changed()
}

// engineStatus is what an engine does.
type engineStatus struct {
	on      bool
	since   time.Time
	output  string // what is captured; "" when off or not yet known
	trouble string // why there is no sound though it should be; "" when all is well
	note    string // why there is none though all is well
	muted   bool   // the output is silent here
}

func (e *engine) status() engineStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.on {
		return engineStatus{trouble: e.failed}
	}
	return engineStatus{
		on: true, since: e.since, output: e.sound.Output, trouble: e.sound.Trouble,
		note: cmp.Or(e.sound.Held, e.sound.Waiting), muted: e.sound.Muted,
	}
}

// closeLimit is how long a device may take to close before a start that waits
// for it is trouble to tell of.
const closeLimit = 500 * time.Millisecond

// run captures while the engine is on, until ctx ends.
func (e *engine) run(ctx context.Context) {
	var (
		stop    context.CancelFunc // nil while nothing runs
		stopped bool               // stop was called, and done has not come yet
		done    = make(chan error, 1)
		late    <-chan time.Time // a start waits for done since closeLimit
		alone   <-chan time.Time // nobody has listened for linger
	)
	for {
		select {
		case <-ctx.Done():
			if stop != nil {
				stop()
				<-done
			}
			return
		case err := <-done:
			stop()
			stop, stopped, late = nil, false, nil
			e.set(func() {
				e.sound = capture.Status{}
				if err != nil {
					e.on, e.failed = false, fmt.Sprintf("Stopped: %v", err)
				}
			})
			if err != nil {
				e.log.Error("the stream has stopped", "err", err)
			}
		case <-late:
			late = nil
			e.report(capture.Status{Trouble: "the sound server does not answer"})
		case <-alone:
			if alone = nil; !e.wanted() {
				e.demand.Listen(false)
			}
		case <-e.wake:
			switch {
			case e.wanted():
				alone = nil
				e.demand.Listen(true)
			case alone == nil:
				alone = time.After(linger)
			}
		}
		switch on := e.runs(); {
		case on && stop == nil:
			var running context.Context
			running, stop = context.WithCancel(ctx)
			go func() { done <- e.pipeline.Run(running) }()
		case on && stopped && late == nil && e.status().trouble == "":
			late = time.After(closeLimit)
		case !on && stop != nil:
			stop() // done follows
			stopped, late = true, nil
		}
	}
}
