package token

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// VerifyKey is a key that tokens are checked with, the one method that it is
// good for, and what its tokens may grant.
type VerifyKey struct {
	Name     string // what [Claims] call it; "" for our own
	ID       string // the kid of its tokens; "" for a key without one
	Method   jwt.SigningMethod
	Key      any       // as golang-jwt wants it for Method
	Issuer   string    // who signs with it (iss); "" is anybody
	Audience string    // what its tokens are for (aud); "" is the Verifier's
	Scopes   []string  // what it grants, and what its tokens without a scope do
	Require  []string  // claims that its tokens must have
	Until    time.Time // when its tokens end at the latest; zero: never
}

// Verifier checks tokens. Any goroutine may use it.
type Verifier struct {
	Audience string            // what this server is called in tokens
	Revoked  func(Claims) bool // whether a token was withdrawn; nil: none was
	Now      func() time.Time

	keys atomic.Pointer[[]VerifyKey]
}

// Use makes the Verifier check with these keys and no others from now on.
//
// A key is chosen by kid (RFC 7515 section 4.1.4): a token that has one is for
// the keys of that ID, or where there are none for the keys without an ID, to
// which the hint says nothing; a token without kid is for them all. Of these,
// keys of the token's method are tried in the order given here, and the first
// that fits the signature decides.
func (v *Verifier) Use(keys ...VerifyKey) {
	keys = slices.Clone(keys)
	v.keys.Store(&keys)
}

// For returns a Verifier that is called audience and is as v is now otherwise.
func (v *Verifier) For(audience string) *Verifier {
	other := &Verifier{Audience: audience, Revoked: v.Revoked, Now: v.Now}
	other.keys.Store(v.keys.Load())
	return other
}

// Verify returns the claims of raw, a token in compact form (RFC 7515 section
// 7.1), if it is good now, for this audience and for scope; else an *Error.
func (v *Verifier) Verify(raw, scope string) (Claims, error) { return v.verify(raw, scope, nil) }

// VerifyAnswer is Verify for a token that somebody was asked for just now, with one
// of these texts, which are random and were told to nobody else. If that is its
// claim nonce it was made since: where our clock and the signer's don't agree, it is
// good from now on for as long as it says.
func (v *Verifier) VerifyAnswer(raw, scope string, asked ...string) (Claims, error) {
	return v.verify(raw, scope, asked)
}

func (v *Verifier) verify(raw, scope string, asked []string) (Claims, error) {
	if raw == "" {
		return Claims{}, &Error{Missing, "there is none"}
	}
	if err := checkForm(raw); err != nil {
		return Claims{}, &Error{Malformed, err.Error()}
	}
	// Not a struct: encoding/json would take "EXP" for its exp.
	said := jwt.MapClaims{}
	t, parts, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(raw, said)
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return Claims{}, &Error{Signature, "its method is none that is known"}
	case err != nil:
		return Claims{}, &Error{Malformed, "it is malformed"}
	}
	signed := parts[0] + "." + parts[1]
	key, err := v.signer(t, signed)
	if err != nil {
		return Claims{}, err
	}
	c, err := v.check(key, said, scope, asked)
	if err != nil {
		return Claims{}, err
	}
	if !plain(c.ID) {
		sum := sha256.Sum256([]byte(signed))
		c.ID = "sha256-" + base64.RawURLEncoding.EncodeToString(sum[:])[:22]
	}
	if c.Key != "" {
		c.ID = c.Key + ":" + c.ID
	}
	if v.Revoked != nil && v.Revoked(c) {
		return Claims{}, &Error{Withdrawn, "it was withdrawn"}
	}
	return c, nil
}

// Good tells whether a token that Verify returned these claims of is still good,
// and until when: it or its key, which a rotation may have retired since, ends
// then. The zero time is no end. Where ok is false, until is when it ended, or
// zero for one that was withdrawn or whose key is in use no more.
func (v *Verifier) Good(c Claims) (until time.Time, ok bool) {
	if v.Revoked != nil && v.Revoked(c) {
		return time.Time{}, false
	}
	for _, k := range *v.keys.Load() {
		if k.Name != c.Key || k.ID != c.keyID {
			continue
		}
		if !ok || earlier(until, k.Until).Equal(until) {
			until = k.Until
		}
		ok = true
	}
	if !ok {
		return time.Time{}, false
	}
	until = earlier(until, c.Expires)
	return until, until.IsZero() || v.Now().Before(until)
}

// earlier returns the earlier of two ends, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// signer returns the key that signed t, whose text up to the signature is
// signed.
func (v *Verifier) signer(t *jwt.Token, signed string) (VerifyKey, error) {
	hint, named := t.Header["kid"]
	id, ok := hint.(string)
	if named && !ok {
		return VerifyKey{}, &Error{Malformed, "its key ID is not text"}
	}
	var keys []VerifyKey
	if p := v.keys.Load(); p != nil {
		keys = *p
	}
	if named && !slices.ContainsFunc(keys, func(k VerifyKey) bool { return k.ID == id }) {
		id = ""
	}
	for _, k := range keys {
		if named && k.ID != id || k.Method.Alg() != t.Method.Alg() {
			continue
		}
		if k.Method.Verify(signed, t.Signature, k.Key) == nil {
			return k, nil
		}
	}
	return VerifyKey{}, &Error{Signature, "it is not signed with a key that is known"}
}

// check returns what a token that k signed says, if that is good now and for
// scope, or answers what was asked. ID is the jti.
func (v *Verifier) check(k VerifyKey, said jwt.MapClaims, scope string, asked []string) (Claims, error) {
	for _, name := range k.Require {
		if value := said[name]; value == nil || value == "" {
			return Claims{}, &Error{Malformed, "its claim " + name + " is missing"}
		}
	}
	r := reader{claims: said}
	issuer, audience, granted := r.text("iss"), r.texts("aud"), r.text("scope")
	c := Claims{
		Key:       k.Name,
		keyID:     k.ID,
		ID:        r.text("jti"),
		Subject:   r.text("sub"),
		Name:      r.text("name"),
		Issued:    r.date("iat"),
		NotBefore: r.date("nbf"),
		Expires:   r.date("exp"),
		Listeners: r.count("listeners"),
	}
	now := v.Now()
	if len(asked) > 0 && slices.Contains(asked, r.text("nonce")) {
		c = c.asOf(now)
	}
	c.Expires = earlier(c.Expires, k.Until)
	us := k.Audience
	if us == "" {
		us = v.Audience
	}
	switch {
	case r.wrong:
		return Claims{}, &Error{Malformed, "a claim is of the wrong type"}
	case k.Issuer != "" && r.has("iss") && issuer != k.Issuer:
		return Claims{}, &Error{Audience, "it is of another issuer"}
	case r.has("aud") && !slices.Contains(audience, us):
		return Claims{}, &Error{Audience, "it is for another audience"}
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		return Claims{}, &Error{Expired, "it has expired"}
	case now.Add(leeway).Before(c.NotBefore):
		return Claims{}, &Error{NotYetValid, "it is not valid yet"}
	case now.Add(leeway).Before(c.Issued):
		return Claims{}, &Error{NotYetValid, "it was made in the future"}
	case !slices.Contains(k.Scopes, scope),
		r.has("scope") && !slices.Contains(strings.Fields(granted), scope):
		return Claims{}, &Error{Scope, "it does not allow to " + scope}
	}
	return c, nil
}

// breath is how much later than it came an answer says that it was made.
const breath = 2 * time.Second

// asOf returns the claims of a token that was made just now, with dates that are
// good now if its own are not.
func (c Claims) asOf(now time.Time) Claims {
	if c.Issued.IsZero() || c.Expires.IsZero() || !now.Add(leeway).Before(c.Issued) && now.Before(c.Expires) {
		return c
	}
	life := c.Expires.Sub(c.Issued)
	// A little later: it is newer than what is withdrawn in the same breath.
	c.Issued, c.NotBefore, c.Expires = whole(now.Add(breath)), time.Time{}, whole(now.Add(life))
	return c
}

// plain says whether s may be the ID of a token in lists and logs.
func plain(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// reader reads claims. All but has return zero for one that is absent; one of
// another type than asked for sets wrong.
type reader struct {
	claims jwt.MapClaims
	wrong  bool
}

func (r *reader) has(name string) bool {
	_, there := r.claims[name]
	return there
}

func (r *reader) text(name string) string {
	text, ok := r.claims[name].(string)
	r.wrong = r.wrong || r.has(name) && !ok
	return text
}

// texts reads a text, or a list of them.
func (r *reader) texts(name string) []string {
	list, ok := r.claims[name].([]any)
	if !ok {
		return []string{r.text(name)}
	}
	var texts []string
	for _, value := range list {
		text, ok := value.(string)
		r.wrong = r.wrong || !ok
		texts = append(texts, text)
	}
	return texts
}

// date reads a NumericDate (RFC 7519 section 2). What is beyond the years that
// RFC 3339 can write, or before 1970, is taken for the nearest that is not.
func (r *reader) date(name string) time.Time {
	seconds, ok := r.claims[name].(float64)
	if !ok {
		r.wrong = r.wrong || r.has(name)
		return time.Time{}
	}
	const end = 253402300799 // 9999-12-31T23:59:59Z
	return time.Unix(int64(min(max(seconds, 0), end)), 0)
}

// count reads a whole number from 1.
func (r *reader) count(name string) int {
	n, ok := r.claims[name].(float64)
	if !ok || n < 1 || n > math.MaxInt32 || n != math.Trunc(n) {
		r.wrong = r.wrong || r.has(name)
		return 0
	}
	return int(n)
}
