// Package nettest is a bad network for tests: a forwarder between two network
// namespaces that delays, loses and withholds IP packets as it is told, so that
// TCP and all above it are the kernel's own. (The kernel's netem does the like,
// where it is built in.)
package nettest

import "time"

// Conditions are what a network does to packets, in each direction.
type Conditions struct {
	// Delay is how long a packet takes, and Jitter by how much that varies:
	// evenly between Delay-Jitter and Delay+Jitter.
	Delay, Jitter time.Duration
	// Reorder lets a packet overtake those that take longer. Else they wait for
	// each other, as in a queue.
	Reorder bool
	// Loss is the part of all packets that is lost: 0 to 1, each by itself.
	Loss float64
}
