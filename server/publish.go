package server

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/token"
)

// publish upgrades the request to a WebSocket and takes sound from it until it
// ends. Token and right to be the one who publishes are checked first: without
// them there is no WebSocket.
func (s *stream) publish(w http.ResponseWriter, r *http.Request) {
	s.conns.Add(1) // while http.Server still waits for this request
	defer s.conns.Done()
	if len(r.Header.Values("Origin")) > 0 {
		s.refuse(w, r, http.StatusForbidden, badOrigin, "Pages can't publish: use Earshot, or another program.")
		return
	}
	claims, err := s.verify(bearer(r), token.ScopePublish)
	if err != nil {
		s.refusePublisher(w, r, err)
		return
	}
	if wait := s.limits.succeed(s.client(r)); wait > 0 {
		s.refuseOften(w, r, wait)
		return
	}
	if !upgrades(r) { // before the claim, which ends a former connection
		s.refuse(w, r, http.StatusBadRequest, badHandshake, "Publishing takes a WebSocket.")
		return
	}
	p := newPublisher(s, claims)
	lease, err := s.config.Broadcast.member.Claim(r.Context(), Claim{Identity: claims.Publisher(), Clock: p.clock.now})
	switch {
	case errors.Is(err, ErrTaken):
		if wait := s.limits.fail(s.client(r)); wait > 0 {
			s.refuseOften(w, r, wait)
			return
		}
		s.refuse(w, r, http.StatusConflict, taken, "Somebody else publishes to this stream already.")
		return
	case err != nil:
		s.log.Warn("no claim", "stream", s.config.Name, "err", err)
		s.refuseLater(w, r, http.StatusServiceUnavailable, 2*time.Second, apart, "This server can't tell just now whether somebody else publishes. Try again.")
		return
	}
	defer lease.Release()
	p.lease = lease
	if !s.enter(p) {
		s.refuseLater(w, r, http.StatusServiceUnavailable, 5*time.Second, stopping, "The relay is just restarting. It will be back soon.")
		return
	}
	defer s.exit(p)
	if p.conn, err = s.upgrader.Upgrade(w, r, nil); err != nil {
		return // the upgrader has answered
	}
	since, from := time.Now(), s.client(r)
	s.refusals.trip("publisher came", "stream", s.config.Name, "name", claims.Name, "address", from, "token", claims.ID)
	code := p.run()
	if code == closeTooMany || code == closeTooBig {
		s.refusals.count(closeReasons[code], from)
	}
	s.refusals.trip("publisher left", "stream", s.config.Name, "after", time.Since(since).Round(time.Second),
		"messages", p.messages, "closed", closeReasons[code], "why", p.fault())
}

// upgrades tells whether r opens a WebSocket (RFC 6455 section 4.2.1), as far as
// the upgrader could find fault with it.
func upgrades(r *http.Request) bool {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	return websocket.IsWebSocketUpgrade(r) && r.Method == http.MethodGet && err == nil && len(key) == 16 &&
		slices.Contains(r.Header.Values("Sec-WebSocket-Version"), "13")
}

// refusePublisher answers a publisher whose token isn't good here: with 403
// where it is good for something else.
func (s *stream) refusePublisher(w http.ResponseWriter, r *http.Request, err error) {
	var refused *token.Error
	errors.As(err, &refused) // which it is
	word, text := "", ""
	switch refused.Reason {
	case token.Audience:
		word, text = string(token.Audience), "This token is for another stream or relay."
	case token.Scope:
		word, text = string(token.Scope), "This token isn't for publishing."
	case token.Signature:
		// Who hammers isn't worth looking at other streams' keys.
		if s.limits.spent(s.client(r)) == 0 && s.knownElsewhere(bearer(r)) {
			word, text = noRight, "Whose token this is may not publish to this stream."
		}
	}
	if word == "" {
		s.refuseToken(w, r, err)
		return
	}
	if wait := s.limits.fail(s.client(r)); wait > 0 {
		s.refuseOften(w, r, wait)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="earshot", error="insufficient_scope"`)
	s.refuse(w, r, http.StatusForbidden, word, text)
}

// knownElsewhere tells whether a token is signed with a key that is good for
// another stream of this server.
func (s *stream) knownElsewhere(raw string) bool {
	s.checks <- struct{}{}
	defer func() { <-s.checks }()
	for _, o := range s.streams {
		if o == s {
			continue
		}
		_, err := o.config.Tokens.Verify(raw, token.ScopePublish)
		var refused *token.Error
		if err == nil || errors.As(err, &refused) && refused.Reason != token.Signature && refused.Reason != token.Malformed {
			return true
		}
	}
	return false
}

// enter notes a publisher, unless the server is stopping.
func (s *stream) enter(p *publisher) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.publishers[p] = true
	return true
}

func (s *stream) exit(p *publisher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.publishers, p)
}

// endPublishers lets no publisher come any more and ends those that are there.
func (s *stream) endPublishers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for p := range s.publishers {
		p.end(closeRestart, nil)
	}
}
