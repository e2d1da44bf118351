package relay

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pingEvery and pingsOut say how soon a link that takes bytes and brings none
	// is given up for another server: in 4 to 6 s. (The library's own 4 to 6
	// minutes suit work that can wait.)
	pingEvery = 2 * time.Second
	pingsOut  = 2
	// dialTimeout bounds an attempt at one server, so that a dead one in the list
	// costs little of the 10 s that a claim may wait.
	dialTimeout = 2 * time.Second
	// reconnectWait is between two attempts at the same server; jitter keeps a
	// hundred relays from knocking at the same moment.
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
	// writeTimeout bounds a write to a server that takes nothing: what waits that
	// long is worthless.
	writeTimeout = 2 * time.Second
	// pendingMessages and pendingBytes are what may wait for a subscription's
	// handler: 2 s of a stream in packets of 20 ms. Handlers never wait, so that
	// only a computer that stood still has so much, and it should not play it.
	pendingMessages = 100
	pendingBytes    = 1 << 20
	// What isn't sound may come from all relays at once, each second.
	pendingReports     = 2000
	pendingReportBytes = 32 << 20

	stopTimeout = 2 * time.Second // for leases to be given back at the end
)

// Config configures a [Bus].
type Config struct {
	// Dir is the folder where the embedded server keeps what must last, which is
	// made if need be; "" is a temporary one.
	Dir string

	// URLs are those of an external cluster; without any the server is embedded.
	// tls:// asks for TLS. They may hold a user and password. The first is tried
	// first: the nearest.
	URLs        []string
	Credentials string // file of a user's JWT and seed, as nsc makes it
	CA          string // file of the authorities to believe in place of the system's
	Cert, Key   string // files of a client certificate
	// Replicas is how many servers of the external cluster keep what must last; 0
	// is 3.
	Replicas int

	// Name is this relay's, which no other has; "" is a random one.
	Name string
	Log  *slog.Logger // needed
}

// Bus is a relay's connection to the others. Any goroutine may use it.
type Bus struct {
	config  Config
	log     *slog.Logger
	limited *limited
	start   time.Time
	local   bool // the server is embedded

	members map[string]*Member // by stream; fixed once it runs

	up      chan struct{} // closed when nc is set
	nc      *nats.Conn
	js      jetstream.JetStream
	work    sync.WaitGroup // what leases and requests have under way
	ctx     context.Context
	bucket  atomic.Pointer[bucket]
	seen    chan struct{} // capacity 1: the connection is there again
	lastTry atomic.Int64  // when the server was last changed, since start

	calendar calendar

	fresh atomic.Int64 // since start, ns: up to when all in the bucket is known here; 0: never

	stats struct {
		reconnects, stale, repeated, malformed, dropped, slow atomic.Uint64
	}
}

// Status is how a [Bus] fares, for metrics.
type Status struct {
	Connected  bool
	Server     string        // that it is connected to; "" for the embedded one
	Behind     time.Duration // how long ago all in the bucket was known; -1 s: never
	Reconnects uint64
	Stale      uint64 // messages of an earlier epoch, dropped
	Repeated   uint64 // packets that were not newer than the last, dropped
	Malformed  uint64 // messages that make no sense, dropped
	Dropped    uint64 // messages of sound that found no room to be sent
	Slow       uint64 // times that more came than this computer could take
}

// New returns a Bus, or says what is wrong with the configuration. It reads no
// file yet and starts nothing.
func New(c Config) (*Bus, error) {
	if c.Name == "" {
		c.Name = random()
	}
	if !relayName.MatchString(c.Name) {
		return nil, fmt.Errorf("relay name %q: use 1 to 63 letters, digits, - and _", c.Name)
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return nil, fmt.Errorf("nats replicas %d: choose 1, 3 or 5", c.Replicas)
	}
	for _, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "wss" && u.Scheme != "ws" {
			// The text may hold a password.
			return nil, errors.New("a nats URL is malformed: write it like tls://nats.example.org:4222")
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("nats: a client certificate takes a certificate file and a key file")
	}
	return &Bus{
		config:  c,
		log:     c.Log,
		limited: newLimited(c.Log),
		start:   time.Now(),
		local:   len(c.URLs) == 0,
		members: map[string]*Member{},
		up:      make(chan struct{}),
		seen:    make(chan struct{}, 1),
	}, nil
}

// random returns a name that nobody else has.
func random() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

// Name returns this relay's name.
func (b *Bus) Name() string { return b.config.Name }

// Join adds a stream, once each and before Run.
func (b *Bus) Join(s Stream) (*Member, error) {
	if !streamName.MatchString(s.Name) {
		return nil, fmt.Errorf("stream name %q: use 1 to 63 of a to z, 0 to 9 and -", s.Name)
	}
	if b.members[s.Name] != nil {
		return nil, fmt.Errorf("stream %q is there twice", s.Name)
	}
	m := newMember(b, s)
	b.members[s.Name] = m
	return m, nil
}

// now is this relay's monotonic clock.
func (b *Bus) now() time.Duration { return time.Since(b.start) }

// sure is a time of day that has come, unless the clock has been too far ahead for
// more than a day.
func (b *Bus) sure() time.Time {
	now := time.Now()
	return b.calendar.sure(now.Round(0), now.Sub(b.start)) // Round(0) is the time of day
}

// Admits tells whether this relay knows what is withdrawn, by at most 15 s. One
// that doesn't must let nobody in by a link who isn't in.
func (b *Bus) Admits() bool {
	at := time.Duration(b.fresh.Load())
	return at > 0 && b.now()-at < cutOff
}

// Status returns how the Bus fares.
func (b *Bus) Status() Status {
	s := Status{
		Behind:     -time.Second,
		Reconnects: b.stats.reconnects.Load(),
		Stale:      b.stats.stale.Load(),
		Repeated:   b.stats.repeated.Load(),
		Malformed:  b.stats.malformed.Load(),
		Dropped:    b.stats.dropped.Load(),
		Slow:       b.stats.slow.Load(),
	}
	if at := time.Duration(b.fresh.Load()); at > 0 {
		s.Behind = b.now() - at
	}
	select {
	case <-b.up:
		s.Connected = b.nc.IsConnected()
		if !b.local {
			s.Server = b.nc.ConnectedAddr()
		}
	default:
	}
	return s
}

// Run connects and serves until ctx ends; then it gives back what leases there
// are and returns nil. It outlives any trouble with an external cluster. An
// error means that it could not begin. A Bus runs once.
func (b *Bus) Run(ctx context.Context) error {
	options, err := b.options()
	if err != nil {
		return err
	}
	servers := strings.Join(b.config.URLs, ",")
	if b.local {
		embedded, err := embed(b.config.Dir, b.log)
		if err != nil {
			return err
		}
		defer embedded.stop()
		options = append(options, nats.InProcessServer(embedded.server))
	}
	nc, err := nats.Connect(servers, options...)
	if err != nil {
		return fmt.Errorf("connect to nats: %w", err)
	}
	defer closeAndWait(nc)
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("connect to nats: %w", err)
	}

	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b.nc, b.js, b.ctx = nc, js, inner
	var loops sync.WaitGroup
	sub, err := nc.Subscribe(subject("*", toWithdraw), b.takeWithdrawals)
	if err != nil {
		return fmt.Errorf("subscribe to withdrawals: %w", err)
	}
	// Withdrawals may come many at once, and none may be lost here.
	_ = sub.SetPendingLimits(10_000, 16<<20)
	close(b.up)
	loops.Go(func() { b.keep(inner) })
	for _, m := range b.members {
		loops.Go(func() { m.run(inner) })
		loops.Go(func() { m.storeWithdrawn(inner) })
	}

	<-ctx.Done()
	var ends sync.WaitGroup
	for _, m := range b.members {
		ends.Go(m.stop)
	}
	ends.Wait()
	cancel()
	loops.Wait()
	b.work.Wait()
	return nil
}

// closeAndWait closes the connection and returns when its goroutines are gone.
func closeAndWait(nc *nats.Conn) {
	if nc.IsClosed() {
		return
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	nc.Close()
	<-closed
}

// options are how this relay deals with NATS. What is said of live sound is why.
func (b *Bus) options() ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name("earshot-relay " + b.config.Name),
		// What was meant for others doesn't come back to the sender.
		nats.NoEcho(),
		// A relay that starts before NATS does waits for it, and never gives up;
		// credentials may be put right while it runs.
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.DontRandomize(),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(pingsOut),
		nats.FlusherTimeout(writeTimeout),
		// While there is no connection nothing is kept: sound that comes late is
		// worthless, and all else is said again.
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(func(nc *nats.Conn) {
			b.log.Info("connected to nats", "server", nc.ConnectedServerName())
			b.again()
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.stats.reconnects.Add(1)
			b.log.Info("connected to nats again", "server", nc.ConnectedServerName())
			b.again()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.limited.warn("lost connection to nats", err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.limited.warn("no connection to nats", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				b.stats.slow.Add(1)
			}
			b.limited.warn("nats", err)
		}),
	}
	access, err := b.config.access()
	return append(options, access...), err
}

// access is how to get into a cluster.
func (c Config) access() (options []nats.Option, err error) {
	if c.Credentials != "" {
		if _, err := os.ReadFile(c.Credentials); err != nil {
			return nil, fmt.Errorf("read nats credentials: %w", err)
		}
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read nats authorities: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read nats authorities: %s holds no certificate in PEM", c.CA)
		}
		options = append(options, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		if _, err := tls.LoadX509KeyPair(c.Cert, c.Key); err != nil {
			return nil, fmt.Errorf("read nats client certificate: %w", err)
		}
		options = append(options, nats.ClientCert(c.Cert, c.Key))
	}
	return options, nil
}

// replicas is how many servers keep what must last.
func (c Config) replicas() int {
	switch {
	case len(c.URLs) == 0:
		return 1
	case c.Replicas == 0:
		return 3
	}
	return c.Replicas
}

// again makes all that has been said to nobody be said again.
func (b *Bus) again() {
	nudge(b.seen)
	for _, m := range b.members {
		m.again()
	}
}

// elsewhere moves to another server of the cluster, since this one doesn't do.
// It does so rarely: every stream of this relay has a gap by that.
func (b *Bus) elsewhere(why string) {
	last := time.Duration(b.lastTry.Load())
	now := b.now()
	if b.local || last > 0 && now-last < elsewhereEvery || !b.nc.IsConnected() || len(b.nc.Servers()) < 2 {
		return
	}
	if b.lastTry.CompareAndSwap(int64(last), int64(now)) {
		b.log.Warn("change to another nats server", "from", b.nc.ConnectedServerName(), "why", why)
		_ = b.nc.ForceReconnect()
	}
}

// publish sends what may be lost: without a connection it is.
func (b *Bus) publish(subject string, data []byte) {
	_ = b.nc.Publish(subject, data)
}

// nudge fills a channel of capacity 1.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
