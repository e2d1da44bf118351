package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// minRSA is the least size of an RSA key in bits (RFC 7518 section 3.3).
const minRSA = 2048

// isSet says whether text can only be a JWK set, which is a JSON object.
func isSet(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

// parseKeys returns the public keys for method in text, PEM or a JWK set; only
// ID and Key of them are set. An error completes the name of the file.
func parseKeys(text []byte, method string) ([]VerifyKey, error) {
	if isSet(text) {
		return parseSet(text, method)
	}
	key, err := parsePEM(text)
	if err != nil {
		return nil, err
	}
	if err := fits(key, method); err != nil {
		return nil, err
	}
	return []VerifyKey{{Key: key}}, nil
}

// parsePEM returns the one public key in text. The dates of a certificate are
// not looked at: it is good because the owner configured it.
func parsePEM(text []byte) (any, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is neither PEM nor a JWK set: make it one of them")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("holds more than one thing: leave only the public key or its certificate in it")
	}
	damaged := errors.New("is damaged, or a key of a kind that is not known: make it anew")
	switch {
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("holds a private key, which only who signs should have: put the public key there (openssl pkey -pubout)")
	case block.Type == "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, damaged
		}
		return key, nil
	case block.Type == "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, damaged
		}
		return certificate.PublicKey, nil
	}
	return nil, errors.New("holds neither PUBLIC KEY nor CERTIFICATE: convert it (openssl pkey -pubin -pubout)")
}

// fits returns an error if key is not one for method.
func fits(key any, method string) error {
	var good bool
	switch key := key.(type) {
	case *rsa.PublicKey:
		good = method == "RS256" && key.N.BitLen() >= minRSA && key.N.Bit(0) == 1 && key.E >= 3 && key.E&1 == 1
	case *ecdsa.PublicKey:
		good = method == "ES256" && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		good = method == "EdDSA" && len(key) == ed25519.PublicKeySize
	}
	if !good {
		return fmt.Errorf("holds no key for %s: RS256 takes an RSA key of %d bits or more, ES256 one on the curve P-256, EdDSA an Ed25519 key",
			method, minRSA)
	}
	return nil
}

// webKey is a JSON Web Key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037
// section 2).
type webKey struct {
	Type    string   `json:"kty"`
	Use     string   `json:"use"`
	Ops     []string `json:"key_ops"`
	Method  string   `json:"alg"`
	ID      string   `json:"kid"`
	Curve   string   `json:"crv"`
	X       string   `json:"x"`
	Y       string   `json:"y"`
	N       string   `json:"n"`
	E       string   `json:"e"`
	Private string   `json:"d"`
}

// parseSet returns the keys for method of a JWK set (RFC 7517 section 5). Those
// that are for something else, or can't be used, are left out, as that section
// says; secrets and private keys are an error, since what holds them should not
// be here.
func parseSet(text []byte, method string) ([]VerifyKey, error) {
	damaged := errors.New("is no JWK set, which is {\"keys\": […]}: make it anew")
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if _, err := checkObject(text); err != nil || json.Unmarshal(text, &set) != nil || set.Keys == nil {
		return nil, damaged
	}
	var keys []VerifyKey
	for _, text := range set.Keys {
		var k webKey
		if json.Unmarshal(text, &k) != nil {
			continue
		}
		if k.Type == "oct" || k.Private != "" {
			return nil, errors.New("holds a secret or private key, which only who signs should have: leave only public keys in it")
		}
		if k.Use != "" && k.Use != "sig" || k.Method != "" && k.Method != method ||
			k.Ops != nil && !slices.Contains(k.Ops, "verify") {
			continue
		}
		if key := k.public(); fits(key, method) == nil {
			keys = append(keys, VerifyKey{ID: k.ID, Key: key})
		}
	}
	if len(keys) == 0 {
		return nil, fits(nil, method)
	}
	return keys, nil
}

// public returns the key as Go has it, nil if it is none that is known.
func (k webKey) public() any {
	switch k.Type + " " + k.Curve {
	case "RSA ":
		n, e := number(k.N), number(k.E)
		if e.BitLen() < 32 {
			return &rsa.PublicKey{N: n, E: int(e.Int64())}
		}
	case "EC P-256":
		x, y := octets(k.X), octets(k.Y)
		if len(x) != 32 || len(y) != 32 {
			return nil
		}
		point := slices.Concat([]byte{4}, x, y) // SEC 1 section 2.3.3
		if key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
			return key
		}
	case "OKP Ed25519":
		return ed25519.PublicKey(octets(k.X))
	}
	return nil
}

// octets decodes base64url; nil is what is none.
func octets(s string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// number decodes a Base64urlUInt (RFC 7518 section 2).
func number(s string) *big.Int { return new(big.Int).SetBytes(octets(s)) }
