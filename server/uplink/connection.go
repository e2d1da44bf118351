package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"earshot/audio"
	"earshot/server"
	"earshot/server/line"
	"earshot/server/token"
)

// failed says why there is no connection.
func (u *Uplink) failed(answer *http.Response, err error) (State, string, time.Duration) {
	if answer == nil {
		return Connecting, "The relay can't be reached: " + reason(err), 0
	}
	after, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	wait := time.Duration(min(after, 60)) * time.Second
	body := make([]byte, 1024) // all that gorilla keeps
	n, _ := answer.Body.Read(body)
	var said struct{ Error, Message string }
	_ = json.Unmarshal(body[:n], &said)
	why := line.Clean(said.Message, 200)
	switch {
	case said.Error == "":
		return Refused, fmt.Sprintf("What answers there is no relay, or one without this stream (%s).", line.Clean(answer.Status, 40)), max(wait, longestWait)
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return Connecting, why, wait
	case said.Error == string(token.Signature):
		why = "The relay doesn't know this computer's key. Give it the line that earshot relay key prints."
	case said.Error == string(token.Withdrawn):
		return Connecting, why, 0 // the next one is newer
	case said.Error == string(token.Expired), said.Error == string(token.NotYetValid):
		why = "The relay takes this computer's token for one of another time: is the clock right?"
	}
	return Refused, why, longestWait
}

// reason is the innermost of what an error says.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return line.Clean(err.Error(), 100)
		}
		err = inner
	}
}

// connection is one connection of an Uplink.
type connection struct {
	*Uplink
	conn  *websocket.Conn
	gone  chan struct{} // closed when nothing comes any more
	pongs chan server.Said
	asked chan struct{} // capacity 1: the relay wants a new token
	nonce string        // that it asks for one with; u.mu guards it

	// The writer's:
	renewed time.Time            // when the relay last got a token
	told    map[string]time.Time // the ends of withdrawn tokens that it was told of, by ID
	untold  []token.Withdrawal   // what it is still to be told
	pace    *rate.Limiter        // of chunks of that
	sent    uint64               // version of what is withdrawn, with the last of that
}

// read takes what the relay says until the connection ends, and returns why.
func (c *connection) read() error {
	c.conn.SetReadLimit(readLimit)
	alive := func() error { return c.conn.SetReadDeadline(time.Now().Add(readTimeout)) }
	answer := c.conn.PingHandler()
	c.conn.SetPingHandler(func(data string) error { return errors.Join(alive(), answer(data)) })
	for {
		if err := alive(); err != nil {
			return err
		}
		kind, text, err := c.conn.ReadMessage()
		if err != nil {
			return err
		}
		var m server.Told
		if kind != websocket.TextMessage || json.Unmarshal(text, &m) != nil {
			continue
		}
		c.take(m)
	}
}

func (c *connection) take(m server.Told) {
	switch m.Type {
	case "welcome":
		c.set(func() {
			c.status = Status{State: Connected, Since: time.Now(), Public: m.Public}
			c.wanted = m.Wanted != nil && *m.Wanted
		})
		c.Log.Info("publishing to the relay", "relay", c.URL.String())
	case "wanted":
		if m.Wanted != nil {
			c.set(func() { c.wanted, c.queue = *m.Wanted, nil })
		}
	case "listeners":
		for i := range m.Listeners {
			m.Listeners[i].Name = line.Clean(m.Listeners[i].Name, 60)
			m.Listeners[i].Address = line.Clean(m.Listeners[i].Address, 60)
		}
		c.set(func() {
			c.status.Count = max(m.Count, len(m.Listeners))
			c.status.Listeners = m.Listeners
		})
	case "token":
		poke(c.asked)
	case "ping":
		if len(m.Nonce) > maxNonce {
			m.Nonce = ""
		}
		c.mu.Lock()
		c.nonce = m.Nonce
		c.mu.Unlock()
		select {
		case c.pongs <- server.Said{Type: "pong", T: m.T, At: c.Clock().Microseconds()}:
		default: // more than are answered
		}
	case "withdrawn":
		c.set(func() { c.stored = max(c.stored, min(m.N, c.version)) })
	}
}

// write sends what there is until the connection ends; the error is of that.
func (c *connection) write() error {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	var soon, more <-chan time.Time // when a token is due that was asked for, and more withdrawals
	c.mu.Lock()
	c.about = false
	c.mu.Unlock()
	var message []byte
	hello := false
	for {
		c.mu.Lock()
		queue, orders, about, version, stored := c.queue, c.orders, c.about, c.version, c.stored
		c.queue, c.orders, c.about = nil, nil, false
		c.mu.Unlock()
		if version != c.sent { // before all else
			if len(c.untold) == 0 && stored < c.sent { // it may have refused that
				clear(c.told)
			}
			if err := c.withdraw(version); err != nil {
				return err
			}
		}
		if len(c.untold) > 0 && more == nil {
			more = time.After(chunkEvery)
		}
		if about || !hello {
			what := c.About()
			if err := c.say(server.Said{Type: "hello", About: &what}); err != nil {
				return err
			}
			hello = true
		}
		for _, m := range orders {
			if err := c.say(m); err != nil {
				return err
			}
		}
		for some := range slices.Chunk(queue, 8) {
			message = audio.AppendMessage(message[:0], some...)
			if err := c.send(websocket.BinaryMessage, message); err != nil {
				return err
			}
		}
		select {
		case <-c.gone:
			return nil
		case <-c.wake:
		case pong := <-c.pongs:
			if err := c.say(pong); err != nil {
				return err
			}
		case <-c.asked:
			if soon == nil {
				soon = time.After(time.Until(c.renewed.Add(renewPause)))
			}
		case <-soon:
			soon = nil
			if err := c.renew(); err != nil {
				return err
			}
		case <-renew.C:
			if err := c.renew(); err != nil {
				return err
			}
		case <-more:
			more = nil
			if err := c.tellMore(); err != nil {
				return err
			}
		}
	}
}

// renew gives the relay a new token.
func (c *connection) renew() error {
	c.renewed = time.Now()
	c.mu.Lock()
	nonce := c.nonce
	c.mu.Unlock()
	raw, err := c.Token(nonce)
	if err != nil {
		c.Log.Warn("no new token for the relay", "err", err)
		return nil
	}
	return c.say(server.Said{Type: "token", Token: raw})
}

// withdraw tells the relay what is withdrawn that it wasn't told yet over this
// connection: at once as much as it takes at once, then the rest. The token that opened
// the connection may be of that: a new one comes before. Where all were withdrawn at a
// time that has not come yet, by a clock that was ahead, it would end what others make
// until then, and the moment when it was first told stands for it.
func (c *connection) withdraw(version uint64) error {
	all, some := c.Withdrawn()
	if !all.IsZero() {
		if err := c.renew(); err != nil {
			return err
		}
	}
	if now := time.Now(); all.After(now.Add(ClockSlack)) {
		if !all.Equal(c.ahead) {
			c.ahead, c.stands = all, now
		}
		all = c.stands
	}
	c.sent, c.untold = version, nil
	for _, w := range some {
		if until, there := c.told[w.ID]; !there || !until.Equal(w.Until) {
			c.untold = append(c.untold, w)
		}
	}
	if err := c.tell(all); err != nil {
		return err
	}
	return c.tellMore()
}

// tellMore tells the relay what it is still to be told, as far as that may be now.
func (c *connection) tellMore() error {
	for len(c.untold) > 0 && c.pace.Allow() {
		if err := c.tell(time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// tell tells the relay of some that it is to be told.
func (c *connection) tell(all time.Time) error {
	some := c.untold[:min(chunk, len(c.untold))]
	m := server.Said{Type: "withdrawn", All: all, Some: some}
	if c.untold = c.untold[len(some):]; len(c.untold) == 0 {
		m.N = c.sent
	}
	for _, w := range some {
		c.told[w.ID] = w.Until
	}
	return c.say(m)
}

func (c *connection) say(m server.Said) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.send(websocket.TextMessage, text)
}

func (c *connection) send(kind int, message []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return c.conn.WriteMessage(kind, message)
}
