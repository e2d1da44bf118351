// Package server lets listeners in and sends them the sound: the player's page,
// the session that it asks for, and the WebSocket that carries packets. It is
// pure Go and knows nothing of where sound comes from.
//
//	GET /             the player; upgraded to a WebSocket, the same as /listen
//	GET /static/…     the player's files
//	GET /api/session  what a token is good for
//	GET /listen       upgraded to a WebSocket: sound
//	GET /healthz      200 while it serves
//
// messages.go describes what goes over the WebSocket.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

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

// Config configures a [Server].
type Config struct {
	Hub    *Hub
	Tokens *token.Verifier
	Player fs.FS // index.html and static/
	// PublicURL is where listeners reach the server when that is not the
	// address that it listens on, behind a proxy say; may be nil.
	PublicURL *url.URL
	Log       *slog.Logger
}

// Server serves one stream.
type Server struct {
	hub       *Hub
	tokens    *token.Verifier
	publicURL *url.URL
	log       *slog.Logger
	handler   http.Handler
	upgrader  websocket.Upgrader

	stopping atomic.Bool
	conns    sync.WaitGroup // WebSockets, which http.Server doesn't wait for
}

// New returns a Server.
func New(c Config) *Server {
	s := &Server{hub: c.Hub, tokens: c.Tokens, publicURL: c.PublicURL, log: c.Log}
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: requestTimeout,
		ReadBufferSize:   readLimit,
		// Messages are framed already: nothing goes through the buffer but
		// pings and close frames.
		WriteBufferSize: 256,
		Subprotocols:    []string{subprotocol},
		CheckOrigin:     s.checkOrigin,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			refuse(w, status, refusal{"handshake", reason.Error()})
		},
	}
	player := playerHandler(c.Player)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			s.listen(w, r)
			return
		}
		player.ServeHTTP(w, r)
	})
	mux.Handle("GET /static/", player)
	mux.HandleFunc("GET /api/session", s.session)
	mux.HandleFunc("GET /listen", s.listen)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("ok\n"))
	})
	s.handler = secure(mux)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run serves connections of ln until ctx ends; then it tells all listeners to
// come back soon, waits for them to go, and returns nil. It closes ln. A Server
// runs once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.hub.close()
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if shutdownErr := srv.Shutdown(drain); shutdownErr != nil {
		shutdownErr = srv.Close()
		err = errors.Join(err, shutdownErr)
	}
	s.conns.Wait()
	return err
}
