package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"earshot/server"
	"earshot/server/token"
)

// member is a stream's part in the relays, as package server wants it.
type member struct {
	bus *Bus
	*Member
}

// Serve makes cast the stream of that name at all relays of the bus, once each and
// before Run.
func (b *Bus) Serve(name string, cast *server.Broadcast) (*Member, error) {
	m, err := b.Join(Stream{
		Name:   name,
		Sound:  cast.Sound,
		State:  func(s State) { cast.State(s.Epoch, s.Online, s.About) },
		Wanted: cast.Wanted,
		Others: func(all []Report) { cast.Others(others(all)) },
		Kick:   cast.Kick,
		Excess: cast.Excess,
		Review: cast.Review,
		Report: func() Report {
			count, list, seats := cast.Report()
			r := Report{Count: count, Listeners: list}
			for _, s := range seats {
				r.Seats = append(r.Seats, Seat(s))
			}
			return r
		},
	})
	if err != nil {
		return nil, err
	}
	cast.Join(member{b, m})
	return m, nil
}

// others is who listens at other relays, each marked with its
func others(all []Report) (lists []json.RawMessage, count int) {
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
	l, err := m.Member.Claim(ctx, Claim{Identity: c.Identity, Clock: c.Clock})
	switch {
	case errors.Is(err, ErrTaken):
		return nil, server.ErrTaken
	case err != nil:
		return nil, fmt.Errorf("%w: %w", server.ErrUnavailable, err)
	}
	return lease{m.bus, l}, nil
}

func (m member) Withdraw(all time.Time, some []token.Withdrawal) (stored <-chan struct{}, err error) {
	var list []Withdrawal
	if !all.IsZero() {
		list = append(list, Withdrawal{All: all})
	}
	for _, w := range some {
		list = append(list, Withdrawal{ID: w.ID, Until: w.Until})
	}
	return m.Member.Withdraw(list)
}

// lease is a publisher's right, as package server wants it.
type lease struct {
	bus *Bus
	*Lease
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
	if err := l.Lease.Err(); errors.Is(err, ErrReplaced) {
		return server.ErrReplaced
	} else {
		return err
	}
}
