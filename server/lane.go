package server

import (
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// laneSize is how many messages a lane remembers, a power of two: 5 s of sound
// in the smallest frames, which is more than any listener may lag or ask for.
const laneSize = 1024

// message is some sound as it goes to every listener of a lane: framed once,
// shared, never changed.
type message struct {
	number    uint64 // its place in the lane
	published time.Time
	frame     *websocket.PreparedMessage
}

// lane is the newest messages of a stream, one after the other. One goroutine
// at a time publishes; any number read, each at a place of its own, and none of
// them can hold up the publisher or another reader.
type lane struct {
	next  atomic.Uint64                 // number of the message to come
	more  atomic.Pointer[chan struct{}] // closed when it has come
	slots [laneSize]atomic.Pointer[message]

	ready chan struct{} // closed from the start
}

func newLane() *lane {
	l := &lane{ready: make(chan struct{})}
	close(l.ready)
	more := make(chan struct{})
	l.more.Store(&more)
	return l
}

// publish adds a binary message.
func (l *lane) publish(data []byte, now time.Time) error {
	frame, err := websocket.NewPreparedMessage(websocket.BinaryMessage, data)
	if err != nil {
		return err
	}
	n := l.next.Load()
	l.slots[n%laneSize].Store(&message{number: n, published: now, frame: frame})
	l.next.Store(n + 1)
	more := make(chan struct{})
	close(*l.more.Swap(&more))
	return nil
}

// cursor is a reader's place in a lane.
type cursor struct {
	lane *lane
	next uint64
}

// start returns a cursor at the oldest message that was published after the
// given time.
func (l *lane) start(after time.Time) cursor {
	c := cursor{lane: l, next: l.next.Load()}
	for c.next > 0 {
		m := l.slots[(c.next-1)%laneSize].Load()
		if m.number != c.next-1 || !m.published.After(after) {
			break
		}
		c.next--
	}
	return c
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
	for {
		end := c.lane.next.Load()
		if end > c.next+laneSize {
			lost += end - laneSize - c.next
			c.next = end - laneSize
		}
		if c.next == end {
			return nil, lost
		}
		m := c.lane.slots[c.next%laneSize].Load()
		if m.number != c.next {
			continue // overwritten since: next has grown
		}
		c.next++
		if m.published.After(after) {
			return m, lost
		}
		lost++
	}
}
