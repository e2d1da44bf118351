package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
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
	cursor cursor          // the writer's
	moving *lane           // where its cursor goes, which counts it as a user; nil if nowhere; the writer's
	pace   *rate.Limiter   // of what it sends; the reader's
	// good is the verifier's method Good; set before run.
	good func(token.Claims) (until time.Time, ok bool)
	// attempt orders the connections of a page: a later one has a greater.
	attempt uint64
	lag     time.Duration // how old the sound may be that it is sent; the writer's

	wake   chan struct{}        // capacity 1: the state may have changed, or the token's end
	pings  chan float64         // capacity 1: a ping to answer
	wish   atomic.Pointer[lane] // that it wants to be in; nil for where it is
	lane   atomic.Pointer[lane] // that it is in
	ending chan int             // capacity 1: the close code to end with

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
		pings:  make(chan float64, 1),
		ending: make(chan int, 1),
		info:   Listener{Link: c.ID, Name: name, Since: time.Now(), Address: address},
	}
	l.lane.Store(h.live)
	return l
}

// nudge makes the writer look at the hub's state and at the token.
func (l *listener) nudge() {
	select {
	case l.wake <- struct{}{}:
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
	return info
}

// run serves the connection until it ends, and returns the code that it closed
// with; 0 where the other side left.
func (l *listener) run() int {
	tcp := l.conn.NetConn()
	if c, ok := tcp.(*counted); ok {
		tcp = c.Conn
	}
	if secure, ok := tcp.(*tls.Conn); ok {
		tcp = secure.NetConn()
	}
	if tcp, ok := tcp.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // best effort: the kernel's default works, too
	}
	gone, cancel := context.WithCancel(context.Background())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer cancel()
		l.read()
	}()

	code := l.write(gone)
	if code != 0 {
		frame := websocket.FormatCloseMessage(code, closeReasons[code])
		patience := closeTimeout
		if code == closeSlow { // behind what waits in the kernel, which takes its time
			patience = writeTimeout
		}
		err := l.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(patience))
		if err == nil {
			// Closing at once could make the kernel reset the connection, and
			// the close frame be lost with it.
			select {
			case <-read:
			case <-l.ending: // the server stops
			case <-time.After(patience):
			}
		}
	}
	_ = l.conn.Close()
	<-read
	return code
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
	answer := l.conn.PingHandler()
	l.conn.SetPongHandler(alive)
	l.conn.SetPingHandler(func(data string) error {
		if !paced() {
			return nil
		}
		return answer(data)
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

// counted is a listener's connection, which ends who sends too many bytes: a
// message may come in frames without number and without content, which no
// count of messages sees.
type counted struct {
	net.Conn
	l    *listener
	pace *rate.Limiter // of bytes; the reader's
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.pace.AllowN(time.Now(), n) {
		return n, err
	}
	c.l.end(closeTooMany)
	// Read on until it is closed, as in read, but look at none of it.
	if _, err = io.Copy(io.Discard, c.Conn); err == nil {
		err = io.EOF
	}
	return 0, err
}

// counting is a response whose connection is counted once it is hijacked.
type counting struct {
	http.ResponseWriter
	l *listener
}

// Hijack implements http.Hijacker.
func (w counting) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &counted{conn, w.l, rate.NewLimiter(readRate*readBytes, readBurst*readBytes)}, buffer, nil
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
			l.wish.Store(to)
		}
	case r.Type == "stats":
		r.Profile = line.Clean(r.Profile, 20)
		l.stats.Store(&r.Stats)
	}
}

// write sends sound and states until the connection is gone, and then returns
// 0, or until it must be closed, and then returns the code to close with.
func (l *listener) write(gone context.Context) int {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	look := time.NewTimer(0) // at how long the token is good
	defer look.Stop()

	l.hub.use(l.cursor.lane, 1)
	defer l.leaveLanes()
	state := l.hub.state.Load()
	if l.sendJSON(l.welcome(state)) != nil {
		return 0
	}
	told := false           // of the token's end
	var slowSince time.Time // since when it loses sound
	for {
		if now := l.hub.state.Load(); now != state {
			state = now
			if l.send(state.frame) != nil {
				return 0
			}
		}
		select {
		case <-gone.Done():
			return 0
		case code := <-l.ending:
			return code
		case <-look.C:
			until, ok := l.good(l.claims)
			if !ok {
				return closeEnded(until)
			}
			// Not at once for long: timers stand still while a computer sleeps,
			// and nobody may have told of a change.
			next := pingEvery
			if !until.IsZero() {
				left := time.Until(until)
				if left <= notice && !told {
					told = true
					if l.sendJSON(expiring{Type: "expiring", Seconds: seconds(left)}) != nil {
						return 0
					}
				}
				if !told {
					left -= notice
				}
				next = min(left, pingEvery)
			}
			look.Reset(next)
			continue
		case <-ping.C:
			if l.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout)) != nil {
				return 0
			}
			continue
		case <-l.wake:
			look.Reset(0)
			continue
		case t := <-l.pings:
			if l.sendJSON(pong{Type: "pong", T: t, At: l.hub.clock().Microseconds()}) != nil {
				return 0
			}
			continue
		case <-l.cursor.wait():
		}
		if ok, err := l.move(); err != nil {
			return 0
		} else if ok {
			continue
		}
		now := time.Now()
		m, lost := l.cursor.take(l.hub.since(now.Add(-l.lag)))
		switch {
		case lost > 0:
			l.lost.Add(lost)
			if slowSince.IsZero() {
				slowSince = now
			}
		case m != nil && now.Sub(m.published) < l.lag/2:
			slowSince = time.Time{}
		}
		if !slowSince.IsZero() && now.Sub(slowSince) > maxSlow {
			return closeSlow
		}
		if m != nil {
			if l.send(m.frame) != nil {
				return 0
			}
			l.sent.Add(1)
			l.bytes.Add(uint64(m.size))
		}
	}
}

// move brings the cursor to the lane that the listener wants to be in, once it
// is at the beginning of a message there, so that no packet is left out or sent
// twice, and says so before. It tells whether it did.
func (l *listener) move() (bool, error) {
	from := l.cursor.lane
	if wish := l.wish.Swap(nil); wish != nil && wish != l.moving {
		if l.moving != nil {
			l.hub.use(l.moving, -1)
		}
		l.moving = nil
		if wish != from {
			l.moving = wish
			l.hub.use(wish, 1)
		}
	}
	if l.moving == nil {
		return false, nil
	}
	to := l.moving
	if from != l.hub.live {
		to = l.hub.live // between two others it goes through this one
	}
	c, ok := to.from(l.cursor.end)
	if !ok {
		return false, nil
	}
	l.hub.use(from, -1)
	if to == l.moving {
		l.moving = nil // counted already
	} else {
		l.hub.use(to, 1)
	}
	l.cursor = c
	l.lane.Store(to)
	length := time.Duration(to.length.Load())
	l.lag = max(l.lag, 2*length+lagOver)
	return true, l.sendJSON(laneMessage{Type: "lane", Lane: to.name, Length: length.Milliseconds()})
}

// leaveLanes makes the listener nobody's user.
func (l *listener) leaveLanes() {
	l.hub.use(l.cursor.lane, -1)
	if l.moving != nil {
		l.hub.use(l.moving, -1)
	}
}

func (l *listener) welcome(s *hubState) welcome {
	return welcome{
		Type:    "welcome",
		about:   newAbout(s.title, l.info.Name, s.state, l.claims.Expires),
		Frame:   s.format.Frame.Milliseconds(),
		Bitrate: s.format.Bitrate,
	}
}

func (l *listener) send(m *websocket.PreparedMessage) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return l.conn.WritePreparedMessage(m)
}

// sendJSON sends a message for this listener alone.
func (l *listener) sendJSON(v any) error {
	m, err := prepare(v)
	if err != nil {
		return err
	}
	return l.send(m)
}
