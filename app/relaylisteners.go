package main

import (
	"errors"
	"time"

	"earshot/server"
)

// listenerPlace is a listener at relays, who number theirs each for itself.
type listenerPlace struct {
	stream uint64    // relayed.number
	since  time.Time // of the connection there: another may be to another relay
	relay  string    // which of several; "" for that which it is to
	id     uint64    // there
}

// listeners are those who listen at relays, with IDs that no others have for as
// long as the connection lasts, and how many there are beside.
func (r *relays) listeners() (list []server.Listener, more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[listenerPlace]uint64{}
	for _, o := range r.all {
		s := o.Status()
		for _, l := range s.Listeners {
			place := listenerPlace{o.number, s.Since, l.Relay, l.ID}
			id, known := r.numbers[place]
			if !known {
				id = r.number()
			}
			now[place], l.ID = id, id
			list = append(list, l)
		}
		more += s.Count - len(s.Listeners)
	}
	r.numbers = now
	return list, more
}

// has tells whether somebody who listens at a relay has this ID.
func (r *relays) has(id uint64) bool {
	_, ok := r.find(id)
	return ok
}

func (r *relays) find(id uint64) (listenerPlace, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for place, n := range r.numbers {
		if n == id {
			return place, true
		}
	}
	return listenerPlace{}, false
}

// kick removes a listener of a relay.
func (r *relays) kick(id uint64) error {
	place, _ := r.find(id)
	for _, o := range r.list() {
		if o.number == place.stream {
			return o.Kick(place.relay, place.id)
		}
	}
	return errors.New("the relay is none of this Earshot's any more")
}
