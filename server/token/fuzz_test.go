package token

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// fuzzKey is the key of RFC 8037 appendix A.1, so that tokens in the corpus stay
// good.
func fuzzKey(t testing.TB) *Key {
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	return newKey(ed25519.NewKeyFromSeed(seed))
}

func fuzzVerifier(t testing.TB) *Verifier {
	v := verifier(fuzzKey(t), now)
	use(t, v, fuzzKey(t), KeyConfig{Name: "blog", Method: "HS256", Secret: secret},
		KeyConfig{Name: "shop", Method: "HS256", Secret: secret + secret, ID: "shop"})
	return v
}

// signHS makes a token of any header and claims, signed with secret.
func signHS(t testing.TB, header, claims, secret string) string {
	signed := encode(header) + "." + encode(claims)
	sig, err := jwt.SigningMethodHS256.Sign(signed, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encode(string(sig))
}

// FuzzVerify looks for a token that is accepted though nobody signed it.
func FuzzVerify(f *testing.F) {
	const claims = `"aud":"earshot:desktop","scope":"listen","iat":1795435200,"exp":1795438800}`
	own := sign(f, fuzzKey(f), `{"alg":"EdDSA","typ":"JWT"}`, `{"iss":"`+fuzzKey(f).ID()+`",`+claims)
	good := []string{
		own,
		signHS(f, `{"alg":"HS256","typ":"JWT"}`, `{`+claims, secret),
		signHS(f, `{"alg":"HS256","kid":"shop"}`, `{`+claims, secret+secret),
	}
	for _, raw := range good {
		if _, err := fuzzVerifier(f).Verify(raw, ScopeListen); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(sign(f, fuzzKey(f), `{"alg":"EdDSA","crit":[]}`, `{}`))
	f.Add(encode(`{"alg":"none"}`) + own[strings.Index(own, "."):])
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := fuzzVerifier(t).Verify(s, ScopeListen); err == nil && !slices.Contains(good, s) {
			t.Errorf("accepted %q", s)
		}
	})
}

// FuzzClaims signs what is found, so that the claims are looked at, and compares
// with a second reading of them.
func FuzzClaims(f *testing.F) {
	for _, claims := range []string{
		`{"exp":1795438800}`,
		`{"exp":1795438800.5,"nbf":1795435200,"iat":0,"listeners":3,"scope":"issue listen","jti":"x","name":"Ann"}`,
		`{"exp":1e300,"aud":["x","earshot:desktop"],"iss":"y"}`,
		`{"exp":1,"EXP":1795438800}`,
		`{"exp":1795438800,"exp":null}`,
	} {
		f.Add(`{"alg":"HS256","typ":"JWT"}`, claims)
	}
	f.Add(`{"alg":"HS256","kid":"shop","crit":["exp"]}`, `{"exp":1795438800}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		c, err := fuzzVerifier(t).Verify(signHS(t, header, claims, secret), ScopeListen)
		if err != nil {
			return
		}
		var head, said map[string]any
		if err := json.Unmarshal([]byte(header), &head); err != nil || head["alg"] != "HS256" || head["kid"] == "shop" || head["crit"] != nil {
			t.Errorf("accepted the header %q", header)
		}
		if err := json.Unmarshal([]byte(claims), &said); err != nil {
			t.Fatalf("accepted the claims %q", claims)
		}
		exp, _ := said["exp"].(float64)
		nbf, _ := said["nbf"].(float64)
		iat, _ := said["iat"].(float64)
		scope, limited := said["scope"].(string)
		aud, _ := json.Marshal(said["aud"])
		listeners, _ := said["listeners"].(float64)
		at := float64(now.Unix())
		switch {
		case exp <= at, nbf >= at+31, iat >= at+31,
			limited && !strings.Contains(scope, ScopeListen),
			said["aud"] != nil && !strings.Contains(string(aud), AudienceDesktop):
			t.Errorf("accepted the claims %q", claims)
		case c.Key != "blog", !strings.HasPrefix(c.ID, "blog:"), len(c.ID) > 5+64, strings.ContainsAny(c.ID, " \n\x1b"),
			!c.Expires.After(now), c.Listeners != int(listeners), said["name"] != nil && c.Name != said["name"]:
			t.Errorf("%q says %+v", claims, c)
		}
	})
}

// FuzzKeys reads public keys, as PEM and as a JWK set. What is taken is a key
// that can be used for the method.
func FuzzKeys(f *testing.F) {
	// Keys that RFC 7515 and RFC 8037 have in their appendices, A.2.1, A.3.1, A.2.
	const set = `{"keys":[` +
		`{"kty":"RSA","e":"AQAB","kid":"r","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},` +
		`{"kty":"EC","crv":"P-256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},` +
		`{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","key_ops":["verify"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	const text = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
	public := []string{"RS256", "ES256", "EdDSA"}
	for i, method := range public {
		f.Add([]byte(set), byte(i))
		if keys, err := parseKeys([]byte(set), method); err != nil || len(keys) != 1 {
			f.Fatalf("%s: %d keys, %v", method, len(keys), err)
		}
	}
	if _, err := parseKeys([]byte(text), "EdDSA"); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(text), byte(2))
	f.Add([]byte(strings.ReplaceAll(text, "PUBLIC", "PRIVATE")), byte(2))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), byte(1))
	f.Fuzz(func(t *testing.T, text []byte, i byte) {
		method := public[int(i)%len(public)]
		keys, err := parseKeys(text, method)
		if err != nil {
			if len(keys) != 0 || strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("keys %v, error %q", keys, err)
			}
			return
		}
		if len(keys) == 0 {
			t.Error("neither keys nor an error")
		}
		for _, k := range keys {
			if err := fits(k.Key, method); err != nil {
				t.Error(err)
			}
			// It must not panic with a key that is no good.
			if err := methods[method].Verify("x", bytes.Repeat([]byte{1}, 64), k.Key); err == nil || errors.Is(err, jwt.ErrInvalidKeyType) {
				t.Errorf("a wrong signature: %v: %q", err, text)
			}
		}
	})
}

// FuzzStore reads the file of a Store. What is taken is written and read again.
func FuzzStore(f *testing.F) {
	d := newDesk(f)
	_, l := d.issue("Ann", time.Hour)
	d.issue("Bob", 2*time.Hour)
	d.must(d.Withdraw(l.ID, "blog:x"))
	_, err := d.Rotate(d.path, now.Add(time.Hour))
	d.must(err)
	d.must(d.WithdrawAll())
	text, err := json.Marshal(d.file)
	d.must(err)
	f.Add(text)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2,"links":5}`))
	f.Add(text[:len(text)/2])
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseStore(text)
		if err != nil {
			return
		}
		s := &Store{now: func() time.Time { return now }}
		s.take(file)
		for _, l := range s.Links() {
			if c := (Claims{ID: l.ID, Issued: l.Made}); s.Revoked(c) != l.Withdrawn {
				t.Errorf("link %+v is withdrawn, or it is not", l)
			}
		}
		s.Retired()
		before, err := json.Marshal(file)
		if err != nil {
			t.Fatalf("can't be written again: %v", err)
		}
		again, err := parseStore(before)
		if err != nil {
			t.Fatalf("can't be read again: %v", err)
		}
		if after, err := json.Marshal(again); err != nil || string(after) != string(before) {
			t.Errorf("%s\nis another the second time:\n%s", before, after)
		}
	})
}
