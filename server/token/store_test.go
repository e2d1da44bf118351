package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// desk is a store, its key, and the verifier that asks it.
type desk struct {
	*Store
	t    testing.TB
	key  *Key
	path string // of the key
	at   time.Time
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	dir := t.TempDir()
	d := &desk{t: t, path: filepath.Join(dir, "key.pem"), at: now}
	var err error
	if d.key, err = OpenKey(d.path); err != nil {
		t.Fatal(err)
	}
	d.Store = d.open()
	return d
}

// open opens the same store anew.
func (d *desk) open() *Store {
	d.t.Helper()
	s, err := OpenStore(filepath.Join(filepath.Dir(d.path), "links.json"), func() time.Time { return d.at })
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) issue(name string, valid time.Duration) (string, Link) {
	d.t.Helper()
	raw, l, err := d.Issue(d.key, Grant{Audience: AudienceDesktop, Scope: ScopeListen, Name: name, For: valid})
	d.must(err)
	return raw, l
}

// check checks what the verifier says of a token; "" is good.
func (d *desk) check(raw string, want Reason) {
	d.t.Helper()
	v := &Verifier{Audience: AudienceDesktop, Revoked: d.Revoked, Now: d.now}
	v.Use(append([]VerifyKey{d.key.Verify()}, d.Retired()...)...)
	_, err := v.Verify(raw, ScopeListen)
	var refused *Error
	errors.As(err, &refused)
	if want == "" && err != nil || want != "" && (refused == nil || refused.Reason != want) {
		d.t.Errorf("token: %v, want reason %q", err, want)
	}
}

func names(links []Link) string {
	var s []string
	for _, l := range links {
		name := l.Name
		if l.Withdrawn {
			name = "-" + name
		}
		s = append(s, name)
	}
	return strings.Join(s, " ")
}

func TestStoreLinks(t *testing.T) {
	d := newDesk(t)
	if got := d.Links(); got != nil {
		t.Errorf("a new store has links %v", got)
	}
	raw, l := d.issue("Ann", time.Hour)
	d.check(raw, "")
	want := Link{ID: l.ID, Name: "Ann", Scope: ScopeListen, Key: d.key.ID(), Made: now, Ends: now.Add(time.Hour)}
	if l != want || l.ID == "" {
		t.Errorf("link %+v, want %+v", l, want)
	}
	d.at = d.at.Add(time.Second)
	bob, begin := Grant{Audience: AudienceDesktop, Scope: ScopeIssue, Name: "Bob", For: time.Hour, Listeners: 2}, now.Add(10*time.Minute)
	bob.NotBefore = begin
	_, l, err := d.Issue(d.key, bob)
	d.must(err)
	if !l.NotBefore.Equal(begin) || !l.Ends.Equal(begin.Add(time.Hour)) || l.Listeners != 2 || l.Scope != ScopeIssue {
		t.Errorf("link %+v", l)
	}
	for _, s := range []*Store{d.Store, d.open()} {
		if got := s.Links(); names(got) != "Bob Ann" || got[0] != l {
			t.Errorf("links %+v, want Bob's and Ann's", got)
		}
	}
	d.at = now.Add(time.Hour)
	if got := names(d.Links()); got != "Bob" {
		t.Errorf("links %q after Ann's has ended", got)
	}

	text, err := os.ReadFile(d.Store.path)
	d.must(err)
	if strings.Contains(string(text), raw) || strings.Contains(string(text), raw[strings.LastIndex(raw, ".")+1:]) {
		t.Error("the file holds a token")
	}
	if info, err := os.Stat(d.Store.path); err != nil || !private(info.Mode()) {
		t.Errorf("file mode %v, %v", info.Mode(), err)
	}
	for _, g := range []Grant{{For: 0}, {For: -time.Hour}, {For: time.Hour, Listeners: -1}, {For: time.Hour, Name: strings.Repeat("a", maxSize)}} {
		if raw, _, err := d.Issue(d.key, g); err == nil || raw != "" {
			t.Errorf("made a link of %d listeners for %v", g.Listeners, g.For)
		}
	}
	if got := names(d.open().Links()); got != "Bob" {
		t.Errorf("links %q after some that could not be made", got)
	}
}

func TestStoreWithdraws(t *testing.T) {
	d := newDesk(t)
	ann, l := d.issue("Ann", time.Hour)
	bob, _ := d.issue("Bob", time.Hour)
	d.must(d.Withdraw(l.ID, "blog:4f1c"))
	d.must(d.Withdraw(l.ID, "blog:4f1c")) // again
	for range 2 {
		d.check(ann, Withdrawn)
		d.check(bob, "")
		if got := names(d.Links()); got != "Bob -Ann" {
			t.Errorf("links %q", got)
		}
		if !d.Revoked(Claims{Key: "blog", ID: "blog:4f1c"}) || d.Revoked(Claims{ID: "4f1c"}) || d.Revoked(Claims{Key: "shop", ID: "shop:4f1c"}) {
			t.Error("another program's token is not withdrawn, or one of another key is")
		}
		d.Store = d.open()
	}
	d.at = now.Add(9 * 365 * 24 * time.Hour)
	d.issue("Eve", time.Hour)
	if got := d.open(); !got.Revoked(Claims{ID: "blog:4f1c"}) {
		t.Errorf("after nine years the file holds %+v", got.file)
	}
	before, err := os.ReadFile(d.Store.path)
	d.must(err)
	for _, id := range []string{"", "a b", "a\n", bob, "http://192.0.2.1:8080/#" + bob, strings.Repeat("a", 65), "Blog:x", ":x", "blog:"} {
		if err := d.Withdraw(id); err == nil || id != "" && strings.Contains(err.Error(), id) {
			t.Errorf("withdrew %q: %v", id, err)
		}
	}
	if after, err := os.ReadFile(d.Store.path); err != nil || string(after) != string(before) {
		t.Errorf("the file holds what is no ID: %s", after)
	}
}

func TestStoreWithdrawsAll(t *testing.T) {
	d := newDesk(t)
	var raws []string
	// All in one second.
	for i := range 5 {
		raw, _ := d.issue(fmt.Sprint(i), time.Hour)
		raws = append(raws, raw)
		if i == 3 {
			raw, _ := d.issue("3", time.Hour)
			raws = append(raws, raw)
		}
		if i < 4 {
			d.must(d.WithdrawAll())
		}
		for _, raw := range raws[:len(raws)-1] {
			d.check(raw, Withdrawn)
		}
	}
	d.check(raws[len(raws)-1], "")
	if got := names(d.open().Links()); got != "4" {
		t.Errorf("links %q", got)
	}
	if !d.Revoked(Claims{ID: "old:x"}) || !d.Revoked(Claims{ID: "blog:x", Issued: now}) || d.Revoked(Claims{ID: "blog:x", Issued: now.Add(time.Minute)}) {
		t.Error("tokens of other programs: those from before, or that don't say, are not withdrawn, or later ones are")
	}

	// The clock was an hour ahead, and is set right.
	d.at = now.Add(time.Hour)
	d.must(d.WithdrawAll())
	d.at = now
	if raw, _, err := d.Issue(d.key, Grant{For: time.Hour}); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("link that would not work: %q, %v", raw, err)
	}
	d.must(d.WithdrawAll())
	if !d.Revoked(Claims{Issued: now.Add(59 * time.Minute)}) {
		t.Error("what was withdrawn lives again")
	}
}

func TestStoreOfSeveralPrograms(t *testing.T) {
	d := newDesk(t)
	stores := []*Store{d.Store, d.open(), d.open()}
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for j := range 20 {
				_, l, err := s.Issue(d.key, Grant{Name: fmt.Sprintf("%d/%d", i, j), Scope: ScopeListen, For: time.Hour})
				if err == nil && j%2 == 0 {
					err = s.Withdraw(l.ID)
				}
				if err != nil {
					t.Error(err)
				}
				_, _ = s.Links(), s.Revoked(Claims{})
			}
		})
	}
	wg.Wait()
	for _, s := range append(stores, d.open()) {
		d.must(s.Reload())
		links := s.Links()
		withdrawn := slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return !l.Withdrawn })
		if len(links) != 60 || len(withdrawn) != 30 {
			t.Errorf("%d links, %d of them withdrawn, want 60 and 30", len(links), len(withdrawn))
		}
	}
	if files, _ := filepath.Glob(d.Store.path + "*"); len(files) != 2 {
		t.Errorf("files %q, want the list and its lock", files)
	}
}

func TestRotate(t *testing.T) {
	d := newDesk(t)
	raw, _ := d.issue("Ann", 24*time.Hour)
	old := d.key
	var err error
	d.key, err = d.Rotate(d.path, now.Add(2*time.Hour))
	d.must(err)
	if read, err := OpenKey(d.path); err != nil || read.ID() != d.key.ID() || read.ID() == old.ID() {
		t.Errorf("the file holds %v (%v), not the new key", read, err)
	}
	if info, err := os.Stat(d.path); err != nil || !private(info.Mode()) {
		t.Errorf("key file mode %v, %v", info.Mode(), err)
	}
	newer, _ := d.issue("Bob", 24*time.Hour)
	d.check(newer, "")
	d.check(raw, "")
	d.Store = d.open()
	d.check(raw, "")

	v := &Verifier{Audience: AudienceDesktop, Now: d.now}
	v.Use(d.Retired()...)
	if c, err := v.Verify(raw, ScopeListen); err != nil || !c.Expires.Equal(now.Add(2*time.Hour)) {
		t.Errorf("a token of a retired key says %+v, %v; it ends with the key", c, err)
	}
	d.at = now.Add(2 * time.Hour)
	if _, err := v.Verify(raw, ScopeListen); err == nil {
		t.Error("a verifier that nobody told takes a key that has ended")
	}
	d.check(raw, Signature)
	d.check(newer, "")

	// Two programs at once: no key is lost, whose links then would be.
	stores := []*Store{d.open(), d.open()}
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			if _, err := s.Rotate(d.path, d.at.Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	d.must(d.Reload())
	d.key, err = OpenKey(d.path)
	d.must(err)
	if n := len(d.Retired()); n != 2 {
		t.Errorf("%d retired keys, want the last two", n)
	}
	d.check(newer, "")
	d.must(d.WithdrawAll())
	d.check(newer, Withdrawn)
}

func TestStoreRefusesWhatIsDamaged(t *testing.T) {
	d := newDesk(t)
	_, l := d.issue("Ann", time.Hour)
	d.must(d.Withdraw(l.ID))
	text, err := os.ReadFile(d.Store.path)
	d.must(err)
	good := string(text)
	tests := map[string]string{
		"empty":          "",
		"cut off":        good[:len(good)/2],
		"cut off at end": strings.TrimRight(good, "}\n"),
		"zeros":          strings.Repeat("\x00", len(good)),
		"another file":   `{"keys":[]}`,
		"a list":         `[]`,
		"null":           `null`,
		"twice":          good + good,
		"unknown member": strings.Replace(good, `"links"`, `"lines"`, 1),
		"no ID":          strings.Replace(good, l.ID, "", 1),
		"no end":         strings.Replace(good, `"ends"`, `"end"`, 1),
		"a key too few":  strings.Replace(good, `"retired": null`, `"retired": [{"public":"AAAA","until":"2030-01-01T00:00:00Z"}]`, 1),
		"version 0":      strings.Replace(good, `"version": 1`, `"version": 0`, 1),
		"newer version":  strings.Replace(good, `"version": 1`, `"version": 2`, 1),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if text == good {
				t.Fatal("it is as it was")
			}
			if err := os.WriteFile(d.Store.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			want := "restore it"
			if name == "newer version" {
				want = "update"
			}
			_, openErr := OpenStore(d.Store.path, d.now)
			_, _, issueErr := d.Issue(d.key, Grant{For: time.Hour})
			for _, err := range []error{openErr, issueErr, d.Reload(), d.Withdraw("x"), d.WithdrawAll()} {
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), d.Store.path) {
					t.Errorf("error %v, want %q and the file", err, want)
				}
			}
			if _, err := d.Rotate(d.path, now.Add(time.Hour)); err == nil {
				t.Error("rotated the key without a list to keep the old one in")
			}
			if got, err := os.ReadFile(d.Store.path); err != nil || string(got) != text {
				t.Errorf("the file was changed: %s", got)
			}
			if !d.Revoked(Claims{ID: l.ID, Issued: now}) {
				t.Error("a withdrawn link lives again")
			}
		})
	}
}
