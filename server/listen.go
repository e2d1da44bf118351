package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
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
// can't see why a WebSocket handshake failed. With the query parameter page it
// answers for that page, whose own connection doesn't stand in its way.
func (s *stream) session(w http.ResponseWriter, r *http.Request) {
	l, ok := s.admitListener(w, r)
	if !ok {
		return
	}
	if from := s.client(r); s.crowds(from, l) && !s.crowd.room(from, l, s.config.MaxListeners) {
		s.deny(w, r, l, crowded)
		return
	}
	if why := s.hub.room(l, s.config.MaxListeners); why != "" {
		s.deny(w, r, l, why)
		return
	}
	now := s.hub.state.Load()
	answer(w, http.StatusOK, newAbout(now.title, l.info.Name, now.state, l.claims.Expires))
}

// listen upgrades the request to a WebSocket, which is then served. The
// token is checked first, and a seat taken: without them there is no WebSocket.
func (s *stream) listen(w http.ResponseWriter, r *http.Request) {
	s.conns.Add(1) // while http.Server still waits for this request
	defer s.conns.Done()
	if !s.welcomes(r) {
		s.refuse(w, r, http.StatusForbidden, badOrigin, "Pages of other sites can't listen here.")
		return
	}
	l, ok := s.admitListener(w, r)
	if !ok {
		return
	}
	query := r.URL.Query()
	var buffer time.Duration
	if text := query.Get("buffer"); text != "" {
		ms, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			s.refuse(w, r, http.StatusBadRequest, badBuffer, "The buffer must be a number of milliseconds.")
			return
		}
		buffer = min(time.Duration(ms)*time.Millisecond, maxBuffer)
	}
	l.lag = max(minLag, buffer+lagOver)
	if text := query.Get("attempt"); text != "" {
		var err error
		if l.attempt, err = strconv.ParseUint(text, 10, 64); err != nil {
			s.refuse(w, r, http.StatusBadRequest, badAttempt, "The attempt must be a number.")
			return
		}
	}
	if text := query.Get("lane"); text != "" {
		to := s.hub.lane(Lane(text))
		if to == nil {
			s.refuse(w, r, http.StatusBadRequest, badLane, "The lane must be live, balanced or radio.")
			return
		}
		l.choose(to)
		l.wish.Store(to)
	}
	from := s.client(r)
	leave, why := s.sit(l, from)
	if why != "" {
		s.deny(w, r, l, why)
		return
	}
	joined := false
	defer func() {
		if !joined {
			leave()
		}
	}()
	// Once more, now that Review finds it: the token may have been
	// withdrawn in between.
	if until, ok := l.good(l.claims); !ok {
		reason := token.Withdrawn
		if !until.IsZero() {
			reason = token.Expired
		}
		s.refuseToken(w, r, &token.Error{Reason: reason})
		return
	}
	conn, err := s.upgrader.Upgrade(wiring{w, l}, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	l.cursor = s.hub.live.start(s.hub.since(time.Now().Add(-buffer)))
	s.hub.join(l, conn)
	s.refusals.trip("listener joined", "listener", l.info.ID, "name", l.info.Name, "address", l.info.Address, "link", l.info.Link)
	greeted := l.greet() // here, where the stack is large already
	// In a goroutine of its own, so that http.Server's ends with the request and
	// its buffers: they are most of what a listener would take in memory.
	joined = true
	s.conns.Go(func() {
		defer leave()
		s.left(l, from, l.run(greeted))
	})
}

// sit takes a seat for l, who asks from there, and returns what gives it back;
// else it says why there is none.
func (s *stream) sit(l *listener, from netip.Addr) (leave func(), why string) {
	if s.ears.Add(1) > int64(s.listening) {
		s.ears.Add(-1)
		return nil, full
	}
	crowds := s.crowds(from, l)
	if crowds && !s.crowd.enter(from, l, s.config.MaxListeners) {
		s.ears.Add(-1)
		return nil, crowded
	}
	outside := func() {
		if crowds {
			s.crowd.leave(from, l)
		}
		s.ears.Add(-1)
	}
	if why := s.hub.take(l, s.config.MaxListeners); why != "" {
		outside()
		return nil, why
	}
	return func() { s.hub.leave(l); outside() }, ""
}

// left notes that a listener has left, who was closed with code.
func (s *stream) left(l *listener, from netip.Addr, code int) {
	if code == closeTooMany || code == closeTooBig {
		s.refusals.count(closeReasons[code], from)
	}
	s.refusals.trip("listener left", "listener", l.info.ID, "after", time.Since(l.info.Since).Round(time.Second),
		"sent", l.sent.Load(), "lost", l.lost.Load(), "closed", closeReasons[code])
}

// admitListener returns the listener that a request is of; where it may not
// listen it answers the request and returns false.
func (s *stream) admitListener(w http.ResponseWriter, r *http.Request) (*listener, bool) {
	claims, ok := s.admitVisitor(w, r)
	if !ok {
		return nil, false
	}
	page := r.URL.Query().Get("page")
	if page != "" && !pageID.MatchString(page) {
		s.refuse(w, r, http.StatusBadRequest, badPage, "The page ID must be 8 to 64 letters, digits, - or _.")
		return nil, false
	}
	l := newListener(s.hub, claims, page, displayName(claims.Name, r.UserAgent()), s.client(r).String())
	l.good = good(s.config.Tokens)
	return l, true
}

// admitVisitor returns what the token of somebody says who wants to listen, as
// admit does; nothing for who has no good one where none is needed.
func (s *stream) admitVisitor(w http.ResponseWriter, r *http.Request) (token.Claims, bool) {
	raw := bearer(r)
	if s.config.Public {
		var claims token.Claims
		if raw != "" {
			claims, _ = s.verify(raw, token.ScopeListen) // whose name the owner then sees
		}
		if wait := s.limits.succeed(s.client(r)); wait > 0 {
			s.refuseOften(w, r, wait)
			return token.Claims{}, false
		}
		return claims, true
	}
	claims, ok := s.admit(w, r, raw, token.ScopeListen)
	if ok && s.config.Broadcast != nil && !s.config.Broadcast.member.Admits() {
		s.refuseLater(w, r, http.StatusServiceUnavailable, 5*time.Second, apart, "This server can't tell just now whether your link is still good. Trying again.")
		return token.Claims{}, false
	}
	return claims, ok
}

// deny refuses a listener for whom there is no seat.
func (s *stream) deny(w http.ResponseWriter, r *http.Request, l *listener, why string) {
	switch why {
	case inUse:
		message := "As many people as this link is for are listening with it already. Ask for a link of your own, or try again later."
		if l.claims.Listeners == 1 {
			message = "This link is for one listener, and somebody is listening with it. Ask for a link of your own, or stop listening there."
		}
		s.refuse(w, r, http.StatusConflict, why, message)
	case full:
		s.refuseLater(w, r, http.StatusServiceUnavailable, 30*time.Second, why, "As many people as can be are listening already. Try again later.")
	case crowded:
		s.refuseLater(w, r, http.StatusServiceUnavailable, 30*time.Second, why, "As many people as can be are listening from your network already. Try again later.")
	case stopping:
		s.refuseLater(w, r, http.StatusServiceUnavailable, 5*time.Second, why, "Earshot is just restarting. It will be back soon.")
	}
}

// admit checks a request's token for a scope, and where it isn't good, or the
// address asks too often, answers the request and returns false.
func (s *stream) admit(w http.ResponseWriter, r *http.Request, raw, scope string) (token.Claims, bool) {
	claims, err := s.verify(raw, scope)
	if err != nil {
		s.refuseToken(w, r, err)
		return token.Claims{}, false
	}
	if wait := s.limits.succeed(s.client(r)); wait > 0 {
		s.refuseOften(w, r, wait)
		return token.Claims{}, false
	}
	return claims, true
}

// verify checks a token. A flood of bad ones keeps half of the cores at most
// busy with signatures.
func (s *stream) verify(raw, scope string) (token.Claims, error) { return s.verifyAnswer(raw, scope) }

// verifyAnswer is verify for a token that was asked for with one of these nonces.
func (s *stream) verifyAnswer(raw, scope string, asked ...string) (token.Claims, error) {
	s.checks <- struct{}{}
	defer func() { <-s.checks }()
	return s.config.Tokens.VerifyAnswer(raw, scope, asked...)
}

// refuseToken answers a request whose token isn't good.
func (s *stream) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	reason := token.Malformed
	var refused *token.Error
	if errors.As(err, &refused) {
		reason = refused.Reason
	}
	spend := s.limits.fail
	switch reason {
	case token.Expired, token.Withdrawn, token.NotYetValid:
		// It is a link of ours, and a whole class with yesterday's shall read
		// what is wrong with it.
		spend = s.limits.ended
	}
	if wait := spend(s.client(r)); wait > 0 {
		s.refuseOften(w, r, wait)
		return
	}
	// RFC 6750 section 3: no error code where there was no token.
	challenge, status := `Bearer realm="earshot"`, http.StatusUnauthorized
	switch reason {
	case token.Missing:
	case token.Scope:
		challenge, status = challenge+`, error="insufficient_scope"`, http.StatusForbidden
	default:
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	s.refuse(w, r, status, string(reason), refusalText(reason))
}

// refuseOften answers a request of an address that asks too often.
func (s *stream) refuseOften(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	s.refuseLater(w, r, http.StatusTooManyRequests, wait, tooMany, "Too many requests come from your network. Wait a little and try again.")
}

// refusalText says in a listener's words why a token is no good.
func refusalText(r token.Reason) string {
	switch r {
	case token.Missing:
		return "A share link is needed to listen. Ask who is streaming for one."
	case token.Expired:
		return "This link has expired. Ask for a new one."
	case token.Withdrawn:
		return "This link was withdrawn. Ask for a new one."
	case token.NotYetValid:
		return "This link isn't valid yet. Try again later."
	case token.Malformed, token.Signature:
		return "This link is not complete, or not for this stream. Copy it again in full, or ask for a new one."
	}
	return "This link isn't good for this stream. Ask for a new one."
}

// bearer returns the request's token, from the first of: the header
// Authorization, the header token (as plain WebSocket clients send it), an
// offered subprotocol (the only place for a browser's WebSocket, which can set
// no header).
func bearer(r *http.Request) string {
	if t, ok := authorization(r); ok {
		return t
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

// authorization returns the token in the header Authorization (RFC 6750 section
// 2.1).
func authorization(r *http.Request) (string, bool) {
	scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(t), ok && strings.EqualFold(scheme, "Bearer")
}

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
