package server

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// write sends sound and states until the connection is gone, and then returns
// 0, or until it must be closed, and then returns the code to close with.
//
// Here each listener waits, and so does its reader: what they call is in
// functions of its own, since frames of half a kilobyte more would double their
// stacks.
func (l *listener) write(gone <-chan struct{}) int {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	look := time.NewTimer(0) // at how long the token is good
	defer look.Stop()
	for {
		var code int
		var err error
		select {
		case <-gone:
			return 0
		case code = <-l.ending:
		case <-look.C:
			code, err = l.look(look)
		case <-ping.C:
			err = l.ping()
		case <-l.wake:
			look.Reset(0)
			err = l.tell()
		case data := <-l.pinged:
			err = l.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(writeTimeout))
		case t := <-l.pings:
			err = l.pong(t)
		case <-l.offers:
			err = l.propose()
		case <-l.sound:
			code, err = l.step()
		}
		if err != nil {
			return 0
		}
		if code != 0 {
			return code
		}
	}
}

// look looks at how long the token is good, tells of its end when that is near,
// and sets when to look again. It returns the code to close with, if that must
// be.
func (l *listener) look(again *time.Timer) (code int, err error) {
	until, ok := l.good(l.claims)
	if !ok {
		return closeEnded(until), nil
	}
	// Not at once for long: timers stand still while a computer sleeps,
	// and nobody may have told of a change.
	next := pingEvery
	if !until.IsZero() {
		left := time.Until(until)
		if left <= notice && !l.told {
			l.told = true
			if err := l.sendJSON(expiring{Type: "expiring", Seconds: seconds(left)}); err != nil {
				return 0, err
			}
		}
		if !l.told {
			left -= notice
		}
		next = min(left, pingEvery)
	}
	again.Reset(next)
	return 0, nil
}

func (l *listener) ping() error {
	return l.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
}

func (l *listener) pong(t float64) error {
	return l.sendJSON(pong{Type: "pong", T: t, At: l.hub.clock().Microseconds()})
}

// propose asks the listener to go to another lane.
func (l *listener) propose() error {
	to := l.offered.Load()
	if to == nil {
		return nil
	}
	return l.sendJSON(laneMessage{"move", to.name, to.span().Milliseconds()})
}

// greet sends what a listener gets first, and has it sent sound from then on.
func (l *listener) greet() error {
	tcp := l.wire.Conn
	if secure, ok := tcp.(*tls.Conn); ok {
		tcp = secure.NetConn()
	}
	if tcp, ok := tcp.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // best effort: the kernel's default works, too
	}
	l.out.Lock()
	defer l.out.Unlock()
	l.hub.use(l.cursor.lane, 1)
	l.aim()
	burst := l.cursor.burst()
	l.state = l.hub.state.Load()
	if err := l.sendJSON(l.welcome(l.state)); err != nil {
		return err
	}
	if burst != nil {
		if err := l.sendSound(burst); err != nil {
			return err
		}
		l.sent.Add(1)
		l.bytes.Add(uint64(len(burst)))
	}
	l.enter()
	return nil
}

// enter makes a writer of its lane send to it. l.out is held.
func (l *listener) enter() {
	lane := l.cursor.lane
	number := l.hub.places.Add(1)
	l.place.Store(number)
	l.writer = lane.writers[lane.entered.Add(1)%uint64(len(lane.writers))]
	l.writer.add(l, number, &l.hub.writing)
	l.poke() // for what has come since
}

// exit makes no writer send to it. l.out is held.
func (l *listener) exit() {
	l.place.Store(0)
	if l.writer != nil {
		l.writer.poke() // which forgets it
		l.writer = nil
	}
}

// try sends what there is if that needs neither a wait nor more than that. The
// lane's writer calls it.
func (l *listener) try(now time.Time, w *writer, b *bundle) bool {
	if !l.out.TryLock() {
		return false
	}
	defer l.out.Unlock()
	if l.writer != w {
		return true // it has just gone to another lane
	}
	if l.moving != nil || l.wish.Load() != nil || l.state != l.hub.state.Load() {
		return false
	}
	c := &l.cursor
	end := c.lane.next.Load()
	next := min(end, c.next+bundled)
	n := next - c.next
	if n == 0 {
		return true
	}
	oldest := c.lane.slot(c.next).Load()
	if oldest.number != c.next || !oldest.published.After(l.hub.since(now.Add(-l.lag))) {
		return false
	}
	if !b.fill(c.lane, c.next, next) {
		return false
	}
	took, all := l.wire.try(b.frames)
	if !took {
		return false
	}
	c.next, c.end = next, b.end
	if now.Sub(oldest.published) < l.lag/2 {
		l.slowSince = time.Time{}
	}
	l.sent.Add(n)
	l.bytes.Add(uint64(b.size))
	if next < end {
		w.poke() // for the rest: to leave that to each listener takes more, when there is least
	}
	return all
}

// step sends what the writer left to the listener: a state, or one message of
// sound. It returns the code to close with, if that must be.
func (l *listener) step() (code int, err error) {
	l.out.Lock()
	defer l.out.Unlock()
	if err := l.tellLocked(); err != nil {
		return 0, err
	}
	if ok, err := l.move(); err != nil {
		return 0, err
	} else if ok {
		l.poke()
		return 0, nil
	}
	now := time.Now()
	m, lost := l.cursor.take(l.hub.since(now.Add(-l.lag)))
	switch {
	case lost > 0:
		l.lost.Add(lost)
		if l.slowSince.IsZero() {
			l.slowSince = now
		}
	case m != nil && now.Sub(m.published) < l.lag/2:
		l.slowSince = time.Time{}
	}
	if !l.slowSince.IsZero() && now.Sub(l.slowSince) > maxSlow {
		return closeSlow, nil
	}
	if m == nil {
		return 0, l.sendSound(nil)
	}
	if err := l.sendSound(m.frame); err != nil {
		return 0, err
	}
	l.sent.Add(1)
	l.bytes.Add(uint64(len(m.body)))
	l.poke()
	return 0, nil
}

// tell tells the listener what the stream is and does, if that has changed.
func (l *listener) tell() error {
	l.out.Lock()
	defer l.out.Unlock()
	return l.tellLocked()
}

func (l *listener) tellLocked() error {
	now := l.hub.state.Load()
	if now == l.state {
		return nil
	}
	l.state = now
	return l.send(now.frame)
}

// sendSound sends frames, and before them what is left of others.
func (l *listener) sendSound(frames []byte) error {
	if err := l.wire.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return l.wire.sound(frames)
}

// ask notes that the listener wants to be in a lane: since it was asked to go
// there, or because it likes to.
func (l *listener) ask(to *lane) {
	if l.offered.CompareAndSwap(to, nil) {
		l.hub.pressure.answered(l, to)
	} else {
		l.choose(to)
		l.hub.pressure.forget(l)
	}
	l.wish.Store(to)
	l.poke()
}

// choose notes that it wants to be in a lane by itself.
func (l *listener) choose(to *lane) {
	l.offered.Store(nil)
	why := Chosen
	if to == l.hub.live {
		l.why.Store(nil)
	} else {
		l.why.Store(&why)
	}
}

// move brings the cursor to the lane that the listener wants to be in, once it
// is at the beginning of a message there, so that no packet is left out or sent
// twice, and says so before. It tells whether it did. l.out is held.
func (l *listener) move() (bool, error) {
	l.aim()
	if l.moving == nil {
		return false, nil
	}
	from, to := l.cursor.lane, l.moving
	if from != l.hub.live {
		to = l.hub.live // between two others it goes through this one
	}
	c, ok := to.from(l.cursor.end)
	if !ok {
		return false, nil
	}
	l.exit()
	defer l.enter()
	l.hub.use(from, -1)
	if to == l.moving {
		l.moving = nil // counted already
	} else {
		l.hub.use(to, 1)
	}
	l.cursor = c
	l.lane.Store(to)
	l.lag = max(l.lag, 2*to.span()+lagOver)
	return true, l.sendJSON(laneMessage{"lane", to.name, to.span().Milliseconds()})
}

// aim makes the lane that the listener wants to be in the one to move to. l.out
// is held.
func (l *listener) aim() {
	if wish := l.wish.Swap(nil); wish != nil && wish != l.moving {
		if l.moving != nil {
			l.hub.use(l.moving, -1)
		}
		l.moving = nil
		if wish != l.cursor.lane {
			l.moving = wish
			l.hub.use(wish, 1)
		}
	}
}

// leaveLanes makes the listener nobody's user.
func (l *listener) leaveLanes() {
	l.hub.pressure.forget(l)
	l.out.Lock()
	defer l.out.Unlock()
	l.exit()
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
