package token

import (
	"crypto/elliptic"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysFromFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, text := range []string{secret, secret + "\n", secret + "\r\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := KeyConfig{Name: "blog", Method: "HS256", SecretFile: path, ID: "x"}.Keys()
		if err != nil || len(keys) != 1 || string(keys[0].Key.([]byte)) != secret || keys[0].ID != "x" {
			t.Errorf("%q: %v, %v", text, keys, err)
		}
	}
	for method, pair := range map[string]pair{"RS256": rsaPair(t, 2048), "ES256": ecPair(t, elliptic.P256()), "EdDSA": edPair(t)} {
		for _, text := range []string{pair.public, pair.certificate, "A key\n" + pair.public + "\n"} {
			keys, err := KeyConfig{Name: "blog", Method: method, File: write(t, text), ID: "x"}.Keys()
			if err != nil || len(keys) != 1 || keys[0].ID != "x" {
				t.Errorf("%s: %v, %v", method, keys, err)
			}
		}
	}
}

// Each of these is refused before it does harm, by a text that says what to do
// and holds no secret.
func TestKeysRefuses(t *testing.T) {
	r, e, ed := rsaPair(t, 2048), ecPair(t, elliptic.P256()), edPair(t)
	private := node(t, []request{{Maker: "set", Keys: []setKey{
		{ed.private, map[string]any{"d": strings.Repeat("A", 43)}},
	}}})[0]
	set := func(keys string) string { return write(t, `{"keys":[`+keys+`]}`) }
	edX := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	open := write(t, secret)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	// The point of RFC 7515 appendix A.3.1.
	point, err := base64.RawURLEncoding.DecodeString("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3-257rn0s2ldbqkLJK2KRiMohYjlrQ")
	if err != nil {
		t.Fatal(err)
	}
	cut := func(n int) string {
		if n < 0 {
			return base64.RawURLEncoding.EncodeToString(point[-n:])
		}
		return base64.RawURLEncoding.EncodeToString(point[:n])
	}
	file := func(method, path string) KeyConfig { return KeyConfig{Name: "x", Method: method, File: path} }
	hs := func(c KeyConfig) KeyConfig { c.Name, c.Method = "x", "HS256"; return c }

	tests := []struct {
		name   string
		config KeyConfig
		want   string // in the error
	}{
		{"no name", KeyConfig{Method: "HS256", Secret: secret}, "name"},
		{"capital name", KeyConfig{Name: "Blog", Method: "HS256", Secret: secret}, "name"},
		{"name with a colon", KeyConfig{Name: "a:b", Method: "HS256", Secret: secret}, "name"},
		{"long name", KeyConfig{Name: strings.Repeat("a", 33), Method: "HS256", Secret: secret}, "name"},
		{"no method", KeyConfig{Name: "x", Secret: secret}, "method"},
		{"method none", KeyConfig{Name: "x", Method: "none"}, "method"},
		{"another method", KeyConfig{Name: "x", Method: "HS512", Secret: secret}, "method"},
		{"unknown grant", hs(KeyConfig{Secret: secret, Grants: []string{"publish"}}), "grants"},

		{"no secret", hs(KeyConfig{}), "give either"},
		{"two secrets", hs(KeyConfig{Secret: secret, SecretFile: open}), "give either"},
		{"secret of 31 bytes", hs(KeyConfig{Secret: secret[:31]}), "allow-weak-secret"},
		{"empty secret, though weak ones are allowed", hs(KeyConfig{SecretFile: write(t, "\n"), AllowWeakSecret: true}), "empty"},
		{"secret that others can read", hs(KeyConfig{SecretFile: open}), "chmod 600"},
		{"secret file that isn't there", hs(KeyConfig{SecretFile: "/nowhere"}), "/nowhere"},
		{"public key as a secret", hs(KeyConfig{Secret: r.public}), "text of a key"},
		{"file for HS256", hs(KeyConfig{File: write(t, r.public)}), "no public key"},
		{"secret for RS256", KeyConfig{Name: "x", Method: "RS256", Secret: secret}, "has none"},

		{"no file", file("RS256", ""), "give the file"},
		{"file that isn't there", file("RS256", "/nowhere"), "/nowhere"},
		{"empty file", file("RS256", write(t, "")), "neither"},
		{"DER", file("RS256", write(t, "\x30\x82\x01\x22")), "neither"},
		{"private RSA key", file("RS256", write(t, r.private)), "private key"},
		{"private Ed25519 key", file("EdDSA", write(t, ed.private)), "private key"},
		{"several keys", file("RS256", write(t, r.public+e.public)), "more than one"},
		{"damaged key", file("RS256", write(t, strings.Replace(r.public, "A", "B", 20))), "damaged"},
		{"weak RSA key", file("RS256", write(t, rsaPair(t, 1024).public)), "2048"},
		{"EC key for RS256", file("RS256", write(t, e.public)), "RS256 takes"},
		{"RSA key for ES256", file("ES256", write(t, r.public)), "ES256 one on"},
		{"another curve", file("ES256", write(t, ecPair(t, elliptic.P384()).public)), "P-256"},
		{"EC key for EdDSA", file("EdDSA", write(t, e.certificate)), "EdDSA an"},

		{"no set", file("EdDSA", write(t, `{"kty":"OKP","crv":"Ed25519","x":"`+edX+`"}`)), "no JWK set"},
		{"damaged set", file("EdDSA", write(t, `{"keys":[`)), "no JWK set"},
		{"member twice", file("EdDSA", write(t, `{"keys":[],"keys":[]}`)), "no JWK set"},
		{"empty set", file("EdDSA", set(``)), "EdDSA an"},
		{"id for a set", KeyConfig{Name: "x", Method: "EdDSA", ID: "x", File: set(`{"kty":"OKP","crv":"Ed25519","x":"` + edX + `"}`)}, "leave it out"},
		{"secret in a set", file("EdDSA", set(`{"kty":"OKP","crv":"Ed25519","x":"`+edX+`"},{"kty":"oct","k":"AAAA"}`)), "holds a secret"},
		{"private key in a set", file("EdDSA", write(t, private)), "holds a secret"},
		{"set for encryption", file("EdDSA", set(`{"kty":"OKP","crv":"Ed25519","use":"enc","x":"`+edX+`"}`)), "EdDSA an"},
		{"set for another method", file("EdDSA", set(`{"kty":"OKP","crv":"Ed25519","alg":"ES256","x":"`+edX+`"}`)), "EdDSA an"},
		{"set of X25519", file("EdDSA", set(`{"kty":"OKP","crv":"X25519","x":"`+edX+`"}`)), "EdDSA an"},
		{"Ed25519 key that is too short", file("EdDSA", set(`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`)), "EdDSA an"},
		{"point that is not on the curve", file("ES256", set(`{"kty":"EC","crv":"P-256","x":"`+edX+`","y":"`+edX+`"}`)), "P-256"},
		{"point cut in two at the wrong place", file("ES256", set(`{"kty":"EC","crv":"P-256","x":"`+cut(31)+`","y":"`+cut(-31)+`"}`)), "P-256"},
		{"weak RSA key in a set", file("RS256", set(`{"kty":"RSA","e":"AQAB","n":"`+strings.Repeat("_", 128)+`"}`)), "2048"},
		{"RSA exponent 1", file("RS256", set(`{"kty":"RSA","e":"AQ","n":"`+strings.Repeat("_", 344)+`"}`)), "RS256 takes"},
		{"RSA exponent of 2^64+3", file("RS256", set(`{"kty":"RSA","e":"AQAAAAAAAAAD","n":"`+strings.Repeat("_", 344)+`"}`)), "RS256 takes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := tt.config.Keys()
			if err == nil || !strings.Contains(err.Error(), tt.want) || keys != nil {
				t.Errorf("keys %v, error %v, want one with %q", len(keys), err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "secret of the blog") || strings.ContainsAny(err.Error(), "\n")) {
				t.Errorf("error %v", err)
			}
		})
	}
	// Some of these are no good for that one reason.
	if _, err := file("ES256", set(`{"kty":"EC","crv":"P-256","x":"`+cut(32)+`","y":"`+cut(-32)+`"}`)).Keys(); err != nil {
		t.Error(err)
	}
	good := set(`{"kty":"RSA","e":"Aw","n":"` + strings.Repeat("_", 344) + `"}, {"kty":"new"}, 5, {"kty":5}`)
	if keys, err := file("RS256", good).Keys(); err != nil || len(keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
}

// A set may hold keys for several methods.
func TestSetGivesTheMethodsKeys(t *testing.T) {
	r, e := rsaPair(t, 2048), ecPair(t, elliptic.P256())
	text := node(t, []request{{Maker: "set", Keys: []setKey{
		{r.private, map[string]any{"kid": "1"}}, {e.private, map[string]any{"kid": "2"}}, {r.private, map[string]any{"kid": "3"}},
	}}})[0]
	for method, want := range map[string]string{"RS256": "13", "ES256": "2"} {
		keys, err := KeyConfig{Name: "x", Method: method, File: write(t, text)}.Keys()
		got := ""
		for _, k := range keys {
			got += k.ID
		}
		if err != nil || got != want {
			t.Errorf("%s: keys %q, want %q (%v)", method, got, want, err)
		}
	}
	if _, err := (KeyConfig{Name: "x", Method: "EdDSA", File: write(t, text)}).Keys(); err == nil {
		t.Error("a set without a key for the method is taken")
	}
}
