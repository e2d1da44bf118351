package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot/server/line"
	"earshot/server/token"
)

// Programs acquire links, one for each visitor of a blog say:
//
//	POST /api/links
//	Authorization: Bearer TOKEN   of scope "issue"
//
//	{"name": "Ann", "for": 3600, "listeners": 1, "notBefore": "2026-11-24T20:00:00Z"}
//
// Each member may be absent or null, and so may the whole body:
//
//	name       who the link is for, as the owner's list shows it
//	for        how long it is good, from its start on: whole seconds, or text
//	           such as "90s", "30m", "24h", "7d", "2w"; else 24 hours
//	listeners  how many may listen with it at once; 0 is any number
//	notBefore  when it starts (RFC 3339); else now
//
// Tokens only narrow: a link ends no later than the token that it was asked for
// with, and where that says for how many listeners it is, each of its links is
// for so many at most. What asks for less than a whole answer gets it: without
// "for" or "listeners" a link has what the token allows. What asks for more gets
// 403 and the member's name as error; an unknown member or a bad value 400.
//
// The answer is 201 and an [issuedLink]. A link stays good when the token that
// it was asked for with is withdrawn; it is in the owner's list, too. It leads
// where the owner's own links do: to a relay, while the laptop publishes to one.

const (
	defaultFor = 24 * time.Hour
	maxFor     = 10 * 365 * 24 * time.Hour // from now
	maxBody    = 4 << 10                   // bytes
)

// issuedLink is a link that was made.
type issuedLink struct {
	Link      string    `json:"link"`  // its URL
	Token     string    `json:"token"` // in it, for programs
	ID        string    `json:"id"`    // in the owner's list
	Name      string    `json:"name"`  // cut to what is shown of it
	Made      time.Time `json:"made"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	Ends      time.Time `json:"ends"`
	Listeners int       `json:"listeners"` // at once; 0 is any number
}

// asked is what a program asks for.
type asked struct {
	name      string
	valid     time.Duration // 0: not said
	listeners *int32
	notBefore time.Time // zero: not said
}

// link makes a link for a program.
func (s *stream) link(w http.ResponseWriter, r *http.Request) {
	// The body first, which may take its time: what is true of the token before
	// may not be so afterwards.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		s.refuse(w, r, http.StatusRequestEntityTooLarge, tooBig, "The body must be 4 KB at most.")
		return
	case err != nil:
		s.refuse(w, r, http.StatusRequestTimeout, tooSlow, "The body did not come in time.")
		return
	}
	raw, _ := authorization(r)
	claims, ok := s.admit(w, r, raw, token.ScopeIssue)
	if !ok {
		return
	}
	a, wrong := parseAsked(body)
	if wrong != nil {
		s.refuse(w, r, http.StatusBadRequest, wrong.Error, wrong.Message)
		return
	}
	grant, wrong := a.grant(claims, time.Now())
	if wrong != nil {
		s.refuse(w, r, http.StatusForbidden, wrong.Error, wrong.Message)
		return
	}
	made, err := s.issue(grant)
	var refused *token.Error
	switch {
	case errors.As(err, &refused): // its token was withdrawn since
		s.refuseToken(w, r, err)
		return
	case err != nil:
		s.refusals.notMade(claims.ID, err)
		s.refuseLater(w, r, http.StatusServiceUnavailable, time.Minute, notMade, "The link could not be made. Try again later; the owner's log says why.")
		return
	}
	s.refusals.trip("link made", "link", made.ID, "name", made.Name, "by", claims.ID)
	answer(w, http.StatusCreated, made)
}

// issue makes a link.
func (s *stream) issue(g token.Grant) (issuedLink, error) {
	page, raw, l, err := s.config.Issue(g)
	if err != nil {
		return issuedLink{}, err
	}
	return issuedLink{
		Link:      page + "/#" + raw,
		Token:     raw,
		ID:        l.ID,
		Name:      l.Name,
		Made:      l.Made,
		NotBefore: l.NotBefore,
		Ends:      l.Ends,
		Listeners: l.Listeners,
	}, nil
}

// parseAsked reads the body of a request for a link, or says what is wrong.
func parseAsked(body []byte) (asked, *refusal) {
	members := map[string]json.RawMessage{}
	if len(body) > 0 && (json.Unmarshal(body, &members) != nil || members == nil) {
		return asked{}, &refusal{"body", "The body must be a JSON object."}
	}
	var a asked
	known := map[string]struct {
		read func(text json.RawMessage) bool
		want string
	}{
		"name": {func(text json.RawMessage) bool {
			err := json.Unmarshal(text, &a.name)
			a.name = line.Clean(a.name, maxName)
			return err == nil
		}, "text"},
		"for": {func(text json.RawMessage) (ok bool) {
			a.valid, ok = parseFor(text)
			return ok
		}, `whole seconds, or text such as "90s", "30m", "24h", "7d" or "2w"; ten years at most`},
		"listeners": {func(text json.RawMessage) bool {
			return json.Unmarshal(text, &a.listeners) == nil && (a.listeners == nil || *a.listeners >= 0)
		}, "a whole number, 0 for any"},
		"notBefore": {func(text json.RawMessage) bool {
			return json.Unmarshal(text, &a.notBefore) == nil
		}, `a time such as "2026-11-24T20:00:00Z"`},
	}
	var unknown []string
	for name := range members {
		if _, ok := known[name]; !ok {
			unknown = append(unknown, strconv.Quote(line.Clean(name, maxName)))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return asked{}, &refusal{"unknown", "Unknown members: " + strings.Join(unknown, ", ") +
			". Known are: " + strings.Join(slices.Sorted(maps.Keys(known)), ", ") + "."}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !known[name].read(members[name]) {
			return asked{}, &refusal{name, "The member " + name + " must be " + known[name].want + "."}
		}
	}
	return a, nil
}

// parseFor reads how long a link shall be good: 0 for null.
func parseFor(text []byte) (time.Duration, bool) {
	var number float64
	var words string
	unit := time.Second
	switch {
	case string(text) == "null":
		return 0, true
	case json.Unmarshal(text, &number) == nil:
	case json.Unmarshal(text, &words) == nil && words != "":
		digits := words[:len(words)-1]
		n, err := strconv.ParseUint(digits, 10, 32)
		unit = units[words[len(digits):]]
		if err != nil || unit == 0 {
			return 0, false
		}
		number = float64(n)
	default:
		return 0, false
	}
	if number != math.Trunc(number) || number < 1 || number > float64(maxFor/unit) {
		return 0, false
	}
	return time.Duration(number) * unit, true
}

// units are what "for" may be in.
var units = map[string]time.Duration{
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// grant returns what is asked for, if a token with these claims allows that.
func (a asked) grant(by token.Claims, now time.Time) (token.Grant, *refusal) {
	g := token.Grant{Scope: token.ScopeListen, Name: a.name, For: a.valid, NotBefore: a.notBefore, Listeners: by.Listeners, By: &by}
	start, end := now, now.Add(maxFor)
	if a.notBefore.After(now) {
		start = a.notBefore
	}
	if !by.Expires.IsZero() && by.Expires.Before(end) {
		end = by.Expires
	}
	if g.For == 0 {
		g.For = min(defaultFor, end.Sub(start))
	}
	if g.For < time.Second || start.Add(g.For).After(end) {
		return g, &refusal{"for", "The link must end by " + end.UTC().Format(time.RFC3339) + "; this token allows no more."}
	}
	if a.listeners != nil {
		g.Listeners = int(*a.listeners)
	}
	if by.Listeners > 0 && (g.Listeners == 0 || g.Listeners > by.Listeners) {
		return g, &refusal{"listeners", fmt.Sprintf("The link must be for %d listeners at most; this token allows no more.", by.Listeners)}
	}
	return g, nil
}
