package main

import (
	"context"
	"net"
	"slices"
	"time"
)

// lookAtNetwork is how often it is looked, while there are relays, whether the
// computer is in another network: that is one system call.
const lookAtNetwork = 2 * time.Second

// watch makes relays connect anew when the computer's addresses have changed,
// until ctx ends.
func (r *relays) watch(ctx context.Context) {
	look := time.NewTicker(lookAtNetwork)
	defer look.Stop()
	for {
		if len(r.list()) > 0 {
			if own, err := net.InterfaceAddrs(); err == nil {
				r.moved(own)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// moved takes the computer's addresses.
func (r *relays) moved(own []net.Addr) {
	var now []string
	for _, a := range own {
		now = append(now, a.String())
	}
	slices.Sort(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.own
	if r.own = now; before == nil || slices.Equal(before, now) {
		return
	}
	r.config.Log.Info("the network of this computer has changed")
	for _, o := range r.all {
		o.Moved(own)
	}
}

// wake connects to all relays anew: what was before a sleep is gone, or soon
// will be.
func (r *relays) wake() {
	for _, o := range r.list() {
		o.Wake()
	}
}
