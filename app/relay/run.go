package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"earshot/assets"
	"earshot/server"
	"earshot/server/relay"
	"earshot/server/token"
)

// defaultDrain is over how long listeners are sent away at the end.
const defaultDrain = 5 * time.Second

type runCommand struct{}

func (runCommand) Run(c *console) error {
	config, err := readConfig(c.config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return serve(ctx, config, c)
}

// serve runs the relay until ctx ends.
func serve(ctx context.Context, c *config, console *console) error {
	log := c.logger(console.err)
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w: choose another with data", err)
	}
	lock := flock.New(filepath.Join(c.Data, "lock"))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return fmt.Errorf("lock data folder: %w", err)
	case !locked:
		return fmt.Errorf("another earshot-relay runs with the data folder %s: stop that, or choose another with data", c.Data)
	}
	defer func() { _ = lock.Close() }()

	bus, err := relay.New(c.NATS.bus(filepath.Join(c.Data, "nats"), log))
	if err != nil {
		return err
	}
	streams, err := c.streams(bus)
	if err != nil {
		return err
	}
	srv := server.New(server.Config{
		Streams:        streams,
		Player:         assets.Player(),
		Log:            log,
		PublicURL:      c.URL.URL,
		TrustedProxies: c.proxies(),
		Drain:          time.Duration(c.Drain),
	})
	m := newMetrics(srv, bus)
	m.profiles = c.Profiles
	ln, err := net.Listen("tcp", string(c.Listen))
	if err != nil {
		return listenError("listen", err)
	}
	ln, err = c.secure(ctx, ln, log)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	var aside net.Listener
	if c.Metrics != "" {
		if aside, err = net.Listen("tcp", string(c.Metrics)); err != nil {
			return errors.Join(listenError("metrics", err), ln.Close())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log.Info("up", "url", c.URL.URL.String(), "listen", ln.Addr(), "streams", len(streams), "version", version)
	if !assets.Built() {
		log.Warn("the player is not built: visitors get a page that says so")
	}
	// The bus outlives the server, whose publishers give back what they hold.
	ride, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	rode := make(chan error, 1)
	go func() {
		rode <- bus.Run(ride)
		cancel()
	}()
	var parts sync.WaitGroup
	failed := make(chan error, 2)
	part := func(run func() error) {
		parts.Go(func() {
			if err := run(); err != nil {
				failed <- err
			}
			cancel()
		})
	}
	part(func() error { return srv.Run(ctx, ln) })
	if aside != nil {
		// Not ended before the listeners: while they are sent away it says so.
		served := make(chan struct{})
		go func() { m.serve(ctx, aside); close(served) }()
		defer func() { _ = aside.Close(); <-served }()
	}
	parts.Wait()
	stop()
	err = <-rode
	log.Info("down")
	select {
	case failure := <-failed:
		return errors.Join(err, failure)
	default:
		return err
	}
}

// listenError says what to do.
func listenError(key string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w: stop the other program there (another earshot-relay?), or choose another port", key, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %w: choose a port above 1023, or start it by systemd, which lets it", key, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// streams returns the streams of the config, each a member of the bus.
func (c *config) streams(bus *relay.Bus) ([]server.Stream, error) {
	var all []server.Stream
	for _, s := range c.Streams {
		tokens := &token.Verifier{Audience: s.url, Now: time.Now}
		tokens.Use(s.keys...)
		title := s.Title
		if title == "" {
			title = s.Name
		}
		cast, err := server.NewBroadcast(server.BroadcastConfig{Title: title, Tokens: tokens})
		if err != nil {
			return nil, err
		}
		m, err := bus.Serve(s.Name, cast)
		if err != nil {
			return nil, err
		}
		tokens.Revoked = func(c token.Claims) bool { return m.Withdrawn(c.ID, c.Issued) }
		one := server.Stream{
			Name:         s.Name,
			Hub:          cast.Hub(),
			Tokens:       tokens,
			Broadcast:    cast,
			MaxListeners: s.MaxListeners,
			Public:       s.Public,
		}
		for _, o := range s.Embed {
			one.Embed = append(one.Embed, string(o))
		}
		all = append(all, one)
	}
	return all, nil
}

func (c *config) proxies() (all []netip.Prefix) {
	for _, p := range c.TrustedProxies {
		all = append(all, p.Prefix)
	}
	return all
}

func (c *config) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel.Level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
