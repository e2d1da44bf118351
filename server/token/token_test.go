package token

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t testing.TB) *Key {
	t.Helper()
	key, err := OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func verifier(k *Key, at time.Time) *Verifier {
	v := &Verifier{Audience: AudienceDesktop, Now: func() time.Time { return at }}
	v.Use(k.Verify())
	return v
}

// A token that was let in is good until it ends, is withdrawn, or its key is
// out of use.
func TestGood(t *testing.T) {
	key, other := open(t), open(t)
	at, revoked := now, false
	v := &Verifier{Audience: AudienceDesktop, Revoked: func(Claims) bool { return revoked }, Now: func() time.Time { return at }}
	v.Use(other.Verify(), key.Verify())
	raw, _, err := key.Issue(Grant{Audience: AudienceDesktop, Scope: ScopeListen, For: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Verify(raw, ScopeListen)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, until time.Time, ok bool) {
		t.Helper()
		if got, good := v.Good(c); !got.Equal(until) || good != ok {
			t.Errorf("%s: until %v, good %v; want %v, %v", what, got, good, until, ok)
		}
	}
	end, keyEnd := now.Add(time.Hour), now.Add(time.Minute)
	check("new", end, true)
	at = end
	check("after its end", end, false)
	at = now
	revoked = true
	check("withdrawn", time.Time{}, false)
	revoked = false
	retired := key.Verify()
	retired.Until = keyEnd
	v.Use(other.Verify(), retired)
	check("of a retired key", keyEnd, true)
	at = keyEnd
	check("after the end of its key", keyEnd, false)
	at = now
	c.Expires = time.Time{}
	check("without an end, of a retired key", keyEnd, true)
	v.Use(retired, key.Verify())
	check("without an end", time.Time{}, true)
	v.Use(key.Verify(), retired)
	check("without an end, in another order", time.Time{}, true)
	v.Use(other.Verify())
	check("its key is gone", time.Time{}, false)
}

func TestIssueAndVerify(t *testing.T) {
	key := open(t)
	tests := []struct {
		name  string
		grant Grant
		want  Claims // without the ID
	}{
		{"plain", Grant{For: time.Hour},
			Claims{Issued: now, Expires: now.Add(time.Hour)}},
		{"all", Grant{Name: "Ann", For: time.Hour, NotBefore: now.Add(20 * time.Minute), Listeners: 2},
			Claims{Name: "Ann", Issued: now, NotBefore: now.Add(20 * time.Minute), Expires: now.Add(80 * time.Minute), Listeners: 2}},
		{"from before", Grant{For: time.Hour, NotBefore: now.Add(-time.Hour)},
			Claims{Issued: now, Expires: now.Add(time.Hour)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.grant.Audience, tt.grant.Scope = AudienceDesktop, ScopeListen
			raw, issued, err := key.Issue(tt.grant, now)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := verifier(key, now.Add(59*time.Minute)).Verify(raw, ScopeListen)
			if err != nil {
				t.Fatal(err)
			}
			if claims != issued {
				t.Errorf("claims %+v, issued %+v", claims, issued)
			}
			if claims.ID == "" {
				t.Error("no ID")
			}
			claims.ID, claims.keyID = "", ""
			if fmt.Sprint(utcs(claims)) != fmt.Sprint(utcs(tt.want)) {
				t.Errorf("claims %+v, want %+v", claims, tt.want)
			}
			if again, _, err := key.Issue(tt.grant, now); err != nil || again == raw {
				t.Errorf("two tokens of one moment are the same (%v)", err)
			}
		})
	}
	if _, _, err := key.Issue(Grant{Name: strings.Repeat("a", maxSize), For: time.Hour}, now); err == nil {
		t.Error("a token was issued that is too long to be taken")
	}
}

func utcs(c Claims) Claims {
	c.Issued, c.NotBefore, c.Expires = utc(c.Issued), utc(c.NotBefore), utc(c.Expires)
	return c
}

// sign makes a token of any header and claims, as text, signed by key.
func sign(t testing.TB, key *Key, header, claims string) string {
	t.Helper()
	signed := encode(header) + "." + encode(claims)
	sig, err := jwt.SigningMethodEdDSA.Sign(signed, key.private)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestVerifyRefuses(t *testing.T) {
	key, other := open(t), open(t)
	const header = `{"alg":"EdDSA","typ":"JWT"}`
	good := `{"iss":"` + key.ID() + `","aud":"earshot:desktop","scope":"listen","iat":1795435200,"exp":1795438800}`
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the claims", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	hmac := func() string { // the public key taken for a shared secret
		der, _ := x509.MarshalPKIXPublicKey(key.private.Public())
		secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		signed := encode(`{"alg":"HS256"}`) + "." + encode(good)
		sig, _ := jwt.SigningMethodHS256.Sign(signed, secret)
		return signed + "." + encode(string(sig))
	}
	valid := sign(t, key, header, good)
	tests := []struct {
		name string
		raw  string
		want Reason // "" is accepted
	}{
		{"good", valid, ""},
		{"good with its key ID", sign(t, key, `{"alg":"EdDSA","kid":"`+key.ID()+`"}`, good), ""},
		{"good among several audiences and scopes", sign(t, key, header, strings.NewReplacer(
			`"earshot:desktop"`, `["x","earshot:desktop"]`, `"listen"`, `"publish listen"`).Replace(good)), ""},
		{"good with a nested member of the same name", sign(t, key, header, with(`"iat"`, `"x":[{"iat":1,"y":{}}],"iat"`)), ""},
		{"made 20 s in the future", sign(t, key, header, with("1795435200", "1795435220")), ""},
		{"ends in a second", sign(t, key, header, with("1795438800", "1795435201")), ""},

		{"empty", "", Missing},
		{"no token", "x", Malformed},
		{"two parts", "e30.e30", Malformed},
		{"four parts", valid + ".e30", Malformed},
		{"too long", strings.Repeat("a", maxSize+1), Malformed},
		{"not base64url", strings.Replace(valid, ".", "+.", 1), Malformed},
		{"padded", strings.Replace(valid, ".", "=.", 1), Malformed},
		{"line break in the signature", valid[:len(valid)-4] + "\n" + valid[len(valid)-4:], Malformed},
		{"signature written in another way", valid[:len(valid)-1] + after(valid[len(valid)-1]), Malformed},
		{"not UTF-8", sign(t, key, header, with(`"iat"`, "\"name\":\"\xff\",\"iat\"")), Malformed},
		{"rubbish behind the claims", sign(t, key, header, good+"{}"), Malformed},
		{"claims an array", sign(t, key, header, `["iss"]`), Malformed},
		{"claims null", sign(t, key, header, `null`), Malformed},

		{"alg none", encode(`{"alg":"none"}`) + "." + encode(good) + ".", Signature},
		{"alg None", encode(`{"alg":"None"}`) + "." + encode(good) + ".", Signature},
		{"HS256 with the public key", hmac(), Signature},
		{"header lies about the method", sign(t, key, `{"alg":"HS256"}`, good), Signature},
		{"no alg", sign(t, key, `{"typ":"JWT"}`, good), Signature},
		{"signed by another key", sign(t, other, header, good), Signature},
		{"another key embedded", sign(t, other, `{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"`+
			base64.RawURLEncoding.EncodeToString(other.private.Public().(ed25519.PublicKey))+`"}}`, good), Signature},
		{"names another key", sign(t, key, `{"alg":"EdDSA","kid":"other"}`, good), Signature},
		{"key ID of another type", sign(t, key, `{"alg":"EdDSA","kid":["`+key.ID()+`"]}`, good), Malformed},
		{"key ID null", sign(t, key, `{"alg":"EdDSA","kid":null}`, good), Malformed},
		{"no signature", valid[:strings.LastIndex(valid, ".")+1], Signature},
		{"claims changed", strings.Replace(valid, encode(good), encode(with("listen", "listen publish")), 1), Signature},

		{"crit", sign(t, key, `{"alg":"EdDSA","crit":["exp"],"exp":1}`, good), Malformed},
		{"b64 as a critical extension", sign(t, key, `{"alg":"EdDSA","crit":["b64"],"b64":false}`, good), Malformed},
		{"header member twice", sign(t, key, `{"alg":"EdDSA","alg":"EdDSA"}`, good), Malformed},
		{"claim twice", sign(t, key, header, with(`"exp":1795438800`, `"exp":1795438800,"exp":1`)), Malformed},
		{"claim twice, once escaped", sign(t, key, header, with(`"exp":1795438800`, `"exp":1795438800,"e\u0078p":1`)), Malformed},
		{"nested member twice", sign(t, key, header, with(`"iat"`, `"x":[{"y":1,"y":2}],"iat"`)), Malformed},
		{"EXP is not exp", sign(t, key, header, with(`"exp"`, `"EXP"`)), Malformed},
		{"EXP does not prolong", sign(t, key, header, with(`"exp":1795438800`, `"exp":1,"EXP":1795438800`)), Expired},

		{"no end", sign(t, key, header, with(`,"exp":1795438800`, ``)), Malformed},
		{"end is text", sign(t, key, header, with(`1795438800`, `"1795438800"`)), Malformed},
		{"end is null", sign(t, key, header, with(`1795438800`, `null`)), Malformed},
		{"end beyond all years", sign(t, key, header, with(`1795438800`, `1e300`)), ""},
		{"end 0", sign(t, key, header, with(`1795438800`, `0`)), Expired},
		{"end negative", sign(t, key, header, with(`1795438800`, `-1e300`)), Expired},
		{"end beyond all numbers", sign(t, key, header, with(`1795438800`, `1e999`)), Malformed},
		{"ended", sign(t, key, header, with("1795438800", "1795435100")), Expired},
		{"ends now", sign(t, key, header, with("1795438800", "1795435200")), Expired},
		{"not yet", sign(t, key, header, with(`"exp"`, `"nbf":1795435300,"exp"`)), NotYetValid},
		{"made in the future", sign(t, key, header, with("1795435200", "1795435300")), NotYetValid},
		{"another issuer", sign(t, key, header, with(key.ID(), other.ID())), Audience},
		{"no issuer", sign(t, key, header, with(`"iss":"`+key.ID()+`",`, ``)), Malformed},
		{"another audience", sign(t, key, header, with("earshot:desktop", "wss://relay.example/x")), Audience},
		{"no audience", sign(t, key, header, with(`"aud":"earshot:desktop",`, ``)), Malformed},
		{"another scope", sign(t, key, header, with("listen", "publish")), Scope},
		{"a scope that begins like it", sign(t, key, header, with("listen", "listening")), Scope},
		{"no scope", sign(t, key, header, with(`"scope":"listen",`, ``)), Malformed},
		{"scope is a list", sign(t, key, header, with(`"listen"`, `["listen"]`)), Malformed},
		{"audience is a number", sign(t, key, header, with(`"earshot:desktop"`, `5`)), Malformed},
		{"an audience is a number", sign(t, key, header, with(`"earshot:desktop"`, `["earshot:desktop",5]`)), Malformed},
		{"no audience in a list", sign(t, key, header, with(`"earshot:desktop"`, `[]`)), Audience},
		{"name is a number", sign(t, key, header, with(`"iat"`, `"name":5,"iat"`)), Malformed},
		{"one listener", sign(t, key, header, with(`"iat"`, `"listeners":1,"iat"`)), ""},
		{"no listener", sign(t, key, header, with(`"iat"`, `"listeners":0,"iat"`)), Malformed},
		{"listeners less than none", sign(t, key, header, with(`"iat"`, `"listeners":-1,"iat"`)), Malformed},
		{"half a listener", sign(t, key, header, with(`"iat"`, `"listeners":1.5,"iat"`)), Malformed},
		{"listeners beyond all numbers", sign(t, key, header, with(`"iat"`, `"listeners":1e300,"iat"`)), Malformed},
		{"listeners null", sign(t, key, header, with(`"iat"`, `"listeners":null,"iat"`)), Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier(key, now).Verify(tt.raw, ScopeListen)
			var refused *Error
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && !errors.As(err, &refused):
				t.Errorf("error %v, want reason %s", err, tt.want)
			case tt.want != "" && refused.Reason != tt.want:
				t.Errorf("reason %s (%v), want %s", refused.Reason, err, tt.want)
			}
		})
	}
}

// after returns the character after c in base64url.
func after(c byte) string {
	const all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return all[strings.IndexByte(all, c)+1:][:1]
}

func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	key := open(t)
	raw := sign(t, key, `{"alg":"EdDSA"}`, `{"iss":"secretissuer","aud":"secretaud","exp":1,"name":"secretname"}`)
	_, err := verifier(key, now).Verify(raw, ScopeListen)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error: %v", err)
	}
}

func TestOpenKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			key, err := OpenKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = key.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("programs that started at once have different keys: %q", ids)
		}
	}
	info, err := os.Stat(path)
	if err != nil || !private(info.Mode()) {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("leftovers: %v", files)
	}

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(path); runtime.GOOS != "windows" && (err == nil || !strings.Contains(err.Error(), "chmod 600")) {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("an empty key file: %v", err)
	}
}

// RFC 8037 appendix A.3 has this key and its thumbprint.
func TestThumbprint(t *testing.T) {
	public, _ := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if got := thumbprint(public); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("thumbprint %s", got)
	}
}

// A token that answers what was asked just now is good whatever the signer's clock
// says, for as long as it says and no longer; one that answers nothing, or what
// somebody else asked, has to have good dates.
func TestVerifyAnswer(t *testing.T) {
	key, other := open(t), open(t)
	v := verifier(key, now)
	for _, tt := range []struct {
		name  string
		key   *Key
		off   time.Duration // of the signer's clock
		nonce string
		want  Reason
		ends  time.Duration // from now
	}{
		{"2 hours ahead", key, 2 * time.Hour, "asked", "", time.Minute},
		{"14 years ahead, the question before", key, 14 * 365 * 24 * time.Hour, "before", "", time.Minute},
		{"a day back", key, -24 * time.Hour, "asked", "", time.Minute},
		{"good by its own dates", key, -10 * time.Second, "asked", "", 50 * time.Second},
		{"no answer, ahead", key, 2 * time.Hour, "", NotYetValid, 0},
		{"no answer, back", key, -24 * time.Hour, "", Expired, 0},
		{"somebody else's question, ahead", key, 2 * time.Hour, "elsewhere", NotYetValid, 0},
		{"somebody else's question, back", key, -24 * time.Hour, "elsewhere", Expired, 0},
		{"of another key", other, 2 * time.Hour, "asked", Signature, 0},
	} {
		raw, _, err := tt.key.Issue(Grant{Audience: AudienceDesktop, Scope: ScopeListen, Nonce: tt.nonce, For: time.Minute}, now.Add(tt.off))
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.VerifyAnswer(raw, ScopeListen, "asked", "before")
		var refused *Error
		if errors.As(err, &refused); tt.want != "" && (refused == nil || refused.Reason != tt.want) || tt.want == "" && (err != nil || !c.Expires.Equal(now.Add(tt.ends))) {
			t.Errorf("%s: %+v, %v, want %q", tt.name, c, err, tt.want)
		}
		if _, err := v.Verify(raw, ScopeListen); tt.off.Abs() > time.Minute && err == nil {
			t.Errorf("%s: it is good where nobody asked", tt.name)
		}
	}
}
