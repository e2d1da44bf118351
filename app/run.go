package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/gofrs/flock"

	"earshot/assets"
	"earshot/audio"
	"earshot/audio/capture"
	"earshot/audio/opus"
	"earshot/server"
)

// stopTimeout bounds how long the app waits at the end for its sound device,
// whose closing a frozen sound server can hold up.
const stopTimeout = 5 * time.Second

type runCommand struct {
	Headless bool `help:"Run without a tray."`
}

// app is the running program.
type app struct {
	settings *settings
	console  *console
	log      *slog.Logger
	data     dataFolder
	access   *access
	hub      *server.Hub
	server   *server.Server
	engine   *engine
	listen   net.Addr

	changes chan struct{} // capacity 1: something that the tray shows has changed
}

func (r *runCommand) Run(s *settings, c *console) error {
	err := r.run(s, c)
	if err != nil && !r.Headless {
		// After a login nobody sees what is printed.
		var n notifier
		defer n.close()
		_ = n.notify(context.Background(), "Earshot can't start", err.Error())
	}
	return err
}

func (r *runCommand) run(s *settings, c *console) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	signal.Ignore(syscall.SIGHUP) // a tray app stays when its terminal is closed

	data, err := openData(s.Data)
	if err != nil {
		return err
	}
	lock := flock.New(data.lock())
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock data folder: %w", err)
	}
	if !locked {
		return alreadyRunning(s, c, data)
	}
	defer func() { _ = lock.Close() }()

	a := &app{settings: s, console: c, log: s.logger(c.err), data: data, changes: make(chan struct{}, 1)}
	if a.access, err = openAccess(s, data); err != nil {
		return err
	}
	if err := a.newEngine(); err != nil {
		return err
	}
	ln, err := listen(string(s.Listen))
	if err != nil {
		return err
	}
	a.listen = ln.Addr()
	control, err := listenControl(data.control())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	a.server, err = a.newServer()
	if err != nil {
		return errors.Join(err, ln.Close(), control.Close())
	}
	if s.Start {
		a.engine.start()
	}
	a.greet(r.Headless)

	var parts sync.WaitGroup
	failed := make(chan error, 2)
	part := func(run func() error) {
		parts.Go(func() {
			if err := run(); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	part(func() error { return a.server.Run(ctx, ln) })
	part(func() error { return serveControl(ctx, control, a) })
	sound := make(chan struct{})
	go func() { a.engine.run(ctx); close(sound) }()

	if r.Headless || !a.showTray(ctx) {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		select {
		case <-ctx.Done():
		case <-hangup:
		}
	}
	cancel()
	parts.Wait()
	select {
	case <-sound:
	case <-time.After(stopTimeout):
		a.log.Warn("the sound device does not close: leaving it")
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// newEngine makes the hub and the engine that publishes to it.
func (a *app) newEngine() error {
	s := a.settings
	clock := audio.NewClock()
	var err error
	a.hub, err = server.NewHub(server.HubConfig{
		Title:   s.Title,
		Format:  server.Format{Frame: time.Duration(s.Frame), Bitrate: int(s.Bitrate)},
		Clock:   clock,
		Changed: a.changed,
	})
	if err != nil {
		return err
	}
	encoder, err := opus.NewEncoder(int(s.Bitrate))
	if err != nil {
		return err
	}
	p := &audio.Pipeline{Encoder: encoder, Frame: time.Duration(s.Frame)}
	a.engine = newEngine(a.hub, p, a.changed, a.log)
	from := capture.Config{Clock: clock, Log: a.log, Report: a.engine.report}
	switch s.Source.kind {
	case "auto":
		p.Source = capture.NewAuto(from)
	case "loopback":
		p.Source = capture.NewLoopback(from)
	case "tone":
		p.Source = capture.NewTone(from, capture.DefaultTone)
	case "file":
		if p.Source, err = capture.NewFile(from, s.Source.path); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

// changed makes the tray look at the state again.
func (a *app) changed() {
	select {
	case a.changes <- struct{}{}:
	default:
	}
}

// greet says where the app listens and what to do next.
func (a *app) greet(headless bool) {
	where, err := a.place()
	if err != nil {
		a.log.Error("no address for links", "err", err)
		return
	}
	out := a.console.out
	fmt.Fprintf(out, "Earshot is up at %s; links work %s.\n", where.base, where.reach)
	if where.reach == computer {
		fmt.Fprintln(out, "This computer has no network, or --listen keeps to it.")
	}
	command := quote(os.Args[0])
	if dir := string(a.data); dir != defaultData() {
		command += " --data " + quote(dir)
	}
	switch on := a.engine.status().on; {
	case !on && headless:
		fmt.Fprintf(out, "Nothing is heard yet. To go live: %s start\n", command)
	case !on:
		fmt.Fprintf(out, "Nothing is heard yet. To go live, click the tray icon, or: %s start\n", command)
	}
	fmt.Fprintf(out, "For a share link: %s link\n", command)
	if !assets.Built() {
		fmt.Fprintln(out, "The player is not built: run ./build/run once.")
	}
}

// quote writes s as a shell takes it for one word.
func quote(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// place is where listeners find this app just now; the network may change.
func (a *app) place() (place, error) { return a.settings.place(a.listenAddress()) }

// listenAddress is the address that was asked for, with the port that it has.
func (a *app) listenAddress() string {
	host, _, err := net.SplitHostPort(string(a.settings.Listen))
	if err != nil {
		return a.listen.String()
	}
	_, port, err := net.SplitHostPort(a.listen.String())
	if err != nil {
		return a.listen.String()
	}
	return net.JoinHostPort(host, port)
}

// The states that status tells of.
const (
	stateLive    = "live"
	stateStopped = "stopped"
	stateTrouble = "trouble"
)

// status implements controlled.
func (a *app) status() status {
	e := a.engine.status()
	st := status{
		Version:   version,
		PID:       os.Getpid(),
		State:     stateStopped,
		Trouble:   e.trouble,
		Output:    e.output,
		Title:     a.settings.Title,
		Listeners: len(a.hub.Listeners()),
		Refused:   a.server.Refused(),
		Listen:    a.listen.String(),
	}
	switch {
	case e.trouble != "":
		st.State = stateTrouble
	case e.on:
		st.State = stateLive
	}
	if e.on {
		st.Since = &e.since
	}
	if where, err := a.place(); err == nil {
		st.URL, st.Reach = where.base, where.reach
	}
	return st
}

func (a *app) listeners() []server.Listener { return a.hub.Listeners() }
func (a *app) start()                       { a.engine.start() }
func (a *app) stop()                        { a.engine.stop() }

// alreadyRunning answers a second start with the same data folder: it makes the
// first one live if it was asked to be.
func alreadyRunning(s *settings, c *console, data dataFolder) error {
	method, what := "GET", "status"
	if s.Start {
		method, what = "POST", "start"
	}
	var st status
	if err := call(data.control(), method, what, &st); err != nil {
		return fmt.Errorf("another earshot is just starting, ending, or hangs; it holds %s. Try again, or end it: %v", data.lock(), err)
	}
	_, err := fmt.Fprintf(c.out, "Earshot is already running (process %d), with the settings that it was started with. %s\n", st.PID, st.line())
	return err
}

// listen opens the listeners' port. An error says what to do.
func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is taken by another program (or another Earshot): stop that, or choose another port with --listen :PORT", port)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %s is not allowed for this user: choose one above 1023 with --listen :PORT", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("this computer does not have the address %s: choose another with --listen HOST:PORT, or --listen :PORT for all that it has", addr)
	case err != nil:
		return nil, fmt.Errorf("open %s for listeners: %w", addr, err)
	}
	return ln, nil
}
