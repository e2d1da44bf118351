package capture

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// What Choice can have here.
const (
	CanChoose  = true // Output and Never
	CanProgram = true
	CanMute    = true
)

// List returns what can be captured just now. The error says what is wrong with
// the sound server.
func List(ctx context.Context) (Sounds, error) {
	s, err := dial(ctx)
	if err != nil {
		return Sounds{}, err
	}
	defer s.close()
	all, _, err := s.sounds()
	return all, err
}

// sounds returns what can be captured, and the outputs that are muted.
func (s *server) sounds() (all Sounds, muted map[string]bool, err error) {
	usual, err := s.defaultOutput()
	if err != nil && !errors.Is(err, errNoOutput) && !errors.Is(err, errUndecided) {
		return Sounds{}, nil, err
	}
	outputs, err := s.outputs()
	if err != nil {
		return Sounds{}, nil, err
	}
	streams, err := s.streams()
	if err != nil {
		return Sounds{}, nil, err
	}
	muted = map[string]bool{}
	for _, o := range outputs {
		all.Outputs = append(all.Outputs, Output{o.name, o.title, o.name == usual})
		muted[o.name] = o.muted
	}
	all.Programs = programs(streams)
	return all, muted, nil
}

const (
	// settling is how long changes are collected: they come in dozens.
	settling = 200 * time.Millisecond
	// retry is how long a sound server that is away is left alone.
	retry = 2 * time.Second
)

// Watch calls c.Tell with what can be captured, at once and after each change,
// until ctx ends; without a sound server that is nothing. It unmutes what an
// Earshot that ended too soon left muted.
func Watch(ctx context.Context, c WatchConfig) {
	var told *Sounds
	tell := func(now Sounds) {
		if told == nil || !reflect.DeepEqual(*told, now) {
			told = &now
			c.Tell(now)
		}
	}
	for ctx.Err() == nil {
		s, err := dial(ctx)
		if err == nil {
			err = s.watch(ctx, c, tell)
			s.close()
		}
		if ctx.Err() != nil {
			return
		}
		c.Log.Debug("what plays is not known", "err", err)
		tell(Sounds{})
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// watch is Watch over one connection, until that or ctx ends.
func (s *server) watch(ctx context.Context, c WatchConfig, tell func(Sounds)) error {
	for {
		all, muted, err := s.sounds()
		if err != nil {
			return err
		}
		if c.Mutes != nil {
			s.undo(c, muted)
		}
		tell(all)
		select {
		case <-ctx.Done():
			return nil
		case <-s.closed:
			return errNoServer
		case <-s.changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settling):
		}
	}
}

// undo unmutes what nobody wants muted any more, among the outputs that are there.
func (s *server) undo(c WatchConfig, muted map[string]bool) {
	for _, name := range c.Mutes.left() {
		is, there := muted[name]
		if !there {
			continue
		}
		err := c.Mutes.undo(name, func() error {
			if !is {
				return nil
			}
			c.Log.Info("unmuting what was left muted", "output", name)
			return s.mute(name, false)
		})
		if err != nil {
			c.Log.Warn("not unmuted", "output", name, "err", err)
		}
	}
}
