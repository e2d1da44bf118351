package server

import (
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"
)

// The wire, version 1.
//
// A listener opens a WebSocket (RFC 6455) at /listen, or at / where the path
// can't be chosen. Query parameters: page, a random ID that a page keeps for
// its tab, so that a connection replaces that tab's former one; buffer, how
// many milliseconds of the newest sound it wants at once. The token comes in
// one of the places that the function bearer names.
//
// Binary messages carry sound, in the form of package audio. Text messages are
// JSON objects with a member "type"; the first one is a [welcome], a
// [stateMessage] follows each change of state, a [pong] each ping. A listener
// may send a [report]. Both sides ignore types and members that they don't know.
//
// A close code says whether to come back: below 4400 with back-off, from there
// on never.

// Subprotocols that a browser offers: the protocol itself, which is echoed,
// and its token, which is not.
const (
	subprotocol       = "earshot.v1"
	subprotocolBearer = "earshot.bearer."
)

// Close codes. assets/player/src/codes.json has them for the player.
const (
	closeRestart  = websocket.CloseServiceRestart // this server stops and is back soon
	closeSlow     = 4001                          // the connection is too slow for the stream
	closeExpired  = 4400                          // the token has ended
	closeReplaced = 4403                          // the same page has connected again
)

// closeReasons are what the close frames say beside the code.
var closeReasons = map[int]string{
	closeRestart:  "back soon",
	closeSlow:     "too slow",
	closeExpired:  "expired",
	closeReplaced: "replaced",
}

// State is what a stream does.
type State string

// The states of a stream.
const (
	Live        State = "live"        // sound comes
	Paused      State = "paused"      // the owner stopped it
	Interrupted State = "interrupted" // it is on, but the laptop's sound isn't to be had just now
)

// Format describes the sound of a stream to a listener.
type Format struct {
	Frame   time.Duration // of one packet
	Bitrate int           // bits per second
}

// welcome is the first message to a listener.
type welcome struct {
	Type    string `json:"type"`    // "welcome"
	Name    string `json:"name"`    // the listener's
	Title   string `json:"title"`   // the stream's
	State   State  `json:"state"`   // as in stateMessage
	Frame   int64  `json:"frame"`   // ms
	Bitrate int    `json:"bitrate"` // b/s
	Expires int64  `json:"expires"` // end of the token, Unix time in seconds
}

// stateMessage tells of a change.
type stateMessage struct {
	Type  string `json:"type"` // "state"
	State State  `json:"state"`
}

// report is what a listener sends: a ping, to learn how its clock and the
// packets' stamps go together, or how it plays.
type report struct {
	Type  string   `json:"type"` // "ping" or "stats"
	T     *float64 `json:"t"`    // of a ping
	Stats          // of stats
}

// Stats are how a listener plays, as its player tells: figures of a stranger.
// Times are in ms; what the player doesn't know is absent.
type Stats struct {
	Profile   string   `json:"profile,omitempty"` // "live", "balanced" or "radio"
	Latency   *float64 `json:"latency,omitempty"` // from capture to ear
	Target    *float64 `json:"target,omitempty"`  // what its buffer is kept at
	Jitter    *float64 `json:"jitter,omitempty"`  // of arrival
	Drift     *float64 `json:"drift,omitempty"`   // of the clocks, in ppm
	Underruns uint64   `json:"underruns"`         // times that it ran dry
	Skips     uint64   `json:"skips"`             // times that it skipped to be at live
	Late      uint64   `json:"late"`              // packets that came too late
	Lost      uint64   `json:"lost"`              // packets that never came
}

// pong answers a ping.
type pong struct {
	Type string  `json:"type"` // "pong"
	T    float64 `json:"t"`    // the ping's
	At   int64   `json:"at"`   // µs on the clock of the packets' stamps
}

// session is the answer to /api/session.
type session struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	State   State  `json:"state"`
	Expires int64  `json:"expires"` // Unix time in seconds
}

// refusal is the answer of every request that is refused.
type refusal struct {
	Error   string `json:"error"`   // for programs, one word
	Message string `json:"message"` // for people
}

// prepare frames a text message for any number of listeners.
func prepare(v any) (*websocket.PreparedMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return websocket.NewPreparedMessage(websocket.TextMessage, text)
}
