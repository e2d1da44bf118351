package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/capture"
	"earshot/server"
)

// script is a source that does what a test says.
type script func(ctx context.Context, r *audio.Ring) error

func (s script) Run(ctx context.Context, r *audio.Ring) error { return s(ctx, r) }

type silent struct{}

func (silent) Delay() time.Duration { return 0 }

func (silent) Encode(_ []float32, data []byte) (int, error) { return copy(data, "x"), nil }

// runEngine runs an engine whose source is s until the test ends.
func runEngine(t *testing.T, s script) *engine {
	t.Helper()
	hub, err := server.NewHub(server.HubConfig{Format: server.Format{Frame: 20 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	p := &audio.Pipeline{Source: s, Encoder: silent{}, Frame: 20 * time.Millisecond}
	e := newEngine(hub, p, func() {}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { e.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return e
}

// A source that fails stops the stream, which says why and can be started again.
func TestEngineSourceFails(t *testing.T) {
	var runs atomic.Int32
	e := runEngine(t, func(ctx context.Context, _ *audio.Ring) error {
		if runs.Add(1) == 1 {
			return errors.New("no such sound")
		}
		<-ctx.Done()
		return nil
	})
	e.start()
	waitFor(t, "it says why", func() bool { return e.status().trouble == "Stopped: no such sound" })
	if e.status().on {
		t.Error("it is on")
	}
	e.start()
	waitFor(t, "it runs again", func() bool { return runs.Load() == 2 })
	if st := e.status(); !st.on || st.trouble != "" {
		t.Errorf("status %+v", st)
	}
}

// A device that takes its time to close holds up nobody: stopping is at once, a
// start waits for it and says so, and two never run at the same time.
func TestEngineSlowClose(t *testing.T) {
	var running, runs, closing atomic.Int32
	closed := make(chan struct{})
	release := sync.OnceFunc(func() { close(closed) })
	e := runEngine(t, func(ctx context.Context, _ *audio.Ring) error {
		if running.Add(1) > 1 {
			t.Error("two at a time")
		}
		defer running.Add(-1)
		runs.Add(1)
		<-ctx.Done()
		closing.Add(1)
		<-closed
		return nil
	})
	defer release()
	e.start()
	waitFor(t, "it runs", func() bool { return runs.Load() == 1 })
	e.report(capture.Status{Output: "speakers"})
	e.stop()
	if st := e.status(); st.on || st.output != "" {
		t.Errorf("after stop: %+v", st)
	}
	waitFor(t, "it closes", func() bool { return closing.Load() == 1 })
	e.start()
	waitFor(t, "it says what it waits for", func() bool { return e.status().trouble != "" })
	release()
	waitFor(t, "it runs again", func() bool { return runs.Load() == 2 && e.status().trouble == "" })
}

// A stop and a start in one breath leave what runs alone, and what is known of
// it.
func TestEngineRestartAtOnce(t *testing.T) {
	e := runEngine(t, func(ctx context.Context, _ *audio.Ring) error {
		<-ctx.Done()
		return nil
	})
	e.start()
	e.report(capture.Status{Output: "speakers", Trouble: "gone"})
	for range 100 {
		e.stop()
		e.start()
	}
	e.report(capture.Status{Output: "speakers"})
	waitFor(t, "it settles", func() bool { st := e.status(); return st.on && st.trouble == "" })
}
