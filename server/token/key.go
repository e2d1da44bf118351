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
	"path/filepath"
	"runtime"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
	text, err := os.ReadFile(path)
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
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	// Unlike a rename, a link never replaces the key of a program that was
	// quicker.
	return os.Link(temp.Name(), path)
}

// ID is the key's thumbprint (RFC 7638, RFC 8037 section 2), the issuer and the
// key ID of the tokens that it signs.
func (k *Key) ID() string { return k.id }

// Verify returns what checks this key's tokens.
func (k *Key) Verify() VerifyKey {
	return VerifyKey{ID: k.id, Method: jwt.SigningMethodEdDSA, Key: k.private.Public()}
}

func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` +
		base64.RawURLEncoding.EncodeToString(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Grant is what a token allows.
type Grant struct {
	Audience string        // the server or stream that it is for
	Scope    string        // ScopeListen, say
	Name     string        // who it is for; may be empty
	For      time.Duration // how long it is valid
}

// Issue signs a new token that is valid from now on.
func (k *Key) Issue(g Grant, now time.Time) (string, error) {
	claims := jwt.MapClaims{
		"iss":   k.id,
		"aud":   g.Audience,
		"scope": g.Scope,
		"iat":   now.Unix(),
		"exp":   now.Add(g.For).Unix(),
		"jti":   rand.Text(),
	}
	if g.Name != "" {
		claims["name"] = g.Name
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	t.Header["kid"] = k.id
	signed, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}
