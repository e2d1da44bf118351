package server

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// Hub is one stream: what is published to it goes to all who listen. Any
// goroutine may use it, but for Publish, which is for one at a time.
type Hub struct {
	title   string
	format  Format
	clock   audio.Clock
	changed func()

	live  *lane
	count atomic.Int64 // of listeners
	state atomic.Pointer[hubState]

	mu        sync.Mutex
	listeners []*listener // oldest first
	lastID    uint64
	closed    bool
}

// hubState is a state and the message that tells listeners of it.
type hubState struct {
	state State
	frame *websocket.PreparedMessage
}

// HubConfig configures a [Hub].
type HubConfig struct {
	Title  string // what the page calls the stream
	Format Format
	Clock  audio.Clock // that packets are stamped with
	// Changed is called after somebody came or went, from any goroutine, and
	// must return at once. May be nil.
	Changed func()
}

// NewHub returns a Hub that is paused and has no listeners.
func NewHub(c HubConfig) (*Hub, error) {
	h := &Hub{title: c.Title, format: c.Format, clock: c.Clock, changed: c.Changed, live: newLane()}
	if h.changed == nil {
		h.changed = func() {}
	}
	if err := h.SetState(Paused); err != nil {
		return nil, err
	}
	return h, nil
}

// Wanted tells whether anybody listens.
func (h *Hub) Wanted() bool { return h.count.Load() > 0 }

// Publish sends p to all listeners. It never waits for any of them.
func (h *Hub) Publish(p audio.Packet) error {
	msg := audio.AppendMessage(make([]byte, 0, audio.MessageOverhead+len(p.Data)), p)
	if err := h.live.publish(msg, time.Now()); err != nil {
		return fmt.Errorf("frame packet: %w", err)
	}
	return nil
}

// SetState tells all listeners, and those to come, what the stream does.
func (h *Hub) SetState(s State) error {
	if old := h.state.Load(); old != nil && old.state == s {
		return nil
	}
	frame, err := prepare(stateMessage{Type: "state", State: s})
	if err != nil {
		return fmt.Errorf("frame state: %w", err)
	}
	h.state.Store(&hubState{state: s, frame: frame})
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		l.nudge()
	}
	return nil
}

// Listener is somebody who listens, as the owner sees them.
type Listener struct {
	ID      uint64    `json:"id"`   // of this connection
	Name    string    `json:"name"` // as the link says, else by browser and system
	Since   time.Time `json:"since"`
	Address string    `json:"address"`         // without the port
	Sent    uint64    `json:"sent"`            // messages of sound
	Lost    uint64    `json:"lost"`            // messages that came too late for a slow connection
	Stats   *Stats    `json:"stats,omitempty"` // what its player last told
}

// Listeners returns who listens now, oldest first.
func (h *Hub) Listeners() []Listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Listener, 0, len(h.listeners))
	for _, l := range h.listeners {
		list = append(list, l.snapshot())
	}
	return list
}

// join adds l, and ends the connection that it replaces; false where the hub
// is closed.
func (h *Hub) join(l *listener) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if l.page != "" {
		for _, old := range h.listeners {
			if old.page == l.page {
				old.end(closeReplaced)
			}
		}
	}
	h.lastID++
	l.info.ID = h.lastID
	h.listeners = append(h.listeners, l)
	h.count.Add(1)
	h.changed()
	return true
}

// leave removes l.
func (h *Hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners = slices.DeleteFunc(h.listeners, func(o *listener) bool { return o == l })
	h.count.Add(-1)
	h.changed()
}

// close lets nobody join any more and tells all listeners to come back soon.
func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, l := range h.listeners {
		l.end(closeRestart)
		// One that takes nothing any more may not hold up the end.
		_ = l.conn.NetConn().SetWriteDeadline(time.Now().Add(closeTimeout))
	}
}
