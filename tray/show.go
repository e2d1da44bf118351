//go:build windows || darwin

package tray

import (
	"context"
	"sync"

	"fyne.io/systray"
)

// show shows the tray until ctx ends (nil) or the session does
// (ErrSessionEnded). It is of the main goroutine, whose thread has the windows.
func show(ctx context.Context, c Config) error {
	clicks := make(chan click, 8)
	systray.SetOnTapped(func() { tap(clicks, click{what: Toggle}) })

	running, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	quit := context.AfterFunc(running, systray.Quit)
	first := make(chan struct{}, 1) // who takes it comes first: ready, or the end
	first <- struct{}{}
	all.Add(1)
	ready := func() {
		defer all.Done()
		select {
		case <-first:
		default:
			return
		}
		m := newMenu(newView(State{}, new(lineups).place(State{}, c.Now()), c.Now()))
		all.Go(func() { loop(running, c, m, clicks) })
		all.Go(func() { m.clicks(running, clicks) })
	}
	systray.Run(ready, stop) // stop comes of itself when the session ends
	quit()
	select {
	case <-first: // the library did not get ready, and maybe never will
	default:
		all.Wait()
	}
	if ctx.Err() == nil {
		return ErrSessionEnded
	}
	return nil
}
