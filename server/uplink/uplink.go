// Package uplink publishes the sound of a laptop to a stream of a relay, over
// one WebSocket: server/publishing.go says what goes over it.
package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"earshot/audio"
	"earshot/server"
	"earshot/server/line"
	"earshot/server/token"
)

const (
	// connectTimeout is for a connection, and openTimeout for all until there is a
	// WebSocket: a relay may wait 10 s for its others before it answers.
	connectTimeout = 10 * time.Second
	openTimeout    = 20 * time.Second

	readTimeout  = 15 * time.Second // three of the relay's pings
	writeTimeout = 5 * time.Second
	readLimit    = 1 << 20 // bytes of a message: names and figures of 200 listeners
	steady       = 5 * time.Second
	firstWait    = 500 * time.Millisecond
	longestWait  = 30 * time.Second

	// renewEvery is how often the relay gets a new token, well before the
	// former one's end.
	renewEvery = 30 * time.Second
	// renewPause is how long after a token the relay gets another that it asks for.
	renewPause = time.Second
	// TokenLife is how long a token for a relay shall be good.
	TokenLife = time.Minute
	// ClockSlack is how far in the future a relay is told of anything: less than
	// what it allows.
	ClockSlack = 25 * time.Second

	// backlog is how much sound waits for a connection that takes it too
	// slowly; what is older is worth nothing to who listens live.
	backlog = 500 * time.Millisecond
	// inKernel is how much of it the system may hold, which can't be dropped: with
	// what it takes by itself, seconds of sound would come late after a stall. It
	// is also the longest round trip that is kept up with.
	inKernel = 500 * time.Millisecond
	maxNonce = 64 // bytes; a token carries it

	// chunk is how many withdrawals are in a message, of 26 KB. A relay takes no more
	// than 160 KB a second in the long run, of which sound may be 68.
	chunk        = 300
	chunksAtOnce = 8
	chunkEvery   = 300 * time.Millisecond
)

// State is how an Uplink is.
type State string

// The states.
const (
	Connecting State = "connecting"
	Connected  State = "connected"
	Refused    State = "refused"
)

// Status is what an Uplink does.
type Status struct {
	State     State             `json:"state"`
	Why       string            `json:"why,omitempty"` // it isn't connected, for people
	Since     time.Time         `json:"since"`
	Public    bool              `json:"public,omitempty"` // nobody needs a link to listen
	Count     int               `json:"count"`            // of listeners
	Listeners []server.Listener `json:"-"`                // the first 200 of them
}

// Config configures an [Uplink]. All of it is needed but for TLS.
type Config struct {
	URL *url.URL // as [ParseURL] returns it
	// Token returns a new token for publishing there, good for TokenLife, with the
	// nonce that the relay asks for it with, if it does.
	Token func(nonce string) (string, error)
	// About returns what the stream is just now.
	About func() server.About
	// Withdrawn returns what is withdrawn, as token.Store's Withdrawals.
	Withdrawn func() (time.Time, []token.Withdrawal)
	// Changed is called after the status changed, or Wanted. It returns at
	// once and doesn't call back.
	Changed func()
	Clock   audio.Clock // that packets are stamped with
	Log     *slog.Logger
	TLS     *tls.Config
}

// Uplink is the way to one stream of a relay. Any goroutine may use it.
type Uplink struct {
	Config

	wake  chan struct{} // capacity 1: there is something to send
	again chan struct{} // capacity 1: don't wait for the next attempt

	// When all were withdrawn by a clock that was ahead, and the moment that stands
	// for it; only Run has them.
	ahead, stands time.Time

	mu      sync.Mutex // guards the rest
	status  Status
	wanted  bool
	queue   []audio.Packet
	dropped uint64
	orders  []server.Said // to send once; not without a connection
	about   bool          // About has changed
	version uint64        // of what is withdrawn
	stored  uint64        // the version that the relay has
	turned  chan struct{} // closed when status or stored changed
	now     attempt
}

// New returns an Uplink.
func New(c Config) *Uplink {
	return &Uplink{
		Config:  c,
		wake:    make(chan struct{}, 1),
		again:   make(chan struct{}, 1),
		status:  Status{State: Connecting, Since: time.Now()},
		version: 1,
		turned:  make(chan struct{}),
	}
}

// Status returns what it does.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// Wanted tells whether anybody listens there.
func (u *Uplink) Wanted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wanted
}

// Publish sends a packet, if anybody listens there. It never waits.
func (u *Uplink) Publish(p audio.Packet) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.wanted {
		return
	}
	u.queue = append(u.queue, p)
	for len(u.queue) > 1 && p.At-u.queue[0].At > backlog {
		u.queue = u.queue[1:]
		u.dropped++
	}
	poke(u.wake)
}

// Tell says that About has changed.
func (u *Uplink) Tell() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.about = true
	poke(u.wake)
}

// Hurry makes the next attempt to connect come at once: the network is back, or
// the owner wants to publish.
func (u *Uplink) Hurry() { poke(u.again) }

// Kick ends the connection of a listener there.
func (u *Uplink) Kick(relay string, id uint64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.State != Connected {
		return fmt.Errorf("the relay %s can't be reached just now", u.URL.Host)
	}
	u.orders = append(u.orders, server.Said{Type: "kick", Relay: relay, ID: id})
	poke(u.wake)
	return nil
}

// Withdraw tells the relay what is withdrawn now, and returns whether it has
// stored that; without a connection at once. What it hasn't is the first thing
// that it is told when it can be reached again.
func (u *Uplink) Withdraw(ctx context.Context) bool {
	u.mu.Lock()
	u.version++
	version := u.version
	poke(u.wake)
	u.mu.Unlock()
	for {
		u.mu.Lock()
		done, lost, turned := u.stored >= version, u.status.State != Connected, u.turned
		u.mu.Unlock()
		if done || lost {
			return done
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return false
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// set changes what u.mu guards and tells who waits for that.
func (u *Uplink) set(change func()) {
	u.mu.Lock()
	change()
	close(u.turned)
	u.turned = make(chan struct{})
	u.mu.Unlock()
	u.Changed()
}

func (u *Uplink) be(s State, why string) {
	u.set(func() {
		if u.status.State != s {
			u.status.Since = time.Now()
		}
		u.status = Status{State: s, Why: why, Since: u.status.Since}
		u.wanted, u.queue, u.orders = false, nil, nil
	})
}

// Run publishes until ctx ends. It comes back by itself from whatever happens,
// but from being replaced only when it is told to hurry: two that replace each
// other would never end.
func (u *Uplink) Run(ctx context.Context) {
	tries := 0
	for {
		state, why, wait := u.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if was := u.Status(); was.State == Connected && time.Since(was.Since) > steady {
			tries = 0
		}
		if why != u.Status().Why || state != u.Status().State {
			u.Log.Warn("not publishing to the relay", "relay", u.URL.String(), "state", state, "why", why)
		}
		u.be(state, why)
		if wait == 0 {
			wait = min(longestWait, firstWait<<min(tries, 10))
			wait = wait/2 + rand.N(wait/2)
		}
		tries++
		select {
		case <-ctx.Done():
			return
		case <-u.again:
			tries = 0
		case <-time.After(wait):
		}
	}
}

// dial connects, with as little room for what waits as is enough.
func (u *Uplink) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(room(u.About())) // else there is more of it
	}
	return conn, nil
}

// room is how many bytes inKernel of sound is, as it goes out: with headers of
// packets, of WebSocket and TLS.
func room(about server.About) int {
	const headers = 64
	frame := time.Duration(about.Frame * float64(time.Millisecond))
	if frame <= 0 {
		frame = 20 * time.Millisecond
	}
	bitrate := about.Bitrate
	if bitrate <= 0 {
		bitrate = 128_000
	}
	return int(inKernel/frame)*headers + int(inKernel.Seconds()*float64(bitrate)/8)
}

const never = 365 * 24 * time.Hour

const replaced = "Another Earshot with this one's key publishes there now. To take it back, stop and start."

// connect publishes over one connection. It returns why that is not, or no more,
// and how long to wait for another; 0 is for the usual.
func (u *Uplink) connect(ctx context.Context) (State, string, time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.note(attempt{end: cancel})
	raw, err := u.Token("")
	if err != nil {
		return Refused, err.Error(), 0
	}
	dialer := websocket.Dialer{
		HandshakeTimeout: openTimeout,
		NetDialContext:   u.dial,
		Proxy:            http.ProxyFromEnvironment,
		Subprotocols:     []string{"earshot.v1"},
		TLSClientConfig:  u.TLS,
	}
	to := *u.URL
	to.Scheme = map[string]string{"http": "ws", "https": "wss"}[to.Scheme]
	to.Path += "/publish"
	conn, answer, err := dialer.DialContext(ctx, to.String(), http.Header{"Authorization": {"Bearer " + raw}})
	if err != nil {
		if ctx.Err() != nil {
			return Connecting, moved, 0
		}
		return u.failed(answer, err)
	}
	defer conn.Close()
	u.note(attempt{cancel, conn.LocalAddr()})
	stop := context.AfterFunc(ctx, func() {
		frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(time.Second))
		_ = conn.Close()
	})
	defer stop()
	c := &connection{
		Uplink: u,
		conn:   conn,
		gone:   make(chan struct{}),
		pongs:  make(chan server.Said, 4),
		asked:  make(chan struct{}, 1),
		told:   map[string]time.Time{},
		pace:   rate.NewLimiter(rate.Every(chunkEvery), chunksAtOnce),
	}
	read := make(chan error, 1)
	go func() {
		defer close(c.gone)
		read <- c.read()
	}()
	writeErr := c.write()
	_ = conn.Close()
	err = <-read
	var closed *websocket.CloseError
	switch {
	case ctx.Err() != nil:
		return Connecting, moved, 0
	case !errors.As(err, &closed):
		if writeErr != nil {
			err = writeErr
		}
		return Connecting, "The connection to the relay was lost: " + reason(err), 0
	case closed.Code == 4403:
		return Refused, replaced, never
	case closed.Code == 4401:
		// All that this key made until then was withdrawn. The next token is newer.
		return Connecting, "All links were withdrawn: Earshot connects anew.", 0
	case closed.Code >= 4400, closed.Code == websocket.ClosePolicyViolation:
		return Refused, "The relay ended the connection: " + line.Clean(closed.Text, 60), longestWait
	}
	return Connecting, "The relay is restarting.", 0
}
