package server

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/server/token"
)

// Hub is one stream: what is published to it goes to all who listen. Any
// goroutine may use it.
type Hub struct {
	clock   audio.Clock
	changed func()

	live   *lane
	wider  []*lane      // the other lanes
	count  atomic.Int64 // of listeners
	lastID atomic.Uint64
	state  atomic.Pointer[hubState]
	slept  atomic.Pointer[time.Time] // when the laptop last went to sleep; nil for never

	publishing sync.Mutex // guards the lanes' users and publishing

	pressure pressure
	writing  sync.WaitGroup // writers; nobody joins while it is waited for
	places   atomic.Uint64  // that were given in lanes

	mu        sync.Mutex
	listeners []*listener // oldest first; also those whose handshake is under way
	seated    seating     // those of them who have not ended
	closed    bool
	past      Totals // of those who have left
}

// Totals are what listeners were sent since the start.
type Totals struct {
	Messages, Bytes uint64 // of sound
	Lost            uint64 // messages that came too late for a slow connection
}

// hubState is what the stream is and does, and the message that tells listeners
// of it.
type hubState struct {
	title  string
	format Format
	state  State
	frame  *websocket.PreparedMessage
}

// HubConfig configures a [Hub].
type HubConfig struct {
	Title  string // what the page calls the stream
	Format Format
	Clock  audio.Clock // that packets are stamped with
	// Changed is called after somebody came or went, from any goroutine, and
	// must return at once, asking the Hub for nothing but [Hub.Wanted] and
	// [Hub.Number]. May be nil.
	Changed func()
}

// NewHub returns a Hub that is paused and has no listeners.
func NewHub(c HubConfig) (*Hub, error) {
	h := &Hub{clock: c.Clock, changed: c.Changed}
	if c.Format.Frame <= 0 {
		return nil, fmt.Errorf("make hub: packets of %v", c.Format.Frame)
	}
	h.seated = newSeating()
	h.live = newLane(LiveLane, c.Format.Frame, c.Format.Frame, &h.pressure)
	for name, span := range laneSpans {
		h.wider = append(h.wider, newLane(name, span, c.Format.Frame, &h.pressure))
	}
	h.pressure.hub = h
	if h.changed == nil {
		h.changed = func() {}
	}
	h.state.Store(&hubState{title: c.Title, format: c.Format})
	if err := h.SetState(Paused); err != nil {
		return nil, err
	}
	return h, nil
}

// Wanted tells whether anybody listens.
func (h *Hub) Wanted() bool { return h.count.Load() > 0 }

// Publish sends p to all listeners. It never waits for any of them, nor takes
// longer the more there are.
func (h *Hub) Publish(p audio.Packet) {
	h.publishing.Lock()
	defer h.publishing.Unlock()
	now := time.Now()
	number := h.live.next.Load()
	for _, l := range h.wider { // first, so that who is at this packet in the live lane finds it in these
		if l.users > 0 {
			l.add(number, p, now)
		} else {
			l.stop()
		}
	}
	h.live.add(number, p, now)
}

// flush sends what waits for more sound, of which there is none to come for now.
func (h *Hub) flush() {
	h.publishing.Lock()
	defer h.publishing.Unlock()
	now := time.Now()
	for _, l := range h.wider {
		l.flush(now)
	}
}

// use counts a lane's listeners, so many more or less.
func (h *Hub) use(l *lane, more int) {
	h.publishing.Lock()
	defer h.publishing.Unlock()
	l.users += more
}

// lane returns the lane of this name; nil for an unknown one.
func (h *Hub) lane(name Lane) *lane {
	if name == LiveLane {
		return h.live
	}
	for _, l := range h.wider {
		if l.name == name {
			return l
		}
	}
	return nil
}

// SetState tells all listeners, and those to come, what the stream does. What
// was published before it was [Offline] is sent to nobody after.
func (h *Hub) SetState(s State) error {
	now := *h.state.Load()
	if now.state == s {
		return nil
	}
	now.state = s
	return h.tell(now, stateMessage{Type: "state", State: s})
}

// Describe is SetState where title and format may have changed, too. Its packets
// are no shorter than those that the Hub was made for. One goroutine at a time
// may call it and SetState.
func (h *Hub) Describe(title string, f Format, s State) error {
	old, now := h.state.Load(), hubState{title: title, format: f, state: s}
	if old.title == title && old.format == f && old.state == s {
		return nil
	}
	if err := h.tell(now, stateMessage{"state", s, title, f.Frame.Milliseconds(), f.Bitrate}); err != nil {
		return err
	}
	h.publishing.Lock()
	defer h.publishing.Unlock()
	h.live.fit(f.Frame, f.Frame)
	for _, l := range h.wider {
		l.fit(laneSpans[l.name], f.Frame)
	}
	return nil
}

// tell makes s what the stream is and does, and sends listeners a message of it.
func (h *Hub) tell(s hubState, message stateMessage) error {
	var err error
	if s.frame, err = prepare(message); err != nil {
		return fmt.Errorf("frame state: %w", err)
	}
	h.flush()
	if s.state == Offline {
		now := time.Now()
		h.slept.Store(&now)
	}
	h.state.Store(&s)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		l.nudge()
	}
	return nil
}

// since returns t, or when the laptop last went to sleep if that was later. The
// clock that sound is published by stands still in a sleep, so that what comes
// from before seems new after it.
func (h *Hub) since(t time.Time) time.Time {
	if slept := h.slept.Load(); slept != nil && slept.After(t) {
		return *slept
	}
	return t
}

// Listener is somebody who listens, as the owner sees them.
type Listener struct {
	ID      uint64    `json:"id"`   // of this connection
	Link    string    `json:"link"` // ID of its token
	Name    string    `json:"name"` // as the link says, else by browser and system
	Since   time.Time `json:"since"`
	Address string    `json:"address"`         // without the port
	Relay   string    `json:"relay,omitempty"` // where that is one of several
	Lane    Lane      `json:"lane"`            // how much sound its messages hold
	Why     Why       `json:"why,omitempty"`   // it is in that lane, where it isn't the first
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
		if l.conn != nil && !l.ended {
			list = append(list, l.snapshot())
		}
	}
	return list
}

// Kick ends a connection for good and returns who it was; false where nobody
// of that ID listens. It doesn't stop them from coming back with their link.
func (h *Hub) Kick(id uint64) (Listener, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		if l.conn != nil && !l.ended && l.info.ID == id {
			h.end(l, closeRemoved)
			return l.snapshot(), true
		}
	}
	return Listener{}, false
}

// endOne ends a connection with code, if it is there.
func (h *Hub) endOne(id uint64, code int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		if l.conn != nil && !l.ended && l.info.ID == id {
			h.end(l, code)
		}
	}
}

// seats returns the listeners whose links are for so many.
func (h *Hub) seats() []Seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	var seats []Seat
	for _, l := range h.listeners {
		if l.conn != nil && !l.ended && l.claims.Listeners > 0 {
			seats = append(seats, Seat{l.info.ID, l.claims.ID, l.claims.Listeners, l.page, l.info.Since})
		}
	}
	return seats
}

// Review ends the connections whose tokens are good no more and returns how many
// those were; the others learn anew when theirs end. Call it after each change
// of what is withdrawn and of the keys, once the server's verifier has it. good
// is its method Good, or as that, and must not call the Hub.
func (h *Hub) Review(good func(token.Claims) (until time.Time, ok bool)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.listeners {
		if l.ended {
			continue
		}
		if until, ok := good(l.claims); !ok {
			h.end(l, closeEnded(until))
			n++
			continue
		}
		l.nudge()
	}
	return n
}

// room says why there is no seat for l, in the word of a [refusal]; "" where
// there is one. There are so many seats as most says, and so many of one link as
// its token does; a page that has one needs no second.
func (h *Hub) room(l *listener, most int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.roomLocked(l, most)
}

func (h *Hub) roomLocked(l *listener, most int) string {
	if h.closed {
		return stopping
	}
	return h.seated.room(l, most)
}

// take gives l a seat before it has a connection; else it says why not, as room
// does. Whoever got one gives it back with leave.
func (h *Hub) take(l *listener, most int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if why := h.roomLocked(l, most); why != "" {
		return why
	}
	h.listeners = append(h.listeners, l)
	h.seated.add(l)
	return ""
}

// join makes l, which has a seat, one who listens, and ends what of its page
// is an earlier attempt to connect.
func (h *Hub) join(l *listener, conn *websocket.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	late := false // l's request took so long that the page has made another since
	for _, old := range slices.Clone(h.seated.pages[l.page]) {
		switch {
		case old == l || old.conn == nil:
		case old.attempt > l.attempt:
			late = true
		default:
			h.end(old, closeReplaced)
		}
	}
	l.info.ID = h.lastID.Add(1)
	l.conn = conn
	h.count.Add(1)
	h.changed()
	if late {
		h.end(l, closeReplaced)
	}
}

// leave gives l's seat back.
func (h *Hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.listeners, l); i >= 0 {
		h.listeners = slices.Delete(h.listeners, i, i+1)
	}
	if !l.ended {
		h.seated.remove(l)
	}
	if l.conn != nil {
		h.past.add(l)
		h.count.Add(-1)
		h.changed()
	}
}

func (t *Totals) add(l *listener) {
	t.Messages += l.sent.Load()
	t.Bytes += l.bytes.Load()
	t.Lost += l.lost.Load()
}

// Totals returns what listeners were sent since the start.
func (h *Hub) Totals() Totals {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.past
	for _, l := range h.listeners {
		t.add(l)
	}
	return t
}

// end makes l's connection close with code and its seat free. h.mu is held.
func (h *Hub) end(l *listener, code int) {
	if !l.ended {
		l.ended = true
		h.seated.remove(l)
	}
	l.end(code)
	h.changed()
}

// close lets nobody join any more and returns who listens.
func (h *Hub) close() []*listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return slices.Clone(h.listeners)
}

// restart tells a listener to come back soon.
func (h *Hub) restart(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(l, closeRestart)
}
