package token

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A relay knows a laptop by one line of text, lets in those whom it invites, and
// can invite nobody.
func TestPublicLine(t *testing.T) {
	d := newDesk(t)
	text := d.key.PublicLine(" ann@laptop\n x")
	if !strings.HasSuffix(text, " ann@laptop x") || strings.Count(text, "\n") > 0 {
		t.Errorf("line %q", text)
	}
	k, err := ParsePublicLine(text)
	if err != nil {
		t.Fatal(err)
	}
	v := &Verifier{Audience: "https://radio.example/x", Now: func() time.Time { return now }}
	v.Use(k)
	for scope, want := range map[string]bool{ScopeListen: true, ScopePublish: true, ScopeIssue: false} {
		raw, _, err := d.key.Issue(Grant{Audience: v.Audience, Scope: scope, For: time.Hour}, now)
		d.must(err)
		if _, err := v.Verify(raw, scope); (err == nil) != want {
			t.Errorf("%s: %v", scope, err)
		}
	}
	raw, _ := d.issue("Bob", time.Hour)
	if _, err := v.Verify(raw, ScopeListen); err == nil {
		t.Error("a link to the laptop is good at the relay")
	}
	for _, bad := range []string{"", "ed25519", "ed25519 x", "rsa " + strings.Fields(text)[1], strings.Fields(text)[1], "ed25519 " + strings.Fields(text)[1] + "A", "ed25519 " + strings.Fields(text)[1][1:]} {
		if _, err := ParsePublicLine(bad); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}

func TestPublisherIdentity(t *testing.T) {
	a := Claims{keyID: "k", Name: "x", ID: "1", Expires: now}
	same := Claims{keyID: "k", Subject: "x", ID: "2"}
	if a.Publisher() != same.Publisher() {
		t.Error("name and subject differ")
	}
	for _, other := range []Claims{{keyID: "k"}, {keyID: "k", Name: "y"}, {keyID: "l", Name: "x"}, {keyID: "k", Key: "x", Name: "x"}, {keyID: "k", Name: "x", Subject: "z"}, {keyID: `k" "x`}} {
		if a.Publisher() == other.Publisher() {
			t.Errorf("%+v is the same publisher", other)
		}
	}
}

// What a laptop's store has withdrawn is withdrawn in a relay's that adopts it,
// also after that was opened anew; and nothing is forgotten before its end.
func TestAdopt(t *testing.T) {
	laptop := newDesk(t)
	_, first := laptop.issue("Ann", time.Hour)
	_, second := laptop.issue("Bob", 2*time.Hour)
	laptop.must(laptop.Withdraw(first.ID, "blog:x"))
	at := now
	path := filepath.Join(t.TempDir(), "withdrawn.json")
	open := func() *Store {
		s, err := OpenStore(path, func() time.Time { return at })
		laptop.must(err)
		return s
	}
	relay := open()
	all, some := laptop.Withdrawals()
	if !all.IsZero() || len(some) != 2 || relay.Covers(all, some) {
		t.Fatalf("%v, %v", all, some)
	}
	laptop.must(relay.Adopt(all, some))
	for range 2 {
		if !relay.Covers(all, some) || !relay.Revoked(Claims{ID: first.ID}) || !relay.Revoked(Claims{ID: "blog:x"}) || relay.Revoked(Claims{ID: second.ID}) {
			t.Error("not what was withdrawn")
		}
		relay = open()
	}
	laptop.must(laptop.WithdrawAll())
	all, some = laptop.Withdrawals()
	laptop.must(relay.Adopt(all, some))
	laptop.must(relay.Adopt(time.Time{}, nil)) // takes nothing back
	if !relay.Revoked(Claims{ID: second.ID, Issued: now}) || relay.Revoked(Claims{ID: "later", Issued: now.Add(time.Second)}) {
		t.Error("not all that was made until then")
	}
	at = now.Add(25*time.Hour + time.Minute)
	laptop.must(relay.Adopt(time.Time{}, []Withdrawal{{ID: "y", Until: at.Add(time.Hour)}}))
	if relay = open(); relay.Revoked(Claims{ID: first.ID, Issued: at}) || !relay.Revoked(Claims{ID: "blog:x", Issued: at}) || !relay.Revoked(Claims{ID: "y", Issued: at}) {
		t.Error("kept for another time than until its end")
	}
	many := make([]Withdrawal, maxAdopted)
	for i := range many {
		many[i] = Withdrawal{ID: strings.Repeat("x", i%60+1) + string(rune('a'+i%26)) + time.Duration(i).String(), Until: at.Add(time.Hour)}
	}
	for what, err := range map[string]error{
		"the future":  relay.Adopt(at.Add(time.Minute), nil),
		"a bad ID":    relay.Adopt(time.Time{}, []Withdrawal{{ID: "a b", Until: at}}),
		"an empty ID": relay.Adopt(time.Time{}, []Withdrawal{{Until: at}}),
		"too many":    relay.Adopt(time.Time{}, many),
	} {
		if err == nil {
			t.Errorf("%s was taken over", what)
		}
	}
}
