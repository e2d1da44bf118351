//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// crowd is listeners who come, stay a while in some lane at the laptop or at its
// relay, and go: by themselves, or because their link ends.
type crowd struct {
	app, relay string        // HOST:PORT
	stay       time.Duration // of one listener, on average
	direct     string        // token for the laptop
	away       string        // for the relay
	issuer     string        // makes links that end
	stir       *stir

	here, joined, expired atomic.Int64

	mu      sync.Mutex // guards the rest
	missed  int        // packets that a connection left out
	strange int        // those that came twice or out of order
	silent  []silence  // longer than a listener's lane and a second, and not explained
	faults  map[string]int
}

// silence is a time without sound.
type silence struct {
	At     float64 `json:"at"` // s after the beginning
	Length float64 `json:"length"`
	Where  string  `json:"where"`
}

// stir is what was done to the laptop and the relay, which explains silence.
type stir struct {
	began time.Time

	mu   sync.Mutex
	done []stirred
	down bool // the relay is being started again
}

type stirred struct {
	what     string
	from, to time.Time
}

// while notes what f does, and that it explains silence until a while after.
func (s *stir) while(what string, f func()) {
	s.mu.Lock()
	s.done = append(s.done, stirred{what: what, from: time.Now()})
	i := len(s.done) - 1
	s.down = what == relayRestarts
	s.mu.Unlock()
	f()
	s.mu.Lock()
	s.done[i].to = time.Now()
	s.down = false
	s.mu.Unlock()
}

// What is done to them.
const (
	relayRestarts  = "the relay restarts"
	outputChanges  = "the output changes"
	computerBusy   = "the computer keeps a program waiting"
	explainedAfter = 3 * time.Second // a stir ended
)

// metronome notes, until ctx ends, when this process was kept waiting itself for
// so long that a listener's silence says nothing of the programs under test.
func (s *stir) metronome(ctx context.Context) {
	const beat, late = 20 * time.Millisecond, 250 * time.Millisecond
	for last := time.Now(); ctx.Err() == nil; {
		time.Sleep(beat)
		now := time.Now()
		if now.Sub(last) > late {
			s.mu.Lock()
			s.done = append(s.done, stirred{computerBusy, last, now})
			s.mu.Unlock()
		}
		last = now
	}
}

// explains tells whether a silence is no wonder.
func (s *stir) explains(from, to time.Time, where string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.done {
		end := d.to.Add(explainedAfter)
		if d.to.IsZero() {
			end = to
		}
		if (d.what != relayRestarts || where == "relay") && from.Before(end) && to.After(d.from) {
			return true
		}
	}
	return false
}

func (s *stir) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// run keeps so many listening until ctx ends.
func (c *crowd) run(ctx context.Context, size int) {
	c.faults = map[string]int{}
	var all sync.WaitGroup
	for i := range size {
		// Of many addresses, as listeners are.
		from := fmt.Sprintf("127.1.%d.%d", i/200, 1+i%200)
		all.Go(func() {
			sleep := func(d time.Duration) bool {
				select {
				case <-ctx.Done():
					return false
				case <-time.After(d):
					return true
				}
			}
			for sleep(time.Duration(rand.Float64() * float64(c.stay) / 10)) {
				c.visit(ctx, from)
			}
		})
	}
	all.Wait()
}

// visit is one connection.
func (c *crowd) visit(ctx context.Context, from string) {
	where, addr, path, tok := "laptop", c.app, "/listen", c.direct
	short := rand.IntN(20) == 0
	stay := time.Duration((0.2 + 1.6*rand.Float64()) * float64(c.stay))
	switch {
	case short:
		good := 5 + rand.IntN(10) // seconds
		made, err := c.issue(ctx, from, good)
		if err != nil {
			c.fault(ctx, "no link: "+err.Error())
			return
		}
		tok, stay = made.Token, time.Duration(good+5)*time.Second
		if strings.Contains(made.Link, c.relay) { // where links lead while it can be reached
			where, addr, path = "relay", c.relay, "/radio/listen"
		}
	case rand.IntN(5) == 0:
		where, addr, path, tok = "relay", c.relay, "/radio/listen", c.away
	}
	lane, length := "live", time.Duration(0)
	switch rand.IntN(5) {
	case 0:
		lane, length = "balanced", 100*time.Millisecond
	case 1:
		lane, length = "radio", time.Second
	}
	d := websocket.Dialer{
		NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext, HandshakeTimeout: deadline,
	}
	conn, answer, err := d.DialContext(ctx, "ws://"+addr+path+"?buffer=60&lane="+lane, http.Header{"Token": {tok}})
	if err != nil {
		switch {
		case where == "relay" && (answer == nil || answer.StatusCode >= 500) && c.stir.explains(time.Now(), time.Now(), where):
		case answer != nil:
			c.fault(ctx, fmt.Sprintf("refused at the %s: %s", where, answer.Status))
		default:
			c.fault(ctx, fmt.Sprintf("the %s does not answer: %v", where, err))
		}
		return
	}
	defer conn.Close()
	c.here.Add(1)
	c.joined.Add(1)
	defer c.here.Add(-1)
	ends := time.Now().Add(stay)
	leave := time.AfterFunc(stay, func() { _ = conn.Close() })
	defer leave.Stop()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	err = c.listen(conn, where, length)
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == 4400 && short:
		c.expired.Add(1)
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure && (where != "relay" || closed.Code != websocket.CloseServiceRestart):
		c.fault(ctx, fmt.Sprintf("closed at the %s: %v", where, closed))
	case short && !time.Now().Before(ends):
		c.fault(ctx, "a link that has ended goes on")
	case time.Now().Before(ends) && !c.stir.explains(time.Now(), time.Now(), where):
		c.fault(ctx, fmt.Sprintf("cut off at the %s: %v", where, err))
	}
}

// listen reads until the connection ends.
func (c *crowd) listen(conn *websocket.Conn, where string, length time.Duration) error {
	var next uint32
	last := time.Time{}
	live := false
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if kind == websocket.TextMessage {
			var m struct{ State string }
			if json.Unmarshal(message, &m) == nil && m.State != "" {
				live, last = m.State == "live", time.Time{}
			}
			continue
		}
		packets, err := audio.ParseMessage(message)
		if err != nil {
			return err
		}
		now := time.Now()
		limit := time.Second + length
		if length > 0 {
			limit += time.Second // it joins in the live lane and waits for its own
		}
		if silent := now.Sub(last); live && !last.IsZero() && silent > limit && !c.stir.explains(last, now, where) {
			c.mu.Lock()
			c.silent = append(c.silent, silence{last.Sub(c.stir.began).Seconds(), silent.Seconds(), where})
			c.mu.Unlock()
		}
		for _, p := range packets {
			if step := int32(p.Seq - next); !last.IsZero() && step != 0 {
				c.mu.Lock()
				if step > 0 {
					c.missed += int(step)
				} else {
					c.strange++
				}
				c.mu.Unlock()
			}
			next, last = p.Seq+1, now
		}
	}
}

// issue makes a link as a program does.
func (c *crowd) issue(ctx context.Context, from string, seconds int) (made struct{ Link, Token string }, err error) {
	body := strings.NewReader(fmt.Sprintf(`{"name": "soon gone", "for": %d}`, seconds))
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+c.app+"/api/links", body)
	if err != nil {
		return made, err
	}
	req.Header.Set("Authorization", "Bearer "+c.issuer)
	client := http.Client{Timeout: deadline, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
	}}
	answer, err := client.Do(req)
	if err != nil {
		return made, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusCreated {
		return made, fmt.Errorf("%s %s %w", answer.Status, text, err)
	}
	return made, json.Unmarshal(text, &made)
}

// fault notes what should not have happened, unless all are just sent home.
func (c *crowd) fault(ctx context.Context, what string) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[what]++
}

// findings are what the crowd met until now.
func (c *crowd) findings() (missed, strange int, silent []silence, faults map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missed, c.strange, append([]silence(nil), c.silent...), maps.Clone(c.faults)
}

// probe is a listener in the live lane who stays, and measures how late the sound
// is that comes.
type probe struct {
	conn *websocket.Conn

	mu     sync.Mutex
	late   []float64 // ms from the capture to here, since it was last asked
	missed int
	err    error
}

// run reads until the connection ends.
func (p *probe) run() {
	type sent struct {
		Type string  `json:"type"`
		T    float64 `json:"t"`
	}
	base := time.Now()
	since := func() float64 { return float64(time.Since(base).Microseconds()) }
	var (
		offset, best = 0.0, 0.0 // of the packets' clock, and how long the best ping took; µs
		next         uint32
		begun        bool
		asked        time.Time
	)
	for {
		if time.Since(asked) > 2*time.Second {
			asked = time.Now()
			_ = p.conn.WriteJSON(sent{"ping", since()})
		}
		kind, message, err := p.conn.ReadMessage()
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		now := since()
		if kind == websocket.TextMessage {
			var m struct {
				Type  string
				T, At float64
			}
			if json.Unmarshal(message, &m) == nil && m.Type == "pong" {
				// Clocks of one computer don't drift apart: the quickest answer is the truest.
				if took := now - m.T; best == 0 || took < best {
					best, offset = took, m.At-(m.T+now)/2
				}
			}
			continue
		}
		packets, err := audio.ParseMessage(message)
		if err != nil || best == 0 {
			continue
		}
		p.mu.Lock()
		for _, one := range packets {
			if step := int32(one.Seq - next); begun && step != 0 {
				p.missed += int(step)
			}
			next, begun = one.Seq+1, true
			p.late = append(p.late, (now+offset-float64(one.At.Microseconds()))/1000)
		}
		p.mu.Unlock()
	}
}

// take returns the latencies since the last call, and what was missed in all.
func (p *probe) take() (late []float64, missed int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late, p.late = p.late, nil
	return late, p.missed, p.err
}
