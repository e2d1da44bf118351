package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"earshot/audio"
	"earshot/server/token"
)

// Publishing, version 1.
//
// A publisher opens a WebSocket at /NAME/publish of a relay, with a token of
// scope "publish" whose audience is the stream's URL, in one of the places that
// the function bearer names. It is refused before there is a WebSocket: with 401
// where the token is no good, with 403 where it is not for this stream or not for
// publishing, with 409 and "taken" while somebody else publishes, with 429 and 503
// as listeners are. Who publishes already and connects again, by the same key and
// sub (else name), takes over at once: the former connection is closed with 4403.
//
// Binary messages to the relay carry sound, in the form of package audio, with
// numbers that rise within a connection; the relay hands them on as they are.
// Text messages are JSON objects, of 64 KB at most: a [Said] to the relay, a
// [Told] from it. Both sides ignore types and members that they don't know. All
// that a publisher has to do is to send sound, and best only while the relay
// says that it is wanted.
//
//	hello      first; what the stream is: title, frame, bitrate, state, clock
//	state      the state has changed
//	pong       answers a ping: t is the ping's, at the publisher's clock in µs,
//	           which the packets' stamps are of
//	token      a new token of the same publisher, before the former one ends, and
//	           when the relay asks. One whose claim nonce is that of the latest
//	           ping, or of the one before, was made since: where the clocks of
//	           signer and relay don't agree it is good nevertheless, from then on,
//	           for as long as its exp is after its iat
//	kick       ends the connection of a listener, by id and relay
//	withdrawn  tokens that were withdrawn: all, before which all are, which means now
//	           where it is more than 30 s ahead, and some; the relay answers the latest with the same n, where it has one,
//	           once it has stored all that was withdrawn
//
// Kick and withdrawn are for the owner: who publishes with a shared secret, or a
// token with a name or subject, is a program and may do neither.
//
// and from the relay
//
//	welcome    first; wanted, public
//	wanted     whether anybody listens
//	listeners  who does, once a second at most: all of them counted, the first
//	           200 named
//	ping       t is any number, nonce text of 64 bytes at most
//	token      asks for a new token, since by the relay's clock the former one has
//	           ended; without one the connection ends after 3 s
//	withdrawn  answers the publisher's
//
// A connection of which nothing came for 15 s is dead; the relay pings (RFC 6455
// section 5.5.2) every 5 s. A publisher that sends more than twice what the best
// sound takes is closed with 1008. What comes more than a second later than it
// could, by its stamp, is dropped: a backlog is of no use to anybody.

const (
	publisherPing    = 5 * time.Second
	publisherTimeout = 15 * time.Second
	publisherLimit   = 64 << 10 // bytes of a message
	// The most that comes in a second: sound of 510 kb/s in packets of 5 ms is
	// 68 KB in 200 packets.
	publisherBytes   = 160 << 10
	publisherPackets = 400
	publisherBurst   = 3 // seconds of those, after a stall of the network
	// What it may order in text: withdrawals come many at once.
	publisherOrders     = 5 // a second
	publisherOrderBurst = 200

	// clocksApart is how far a publisher's clock may be ahead, as for its tokens.
	clocksApart = 30 * time.Second
	// renewWithin is how long the sound goes on of a publisher whose token has
	// ended, and who was asked for another: a clock may have been set.
	renewWithin = 3 * time.Second

	listsEvery = time.Second // of listeners, for the publisher
	listMost   = 200
)

// Said is a text message of a publisher.
type Said struct {
	Type string `json:"type"`

	*About // of "hello"; State alone of "state"

	T  float64 `json:"t,omitempty"`  // of "pong"
	At int64   `json:"at,omitempty"` // likewise

	Token string `json:"token,omitempty"` // of "token"

	ID    uint64 `json:"id,omitempty"` // of "kick"
	Relay string `json:"relay,omitempty"`

	N    uint64             `json:"n,omitempty"` // of "withdrawn"
	All  time.Time          `json:"all,omitzero"`
	Some []token.Withdrawal `json:"some,omitempty"`
}

// About is what a publisher says of its stream.
type About struct {
	Title   string  `json:"title,omitempty"`
	Frame   float64 `json:"frame,omitempty"` // ms of sound in a packet
	Bitrate int     `json:"bitrate,omitempty"`
	State   State   `json:"state,omitempty"`
	// Clock is a random text that is the same for connections whose packets
	// are stamped by the same clock.
	Clock string `json:"clock,omitempty"`
}

// Told is a text message to a publisher.
type Told struct {
	Type      string     `json:"type"`
	Wanted    *bool      `json:"wanted,omitempty"`
	Public    bool       `json:"public,omitempty"` // nobody needs a link
	Count     int        `json:"count,omitempty"`
	Listeners []Listener `json:"listeners,omitempty"`
	T         float64    `json:"t,omitempty"`
	Nonce     string     `json:"nonce,omitempty"` // of "ping"
	N         uint64     `json:"n,omitempty"`
}

// Errors of a [Member].
var (
	ErrTaken       = errors.New("somebody else publishes")
	ErrUnavailable = errors.New("the other relays can't be asked just now")
	ErrReplaced    = errors.New("the same publisher has connected again")
)

// Claim is a publisher's wish to be the one.
type Claim struct {
	Identity string
	Clock    func() time.Duration // the publisher's clock, as far as it is known
}

// Member is a stream's part in what makes sure that it has one publisher, and
// joins the relays that serve it. Its methods may be called from any goroutine,
// and it calls those of [Broadcast] that say so, one at a time.
type Member interface {
	// Claim makes the caller the one who publishes, until the Lease ends. The
	// same identity takes over from itself. The error is ErrTaken or
	// ErrUnavailable.
	Claim(context.Context, Claim) (Lease, error)
	// Withdraw makes tokens good no more here and at other relays. It returns at
	// once; the channel is closed when all that is withdrawn is stored for good.
	// With an error nothing is withdrawn.
	Withdraw(all time.Time, some []token.Withdrawal) (stored <-chan struct{}, err error)
	// Changed notes that somebody came or went here. It returns at once.
	Changed()
	// Clock is the publisher's clock, wherever it publishes; false: unknown.
	Clock() (time.Duration, bool)
	// Admits tells whether somebody may be let in by link: whether it would be
	// known if that were withdrawn.
	Admits() bool
}

// Lease is the right to publish.
type Lease interface {
	// Publish sends a message of sound to all who listen, here and elsewhere,
	// without waiting. It keeps the message. The error wraps audio.ErrMessage.
	Publish(message []byte) error
	// Tell hands on an About, as JSON.
	Tell(about []byte)
	// Kick ends the connection of a listener of any relay.
	Kick(relay string, listener uint64)
	// Done is closed when the lease ends; then Err says why: ErrReplaced, or
	// anything else for a publisher that may come back.
	Done() <-chan struct{}
	Err() error
	// Release gives it back.
	Release()
}

// Seat is a listener whose link is for so many.
type Seat struct {
	Listener uint64
	Link     string
	Most     int
	Page     string
	Since    time.Time
}

// frameOf returns how long a packet lasts (RFC 6716 section 3.1); 0 for one that
// is none.
func frameOf(p audio.Packet) time.Duration {
	if len(p.Data) == 0 {
		return 0
	}
	toc := p.Data[0]
	var frame time.Duration
	switch config := toc >> 3; {
	case config < 12: // SILK
		frame = []time.Duration{10, 20, 40, 60}[config%4] * time.Millisecond
	case config < 16: // both
		frame = []time.Duration{10, 20}[config%2] * time.Millisecond
	default: // CELT
		frame = 2500 * time.Microsecond << (config % 4)
	}
	switch toc & 3 {
	case 0:
		return frame
	case 1, 2:
		return 2 * frame
	}
	if len(p.Data) < 2 {
		return 0
	}
	return time.Duration(p.Data[1]&63) * frame
}

// encode is for what is known to be JSON.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
