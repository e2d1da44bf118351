package main

import (
	"context"
	"log/slog"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// sleepGrace is how long the computer's sleep is put off so that what
	// listeners are told of it leaves the computer.
	sleepGrace = 200 * time.Millisecond
	// sleepLimit is how long after the word that it will sleep the computer is
	// up for sure, were the word that it woke never to come. The clock that it
	// is counted by stands still meanwhile.
	sleepLimit = 30 * time.Second
)

// logind's object on the system bus
// (https://www.freedesktop.org/software/systemd/man/org.freedesktop.login1.html);
// elogind has the same.
const (
	logind        = "org.freedesktop.login1"
	logindPath    = "/org/freedesktop/login1"
	logindManager = "org.freedesktop.login1.Manager"
)

// watchSleep calls change(true) before the computer sleeps and change(false)
// after it woke, until ctx ends. Where nothing tells of sleep it returns at once.
func watchSleep(ctx context.Context, log *slog.Logger, change func(asleep bool)) {
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		log.Debug("sleep of this computer goes unnoticed", "err", err)
		return
	}
	defer bus.Close()
	signals := make(chan *dbus.Signal, 8)
	bus.Signal(signals)
	err = bus.AddMatchSignalContext(ctx,
		dbus.WithMatchSender(logind),
		dbus.WithMatchObjectPath(logindPath),
		dbus.WithMatchInterface(logindManager),
		dbus.WithMatchMember("PrepareForSleep"))
	if err != nil {
		log.Debug("sleep of this computer goes unnoticed", "err", err)
		return
	}
	s := sleeper{bus: bus, log: log, lock: -1}
	s.hold(ctx)
	defer s.release()
	asleep := false
	wake := func() {
		if asleep {
			asleep = false
			change(false)
			s.hold(ctx)
		}
	}
	defer wake() // where the bus ends first
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-late:
			wake()
		case signal, ok := <-signals:
			if !ok {
				return
			}
			if signal.Name != logindManager+".PrepareForSleep" || len(signal.Body) != 1 {
				continue
			}
			if before, _ := signal.Body[0].(bool); !before {
				wake()
				continue
			}
			if !asleep {
				asleep = true
				change(true)
				select {
				case <-time.After(sleepGrace):
				case <-ctx.Done():
				}
			}
			s.release()
			late = time.After(sleepLimit)
		}
	}
}

// sleeper holds logind's sleep off for a moment.
type sleeper struct {
	bus  *dbus.Conn
	log  *slog.Logger
	lock int // a file descriptor: sleep waits until it is closed; -1 for none
}

// hold makes the next sleep wait.
func (s *sleeper) hold(ctx context.Context) {
	var lock dbus.UnixFD
	err := s.bus.Object(logind, logindPath).CallWithContext(ctx, logindManager+".Inhibit", 0,
		"sleep", "Earshot", "Tell listeners that this computer sleeps", "delay").Store(&lock)
	if err != nil {
		s.log.Debug("sleep of this computer won't wait", "err", err)
		return
	}
	s.lock = int(lock)
}

// release lets the computer sleep.
func (s *sleeper) release() {
	if s.lock >= 0 {
		_ = syscall.Close(s.lock)
		s.lock = -1
	}
}
