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
// its tab, so that a connection replaces that tab's former one (/api/session
// takes it, too, and answers for that tab); attempt, a number that grows with each
// connection of the page, so that one which was long on its way doesn't replace
// a later one; buffer, how many milliseconds of the newest sound it wants at
// once; lane, as the message of that type. The token comes in one of the places that the function bearer names.
//
// Binary messages carry sound, in the form of package audio. Text messages are
// JSON objects with a member "type"; the first one is a [welcome], a
// [stateMessage] follows each change of state, a [pong] each ping, an [expiring]
// comes before the token's end, and a [laneMessage] before messages of another
// length. What a listener asked for at once comes in one message, whatever its length. A listener may send a [report], of
// 1 KB and five a second at most; pings, pongs and empty frames count, too. Both sides ignore types and members that they
// don't know.
//
// Who has no seat is refused before there is a WebSocket: with 409 and "in-use"
// where as many listen with the token as it is for, with 503 and "full" where
// the server has all the listeners that it takes, with 503 and "crowded" where a
// public stream has all that it takes of one address. A page that connects again
// keeps its seat. A program without a page ID has a new seat for each
// connection, and a dead one's is free after 40 s at the latest.
//
// A close code says whether to come back: below 4400 with back-off, from there
// on never.

// Subprotocols that a browser offers: the protocol itself, which is echoed,
// and its token, which is not.
const (
	subprotocol       = "earshot.v1"
	subprotocolBearer = "earshot.bearer."
)

// Close codes. assets/player/src/codes.json has those that a player meets.
const (
	closeTooMany   = websocket.ClosePolicyViolation         // the listener sends too many messages
	closeTooBig    = websocket.CloseMessageTooBig           // it sent one that is too long
	closeNoText    = websocket.CloseInvalidFramePayloadData // it sent text that is none
	closeRestart   = websocket.CloseServiceRestart          // this server stops and is back soon
	closeSlow      = 4001                                   // the connection is too slow for the stream
	closeElsewhere = 4002                                   // as many listen with the link at other relays as it is for
	closeExpired   = 4400                                   // the token has ended
	closeWithdrawn = 4401                                   // the owner has withdrawn it
	closeRemoved   = 4402                                   // the owner has ended this connection
	closeReplaced  = 4403                                   // the same page, or publisher, has connected again
)

// closeReasons are what the close frames say beside the code.
var closeReasons = map[int]string{
	closeTooMany:   "too-many-messages",
	closeTooBig:    tooBig,
	closeNoText:    "not UTF-8",
	closeRestart:   "back soon",
	closeSlow:      "too slow",
	closeElsewhere: "in use elsewhere",
	closeExpired:   "expired",
	closeWithdrawn: "withdrawn",
	closeRemoved:   "removed",
	closeReplaced:  "replaced",
}

// closeEnded is the code for a token that is good no more, whose end or zero the
// verifier's method Good has returned.
func closeEnded(until time.Time) int {
	if until.IsZero() {
		return closeWithdrawn
	}
	return closeExpired
}

// State is what a stream does.
type State string

// The states of a stream.
const (
	Live        State = "live"        // sound comes
	Paused      State = "paused"      // the owner stopped it
	Interrupted State = "interrupted" // it is on, but the laptop's sound isn't to be had just now
	Offline     State = "offline"     // the laptop is away; it goes on by itself
)

// Format describes the sound of a stream to a listener.
type Format struct {
	Frame   time.Duration // of one packet
	Bitrate int           // bits per second
}

// about is what a listener is told of its link and the stream.
type about struct {
	Name  string `json:"name"`  // the listener's
	Title string `json:"title"` // the stream's
	State State  `json:"state"` // as in stateMessage
	// The end of the token, as Unix time in seconds and as the seconds until
	// then, for a listener whose clock is wrong. Absent where it has none.
	Expires int64 `json:"expires,omitempty"`
	Left    int64 `json:"left,omitempty"`
}

// newAbout returns an about; expires is zero for a token without an end.
func newAbout(title, name string, s State, expires time.Time) about {
	a := about{Name: name, Title: title, State: s}
	if !expires.IsZero() {
		a.Expires, a.Left = expires.Unix(), seconds(time.Until(expires))
	}
	return a
}

// seconds rounds up, and to 1 at least.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

// welcome is the first message to a listener.
type welcome struct {
	Type string `json:"type"` // "welcome"
	about
	Frame   int64 `json:"frame"`   // ms
	Bitrate int   `json:"bitrate"` // b/s
}

// expiring tells once that the token ends soon: a minute before, or at once
// where less is left when the listener joins.
type expiring struct {
	Type    string `json:"type"` // "expiring"
	Seconds int64  `json:"seconds"`
}

// stateMessage tells of a change.
type stateMessage struct {
	Type  string `json:"type"` // "state"
	State State  `json:"state"`
	// What the stream is, where that has changed: as in welcome.
	Title   string `json:"title,omitempty"`
	Frame   int64  `json:"frame,omitempty"`
	Bitrate int    `json:"bitrate,omitempty"`
}

// laneMessage tells that the messages of sound hold so much from now on. No
// packet is lost or comes twice by that. Of the type "move" it asks the listener
// to go to that lane, since the computer has too much to do, or no more: who can
// holds enough for it, and then asks for the lane in a [report]. Who doesn't
// answer stays.
type laneMessage struct {
	Type   string `json:"type"` // "lane" or "move"
	Lane   Lane   `json:"lane"`
	Length int64  `json:"length"` // ms, at most
}

// report is what a listener sends: a ping, to learn how its clock and the
// packets' stamps go together, how it plays, or the lane that it wants to be in,
// for which it must hold enough in hand before it asks.
type report struct {
	Type  string   `json:"type"` // "ping", "stats" or "lane"
	T     *float64 `json:"t"`    // of a ping
	Lane  Lane     `json:"lane"`
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

// refusal is the answer of every request that is refused.
type refusal struct {
	Error   string `json:"error"`   // for programs, one word
	Message string `json:"message"` // for people
}

// Words of refusals, beside the reasons of package token.
const (
	badOrigin    = "origin"    // 403: a page of another site
	badPage      = "page"      // 400: no page ID
	badBuffer    = "buffer"    // 400: no number of milliseconds
	badAttempt   = "attempt"   // 400: no number
	badLane      = "lane"      // 400: no lane's name
	badHandshake = "handshake" // 400: no WebSocket's
	inUse        = "in-use"    // 409: as many listen as the link is for
	taken        = "taken"     // 409: somebody else publishes
	noRight      = "stream"    // 403: no right to publish to this stream
	apart        = "apart"     // 503: this relay is cut off from the others
	tooSlow      = "slow"      // 408: the request did not come in time
	tooBig       = "too-big"   // 413: the request
	tooMany      = "too-many"  // 429: requests from this address; come back after Retry-After
	full         = "full"      // 503: as many listen as the server takes; likewise
	crowded      = "crowded"   // 503: as many of this address listen to a public stream; likewise
	stopping     = "stopping"  // 503: the server ends; likewise
	notMade      = "not-made"  // 503: a link, since it could not be recorded; likewise
)

// prepare frames a text message for any number of listeners.
func prepare(v any) (*websocket.PreparedMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return websocket.NewPreparedMessage(websocket.TextMessage, text)
}
