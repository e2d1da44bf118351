package server

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/line"
)

const (
	pingEvery    = 15 * time.Second
	readTimeout  = 40 * time.Second // two pings and a little
	writeTimeout = 10 * time.Second
	closeTimeout = time.Second // for the other side to answer a close frame
	readLimit    = 1024        // bytes of a message from a listener

	// maxLag is how old sound may be when it is sent. What a connection
	// hasn't taken by then is lost to it, so that it comes back to live.
	maxLag = 2 * time.Second
	// maxSlow is how long a connection may keep losing sound.
	maxSlow = 20 * time.Second
	// sendBuffer bounds, in bytes, the sound that waits in the kernel, where
	// nothing can be dropped any more: 4 s at 128 kb/s.
	sendBuffer = 64 << 10
)

// listener is one connection that listens.
type listener struct {
	hub     *Hub
	conn    *websocket.Conn
	page    string // of the tab and its token; "" for none
	expires time.Time
	cursor  cursor // the writer's

	wake   chan struct{} // capacity 1: the state may have changed
	pings  chan float64  // capacity 1: a ping to answer
	ending chan int      // capacity 1: the close code to end with

	info Listener // set before it joins, but for the counters
	sent atomic.Uint64
	lost atomic.Uint64

	stats atomic.Pointer[Stats] // nil before the first
}

// nudge makes the writer look at the hub's state.
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
	}
}

func (l *listener) snapshot() Listener {
	info := l.info
	info.Sent, info.Lost, info.Stats = l.sent.Load(), l.lost.Load(), l.stats.Load()
	return info
}

// run serves the connection until it ends.
func (l *listener) run() {
	gone, cancel := context.WithCancel(context.Background())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer cancel()
		l.read()
	}()

	if code := l.write(gone); code != 0 {
		frame := websocket.FormatCloseMessage(code, closeReasons[code])
		err := l.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeTimeout))
		if err == nil {
			// Closing at once could make the kernel reset the connection, and
			// the close frame be lost with it.
			_ = l.conn.SetReadDeadline(time.Now().Add(closeTimeout))
			<-read
		}
	}
	_ = l.conn.Close()
	<-read
}

// read takes what the listener sends until the connection breaks, closes or
// goes silent.
func (l *listener) read() {
	alive := func(string) error { return l.conn.SetReadDeadline(time.Now().Add(readTimeout)) }
	l.conn.SetReadLimit(readLimit)
	l.conn.SetPongHandler(alive)
	if alive("") != nil {
		return
	}
	for {
		_, text, err := l.conn.ReadMessage()
		if err != nil {
			return
		}
		l.take(text)
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
	expiry := time.NewTimer(time.Until(l.expires))
	defer expiry.Stop()

	state := l.hub.state.Load()
	if l.sendJSON(l.welcome(state.state)) != nil {
		return 0
	}
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
		case <-expiry.C:
			return closeExpired
		case <-ping.C:
			if l.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout)) != nil {
				return 0
			}
			continue
		case <-l.wake:
			continue
		case t := <-l.pings:
			if l.sendJSON(pong{Type: "pong", T: t, At: l.hub.clock().Microseconds()}) != nil {
				return 0
			}
			continue
		case <-l.cursor.wait():
		}
		now := time.Now()
		m, lost := l.cursor.take(now.Add(-maxLag))
		switch {
		case lost > 0:
			l.lost.Add(lost)
			if slowSince.IsZero() {
				slowSince = now
			}
		case m != nil && now.Sub(m.published) < maxLag/2:
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
		}
	}
}

func (l *listener) welcome(s State) welcome {
	return welcome{
		Type:    "welcome",
		Name:    l.info.Name,
		Title:   l.hub.title,
		State:   s,
		Frame:   l.hub.format.Frame.Milliseconds(),
		Bitrate: l.hub.format.Bitrate,
		Expires: l.expires.Unix(),
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
