package uplink

import (
	"context"
	"net"
	"slices"
)

// moved is why Wake and Moved have ended a connection.
const moved = "This computer was asleep, or is in another network now."

// attempt is a connection to the relay, from when it is begun on.
type attempt struct {
	end  context.CancelFunc
	from net.Addr // of this computer; nil: not yet known
}

// Wake ends the connection that there is and makes another at once: after a
// sleep of this computer, over which the relay has given it up.
func (u *Uplink) Wake() { u.anew(func(net.Addr) bool { return true }) }

// Moved makes the next attempt to connect come at once, and ends a connection
// from an address that is none of these, as net.InterfaceAddrs has them: the
// computer is in another network.
func (u *Uplink) Moved(own []net.Addr) {
	u.anew(func(from net.Addr) bool {
		tcp, ok := from.(*net.TCPAddr)
		return !ok || !slices.ContainsFunc(own, func(a net.Addr) bool {
			network, ok := a.(*net.IPNet)
			return !ok || network.IP.Equal(tcp.IP)
		})
	})
}

// anew ends the connection if the address that it is from says so, and makes
// another at once where there is none.
func (u *Uplink) anew(ends func(from net.Addr) bool) {
	u.mu.Lock()
	if u.now.end != nil && ends(u.now.from) {
		u.now.end()
	}
	lost := u.status.Why == replaced // which is for the owner to change
	u.mu.Unlock()
	if !lost {
		u.Hurry()
	}
}

func (u *Uplink) note(a attempt) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now = a
}
