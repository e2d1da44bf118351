package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// request asks testdata/sign.mjs for something.
type request struct {
	Maker  string         `json:"maker"`
	Method string         `json:"method,omitempty"`
	Key    string         `json:"key,omitempty"`
	Header map[string]any `json:"header,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`
	Keys   []setKey       `json:"keys,omitempty"`
}

type setKey struct {
	Key     string         `json:"key"`
	Members map[string]any `json:"members"`
}

// node returns what Node's jsonwebtoken and jose make of the requests.
func node(t testing.TB, requests []request) []string {
	t.Helper()
	script, err := os.ReadFile("testdata/sign.mjs")
	if err != nil {
		t.Fatal(err)
	}
	asked, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", string(script))
	cmd.Dir = "../../assets/player" // a script without a file finds its modules from here
	cmd.Stdin = bytes.NewReader(asked)
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		t.Fatalf("%v (has build/test installed node, jsonwebtoken and jose?)\n%s", err, failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	var made []string
	if err := json.Unmarshal(out, &made); err != nil || len(made) != len(requests) {
		t.Fatalf("%v: %s", err, out)
	}
	return made
}

// pair is a key of another program.
type pair struct{ private, public, certificate string } // PEM

func newPair(t testing.TB, private crypto.Signer, err error) pair {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	secret := encode("PRIVATE KEY", pkcs8, err)
	pkix, err := x509.MarshalPKIXPublicKey(private.Public())
	public := encode("PUBLIC KEY", pkix, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)} // ended in the year 1
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	return pair{secret, public, encode("CERTIFICATE", der, err)}
}

func rsaPair(t testing.TB, bits int) pair {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	return newPair(t, key, err)
}

func ecPair(t testing.TB, curve elliptic.Curve) pair {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	return newPair(t, key, err)
}

func edPair(t testing.TB) pair {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return newPair(t, key, err)
}

// write returns the path of a new file that holds text.
func write(t testing.TB, text string) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// use makes v check with a key of its own and with those configured.
func use(t testing.TB, v *Verifier, k *Key, configs ...KeyConfig) {
	t.Helper()
	keys := []VerifyKey{k.Verify()}
	for _, c := range configs {
		more, err := c.Keys()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, more...)
	}
	v.Use(keys...)
}

const (
	secret = "a secret of the blog's that has 32 bytes"
	weak   = "secret"
)

// Tokens that other programs made, good ones and attacks.
func TestTokensOfNode(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	var (
		own   = open(t)
		r     = rsaPair(t, 2048)
		e     = ecPair(t, elliptic.P256())
		e384  = ecPair(t, elliptic.P384())
		eds   = []pair{edPair(t), edPair(t)}
		enemy = map[string]pair{"RS256": rsaPair(t, 2048), "ES256": ecPair(t, elliptic.P256()), "EdDSA": edPair(t)}
	)
	no := false

	sets := node(t, []request{
		{Maker: "set", Keys: []setKey{
			{r.private, map[string]any{"kid": "rsa-in-set", "use": "sig", "alg": "RS256"}},
			{e.private, map[string]any{"kid": "encrypts", "use": "enc"}},
			{eds[0].private, map[string]any{"kid": "ed-0", "use": "sig", "alg": "EdDSA", "key_ops": []string{"verify"}}},
			{eds[1].private, map[string]any{"kid": "ed-1"}},
			{enemy["EdDSA"].private, map[string]any{"kid": "signs", "key_ops": []string{"sign"}}},
		}},
		{Maker: "set", Keys: []setKey{{enemy["EdDSA"].private, nil}}},
	})
	var enemySet struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(sets[1]), &enemySet); err != nil {
		t.Fatal(err)
	}
	var fetched atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write([]byte(sets[1]))
	}))
	defer elsewhere.Close()

	var revoked string
	v := &Verifier{
		Audience: AudienceDesktop,
		Revoked:  func(c Claims) bool { return c.ID == revoked },
		Now:      func() time.Time { return now },
	}
	use(t, v, own,
		KeyConfig{Name: "blog", Method: "HS256", Secret: secret},
		KeyConfig{Name: "old", Method: "HS256", Secret: weak, AllowWeakSecret: true, RequireExpiry: &no},
		KeyConfig{Name: "shop", Method: "RS256", File: write(t, r.public), ID: "rsa", Issuer: "https://shop.example",
			Audience: "radio", Grants: []string{ScopeListen, ScopeIssue}},
		KeyConfig{Name: "club", Method: "ES256", File: write(t, e.certificate), Require: []string{"iss", "aud", "sub", "jti", "nbf"}},
		KeyConfig{Name: "set", Method: "EdDSA", File: write(t, sets[0])},
	)

	type m = map[string]any
	base := m{"exp": in(time.Hour)}
	with := func(more m) m {
		claims := maps.Clone(base)
		maps.Copy(claims, more)
		return claims
	}
	lib, jose := "jsonwebtoken", "jose"
	blog := func(header, claims m) request { return request{lib, "HS256", secret, header, with(claims), nil} }
	shop := func(header, claims m) request { return request{lib, "RS256", r.private, header, with(claims), nil} }
	club := func(claims m) request { return request{lib, "ES256", e.private, nil, with(claims), nil} }
	set := func(i int, header, claims m) request {
		return request{jose, "EdDSA", eds[i].private, header, with(claims), nil}
	}
	member := func(without string) m {
		claims := m{"iss": "x", "aud": AudienceDesktop, "sub": "y", "jti": "z", "nbf": in(0)}
		delete(claims, without)
		return claims
	}

	tests := []struct {
		name string
		request
		want Reason // "" is accepted
		by   string // the key that signed what is accepted
	}{
		{"HS256", blog(nil, nil), "", "blog"},
		{"HS256 of jose", request{jose, "HS256", secret, nil, base, nil}, "", "blog"},
		{"RS256", shop(nil, nil), "", "shop"},
		{"RS256 of jose, with its key's ID", request{jose, "RS256", r.private, m{"kid": "rsa"}, base, nil}, "", "shop"},
		{"ES256", club(member("")), "", "club"},
		{"ES256 of jose", request{jose, "ES256", e.private, nil, with(member("")), nil}, "", "club"},
		{"EdDSA", set(0, m{"kid": "ed-0"}, nil), "", "set"},
		{"EdDSA, second key", set(1, m{"kid": "ed-1"}, nil), "", "set"},
		{"another type", blog(m{"typ": "at+jwt"}, nil), "", "blog"},
		{"of 2016", request{lib, "HS256", weak, nil, m{"name": "Ann"}, nil}, "", "old"},

		{"kid absent, several keys", set(1, nil, nil), "", "set"},
		{"kid unknown, key without one", blog(m{"kid": "2026-11"}, nil), "", "blog"},
		{"kid that is a path", blog(m{"kid": "../../../../dev/null"}, nil), "", "blog"},
		{"kid unknown, keys with one", set(0, m{"kid": "ed-2"}, nil), Signature, ""},
		{"kid of another key of the set", set(0, m{"kid": "ed-1"}, nil), Signature, ""},
		{"kid of another method's key", blog(m{"kid": "rsa"}, nil), Signature, ""},
		{"kid of our own key", blog(m{"kid": own.ID()}, nil), Signature, ""},
		{"our own claims, signed with another key", blog(nil, m{"iss": own.ID(), "aud": AudienceDesktop, "scope": "listen"}), "", "blog"},
		{"kid that is a number", request{jose, "HS256", secret, m{"kid": 1}, base, nil}, Malformed, ""},

		{"alg none", request{lib, "none", "", nil, base, nil}, Signature, ""},
		{"alg none of jose", request{Maker: "none", Claims: base}, Signature, ""},
		{"alg none for our own key", request{lib, "none", "", m{"kid": own.ID()}, base, nil}, Signature, ""},
		{"public key as a secret", request{lib, "HS256", r.public, nil, base, nil}, Signature, ""},
		{"public key as a secret, with its ID", request{lib, "HS256", r.public, m{"kid": "rsa"}, base, nil}, Signature, ""},
		{"certificate as a secret", request{jose, "HS256", e.certificate, nil, base, nil}, Signature, ""},
		{"JWK set as a secret", request{jose, "HS256", sets[0], nil, base, nil}, Signature, ""},
		{"no secret", request{jose, "HS256", "\x00", nil, base, nil}, Signature, ""},
		{"HS512", request{lib, "HS512", secret, nil, base, nil}, Signature, ""},
		{"RS512", request{lib, "RS512", r.private, nil, base, nil}, Signature, ""},
		{"PS256", request{lib, "PS256", r.private, nil, base, nil}, Signature, ""},
		{"ES384", request{lib, "ES384", e384.private, nil, base, nil}, Signature, ""},
		{"encrypted", request{Maker: "encrypted", Key: secret, Claims: base}, Malformed, ""},
		{"signed with an enemy's RSA key", request{lib, "RS256", enemy["RS256"].private, m{"kid": "rsa"}, base, nil}, Signature, ""},
		{"signed with an enemy's EC key", request{lib, "ES256", enemy["ES256"].private, nil, base, nil}, Signature, ""},
		{"signed with a key of the set that may not verify", request{jose, "EdDSA", enemy["EdDSA"].private, m{"kid": "signs"}, base, nil}, Signature, ""},
		{"signed with a key of the set that encrypts", request{lib, "ES256", e.private, m{"kid": "encrypts"}, base, nil}, Malformed, ""},
		{"jwk", request{jose, "EdDSA", enemy["EdDSA"].private, m{"jwk": enemySet.Keys[0]}, base, nil}, Signature, ""},
		{"jku", request{jose, "EdDSA", enemy["EdDSA"].private, m{"jku": elsewhere.URL}, base, nil}, Signature, ""},
		{"x5u", request{jose, "ES256", enemy["ES256"].private, m{"x5u": elsewhere.URL}, base, nil}, Signature, ""},
		{"x5c", request{jose, "RS256", enemy["RS256"].private, m{"x5c": []string{body(enemy["RS256"].certificate)}}, base, nil}, Signature, ""},
		{"jwk and jku, of no use", set(0, m{"jwk": enemySet.Keys[0], "jku": elsewhere.URL}, nil), "", "set"},
		{"crit", request{jose, "HS256", secret, m{"crit": []string{"urn:x"}, "urn:x": true}, base, nil}, Malformed, ""},
		{"too long", blog(nil, m{"name": strings.Repeat("a", maxSize)}), Malformed, ""},

		{"no end", request{lib, "HS256", secret, nil, m{"name": "Ann"}, nil}, Malformed, ""},
		{"end is text", request{jose, "HS256", secret, nil, m{"exp": "never"}, nil}, Malformed, ""},
		{"an optional end is text", request{jose, "HS256", weak, nil, m{"exp": "never"}, nil}, Malformed, ""},
		{"an optional end has passed", request{lib, "HS256", weak, nil, m{"exp": in(-time.Hour)}, nil}, Expired, ""},
		{"an optional end is 0", request{jose, "HS256", weak, nil, m{"exp": 0}, nil}, Expired, ""},
		{"ends in a second", blog(nil, m{"exp": in(time.Second)}), "", "blog"},
		{"ends now", blog(nil, m{"exp": in(0)}), Expired, ""},
		{"ended 29 s ago", blog(nil, m{"exp": in(-29 * time.Second)}), Expired, ""},
		{"begins in 30 s", blog(nil, m{"nbf": in(30 * time.Second)}), "", "blog"},
		{"begins in 31 s", blog(nil, m{"nbf": in(31 * time.Second)}), NotYetValid, ""},
		{"made in 30 s", blog(nil, m{"iat": in(30 * time.Second)}), "", "blog"},
		{"made in 31 s", blog(nil, m{"iat": in(31 * time.Second)}), NotYetValid, ""},
		{"made long ago", blog(nil, m{"iat": 1}), "", "blog"},

		{"its issuer", shop(nil, m{"iss": "https://shop.example"}), "", "shop"},
		{"another issuer", shop(nil, m{"iss": "https://shop.example.net"}), Audience, ""},
		{"any issuer", blog(nil, m{"iss": "x"}), "", "blog"},
		{"its audience", shop(nil, m{"aud": "radio"}), "", "shop"},
		{"its audience among others", shop(nil, m{"aud": []string{"tv", "radio"}}), "", "shop"},
		{"another audience", shop(nil, m{"aud": "tv"}), Audience, ""},
		{"this server, where the key has an audience", shop(nil, m{"aud": AudienceDesktop}), Audience, ""},
		{"this server", blog(nil, m{"aud": AudienceDesktop}), "", "blog"},
		{"another server", blog(nil, m{"aud": "wss://relay.example/x"}), Audience, ""},
		{"required issuer", club(member("iss")), Malformed, ""},
		{"required audience", club(member("aud")), Malformed, ""},
		{"required subject", club(member("sub")), Malformed, ""},
		{"required ID", club(member("jti")), Malformed, ""},
		{"required begin", club(member("nbf")), Malformed, ""},

		{"scope that is granted", blog(nil, m{"scope": "other listen"}), "", "blog"},
		{"scope that is not granted, too", blog(nil, m{"scope": "listen issue"}), "", "blog"},
		{"narrower than the key", shop(nil, m{"scope": "issue"}), Scope, ""},
		{"scope that is empty", blog(nil, m{"scope": ""}), Scope, ""},
		{"listeners", blog(nil, m{"listeners": 3}), "", "blog"},
		{"listeners as text", blog(nil, m{"listeners": "3"}), Malformed, ""},
		{"withdrawn", blog(nil, m{"jti": "withdrawn"}), Withdrawn, ""},
		{"another key's token of an ID that is withdrawn", shop(nil, m{"jti": "withdrawn"}), "", "shop"},
	}
	revoked = "blog:withdrawn"
	requests := make([]request, len(tests))
	for i, tt := range tests {
		requests[i] = tt.request
	}
	for i, raw := range node(t, requests) {
		tt := tests[i]
		if tt.by == "blog" {
			// Whatever the token says, its key grants no more than listening.
			var refused *Error
			if _, err := v.Verify(raw, ScopeIssue); !errors.As(err, &refused) || refused.Reason != Scope {
				t.Errorf("%s, to make links: %v", tt.name, err)
			}
		}
		t.Run(tt.name, func(t *testing.T) {
			claims, err := v.Verify(raw, ScopeListen)
			var refused *Error
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want == "" && claims.Key != tt.by:
				t.Errorf("signed by %q, want %q", claims.Key, tt.by)
			case tt.want != "" && !errors.As(err, &refused):
				t.Errorf("error %v, want reason %s", err, tt.want)
			case tt.want != "" && refused.Reason != tt.want:
				t.Errorf("reason %s (%v), want %s", refused.Reason, err, tt.want)
			}
		})
	}
	if n := fetched.Load(); n > 0 {
		t.Errorf("the URL in a header was fetched %d times", n)
	}
}

// body returns the base64 in PEM.
func body(text string) string {
	block, _ := pem.Decode([]byte(text))
	return base64.StdEncoding.EncodeToString(block.Bytes)
}

// What a verified token of another program says.
func TestClaimsOfNode(t *testing.T) {
	no := false
	v := &Verifier{Audience: AudienceDesktop, Now: time.Now}
	use(t, v, open(t),
		KeyConfig{Name: "old", Method: "HS256", Secret: weak, AllowWeakSecret: true, RequireExpiry: &no,
			Grants: []string{ScopeListen, ScopeIssue}})
	ask := func(claims map[string]any) request { return request{"jsonwebtoken", "HS256", weak, nil, claims, nil} }
	made := node(t, []request{
		ask(map[string]any{"name": "Ann", "iat": 1}),
		ask(map[string]any{"name": "Bob", "iat": 1}),
		ask(map[string]any{"jti": "4f1c", "name": "Ann", "iat": 2, "nbf": 3, "exp": 33333333333, "listeners": 4, "scope": "issue"}),
		ask(map[string]any{"jti": "a b", "iat": 1}),
		ask(map[string]any{"jti": strings.Repeat("a", 65), "iat": 1}),
		ask(map[string]any{"jti": "\x1b[2J", "iat": 1}),
	})

	ann, err := v.Verify(made[0], ScopeListen)
	if err != nil || ann.Name != "Ann" || ann.Issued.Unix() != 1 || !ann.NotBefore.IsZero() || !ann.Expires.IsZero() || ann.Listeners != 0 {
		t.Errorf("%+v, %v", ann, err)
	}
	if _, err := v.Verify(made[0], ScopeIssue); err != nil {
		t.Errorf("a token without a scope has not what its key grants: %v", err)
	}
	ids := map[string]bool{}
	for _, raw := range append(made[3:], made[:2]...) {
		c, err := v.Verify(raw, ScopeListen)
		if hash, found := strings.CutPrefix(c.ID, "old:sha256-"); err != nil || !found || len(hash) != 22 {
			t.Errorf("ID %q, %v", c.ID, err)
		}
		ids[c.ID] = true
	}
	if len(ids) != 5 {
		t.Errorf("tokens without an ID share one: %v", ids)
	}

	c, err := v.Verify(made[2], ScopeIssue)
	if err != nil || c.ID != "old:4f1c" || c.NotBefore.Unix() != 3 || c.Expires.Unix() != 33333333333 || c.Listeners != 4 {
		t.Errorf("%+v, %v", c, err)
	}
}

// A client of 2016 signs {name} with HS256 and a short secret.
func TestTokenOf2016(t *testing.T) {
	raw := node(t, []request{{Maker: "jsonwebtoken", Method: "HS256", Key: weak, Claims: map[string]any{"name": "Ann"}}})[0]
	config := KeyConfig{Name: "old", Method: "HS256", Secret: weak}
	if _, err := config.Keys(); err == nil || !strings.Contains(err.Error(), "allow-weak-secret") {
		t.Errorf("a weak secret: %v", err)
	}
	config.AllowWeakSecret = true
	v := &Verifier{Audience: AudienceDesktop, Now: time.Now}
	check := func(want Reason) {
		t.Helper()
		var refused *Error
		if _, err := v.Verify(raw, ScopeListen); !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	check(Signature) // no key at all
	use(t, v, open(t))
	check(Signature)
	use(t, v, open(t), config)
	check(Malformed)
	no := false
	config.RequireExpiry = &no
	use(t, v, open(t), config)
	if c, err := v.Verify(raw, ScopeListen); err != nil || c.Name != "Ann" {
		t.Errorf("%+v, %v", c, err)
	}
	use(t, v, open(t))
	check(Signature) // the keys changed while it was in use
}

// A signature of ES256 can be changed into another good one, (r, n-s). It must
// not give the token another ID, under which it isn't withdrawn.
func TestOneTokenHasOneID(t *testing.T) {
	pair := ecPair(t, elliptic.P256())
	raw := node(t, []request{{Maker: "jose", Method: "ES256", Key: pair.private, Claims: map[string]any{"name": "Ann"}}})[0]
	dot := strings.LastIndex(raw, ".") + 1
	sig, err := base64.RawURLEncoding.DecodeString(raw[dot:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	other := raw[:dot] + base64.RawURLEncoding.EncodeToString(sig)

	no := false
	v := &Verifier{Audience: AudienceDesktop, Now: time.Now}
	use(t, v, open(t), KeyConfig{Name: "club", Method: "ES256", File: write(t, pair.public), RequireExpiry: &no})
	c, err := v.Verify(raw, ScopeListen)
	d, otherErr := v.Verify(other, ScopeListen)
	if err != nil || otherErr != nil || c != d || raw == other {
		t.Errorf("%+v, %v; %+v, %v", c, err, d, otherErr)
	}
}
