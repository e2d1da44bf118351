package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"earshot/server/atomicfile"
)

// Key is the Ed25519 key with which a laptop signs its tokens.
type Key struct {
	private ed25519.PrivateKey
	id      string
}

// pemType is what RFC 7468 section 10 calls a PKCS #8 private key.
const pemType = "PRIVATE KEY"

// OpenKey reads the key from the PEM file at path; where there is no such file
// it makes a key and writes it there first, with mode 0600 and in one step, so
// that of several programs that start at once all get the same key. The folder
// must exist.
func OpenKey(path string) (*Key, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := createKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create key file: %w", err)
	}
	return readKey(path)
}

func readKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("key file %s may be read by others: run chmod 600 on it, or delete it to end all links and start with a new key", path)
	}
	text, err := atomicfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	damaged := fmt.Errorf("key file %s is damaged: restore it, or delete it to end all links and start with a new key", path)
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, damaged
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, damaged
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, damaged
	}
	return newKey(private), nil
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{private: private, id: thumbprint(private.Public().(ed25519.PublicKey))}
}

// createKey writes a new key to path; the error is fs.ErrExist where there is
// one already.
func createKey(path string) error {
	_, text, err := generateKey()
	if err != nil {
		return err
	}
	return atomicfile.Create(path, text)
}

// generateKey returns a new key, and the text of its file.
func generateKey() (*Key, []byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return newKey(private), pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// ID is the key's thumbprint (RFC 7638, RFC 8037 section 2), the issuer and the
// key ID of the tokens that it signs.
func (k *Key) ID() string { return k.id }

// Verify returns what checks this key's tokens.
func (k *Key) Verify() VerifyKey { return own(k.private.Public().(ed25519.PublicKey)) }

// own returns what checks the tokens of the key of this program whose public
// half it is given.
func own(public ed25519.PublicKey) VerifyKey {
	id := thumbprint(public)
	return VerifyKey{
		ID:      id,
		Method:  jwt.SigningMethodEdDSA,
		Key:     public,
		Issuer:  id,
		Scopes:  []string{ScopeListen, ScopeIssue},
		Require: []string{"iss", "aud", "scope", "exp"},
	}
}

func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` +
		base64.RawURLEncoding.EncodeToString(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Grant is what a token allows.
type Grant struct {
	Audience  string        // the server or stream that it is for
	Scope     string        // ScopeListen, say
	Name      string        // who it is for; may be empty
	For       time.Duration // how long it is valid, from NotBefore on
	NotBefore time.Time     // zero or past: from now on
	Listeners int           // at once; 0 is any number
	Nonce     string        // with which it was asked for; may be empty
	// By is what a token of scope ScopeIssue says that asks for this one, for
	// Store.Issue: what it makes ends with that at the latest. nil: the owner asks.
	By *Claims
}

// Issue signs a new token. [Store.Issue] also records it, so that it can be
// listed and withdrawn.
func (k *Key) Issue(g Grant, now time.Time) (raw string, c Claims, err error) {
	return k.issue(g, now, now)
}

// issue signs a new token that says it was made at made.
func (k *Key) issue(g Grant, now, made time.Time) (string, Claims, error) {
	begin := now
	c := Claims{ID: rand.Text(), Name: g.Name, Issued: whole(made), Listeners: g.Listeners, keyID: k.id}
	if g.NotBefore.After(now) {
		begin = g.NotBefore
		c.NotBefore = whole(begin)
	}
	c.Expires = whole(begin.Add(g.For))
	claims := jwt.MapClaims{
		"iss":   k.id,
		"aud":   g.Audience,
		"scope": g.Scope,
		"iat":   c.Issued.Unix(),
		"exp":   c.Expires.Unix(),
		"jti":   c.ID,
	}
	if g.Name != "" {
		claims["name"] = g.Name
	}
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if !c.NotBefore.IsZero() {
		claims["nbf"] = c.NotBefore.Unix()
	}
	if g.Listeners > 0 {
		claims["listeners"] = g.Listeners
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	t.Header["kid"] = k.id
	raw, err := t.SignedString(k.private)
	if err != nil {
		return "", Claims{}, fmt.Errorf("sign token: %w", err)
	}
	if len(raw) > maxSize {
		return "", Claims{}, errors.New("sign token: it would be too long: choose a shorter name")
	}
	return raw, c, nil
}

// whole cuts t to whole seconds, as tokens have them.
func whole(t time.Time) time.Time { return time.Unix(t.Unix(), 0) }
