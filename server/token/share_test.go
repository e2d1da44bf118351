package token

import (
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

// What a laptop has withdrawn is told to relays until it ends by itself.
func TestWithdrawals(t *testing.T) {
	laptop := newDesk(t)
	_, first := laptop.issue("Ann", time.Hour)
	laptop.issue("Bob", 2*time.Hour)
	laptop.must(laptop.Withdraw(first.ID, "blog:x"))
	all, some := laptop.Withdrawals()
	if !all.IsZero() || len(some) != 2 || some[0] != (Withdrawal{first.ID, first.Ends}) || some[1].ID != "blog:x" || !some[1].Until.Equal(now.Add(tenYears)) {
		t.Errorf("%v, %v", all, some)
	}
	laptop.must(laptop.WithdrawAll())
	if all, _ = laptop.Withdrawals(); !all.Equal(now) {
		t.Errorf("all until %v", all)
	}
}

func TestCheckWithdrawals(t *testing.T) {
	for what, tt := range map[string]struct {
		all  time.Time
		some []Withdrawal
		good bool
	}{
		"nothing":           {good: true},
		"both":              {now, []Withdrawal{{ID: "a", Until: now}, {ID: "blog:x"}}, true},
		"a clock a bit off": {all: now.Add(leeway), good: true},
		"the future":        {all: now.Add(leeway + time.Second)},
		"a bad ID":          {some: []Withdrawal{{ID: "a"}, {ID: "a b"}}},
		"an empty ID":       {some: []Withdrawal{{Until: now}}},
		"a long ID":         {some: []Withdrawal{{ID: strings.Repeat("x", 65)}}},
	} {
		if err := CheckWithdrawals(tt.all, tt.some, now); (err == nil) != tt.good {
			t.Errorf("%s: %v", what, err)
		}
	}
}
