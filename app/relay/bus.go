package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"earshot/server"
	"earshot/server/relay"
	"earshot/server/setting"
	"earshot/server/token"
)

// natsConfig is the table [nats]: where the relays meet that share streams.
type natsConfig struct {
	URLs        []string `toml:"urls"`
	Credentials string   `toml:"credentials"` // file
	CA          string   `toml:"ca"`
	Cert        string   `toml:"cert"`
	Key         string   `toml:"key"`
	Replicas    int      `toml:"replicas"`
	Name        string   `toml:"name"` // of this relay
}

// complete checks what can be checked without NATS.
func (n *natsConfig) complete(path string) error {
	if len(n.URLs) == 0 && (n.Credentials != "" || n.CA != "" || n.Cert != "" || n.Key != "" || n.Replicas != 0) {
		return errors.New(`nats: say where the servers are, such as urls = ["tls://nats.example.org:4222"], or leave the table out`)
	}
	for _, file := range []*string{&n.Credentials, &n.CA, &n.Cert, &n.Key} {
		*file = setting.Beside(path, *file)
	}
	_, err := relay.New(n.bus("", nil))
	return err
}

// bus returns the configuration of the bus, which keeps its files in dir where
// no NATS is elsewhere.
func (n *natsConfig) bus(dir string, log *slog.Logger) relay.Config {
	return relay.Config{
		Dir: dir, URLs: n.URLs, Credentials: n.Credentials, CA: n.CA, Cert: n.Cert, Key: n.Key,
		Replicas: n.Replicas, Name: n.Name, Log: log,
	}
}

// member is a stream's part in the relays, as package server wants it.
type member struct {
	bus *relay.Bus
	*relay.Member
}

// join makes cast the stream of that name at all relays of the bus.
func join(bus *relay.Bus, name string, cast *server.Broadcast) (*relay.Member, error) {
	m, err := bus.Join(relay.Stream{
		Name:   name,
		Sound:  cast.Sound,
		State:  func(s relay.State) { cast.State(s.Epoch, s.Online, s.About) },
		Wanted: cast.Wanted,
		Others: func(all []relay.Report) { cast.Others(others(all)) },
		Kick:   cast.Kick,
		Excess: cast.Excess,
		Review: cast.Review,
		Report: func() relay.Report {
			count, list, seats := cast.Report()
			r := relay.Report{Count: count, Listeners: list}
			for _, s := range seats {
				r.Seats = append(r.Seats, relay.Seat(s))
			}
			return r
		},
	})
	if err != nil {
		return nil, err
	}
	cast.Join(member{bus, m})
	return m, nil
}

// others is who listens at other relays, each marked with its relay.
func others(all []relay.Report) (lists []json.RawMessage, count int) {
	for _, r := range all {
		count += r.Count
		var list []server.Listener
		if json.Unmarshal(r.Listeners, &list) != nil {
			continue // of a relay of another version
		}
		for i := range list {
			list[i].Relay = r.Relay
		}
		if text, err := json.Marshal(list); err == nil {
			lists = append(lists, text)
		}
	}
	return lists, count
}

func (m member) Admits() bool { return m.bus.Admits() }

func (m member) Claim(ctx context.Context, c server.Claim) (server.Lease, error) {
	l, err := m.Member.Claim(ctx, relay.Claim{Identity: c.Identity, Clock: c.Clock})
	switch {
	case errors.Is(err, relay.ErrTaken):
		return nil, server.ErrTaken
	case err != nil:
		return nil, fmt.Errorf("%w: %w", server.ErrUnavailable, err)
	}
	return lease{m.bus, l}, nil
}

func (m member) Withdraw(ctx context.Context, all time.Time, some []token.Withdrawal) error {
	var list []relay.Withdrawal
	if !all.IsZero() {
		list = append(list, relay.Withdrawal{All: all})
	}
	for _, w := range some {
		list = append(list, relay.Withdrawal{ID: w.ID, Until: w.Until})
	}
	return m.Member.Withdraw(ctx, list)
}

// lease is a publisher's right, as package server wants it.
type lease struct {
	bus *relay.Bus
	*relay.Lease
}

// Tell hands on what the server has made itself.
func (l lease) Tell(about []byte) { _ = l.Lease.Tell(about) }

// Kick takes no relay for this one.
func (l lease) Kick(at string, listener uint64) {
	if at == "" {
		at = l.bus.Name()
	}
	l.Lease.Kick(at, listener)
}

func (l lease) Err() error {
	if err := l.Lease.Err(); errors.Is(err, relay.ErrReplaced) {
		return server.ErrReplaced
	} else {
		return err
	}
}
