package tray

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"fyne.io/systray"
	"github.com/godbus/dbus/v5"
)

// dialLimit bounds how long a session bus may take to answer the first time.
const dialLimit = 5 * time.Second

// SessionBus connects to the D-Bus session bus. Where none runs it returns an
// ErrNoSession and starts none: the usual way of connecting would run
// dbus-launch and leave a bus behind that no desktop is on. The connection
// ends with ctx.
func SessionBus(ctx context.Context) (*dbus.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(dialLimit, cancel)
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: no session bus: %w", ErrNoSession, err)
	}
	err = conn.Auth(nil)
	if err == nil {
		err = conn.Hello()
	}
	if !limit.Stop() || err != nil {
		cancel()
		conn.Close()
		return nil, fmt.Errorf("%w: session bus does not answer: %w", ErrNoSession, err)
	}
	context.AfterFunc(conn.Context(), cancel)
	return conn, nil
}

// Run shows the tray until ctx ends (nil) or the session does
// (ErrSessionEnded). Without a session it returns ErrNoSession at once; on a
// desktop without a tray it waits for one and says so. It must be called from
// the main goroutine, once a process. While it runs, what package log is given
// goes to c.Log, since that is where the tray library complains; so c.Log must
// not write through package log.
func Run(ctx context.Context, c Config) error {
	bus, err := SessionBus(context.Background())
	if err != nil {
		return err
	}
	defer bus.Close()
	defer capture(c)()

	// All of this comes before the start, so that the library has it when a
	// panel first asks. Set later, a left click would open the menu for ever,
	// and the icon would sometimes be lost.
	clicks := make(chan click, 8)
	systray.SetOnTapped(func() { tap(clicks, click{what: Toggle}) })
	systray.SetTitle(c.Title)
	m := newMenu(newView(State{}, new(lineups).place(State{}, c.Now()), c.Now()))

	start, end := systray.RunWithExternalLoop(nil, nil)
	start()

	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { loop(ctx, c, m, clicks) })
	all.Go(func() { m.clicks(ctx, clicks) })
	all.Go(func() { watchHost(ctx, c, bus) })

	select {
	case <-ctx.Done():
	case <-bus.Context().Done():
		err = ErrSessionEnded
	}
	stop()
	all.Wait()
	if err == nil {
		end() // with the bus gone it would panic, and has nothing to take down
	}
	return err
}

// iconFile is a PNG as the tray library takes pictures.
func iconFile(png []byte) []byte { return png }

// label is text as a menu takes it: a single "_" would mark the letter after it
// as the line's key.
func label(s string) string {
	return strings.ReplaceAll(s, "_", "__")
}
