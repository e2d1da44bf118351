// Package token issues and verifies the JSON Web Tokens (RFC 7519) that say who
// may hear a stream.
//
// A laptop signs its tokens with a [Key] of its own; whoever has the public
// half can check them with a [Verifier] and needs nothing else: no session, no
// database.
//
// What the Verifier insists on, beyond the signature, follows RFC 8725 (JWT
// best current practices): the method is pinned to the key and a token's own
// header never chooses it; key material in a header (jwk, jku, x5u, x5c) is
// never looked at; a token must have an end, and be made by this key for this
// audience and scope. golang-jwt 5.3 does not look at crit (RFC 7515 section
// 4.1.11) nor at members that occur twice (RFC 7515 section 4, RFC 7519
// section 4), so that is done here.
package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What a token may be good for, in its claim "scope" (RFC 8693 section 4.2).
const ScopeListen = "listen"

// AudienceDesktop is the audience of links to a laptop's own server. It needs
// no more: only that laptop's key signs for it.
const AudienceDesktop = "earshot:desktop"

const (
	maxSize = 4096             // bytes of a token
	leeway  = 30 * time.Second // by which the signer's clock may be ahead of ours
)

// Reason says in one machine-readable word why a token was refused.
type Reason string

// The reasons.
const (
	Missing     Reason = "missing"
	Malformed   Reason = "malformed"
	Signature   Reason = "signature"
	Expired     Reason = "expired"
	NotYetValid Reason = "not-yet-valid"
	Audience    Reason = "audience"
	Scope       Reason = "scope"
)

// Error is why a token was refused. Its text says it for a log and holds
// nothing of the token.
type Error struct {
	Reason Reason
	text   string
}

func (e *Error) Error() string { return "token refused: " + e.text }

// Claims are what a verified token says.
type Claims struct {
	ID      string    // jti; may be empty
	Name    string    // who it is for, as the issuer wrote it; may be empty
	Expires time.Time // exp, whole seconds
}

// VerifyKey is a key that tokens are checked with, and the one method that it
// is good for.
type VerifyKey struct {
	ID     string // the tokens' issuer and key ID
	Method jwt.SigningMethod
	Key    any // as golang-jwt wants it for Method
}

// Verifier checks tokens. Any goroutine may use it.
type Verifier struct {
	Key      VerifyKey
	Audience string // what tokens must be for
	Now      func() time.Time
}

// Verify returns the claims of raw, a token in compact form (RFC 7515 section
// 7.1), if it is good now, for this audience and for scope; else an *Error.
func (v *Verifier) Verify(raw, scope string) (Claims, error) {
	if raw == "" {
		return Claims{}, &Error{Missing, "there is none"}
	}
	if err := checkForm(raw); err != nil {
		return Claims{}, &Error{Malformed, err.Error()}
	}
	// Not a struct: encoding/json would take "EXP" for its exp.
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(raw, claims, v.key,
		jwt.WithValidMethods([]string{v.Key.Method.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(v.Key.ID),
		jwt.WithAudience(v.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway),
		jwt.WithTimeFunc(v.Now))
	if err != nil {
		return Claims{}, &Error{reason(err), text(err)}
	}
	if granted, _ := claims["scope"].(string); !slices.Contains(strings.Fields(granted), scope) {
		return Claims{}, &Error{Scope, "it does not allow to " + scope}
	}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return Claims{}, &Error{Malformed, text(err)}
	}
	// The leeway is for what begins. What has ended has: a connection ends with
	// its token, so nobody may be let in after that.
	if !v.Now().Before(expires.Time) {
		return Claims{}, &Error{Expired, "it has expired"}
	}
	c := Claims{Expires: expires.Time}
	c.ID, _ = claims["jti"].(string)
	c.Name, _ = claims["name"].(string)
	return c, nil
}

// key is a jwt.Keyfunc.
func (v *Verifier) key(t *jwt.Token) (any, error) {
	if id, named := t.Header["kid"]; named && id != v.Key.ID {
		return nil, errors.New("unknown key ID")
	}
	return v.Key.Key, nil
}

// refusals order golang-jwt's errors, which come several at a time, by what
// says most to a listener.
var refusals = []struct {
	err    error
	reason Reason
	text   string
}{
	{jwt.ErrTokenMalformed, Malformed, "it is malformed"},
	{jwt.ErrTokenUnverifiable, Signature, "it names another key"},
	{jwt.ErrTokenSignatureInvalid, Signature, "it is not signed with this key"},
	{jwt.ErrTokenRequiredClaimMissing, Malformed, "a claim is missing"},
	{jwt.ErrInvalidType, Malformed, "a claim is of the wrong type"},
	{jwt.ErrTokenInvalidIssuer, Audience, "it is of another issuer"},
	{jwt.ErrTokenInvalidAudience, Audience, "it is for another audience"},
	{jwt.ErrTokenExpired, Expired, "it has expired"},
	{jwt.ErrTokenNotValidYet, NotYetValid, "it is not valid yet"},
	{jwt.ErrTokenUsedBeforeIssued, NotYetValid, "it was made in the future"},
}

func reason(err error) Reason {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return Malformed
}

// text describes err without any of the token, which golang-jwt's own texts
// may hold.
func text(err error) string {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.text
		}
	}
	return "it is malformed"
}

// checkForm checks what golang-jwt doesn't: the size, members that occur twice,
// and crit.
func checkForm(raw string) error {
	if len(raw) > maxSize {
		return fmt.Errorf("it is longer than %d bytes", maxSize)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return errors.New("it has not three parts")
	}
	for i, part := range parts[:2] {
		object, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return errors.New("it is not base64url")
		}
		members, err := checkObject(object)
		if err != nil {
			return err
		}
		if i == 0 && slices.Contains(members, "crit") {
			return errors.New("its header has critical extensions, and none is known")
		}
	}
	return nil
}

// checkObject returns the names of the members of a JSON object; an error when
// text is something else, or when a name occurs twice in it or in an object
// inside it.
func checkObject(text []byte) ([]string, error) {
	errForm := errors.New("a part of it is not a JSON object")
	if !json.Valid(text) {
		return nil, errForm
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	type open struct {
		object bool
		names  []string
		value  bool // a name was read and its value comes next
	}
	var stack []open
	for {
		tok, err := dec.Token()
		if err != nil {
			return nil, errForm
		}
		if delim, ok := tok.(json.Delim); ok && (delim == '}' || delim == ']') {
			closed := stack[len(stack)-1]
			if stack = stack[:len(stack)-1]; len(stack) == 0 {
				return closed.names, nil
			}
			continue
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if name, ok := tok.(string); ok && top.object && !top.value {
				if slices.Contains(top.names, name) {
					return nil, errors.New("a member of it occurs twice")
				}
				top.names = append(top.names, name)
				top.value = true
				continue
			}
			top.value = false
		}
		delim, opens := tok.(json.Delim)
		switch {
		case len(stack) == 0 && (!opens || delim != '{'):
			return nil, errForm
		case opens:
			stack = append(stack, open{object: delim == '{'})
		}
	}
}
