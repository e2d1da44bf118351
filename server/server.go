package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"earshot/server/token"
)

const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = time.Minute // the player over a bad phone line
	idleTimeout    = time.Minute
	drainTimeout   = 3 * time.Second // for requests and listeners to end at shutdown
	maxHeader      = 16 << 10        // bytes of a request's header
)

// Config configures a [Server]. What isn't said to be needed may be zero.
type Config struct {
	// Stream is the one that is served at the root; none where it has no Hub.
	Stream
	// Streams are served each under its name.
	Streams []Stream

	Player fs.FS        // index.html, static/, and for Streams embed.js; needed
	Log    *slog.Logger // needed
	// PublicURL is where listeners reach the server when that is not the
	// address that it listens on, behind a proxy say.
	PublicURL *url.URL
	// TrustedProxies are those whose X-Forwarded-For is believed. IPv4 in IPv6
	// (::ffff:127.0.0.1/128) is the same as IPv4.
	TrustedProxies []netip.Prefix
	// Certificate makes it https.
	Certificate *Certificate
	// Drain is over how long listeners are sent away at the end, so that they
	// don't all come back at once.
	Drain time.Duration
}

// Stream configures one stream of a [Server]. What isn't said to be needed may
// be zero.
type Stream struct {
	Name   string          // its paths begin with /NAME; [CheckName] must like it. "" at the root
	Hub    *Hub            // needed
	Tokens *token.Verifier // needed

	// Issue signs and records a token for POST /api/links, which is there
	// where this is. It fills in the audience, and returns the URL of the page
	// that the token is for, without a slash at its end.
	Issue func(token.Grant) (page, raw string, l token.Link, err error)

	// Origins are those whose pages may connect beside the server's own, as
	// browsers write them (RFC 6454 section 6.2): "https://blog.example.org".
	// "null" must not be among them: any page can have that.
	Origins []string
	// Embed are the sites, written likewise, that may show the page in a
	// frame.
	Embed []string
	// MaxListeners is how many may listen at once; 0 is 1000.
	MaxListeners int
	// Public lets in who has no token, too.
	Public bool
	// Broadcast is what a publisher feeds at /NAME/publish, which is there
	// where this is; Hub must be its.
	Broadcast *Broadcast
}

// Server serves streams.
type Server struct {
	config   Config
	streams  []*stream
	log      *slog.Logger
	handler  http.Handler
	upgrader websocket.Upgrader

	refusals *refusals
	limits   *limits
	checks   chan struct{}  // one for each token that is being verified
	conns    sync.WaitGroup // WebSockets, which http.Server doesn't wait for

	// What file descriptors are for: connections that ask, and listeners.
	asking, listening int
	ears              atomic.Int64 // listeners, of all streams
}

// New returns a Server.
func New(c Config) *Server {
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	for i, p := range c.TrustedProxies {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			c.TrustedProxies[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	s := &Server{
		config:   c,
		log:      c.Log,
		refusals: newRefusals(c.Log),
		limits:   newLimits(),
		checks:   make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	s.asking, s.listening = shares(fileLimit())
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: requestTimeout,
		ReadBufferSize:   readLimit,
		// Messages are framed already: nothing goes through the buffer but
		// pings and close frames.
		WriteBufferSize: 256,
		Subprotocols:    []string{subprotocol},
		CheckOrigin:     func(*http.Request) bool { return true }, // listen has done that
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			w.Header().Set("Sec-WebSocket-Version", "13") // RFC 6455 section 4.4
			s.refuse(w, r, status, badHandshake, reason.Error())
		},
	}
	player := playerHandler(c.Player)
	mux := http.NewServeMux()
	mux.Handle("GET /static/", player)
	if c.Hub != nil {
		s.add(mux, c.Stream, player)
	}
	for _, one := range c.Streams {
		s.add(mux, one, player)
	}
	if len(c.Streams) > 0 {
		mux.Handle("GET /"+embedScript, player)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("ok\n"))
	})
	s.handler = s.secure(mux)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run serves connections of ln until ctx ends; then it tells all publishers and
// listeners to come back soon, waits for them to go, and returns nil. It closes
// ln. A Server runs once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ConnState:         newGate(s.refusals, s.trusts, s.asking).state,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	srv.Protocols.SetHTTP1(true) // a connection for each WebSocket: HTTP/2 would add nothing
	serve := srv.Serve
	if s.config.Certificate != nil {
		srv.TLSConfig = &tls.Config{GetCertificate: s.config.Certificate.Current, MinVersion: tls.VersionTLS12}
		serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
	}
	ln = &door{Listener: ln, log: s.log, some: rate.Sometimes{Interval: time.Second}}
	served := make(chan error, 1)
	go func() { served <- serve(ln) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	for _, one := range s.streams {
		one.endPublishers() // first: their sound may go on by another relay
	}
	leaving := s.closeHubs()
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if shutdownErr := srv.Shutdown(drain); shutdownErr != nil {
		shutdownErr = srv.Close()
		err = errors.Join(err, shutdownErr)
	}
	pause := s.config.Drain / time.Duration(max(1, len(leaving)))
	for _, leave := range leaving {
		time.Sleep(pause)
		leave()
	}
	s.conns.Wait()
	for _, one := range s.streams {
		one.hub.writing.Wait()
	}
	return err
}

// closeHubs lets nobody join any more, and returns what sends each listener
// away, in any order.
func (s *Server) closeHubs() (leave []func()) {
	for _, one := range s.streams {
		for _, l := range one.hub.close() {
			leave = append(leave, func() { one.hub.restart(l) })
		}
	}
	rand.Shuffle(len(leave), func(i, j int) { leave[i], leave[j] = leave[j], leave[i] })
	return leave
}
