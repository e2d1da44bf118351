package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
)

// stream is one stream as a Server serves it.
type stream struct {
	*Server
	config Stream
	hub    *Hub
	crowd  crowd

	mu         sync.Mutex // guards the rest
	publishers map[*publisher]bool
	closed     bool // no more of them
}

// streamName is what a stream may be called, so that it can also be a file's
// name, or a part of a subject of a message bus.
var streamName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// reserved are names that the server or what may stand in front of it uses.
var reserved = []string{"admin", "api", "assets", "embed", "healthz", "listen", "metrics", "publish", "readyz", "relay", "static"}

// CheckName says what is wrong with a stream's name, if anything is.
func CheckName(name string) error {
	if !streamName.MatchString(name) {
		return fmt.Errorf("%q is no name for a stream: use a-z, 0-9 and -, at most 63 of them", name)
	}
	if slices.Contains(reserved, name) {
		return fmt.Errorf("%q can't be a stream's name, since the server needs it itself: choose another", name)
	}
	return nil
}

// add serves one more stream.
func (s *Server) add(mux *http.ServeMux, c Stream, player http.Handler) {
	if c.MaxListeners == 0 {
		c.MaxListeners = 1000
	}
	one := &stream{Server: s, config: c, hub: c.Hub, publishers: map[*publisher]bool{}}
	s.streams = append(s.streams, one)
	root := ""
	if c.Name != "" {
		root = "/" + c.Name
	}
	policy := contentPolicy(c.Embed)
	page := func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			one.listen(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		player.ServeHTTP(w, r)
	}
	mux.HandleFunc("GET "+root+"/{$}", page)
	if root != "" {
		mux.HandleFunc("GET "+root, page)
	}
	mux.HandleFunc("GET "+root+"/api/session", one.session)
	mux.HandleFunc("GET "+root+"/listen", one.listen)
	if c.Broadcast != nil {
		mux.HandleFunc("GET "+root+"/publish", one.publish)
	}
	if c.Issue != nil {
		mux.HandleFunc("POST "+root+"/api/links", one.link)
	}
}
