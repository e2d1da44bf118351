package server

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/token"
)

// maxBuffer is how much of the newest sound a listener may ask for.
const maxBuffer = 4 * time.Second

var pageID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// session answers who the token is for and what it may hear, since a browser
// can't see why a WebSocket handshake failed.
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	claims, ok := s.admit(w, r)
	if !ok {
		return
	}
	answer(w, http.StatusOK, session{
		Name:    displayName(claims.Name, r.UserAgent()),
		Title:   s.hub.title,
		State:   s.hub.state.Load().state,
		Expires: claims.Expires.Unix(),
	})
}

// listen upgrades the request to a WebSocket and serves it until it ends. The
// token is checked first: without a good one there is no WebSocket.
func (s *Server) listen(w http.ResponseWriter, r *http.Request) {
	s.conns.Add(1) // while http.Server still waits for this request
	defer s.conns.Done()
	claims, ok := s.admit(w, r)
	if !ok {
		return
	}
	query := r.URL.Query()
	page := query.Get("page")
	if page != "" && !pageID.MatchString(page) {
		refuse(w, http.StatusBadRequest, refusal{"page", "The page ID must be 8 to 64 letters, digits, - or _."})
		return
	}
	if page != "" {
		page += " " + claims.ID // one link can't take another's place
	}
	var buffer time.Duration
	if text := query.Get("buffer"); text != "" {
		ms, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			refuse(w, http.StatusBadRequest, refusal{"buffer", "The buffer must be a number of milliseconds."})
			return
		}
		buffer = min(time.Duration(ms)*time.Millisecond, maxBuffer)
	}
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // best effort: the kernel's default works, too
	}
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	l := &listener{
		hub:     s.hub,
		conn:    conn,
		page:    page,
		expires: claims.Expires,
		wake:    make(chan struct{}, 1),
		pings:   make(chan float64, 1),
		ending:  make(chan int, 1),
		info:    Listener{Name: displayName(claims.Name, r.UserAgent()), Since: time.Now(), Address: address},
	}
	l.cursor = s.hub.live.start(time.Now().Add(-buffer))
	if !s.hub.join(l) {
		l.end(closeRestart)
		l.run()
		return
	}
	s.log.Info("listener joined", "listener", l.info.ID, "name", l.info.Name, "address", address)
	l.run()
	s.hub.leave(l)
	s.log.Info("listener left", "listener", l.info.ID, "after", time.Since(l.info.Since).Round(time.Second),
		"sent", l.sent.Load(), "lost", l.lost.Load())
}

// admit checks the request's token for the right to listen, and where it isn't
// good answers the request and returns false.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (token.Claims, bool) {
	if s.stopping.Load() {
		refuse(w, http.StatusServiceUnavailable, refusal{"stopping", "Earshot is just restarting. It will be back soon."})
		return token.Claims{}, false
	}
	claims, err := s.tokens.Verify(bearer(r), token.ScopeListen)
	if err == nil {
		return claims, true
	}
	var refused *token.Error
	if !errors.As(err, &refused) {
		refused = &token.Error{Reason: token.Malformed}
	}
	s.log.Debug("request refused", "path", r.URL.Path, "reason", refused.Reason)
	// RFC 6750 section 3: no error code where there was no token.
	challenge := `Bearer realm="earshot"`
	if refused.Reason != token.Missing {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, refusal{string(refused.Reason), refusalText(refused.Reason)})
	return token.Claims{}, false
}

// refusalText says in a listener's words why a token is no good.
func refusalText(r token.Reason) string {
	switch r {
	case token.Missing:
		return "A share link is needed to listen. Ask who is streaming for one."
	case token.Expired:
		return "This link has expired. Ask for a new one."
	case token.NotYetValid:
		return "This link isn't valid yet. Try again later."
	case token.Malformed, token.Signature:
		return "This link is not complete, or not for this stream. Copy it again in full, or ask for a new one."
	}
	return "This link isn't good for this stream. Ask for a new one."
}

// bearer returns the request's token, from the first of: the header
// Authorization (RFC 6750 section 2.1), the header token (as plain WebSocket
// clients send it), an offered subprotocol (the only place for a browser's
// WebSocket, which can set no header).
func bearer(r *http.Request) string {
	if scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(t)
	}
	if t := r.Header.Get("token"); t != "" {
		return t
	}
	for _, p := range websocket.Subprotocols(r) {
		if t, ok := strings.CutPrefix(p, subprotocolBearer); ok {
			return t
		}
	}
	return ""
}

// checkOrigin lets in programs, which send no Origin, and the server's own
// page.
func (s *Server) checkOrigin(r *http.Request) bool {
	header := r.Header.Get("Origin")
	if header == "" {
		return true
	}
	origin, err := url.Parse(header)
	if err != nil {
		return false
	}
	return strings.EqualFold(origin.Host, r.Host) ||
		s.publicURL != nil && strings.EqualFold(origin.Host, s.publicURL.Host)
}

func refuse(w http.ResponseWriter, status int, r refusal) { answer(w, status, r) }

func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
