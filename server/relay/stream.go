package relay

import (
	"encoding/json"

	"earshot/audio"
)

// Stream is what a relay does for one stream. Its functions are called one at a
// time, but for Report, must return at once, and may call none of the Member's
// methods but Changed, Clock and Withdrawn.
type Stream struct {
	Name string // a to z, 0 to 9 and -, 1 to 63 of them
	// Sound takes what the one publisher sends, wherever it is connected. Epochs
	// only rise, and Seq does within an epoch; nobody writes to the Data any more.
	// Only while anybody listens here, or the publisher is connected here.
	Sound func(epoch uint64, packets []audio.Packet)
	// State is called when the publisher has come, gone or said something else
	// of itself.
	State func(State)
	// Wanted is called on the publisher's relay when somebody begins to listen
	// anywhere or nobody does any more.
	Wanted func(bool)
	// Others is called on the publisher's relay when another relay's list has
	// changed.
	Others func([]Report)
	// Kick ends a connection to this relay for the owner.
	Kick func(listener uint64)
	// Excess ends one because more listen with its link than it is for. It may
	// be called again until Report is without it.
	Excess func(listener uint64)
	// Review is called when tokens have been withdrawn.
	Review func()
	// Report tells who listens here. It is called from any goroutine.
	Report func() Report
}

// State is what is known of a stream's publisher.
type State struct {
	Epoch  uint64 // of the newest one
	Online bool
	About  json.RawMessage // what it said of itself last
}

// Report is who listens at a relay.
type Report struct {
	Relay     string          `json:"relay"` // filled in here
	Count     int             `json:"count"`
	Listeners json.RawMessage `json:"listeners,omitempty"` // for the owner; up to 64 kB. On the bus, absent is as before
	// Seats are those of listeners whose link has a limit.
	Seats []Seat `json:"-"`
}
