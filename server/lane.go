package server

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// Lane names how much sound a message to a listener holds: a write costs the
// server, and a wake-up the listener, much the same for little sound or much.
type Lane string

// The lanes of a stream. A listener joins in Live and is moved at once to the
// one that it asks for.
const (
	LiveLane     Lane = "live"     // one packet
	BalancedLane Lane = "balanced" // 100 ms
	RadioLane    Lane = "radio"    // 1 s
)

// laneSpans are how much sound a message of the other lanes holds, at most.
var laneSpans = map[Lane]time.Duration{BalancedLane: 100 * time.Millisecond, RadioLane: time.Second}

// laneKept is at least how much sound a lane remembers, which is more than any
// listener may lag or ask for.
const laneKept = 5 * time.Second

// message is some sound as it goes to every listener of a lane: framed once,
// shared, never changed.
type message struct {
	number    uint64 // its place in the lane
	first     uint64 // its first packet, counted from the stream's first
	end       uint64 // the packet after its last
	published time.Time
	frame     []byte // as it is on the wire
	body      []byte // what is in the frame
}

// lane is the newest messages of a stream, one after the other. One goroutine
// at a time publishes; any number read, each at a place of its own, and none of
// them can hold up the publisher or another reader.
type lane struct {
	name    Lane
	packets int          // in a message; the publisher's
	length  atomic.Int64 // of a message; a time.Duration

	next    atomic.Uint64             // number of the message to come
	slots   []atomic.Pointer[message] // a power of two of them
	writers []*writer                 // which are told when it has come
	entered atomic.Uint64             // listeners, ever, for the writers to have as many each

	pressure *pressure // the hub's

	// The listeners that are in the lane or on their way; without any it makes
	// no messages. They are counted while nothing is published.
	users int
	begun atomic.Uint64 // from this packet on it has had users; none without any

	// The message in the making; the publisher's, but for first.
	pending []byte        // from maxHead on
	held    int           // packets in it
	first   atomic.Uint64 // the first of them, as in message, or none
}

// none is the number of no packet.
const none = math.MaxUint64

// newLane returns an empty lane of messages of at most span of sound, in packets
// of frame.
func newLane(name Lane, span, frame time.Duration, p *pressure) *lane {
	l := &lane{name: name, pressure: p}
	for range runtime.GOMAXPROCS(0) {
		l.writers = append(l.writers, &writer{lane: l, wake: make(chan struct{}, 1)})
	}
	l.fit(span, frame)
	size := 1
	for size*int(l.length.Load()) < int(laneKept) {
		size *= 2
	}
	l.slots = make([]atomic.Pointer[message], size)
	l.stop()
	return l
}

// fit makes messages hold at most span from now on, in packets of frame. Nothing
// is published meanwhile.
func (l *lane) fit(span, frame time.Duration) {
	l.packets = max(1, int(span/frame))
	l.length.Store(int64(l.packets) * int64(frame))
}

// span is how much sound a message holds.
func (l *lane) span() time.Duration { return time.Duration(l.length.Load()) }

func (l *lane) slot(number uint64) *atomic.Pointer[message] {
	return &l.slots[number&uint64(len(l.slots)-1)]
}

// add takes the packet of this number, and publishes a message if that is the
// last one that it has room for.
func (l *lane) add(number uint64, p audio.Packet, now time.Time) {
	if l.begun.Load() == none {
		l.begun.Store(number)
	}
	if l.held == 0 {
		l.pending = make([]byte, maxHead, maxHead+l.packets*(audio.MessageOverhead+len(p.Data))*5/4)
		l.pending = audio.AppendMessage(l.pending)
		l.first.Store(number)
	}
	l.pending = audio.AppendPacket(l.pending, p)
	l.held++
	if l.held >= l.packets {
		l.flush(now)
	}
}

// flush publishes what there is of a message.
func (l *lane) flush(now time.Time) {
	if l.held == 0 {
		return
	}
	first, held := l.first.Load(), uint64(l.held)
	n := l.next.Load()
	l.slot(n).Store(&message{number: n, first: first, end: first + held, published: now, frame: frame(l.pending), body: l.pending[maxHead:]})
	l.next.Store(n + 1)
	l.clear() // only now: until then the message can be found as the one in the making
	for _, w := range l.writers {
		w.poke()
	}
}

// maxHead is the longest head of a frame.
const maxHead = 10

// frame makes a binary message of what follows maxHead bytes that are free, and
// returns it as it goes to all listeners (RFC 6455 section 5.2).
func frame(room []byte) []byte {
	size := len(room) - maxHead
	const binaryMessage = 0x80 | websocket.BinaryMessage // whole
	switch {
	case size < 126:
		room[8], room[9] = binaryMessage, byte(size)
		return room[8:]
	case size < 1<<16:
		room[6], room[7] = binaryMessage, 126
		binary.BigEndian.PutUint16(room[8:], uint16(size))
		return room[6:]
	default:
		room[0], room[1] = binaryMessage, 127
		binary.BigEndian.PutUint64(room[2:], uint64(size))
		return room
	}
}

// stop forgets the message in the making, since nobody is there to take it.
func (l *lane) stop() {
	l.begun.Store(none)
	l.clear()
}

func (l *lane) clear() {
	l.pending, l.held = nil, 0
	l.first.Store(none)
}

// cursor is a reader's place in a lane.
type cursor struct {
	lane *lane
	next uint64 // number of the message to take
	end  uint64 // the packet after the last one taken
}

// start returns a cursor at the oldest message that was published after the
// given time, in the lane of single packets.
func (l *lane) start(after time.Time) cursor {
	c := cursor{lane: l, next: l.next.Load()}
	for c.next > 0 {
		m := l.slot(c.next - 1).Load()
		if m.number != c.next-1 || !m.published.After(after) {
			break
		}
		c.next--
	}
	c.end = c.next // as many messages as packets
	return c
}

// from returns a user's cursor at the message that begins with the packet of
// this number, which may still be in the making; false where there is none.
func (l *lane) from(packet uint64) (cursor, bool) {
	if packet < l.begun.Load() {
		return cursor{}, false // what follows may have a gap
	}
	next := l.next.Load()
	for n := next; n > 0 && next-n < uint64(len(l.slots)); n-- {
		m := l.slot(n - 1).Load()
		if m.number != n-1 || m.end <= packet {
			break
		}
		if m.first == packet {
			return cursor{l, n - 1, packet}, true
		}
	}
	// If a message has begun with it and is not among those, then it is the next.
	return cursor{l, next, packet}, l.first.Load() == packet && l.next.Load() == next
}

// burst returns all messages that there are to take as one, and moves past them;
// nil where there are none.
func (c *cursor) burst() []byte {
	var all []byte
	for end := c.lane.next.Load(); c.next < end; c.next++ {
		m := c.lane.slot(c.next).Load()
		if m.number != c.next {
			break // the lane has gone round: what follows is for take
		}
		if all == nil {
			all = audio.AppendMessage(make([]byte, maxHead, maxHead+len(m.body)*int(end-c.next)*5/4))
		}
		all = append(all, m.body[len(audio.AppendMessage(nil)):]...)
		c.end = m.end
	}
	if all == nil {
		return nil
	}
	return frame(all)
}

// take returns the oldest message that was published after the given time and
// moves past it, and how many older ones it left out. The message is nil where
// there is none.
func (c *cursor) take(after time.Time) (m *message, lost uint64) {
	size := uint64(len(c.lane.slots))
	for {
		end := c.lane.next.Load()
		if end > c.next+size {
			lost += end - size - c.next
			c.next = end - size
		}
		if c.next == end {
			return nil, lost
		}
		m := c.lane.slot(c.next).Load()
		if m.number != c.next {
			continue // overwritten since: next has grown
		}
		c.next++
		c.end = m.end
		if m.published.After(after) {
			return m, lost
		}
		lost++
	}
}
