package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"earshot/assets"
	"earshot/audio"
	"earshot/audio/capture"
	"earshot/audio/opus"
	"earshot/server"
	"earshot/server/profile"
)

// stopTimeout bounds how long the app waits at the end for its sound device,
// whose closing a frozen sound server can hold up.
const stopTimeout = 5 * time.Second

// startLimit is how long a second start waits for the first to be up.
const startLimit = 5 * time.Second

type runCommand struct {
	Headless bool            `help:"Run without a tray."`
	Profile  profile.Address `hidden:"" placeholder:"127.0.0.1:PORT" help:"Serve profiles to this computer: package earshot/server/profile."`
}

// app is the running program.
type app struct {
	settings *settings
	console  *console
	log      *slog.Logger
	data     dataFolder
	choices  *choiceFile
	access   *access
	hub      *server.Hub
	server   *server.Server
	engine   *engine
	sound    *sound
	mutes    *capture.Mutes // nil where what was muted isn't known
	relays   *relays
	listen   net.Addr

	changes chan struct{} // capacity 1: something that the tray shows has changed
	cancel  func()        // ends the program
}

func (r *runCommand) Run(s *settings, c *console) error {
	err := r.run(s, c)
	if err != nil && !r.Headless {
		// After a login nobody sees what is printed.
		announce("Earshot can't start", err.Error())
	}
	return err
}

func (r *runCommand) run(s *settings, c *console) (err error) {
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
	switch {
	case !locked && s.wrong != nil:
		return s.wrong
	case !locked:
		return alreadyRunning(s, c, data, r.Headless)
	}
	defer func() { _ = lock.Close() }()

	file, logErr := openLog(logPath(s.Data), logMost)
	out := c.err
	if logErr == nil {
		defer func() {
			if err != nil { // the terminal is told by main
				s.logger(file).Error("earshot ended", "err", err)
			}
			file.close()
		}()
		out = io.MultiWriter(file, c.err) // this first: a terminal may be gone
	}
	a := &app{settings: s, console: c, log: s.logger(out), data: data, changes: make(chan struct{}, 1)}
	if logErr != nil {
		a.log.Warn("no log is kept", "err", logErr)
	}
	if a.mutes, err = capture.OpenMutes(data.muted()); err != nil {
		a.log.Warn("nothing can be muted", "err", err)
	} else {
		// Before all that may fail: nobody shall stay without sound for that.
		capture.Unmute(ctx, a.log, a.mutes)
	}
	if s.wrong != nil {
		return s.wrong
	}
	if a.choices, err = openChoices(data.choices()); err != nil {
		a.log.Warn("settings as without the menu", "err", err)
	}
	s.use(a.choices.get())
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
	a.listen, a.cancel = ln.Addr(), cancel
	control, err := listenControl(data.control())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	a.server, err = a.newServer()
	if err != nil {
		return errors.Join(err, ln.Close(), control.Close())
	}
	var profiles net.Listener
	if r.Profile != "" {
		if profiles, err = profile.Listen(r.Profile); err != nil {
			return errors.Join(err, ln.Close(), control.Close())
		}
		a.log.Info("profiles", "listen", profiles.Addr())
	}
	a.log.Info("earshot started", "version", version, "commit", commit(), "pid", os.Getpid(), "listen", a.listen)
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
	part(func() error { return serveControl(ctx, control, a, a.log) })
	if profiles != nil {
		part(func() error { return profile.Serve(ctx, profiles) })
	}
	part(func() error { watchSleep(ctx, a.log, a.sleep); return nil })
	part(func() error { watchClock(ctx, a.clockJumped); return nil })
	part(func() error { a.warnOfFirewall(ctx); return nil })
	if s.Source.kind == "auto" || s.Source.kind == "loopback" {
		part(func() error {
			capture.Watch(ctx, capture.WatchConfig{Log: a.log, Mutes: a.mutes, Tell: a.sound.saw})
			return nil
		})
	}
	part(func() error { return a.relays.Run(ctx) })
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
		Changed: func() { a.engine.audience() },
	})
	if err != nil {
		return err
	}
	encoder, err := opus.NewEncoder(int(s.Bitrate))
	if err != nil {
		return err
	}
	p := &audio.Pipeline{Encoder: encoder, Frame: time.Duration(s.Frame)}
	a.relays = a.newRelays(clock)
	a.engine = newEngine(a.hub, p, a.changed, a.log)
	a.engine.relays = a.relays
	if a.sound, err = openSound(s, a.data.sound(), a.engine.demand, a.changed, a.log); err != nil {
		return err
	}
	from := capture.Config{Clock: clock, Log: a.log, Frame: time.Duration(s.Frame), Report: a.engine.report, Demand: a.engine.demand, Mutes: a.mutes}
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
		Version: version,
		PID:     os.Getpid(),
		State:   stateStopped,
		Trouble: e.trouble,
		Output:  e.output,
		Note:    e.note,
		Muted:   e.muted,
		Title:   a.settings.Title,
		Relays:  a.relays.status(),
		Refused: a.server.Refused(),
		Listen:  a.listen.String(),
	}
	st.Listeners = a.countListeners()
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

func (a *app) start() { a.engine.start() }
func (a *app) stop()  { a.engine.stop() }

// listeners implements controlled: here and at relays.
func (a *app) listeners() []server.Listener {
	there, _ := a.relays.listeners()
	return append(a.hub.Listeners(), there...)
}

// countListeners is how many there are, of whom relays name 200 each.
func (a *app) countListeners() int {
	there, more := a.relays.listeners()
	return len(a.hub.Listeners()) + len(there) + more
}

// alreadyRunning answers a second start with the same data folder: it makes the
// first one live if it was asked to be, and says so, also to who clicked an icon
// and sees no terminal.
func alreadyRunning(s *settings, c *console, data dataFolder, headless bool) error {
	method, what := "GET", "status"
	if s.asked { // a setting was for its own start, and may have been stopped since
		method, what = "POST", "start"
	}
	var st status
	err := call(data.control(), method, what, &st)
	// Both may have been started by a login, and the other not be that far yet.
	for end := time.Now().Add(startLimit); errors.Is(err, errNotRunning) && time.Now().Before(end); {
		time.Sleep(startLimit / 50)
		err = call(data.control(), method, what, &st)
	}
	if err != nil {
		return fmt.Errorf("another earshot is just starting, ending, or hangs; it holds %s. Try again, or end it: %v", data.lock(), err)
	}
	if !headless {
		announce("Earshot is already running", st.line()+". Its icon is in the system tray.") // where there is no desktop the terminal says it
	}
	_, err = fmt.Fprintf(c.out, "Earshot is already running (process %d), with the settings that it was started with. %s\n", st.PID, st.line())
	return err
}

// listen opens the listeners' port. An error says what to do.
func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, addressInUse):
		return nil, fmt.Errorf("port %s is taken by another program (or another Earshot): stop that, or choose another port with --listen :PORT", port)
	case errors.Is(err, addressDenied):
		return nil, fmt.Errorf("port %s is not allowed for this user: choose one above 1023 with --listen :PORT", port)
	case errors.Is(err, addressMissing):
		return nil, fmt.Errorf("this computer does not have the address %s: choose another with --listen HOST:PORT, or --listen :PORT for all that it has", addr)
	case err != nil:
		return nil, fmt.Errorf("open %s for listeners: %w", addr, err)
	}
	return ln, nil
}
