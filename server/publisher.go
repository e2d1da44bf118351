package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"earshot/audio"
	"earshot/server/token"
)

// publisher is one connection that sends the sound of a stream.
type publisher struct {
	stream *stream
	cast   *Broadcast
	lease  Lease           // set before run
	conn   *websocket.Conn // likewise
	clock  offset

	wake   chan struct{} // capacity 1: what the publisher is told may have changed
	ending chan int      // capacity 1: the close code to end with
	acks   chan ack      // capacity 1: the latest withdrawals, to be answered
	bytes  *rate.Limiter // of what it sends; the reader's
	pace   *rate.Limiter // likewise, in packets
	orders *rate.Limiter // likewise, in text messages but for pongs
	way    lateness      // of the sound; the reader's

	about    About  // what it has said; the reader's
	said     bool   // that it has
	messages uint64 // of sound; the reader's
	refused  bool   // withdrawals since the last that asked for an answer; the reader's

	mu     sync.Mutex   // guards the rest
	claims token.Claims // which the reader changes
	nonces [2]string    // of the latest pings
	why    error        // of the end
}

func newPublisher(s *stream, c token.Claims) *publisher {
	return &publisher{
		stream: s,
		cast:   s.config.Broadcast,
		claims: c,
		clock:  offset{base: audio.NewClock()},
		wake:   make(chan struct{}, 1),
		ending: make(chan int, 1),
		acks:   make(chan ack, 1),
		bytes:  rate.NewLimiter(publisherBytes, publisherBurst*publisherBytes),
		pace:   rate.NewLimiter(publisherPackets, publisherBurst*publisherPackets),
		orders: rate.NewLimiter(publisherOrders, publisherOrderBurst),
	}
}

// ack is an answer to withdrawals, which is due when they are stored.
type ack struct {
	n      uint64
	stored <-chan struct{}
}

// end makes the connection close with code, unless it is closing already.
func (p *publisher) end(code int, why error) {
	select {
	case p.ending <- code:
		p.mu.Lock()
		p.why = why
		p.mu.Unlock()
	default:
	}
}

// fault is why the connection was ended; "" for no fault of the publisher's.
func (p *publisher) fault() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		return ""
	}
	return p.why.Error()
}

// run serves the connection until it ends, and returns the code that it closed
// with; 0 where the other side left.
func (p *publisher) run() int {
	gone, cancel := context.WithCancel(context.Background())
	read := make(chan struct{})
	p.cast.tell(p.wake, true)
	defer p.cast.tell(p.wake, false)
	go func() {
		defer close(read)
		defer cancel()
		p.read()
	}()
	code := p.write(gone)
	if code != 0 {
		frame := websocket.FormatCloseMessage(code, closeReasons[code])
		if p.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeTimeout)) == nil {
			select {
			case <-read:
			case <-time.After(closeTimeout):
			}
		}
	}
	cancel()
	_ = p.conn.Close()
	<-read
	return code
}

// read takes what the publisher sends until the connection breaks, closes or
// goes silent.
func (p *publisher) read() {
	alive := func(string) error { return p.conn.SetReadDeadline(time.Now().Add(publisherTimeout)) }
	p.conn.SetPongHandler(alive)
	p.conn.SetReadLimit(publisherLimit)
	answer := p.conn.PingHandler()
	p.conn.SetPingHandler(func(data string) error { return errors.Join(alive(""), answer(data)) })
	if alive("") != nil {
		return
	}
	for {
		kind, message, err := p.conn.ReadMessage()
		switch {
		case errors.Is(err, websocket.ErrReadLimit):
			p.dismiss(closeTooBig, err)
			return
		case err != nil || alive("") != nil:
			return
		case !p.bytes.AllowN(time.Now(), len(message)):
			p.dismiss(closeTooMany, errMore)
			return
		case kind == websocket.BinaryMessage:
			p.messages++
			if len(message) > 0 {
				err = p.sound(message)
			}
		default:
			err = p.take(message)
		}
		if err != nil {
			p.dismiss(closeTooMany, err)
			return
		}
	}
}

var (
	errMore   = errors.New("it sends more than sound can be")
	errOrders = errors.New("it says too much beside the sound")
)

// dismiss ends the connection, and reads what still comes until it is closed: the
// kernel would reset it for what is not read, and the close frame be lost.
func (p *publisher) dismiss(code int, why error) {
	p.end(code, why)
	_, _ = io.Copy(io.Discard, p.conn.NetConn())
}

func (p *publisher) sound(message []byte) error {
	packets, err := audio.ParseMessage(message)
	switch {
	case err != nil:
		return err
	case !p.pace.AllowN(time.Now(), len(packets)):
		return errMore
	}
	at := packets[len(packets)-1].At
	if !p.clock.answered() { // a plain program; nothing better is known
		p.clock.heard(at)
	}
	if p.way.late(p.clock.base(), at) {
		p.cast.late.Add(1)
		return nil
	}
	return p.lease.Publish(message)
}

// take takes a text message, or ignores it. The error is for one that the
// connection shall end for.
func (p *publisher) take(text []byte) error {
	var m Said
	if json.Unmarshal(text, &m) != nil {
		return errors.New("it sends text that is no JSON object")
	}
	if m.Type != "pong" && !p.orders.Allow() {
		return errOrders
	}
	switch m.Type {
	case "hello", "state":
		about := About{}
		if m.About != nil {
			about = *m.About
		}
		if m.Type == "state" {
			state := about.State
			about = p.about
			about.State = state
		}
		if err := about.clean(); err != nil {
			return err
		}
		p.about, p.said = about, true
		p.lease.Tell(encode(about))
	case "pong":
		p.clock.pong(m.T, m.At)
	case "token":
		claims, err := p.stream.verifyAnswer(m.Token, token.ScopePublish, p.asked()...)
		if err == nil && claims.Publisher() != p.claims.Publisher() {
			err = errors.New("it is another publisher's")
		}
		if err != nil {
			// A new key, say: connecting anew tells the publisher what is wrong.
			p.end(closeRestart, fmt.Errorf("renew token: %w", err))
			return nil
		}
		p.mu.Lock()
		p.claims = claims
		p.mu.Unlock()
	case "kick", "withdrawn":
		switch {
		case !p.claims.Owner():
			p.stream.log.Warn("a program may not remove listeners or withdraw links", "stream", p.stream.config.Name, "name", p.claims.Name)
		case m.Type == "kick":
			p.lease.Kick(m.Relay, m.ID)
		default:
			p.withdraw(m)
		}
	}
	return nil
}

// asked are the nonces of the latest pings.
func (p *publisher) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.nonces[:])
	return slices.DeleteFunc(all, func(nonce string) bool { return nonce == "" })
}

// withdraw makes tokens good no more. The answer is the writer's, when that is
// stored.
func (p *publisher) withdraw(m Said) {
	now := time.Now()
	if m.All.After(now.Add(clocksApart)) { // what is made later stays good
		m.All = now
	}
	err := token.CheckWithdrawals(m.All, m.Some, now)
	var stored <-chan struct{}
	if err == nil {
		stored, err = p.cast.member.Withdraw(m.All, m.Some)
	}
	if err != nil {
		p.stream.log.Error("withdrawals refused", "stream", p.stream.config.Name, "err", err)
		p.refused = true
	}
	if m.N == 0 { // there is more to come
		return
	}
	if !p.refused {
		select {
		case <-p.acks: // an answer to this one is one to that
		default:
		}
		p.acks <- ack{m.N, stored}
	}
	p.refused = false
}

// write tells the publisher what it is to know until the connection is gone, and
// then returns 0, or until it must be closed, and then returns the code.
func (p *publisher) write(gone context.Context) int {
	ping := time.NewTicker(publisherPing)
	defer ping.Stop()
	look := time.NewTicker(time.Second) // at the token
	defer look.Stop()
	var (
		wanted = p.cast.isWanted()
		lists  <-chan time.Time // when the next list of listeners may go out; nil: now
		fresh  = true           // there is something new for it
		due    ack              // whose channel is nil where none is
		asked  time.Time        // when the publisher was, for a new token; zero if it has a good one
	)
	if p.send(Told{Type: "welcome", Wanted: &wanted, Public: p.stream.config.Public}) != nil || p.ping() != nil {
		return 0
	}
	for {
		if now := p.cast.isWanted(); now != wanted {
			wanted = now
			if p.send(Told{Type: "wanted", Wanted: &now}) != nil {
				return 0
			}
		}
		if fresh && lists == nil {
			count, list := p.cast.listeners()
			if p.send(Told{Type: "listeners", Count: count, Listeners: list}) != nil {
				return 0
			}
			fresh, lists = false, time.After(listsEvery)
		}
		var err error
		select {
		case <-gone.Done():
			return 0
		case code := <-p.ending:
			return code
		case <-p.lease.Done():
			if errors.Is(p.lease.Err(), ErrReplaced) {
				return closeReplaced
			}
			return closeRestart
		case <-p.wake:
			fresh = true
		case <-lists:
			lists = nil
		case <-ping.C:
			err = p.ping()
		case due = <-p.acks:
		case <-due.stored:
			err = p.send(Told{Type: "withdrawn", N: due.n})
			due.stored = nil
		case <-look.C:
			p.mu.Lock()
			claims := p.claims
			p.mu.Unlock()
			until, ok := p.stream.config.Tokens.Good(claims)
			switch {
			case ok:
				asked = time.Time{}
			case until.IsZero(), !asked.IsZero() && time.Since(asked) > renewWithin:
				return closeEnded(until)
			case asked.IsZero():
				asked = time.Now()
				err = errors.Join(p.ping(), p.send(Told{Type: "token"}))
			}
		}
		if err != nil {
			return 0
		}
	}
}

func (p *publisher) ping() error {
	nonce := rand.Text()
	p.mu.Lock()
	p.nonces = [2]string{nonce, p.nonces[0]}
	p.mu.Unlock()
	err := p.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
	return errors.Join(err, p.send(Told{Type: "ping", T: p.clock.ping(), Nonce: nonce}))
}

func (p *publisher) send(m Told) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return p.conn.WriteJSON(m)
}

// isWanted tells whether anybody listens, at any relay.
func (b *Broadcast) isWanted() bool {
	if b.hub.Wanted() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wanted
}
