package server

import (
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"earshot/server/line"
	"earshot/server/token"
)

const (
	pingEvery    = 15 * time.Second
	readTimeout  = 40 * time.Second // two pings and a little
	writeTimeout = 10 * time.Second
	closeTimeout = time.Second // for the other side to answer a close frame
	readLimit    = 1024        // bytes of a message from a listener

	// readRate and readBurst bound the messages a second from a listener,
	// pings and pongs among them. The player sends 7 in the first two seconds
	// and then one in three.
	readRate  = 5
	readBurst = 30
	// readBytes is how many bytes a message may take on the wire on average,
	// frame headers among them, of which one message may have any number.
	readBytes = 2 * readLimit

	// notice is how long before its token's end a listener is told of it.
	notice = time.Minute

	// minLag is how old sound may be when it is sent, to a listener who asks
	// for no more than a little less of it at once. What a connection hasn't
	// taken by then is lost to it, so that it comes back to live.
	minLag = 2 * time.Second
	// lagOver is how much older than what a listener asks for it may be.
	lagOver = time.Second / 2
	// maxSlow is how long a connection may keep losing sound.
	maxSlow = 20 * time.Second
	// sendBuffer bounds, in bytes, the sound that waits in the kernel, where
	// nothing can be dropped any more: 4 s at 128 kb/s.
	sendBuffer = 64 << 10
)

// listener is one connection that listens.
type listener struct {
	hub    *Hub
	claims token.Claims
	page   string          // of the tab and its token; "" for none
	conn   *websocket.Conn // the hub's mutex guards it until it has joined; nil before
	ended  bool            // closes or will; the hub's mutex guards it
	wire   *wire           // below conn; set when the handshake is done
	pace   *rate.Limiter   // of what it sends; the reader's
	// good is the verifier's method Good; set before run.
	good func(token.Claims) (until time.Time, ok bool)
	// attempt orders the connections of a page: a later one has a greater.
	attempt uint64

	wake    chan struct{}        // capacity 1: the state may have changed, or the token's end
	sound   chan struct{}        // capacity 1: there may be sound that the lane's writer leaves to the listener
	offers  chan struct{}        // capacity 1: offered is to be told
	pings   chan float64         // capacity 1: a ping to answer
	pinged  chan string          // capacity 1: likewise, of a control frame
	wish    atomic.Pointer[lane] // that it wants to be in; nil for where it is
	offered atomic.Pointer[lane] // that it is asked to go to and has not agreed to; nil for none
	lane    atomic.Pointer[lane] // that it is in
	why     atomic.Pointer[Why]  // it is there; nil for no reason
	place   atomic.Uint64        // its number in its writer's list; 0 for none
	ending  chan int             // capacity 1: the close code to end with
	told    bool                 // of the token's end; write's

	// Sending is done by the listener's own goroutine, and by the writer of its
	// lane where that needs no wait: whoever holds out.
	out       sync.Mutex    // guards the rest of the block
	cursor    cursor        // its place in the lane
	writer    *writer       // that it is with; nil for none
	moving    *lane         // where its cursor goes, which counts it as a user; nil if nowhere
	state     *hubState     // that it was told
	lag       time.Duration // how old the sound may be that it is sent
	slowSince time.Time     // since when it loses sound; zero while it doesn't

	info              Listener // set before it joins, but for the counters
	sent, bytes, lost atomic.Uint64

	stats atomic.Pointer[Stats] // nil before the first
}

// newListener returns a listener without a connection. The page's ID may be
// empty; name and address are for the owner.
func newListener(h *Hub, c token.Claims, page, name, address string) *listener {
	if page != "" {
		page += " " + c.ID // one link can't take another's place
	}
	l := &listener{
		hub:    h,
		claims: c,
		page:   page,
		pace:   rate.NewLimiter(readRate, readBurst),
		wake:   make(chan struct{}, 1),
		sound:  make(chan struct{}, 1),
		offers: make(chan struct{}, 1),
		pings:  make(chan float64, 1),
		pinged: make(chan string, 1),
		ending: make(chan int, 1),
		info:   Listener{Link: c.ID, Name: name, Since: time.Now(), Address: address},
	}
	l.lane.Store(h.live)
	return l
}

// nudge makes the listener look at the hub's state and at the token.
func (l *listener) nudge() { poke(l.wake) }

// poke makes the listener look for sound to send.
func (l *listener) poke() { poke(l.sound) }

// offer makes the listener be told where it is asked to go.
func (l *listener) offer() { poke(l.offers) }

// poke fills a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// end makes the connection close with code, unless it is closing already.
func (l *listener) end(code int) {
	select {
	case l.ending <- code:
	default:
		return
	}
	if l.conn != nil {
		// One that takes nothing any more may not hold up the end.
		_ = l.conn.NetConn().SetWriteDeadline(time.Now().Add(closeTimeout))
	}
}

func (l *listener) snapshot() Listener {
	info := l.info
	info.Sent, info.Lost, info.Stats = l.sent.Load(), l.lost.Load(), l.stats.Load()
	info.Lane = l.lane.Load().name
	if why := l.why.Load(); why != nil {
		info.Why = *why
	}
	return info
}

// run serves a connection that was greeted until it ends, and returns the code
// that it closed with; 0 where the other side left.
func (l *listener) run(greeted error) int {
	gone := make(chan struct{})
	go func() {
		l.read()
		close(gone)
	}()
	code := 0
	if greeted == nil {
		code = l.write(gone)
	}
	l.leaveLanes()
	switch {
	case code != 0:
		l.takeLeave(code, gone)
	case l.wire.closing.Load():
		<-gone // the reader answers first (RFC 6455 section 5.5.1), which is soon
	}
	_ = l.conn.Close()
	<-gone
	l.hub.pressure.forget(l) // what it has answered meanwhile
	return code
}

// takeLeave closes with code, and waits for the other side to answer.
func (l *listener) takeLeave(code int, gone <-chan struct{}) {
	frame := websocket.FormatCloseMessage(code, closeReasons[code])
	patience := closeTimeout
	if code == closeSlow { // behind what waits in the kernel, which takes its time
		patience = writeTimeout
	}
	if l.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(patience)) != nil {
		return
	}
	// Closing at once could make the kernel reset the connection, and the close
	// frame be lost with it.
	select {
	case <-gone:
	case <-l.ending: // the server stops
	case <-time.After(patience):
	}
}

// read takes what the listener sends until the connection breaks, closes or
// goes silent. One that sends too much is made to end, and not listened to.
func (l *listener) read() {
	// Not gorilla's own limit: it closes while the writer writes, and what the
	// other side has sent by then would make the kernel reset the connection.
	paced := func() bool {
		if !l.pace.Allow() {
			l.end(closeTooMany)
			return false
		}
		return true
	}
	alive := func(string) error {
		paced()
		return l.conn.SetReadDeadline(time.Now().Add(readTimeout))
	}
	closed := l.conn.CloseHandler()
	l.conn.SetCloseHandler(func(code int, text string) error {
		l.wire.closing.Store(true)
		return closed(code, text)
	})
	l.conn.SetPongHandler(alive)
	l.conn.SetPingHandler(func(data string) error {
		if !paced() {
			return nil
		}
		// Not answered here: gorilla would set a short deadline, to the sound that
		// waits for a slow connection, too. The most recent is enough (RFC 6455
		// section 5.5.3).
		select {
		case <-l.pinged:
		default:
		}
		l.pinged <- data
		return nil
	})
	if l.conn.SetReadDeadline(time.Now().Add(readTimeout)) != nil {
		return
	}
	for {
		kind, r, err := l.conn.NextReader()
		if err != nil {
			return
		}
		if !paced() {
			continue // which skips the message
		}
		text, err := io.ReadAll(io.LimitReader(r, readLimit+1))
		switch {
		case err != nil:
			return
		case len(text) > readLimit:
			l.end(closeTooBig)
		case kind == websocket.TextMessage && !utf8.Valid(text): // RFC 6455 section 8.1
			l.end(closeNoText)
		default:
			l.take(text)
		}
	}
}

// take takes a message of the listener's, or ignores it.
func (l *listener) take(text []byte) {
	var r report
	if json.Unmarshal(text, &r) != nil {
		return
	}
	switch {
	case r.Type == "ping" && r.T != nil:
		select {
		case l.pings <- *r.T:
		default: // more than it is answered
		}
	case r.Type == "lane":
		if to := l.hub.lane(r.Lane); to != nil {
			l.ask(to)
		}
	case r.Type == "stats":
		r.Profile = line.Clean(r.Profile, 20)
		l.stats.Store(&r.Stats)
	}
}
