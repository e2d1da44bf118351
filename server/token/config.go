package token

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// minSecret is the least number of bytes of a secret for HS256 (RFC 7518
// section 3.2).
const minSecret = 32

// KeyConfig is how the owner configures a key of another program ([[key]] in
// the config file).
//
// For HS256 there is a secret, of 32 bytes or more unless a weak one is
// allowed: the secret itself, or a file that only its owner may read and that
// holds it, with or without a line break at its end. For the other methods there
// is a file with the public key: PEM (PUBLIC KEY or CERTIFICATE, RFC 7468) or a
// JWK set (RFC 7517), whose keys bring IDs of their own.
type KeyConfig struct {
	Name   string `toml:"name"`   // what lists call it, [a-z0-9-]{1,32}; no two have the same
	Method string `toml:"method"` // HS256, RS256, ES256 or EdDSA

	Secret          string `toml:"secret"`
	SecretFile      string `toml:"secret-file"`
	AllowWeakSecret bool   `toml:"allow-weak-secret"`
	File            string `toml:"file"`
	ID              string `toml:"id"` // kid of its tokens

	Grants        []string `toml:"grants"`         // none: ScopeListen
	Issuer        string   `toml:"issuer"`         // iss of its tokens; "" is any
	Audience      string   `toml:"audience"`       // aud of its tokens; "" is what this server is called
	RequireExpiry *bool    `toml:"require-expiry"` // exp must be there: unless this is false
	Require       []string `toml:"require"`        // other claims that must be there
}

// methods are those that a key may have.
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256,
	"RS256": jwt.SigningMethodRS256,
	"ES256": jwt.SigningMethodES256,
	"EdDSA": jwt.SigningMethodEdDSA,
}

// Keys reads what is configured: one key, or those of a JWK set. An error says
// what to do next and never holds a secret.
func (c KeyConfig) Keys() ([]VerifyKey, error) {
	if !isName(c.Name) {
		return nil, errors.New("key without a good name: give it one of a-z, 0-9 and -, at most 32 long")
	}
	keys, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", c.Name, err)
	}
	require := slices.Clone(c.Require)
	if c.RequireExpiry == nil || *c.RequireExpiry {
		require = append(require, "exp")
	}
	for i := range keys {
		k := &keys[i]
		k.Name, k.Method = c.Name, methods[c.Method]
		k.Issuer, k.Audience, k.Require = c.Issuer, c.Audience, require
		k.Scopes = c.Grants
		if len(k.Scopes) == 0 {
			k.Scopes = []string{ScopeListen}
		}
	}
	return keys, nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// read returns the keys, of which only ID and Key are set.
func (c KeyConfig) read() ([]VerifyKey, error) {
	for _, scope := range c.Grants {
		if scope != ScopeListen && scope != ScopeIssue {
			return nil, fmt.Errorf("grants: there is no %q: use %s or %s", scope, ScopeListen, ScopeIssue)
		}
	}
	if methods[c.Method] == nil {
		return nil, errors.New("method: use HS256, RS256, ES256 or EdDSA")
	}
	if c.Method == "HS256" {
		secret, err := c.secret()
		return []VerifyKey{{ID: c.ID, Key: secret}}, err
	}
	if c.Secret != "" || c.SecretFile != "" {
		return nil, fmt.Errorf("secret: %s has none: give its public key as file, or use HS256", c.Method)
	}
	if c.File == "" {
		return nil, errors.New("file: give the file of the public key")
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(text, c.Method)
	if err != nil {
		return nil, fmt.Errorf("%s %w", c.File, err)
	}
	if c.ID != "" {
		if isSet(text) {
			return nil, errors.New("id: leave it out: the keys of a JWK set have their own")
		}
		keys[0].ID = c.ID
	}
	return keys, nil
}

func (c KeyConfig) secret() ([]byte, error) {
	secret := []byte(c.Secret)
	switch {
	case c.File != "":
		return nil, errors.New("file: HS256 has no public key: give its secret, or use another method")
	case (c.Secret == "") == (c.SecretFile == ""):
		return nil, errors.New("secret: give either secret or secret-file")
	case c.SecretFile != "":
		info, err := os.Stat(c.SecretFile)
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			return nil, fmt.Errorf("secret-file: %s may be read by others: run chmod 600 on it", c.SecretFile)
		}
		if secret, err = os.ReadFile(c.SecretFile); err != nil {
			return nil, err
		}
		if line, cut := bytes.CutSuffix(secret, []byte("\n")); cut {
			secret = bytes.TrimSuffix(line, []byte("\r"))
		}
	}
	switch {
	case len(secret) == 0:
		return nil, errors.New("secret: it is empty: choose one of 32 bytes or more")
	case bytes.Contains(secret, []byte("-----BEGIN ")):
		// Whoever knows a public key could sign with it.
		return nil, errors.New("secret: it is the text of a key: choose a secret, or RS256, ES256 or EdDSA and the key as file")
	case len(secret) < minSecret && !c.AllowWeakSecret:
		return nil, fmt.Errorf("secret: it has fewer than %d bytes, so it can be guessed from a token: choose a longer one, or set allow-weak-secret", minSecret)
	}
	return secret, nil
}
