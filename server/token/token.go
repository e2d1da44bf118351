// Package token issues and verifies the JSON Web Tokens (RFC 7519) that say who
// may hear a stream.
//
// A laptop signs its tokens with a [Key] of its own; whoever has the public
// half can check them with a [Verifier] and needs nothing else: no session, no
// database. Tokens that another program signs are checked with the keys that
// the owner configures ([KeyConfig]). What was issued, and what of it is
// withdrawn, is in a [Store].
//
// What the Verifier insists on beyond the signature follows RFC 8725 (JWT best
// current practices), by its sections:
//
//   - 3.1: a key has one method, and a token's own header never chooses another.
//   - 3.2: there are four methods, HS256, RS256, ES256 and EdDSA; "none" is no
//     method.
//   - 3.3: one check that fails refuses the whole token.
//   - 3.4: a public key is looked at before it is used: RSA has 2048 bits or
//     more (RFC 7518 section 3.3), a point is on its curve.
//   - 3.5: a secret has 32 bytes or more (RFC 7518 section 3.2) unless the owner
//     allows a weaker one, and is not the text of a public key.
//   - 3.7: header and claims are UTF-8.
//   - 3.8: where a token says its issuer, that is the key's, if the key has one.
//     "sub" is read only to tell publishers apart.
//   - 3.9: where a token says its audience, this server is in it (RFC 7519
//     section 4.1.3).
//   - 3.10: kid is compared with the IDs of the keys and nothing else; key
//     material in a header, or where to find some (jwk, jku, x5u, x5c), is never
//     looked at.
//   - 3.11 and 3.12: kinds of tokens differ by key, audience and scope. "typ" is
//     not read, since the libraries of other programs write "JWT" or nothing.
//
// (3.6 is about encryption, of which there is none.) Beyond that: a token of our
// own has an issuer, an audience, a scope and an end; one of another key has
// what that key's configuration requires, an end if it says nothing. Absent
// claims are fine otherwise, and what is there only narrows what the key
// grants. A claim that is read must be of its type. Critical extensions are
// refused (RFC 7515 section 4.1.11), and so are members that occur twice (RFC
// 7515 section 4, RFC 7519 section 4), both of which golang-jwt 5.3 lets
// through. The signer's clock may be 30 s ahead of ours (nbf, iat; RFC 7519
// section 4.1.5); an end is an end, since a connection ends with its token.
package token

import (
	"strconv"
	"time"
)

// What a token may be good for, in its claim "scope" (RFC 8693 section 4.2).
const (
	ScopeListen  = "listen"
	ScopeIssue   = "issue"   // to make links for listening
	ScopePublish = "publish" // to publish to a stream of a relay
)

// AudienceDesktop is the audience of links to a laptop's own server. It needs
// no more: only that laptop's key signs for it. On a relay the audience of a
// stream, for listening and for publishing, is the stream's URL
// (https://radio.example.org/mystream).
const AudienceDesktop = "earshot:desktop"

const (
	maxSize = 4096             // bytes of a token
	leeway  = 30 * time.Second // by which the signer's clock may be ahead of ours
)

// Claims are what a verified token says.
type Claims struct {
	Key string // name of the key that signed it: "" for our own

	// ID is what withdrawals and lists call the token. It is the token's jti;
	// where that is absent, longer than 64 bytes or not of printable ASCII
	// without spaces, it is "sha256-" and the first 22 characters (base64url) of
	// the SHA-256 of the token up to the dot before its signature, which for
	// ES256 can be changed into another good one. For another program's key,
	// its name and a colon come first.
	ID string

	Subject   string    // sub, as the issuer wrote it; may be empty
	Name      string    // who it is for, likewise
	Issued    time.Time // iat; zero where absent. Times are whole seconds
	NotBefore time.Time // nbf; zero where absent
	Expires   time.Time // exp, or the end of its key; zero: none
	Listeners int       // at once; 0 is any number

	keyID string // of the key that signed it
}

// Publisher is who publishes with this token: nobody else takes the stream over
// from them. It is the key and the subject, else the name.
func (c Claims) Publisher() string {
	who := c.Subject
	if who == "" {
		who = c.Name
	}
	return strconv.Quote(c.Key) + " " + strconv.Quote(c.keyID) + " " + strconv.Quote(who)
}

// Owner tells whether who has the key publishes with this token themselves: a
// program's is of another key or says whose it is.
func (c Claims) Owner() bool { return c.Key == "" && c.Subject == "" && c.Name == "" }

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
	Withdrawn   Reason = "withdrawn"
)

// Error is why a token was refused. Its text says it for a log and holds
// nothing of the token.
type Error struct {
	Reason Reason
	text   string
}

func (e *Error) Error() string { return "token refused: " + e.text }
