package relay

import (
	"encoding/binary"
	"encoding/json"
	"regexp"
)

// Subjects are earshot.v1.STREAM.WHAT. Names have neither dots nor wildcards, so
// that no stream's subject is within another's.
const (
	// From the publisher's relay to those that have listeners of the stream.
	toSound = "sound"
	// From relays that have listeners to the publisher's: [Report].
	toListeners = "listeners"
	// Between relays that have listeners of links with a limit: [seats].
	toSeats = "seats"
	// A request for the publisher's clock: [clockAnswer].
	toClock = "clock"
	// To all relays: a list of [Withdrawal].
	toWithdraw = "withdraw"
)

var (
	streamName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	relayName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
)

func subject(stream, what string) string { return "earshot.v1." + stream + "." + what }

// Keys of the bucket.
const (
	keyStream    = "stream."    // and the stream: a [record]
	keyWithdrawn = "withdrawn." // and the stream, a dot, and a hash or "all": a [Withdrawal]
	keyRelay     = "relay."     // and the relay: its heartbeat, which is empty
)

// record is who publishes a stream: the lease. It is in the bucket, and goes
// over the bus each second while somebody listens elsewhere.
type record struct {
	Relay    string `json:"relay"` // that has the publisher; "" for none
	Lease    string `json:"lease"` // a random name
	Identity string `json:"identity"`
	// Epoch is the revision of the record that began the lease, where it is 0.
	Epoch uint64 `json:"epoch,omitempty"`
	// Number grows with each change of About.
	Number uint64          `json:"number"`
	About  json.RawMessage `json:"about,omitempty"`
}

// Messages on the sound subject: a byte that says what follows, eight bytes of
// epoch, big-endian, and that. The order of sound and of what is said of it is
// the order on the subject.
const (
	kindSound  = 1 // a message of package audio
	kindRecord = 2 // a record, as JSON
	kindKick   = 3 // a [kick], as JSON

	envelopeSize = 9
)

// kick ends a connection.
type kick struct {
	Relay    string `json:"relay"`
	Listener uint64 `json:"listener"`
}

func envelope(kind byte, epoch uint64, body []byte) []byte {
	b := make([]byte, 0, envelopeSize+len(body))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, epoch)
	return append(b, body...)
}

// open is the reverse of envelope.
func open(b []byte) (kind byte, epoch uint64, body []byte, ok bool) {
	if len(b) < envelopeSize {
		return 0, 0, nil, false
	}
	return b[0], binary.BigEndian.Uint64(b[1:]), b[envelopeSize:], true
}

// seats are a relay's listeners of links with a limit, or a part of them.
type seats struct {
	Relay string `json:"relay"`
	Part  int    `json:"part,omitempty"` // counted from 0
	Seats []Seat `json:"seats"`
}

// seatsPart is how many seats a message has at most: 60 kB or so, where NATS
// takes 1 MB.
const seatsPart = 500

// clockAnswer is what the publisher's relay answers.
type clockAnswer struct {
	Epoch uint64 `json:"epoch"`
	At    int64  `json:"at"` // µs on the publisher's clock
}

// encode returns v as JSON; v is one of ours, which can't fail.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
