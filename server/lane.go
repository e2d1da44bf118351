package server

import (
	"math"
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
	size      int // bytes
	frame     *websocket.PreparedMessage
}

// lane is the newest messages of a stream, one after the other. One goroutine
// at a time publishes; any number read, each at a place of its own, and none of
// them can hold up the publisher or another reader.
type lane struct {
	name    Lane
	packets int          // in a message; the publisher's
	length  atomic.Int64 // of a message; a time.Duration

	next  atomic.Uint64                 // number of the message to come
	more  atomic.Pointer[chan struct{}] // closed when it has come
	slots []atomic.Pointer[message]     // a power of two of them

	// The listeners that are in the lane or on their way; without any it makes
	// no messages. They are counted while nothing is published.
	users int
	begun atomic.Uint64 // from this packet on it has had users; none without any

	// The message in the making; the publisher's, but for first.
	pending []byte
	held    int           // packets in it
	first   atomic.Uint64 // the first of them, as in message, or none

	ready chan struct{} // closed from the start
}

// none is the number of no packet.
const none = math.MaxUint64

// newLane returns an empty lane of messages of at most span of sound, in packets
// of frame.
func newLane(name Lane, span, frame time.Duration) *lane {
	l := &lane{name: name, ready: make(chan struct{})}
	l.fit(span, frame)
	size := 1
	for size*int(l.length.Load()) < int(laneKept) {
		size *= 2
	}
	l.slots = make([]atomic.Pointer[message], size)
	close(l.ready)
	l.stop()
	more := make(chan struct{})
	l.more.Store(&more)
	return l
}

// fit makes messages hold at most span from now on, in packets of frame. Nothing
// is published meanwhile.
func (l *lane) fit(span, frame time.Duration) {
	l.packets = max(1, int(span/frame))
	l.length.Store(int64(l.packets) * int64(frame))
}

func (l *lane) slot(number uint64) *atomic.Pointer[message] {
	return &l.slots[number&uint64(len(l.slots)-1)]
}

// add takes the packet of this number, and publishes a message if that is the
// last one that it has room for.
func (l *lane) add(number uint64, p audio.Packet, now time.Time) error {
	if l.begun.Load() == none {
		l.begun.Store(number)
	}
	if l.held == 0 {
		l.pending = make([]byte, 0, l.packets*(audio.MessageOverhead+len(p.Data))*5/4)
		l.pending = audio.AppendMessage(l.pending)
		l.first.Store(number)
	}
	l.pending = audio.AppendPacket(l.pending, p)
	l.held++
	if l.held < l.packets {
		return nil
	}
	return l.flush(now)
}

// flush publishes what there is of a message.
func (l *lane) flush(now time.Time) error {
	if l.held == 0 {
		return nil
	}
	frame, err := websocket.NewPreparedMessage(websocket.BinaryMessage, l.pending)
	first, held := l.first.Load(), uint64(l.held)
	defer l.clear() // last: until then the message can be found as the one in the making
	if err != nil {
		return err
	}
	n := l.next.Load()
	l.slot(n).Store(&message{number: n, first: first, end: first + held, published: now, size: len(l.pending), frame: frame})
	l.next.Store(n + 1)
	more := make(chan struct{})
	close(*l.more.Swap(&more))
	return nil
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

// wait returns a channel that is closed once there is a message to take.
func (c *cursor) wait() <-chan struct{} {
	more := *c.lane.more.Load() // before next, or a message in between is missed
	if c.lane.next.Load() > c.next {
		return c.lane.ready
	}
	return more
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
