package token

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// Nothing is issued for a token that another program has withdrawn, though this
// one was told nothing of it.
func TestIssueForWithdrawn(t *testing.T) {
	d := newDesk(t)
	elsewhere := d.open()
	issuer := func() *Claims {
		t.Helper()
		_, l, err := d.Issue(d.key, Grant{Scope: ScopeIssue, For: time.Hour})
		d.must(err)
		return &Claims{ID: l.ID, Issued: l.Made, Expires: l.Ends}
	}
	check := func(what string, by *Claims, want Reason) {
		t.Helper()
		raw, _, err := d.Issue(d.key, Grant{Scope: ScopeListen, For: time.Hour, By: by})
		var refused *Error
		errors.As(err, &refused)
		if want == "" && err != nil || want != "" && (raw != "" || refused == nil || refused.Reason != want) {
			t.Errorf("%s: %q, %v; want reason %q", what, raw, err, want)
		}
	}
	one, other := issuer(), issuer()
	blog := &Claims{Key: "blog", ID: "blog:x", Issued: now.Add(time.Minute)}
	check("good", one, "")
	soon := *one
	soon.Expires = now.Add(time.Minute)
	if _, l, err := d.Issue(d.key, Grant{Scope: ScopeListen, For: time.Hour, By: &soon}); err != nil || !l.Ends.Equal(soon.Expires) {
		t.Errorf("link %+v, %v; it ends with the token that asks", l, err)
	}
	check("good, of another program", blog, "")
	d.must(elsewhere.Withdraw(one.ID, blog.ID))
	check("withdrawn", one, Withdrawn)
	check("withdrawn, of another program", blog, Withdrawn)
	check("another one", other, "")
	d.must(elsewhere.WithdrawAll())
	check("withdrawn with all", other, Withdrawn)
	check("withdrawn with all, of another program", &Claims{ID: "blog:y"}, Withdrawn)
	other = issuer()
	check("made afterwards", other, "")
	d.at = other.Expires
	check("ended", other, Expired)
	check("the owner", nil, "")
}

// A list that is full of links that are good is full. What has ended or was
// withdrawn takes no place in it.
func TestStoreIsFull(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(d *desk) // room
		left int           // links in the file after one more
	}{
		{"one is withdrawn", func(d *desk) { d.must(d.Withdraw("7")) }, maxLinks + 1},
		{"all are withdrawn", func(d *desk) { d.must(d.WithdrawAll()) }, maxUnder + 1},
		{"they have ended", func(d *desk) { d.at = now.Add(time.Hour) }, maxLinks},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			file := storeFile{Version: storeVersion}
			for i := range maxLinks {
				file.Links = append(file.Links, Link{ID: fmt.Sprint(i), Scope: ScopeListen, Made: now, Ends: now.Add(time.Hour)})
			}
			text, err := json.Marshal(file)
			d.must(err)
			d.must(os.WriteFile(d.Store.path, text, 0o600))
			if _, _, err := d.Issue(d.key, Grant{For: time.Hour}); err == nil || !strings.Contains(err.Error(), "withdraw some") {
				t.Errorf("one more than there may be: %v", err)
			}
			tt.make(d)
			raw, _ := d.issue("Ann", time.Hour)
			d.check(raw, "")
			if got := len(d.open().file.Links); got != tt.left {
				t.Errorf("%d links in the file, want %d", got, tt.left)
			}
		})
	}
}

// A clock that is ahead, however far, takes nothing out of the file, and what has
// ended by it is not listed.
func TestStoreWithAClockAhead(t *testing.T) {
	const ahead = 14 * 365 * 24 * time.Hour
	d := newDesk(t)
	ann, l := d.issue("Ann", time.Hour)
	d.must(d.Withdraw(l.ID))
	d.issue("Bob", time.Hour)
	old := d.key
	key, err := d.Rotate(d.path, now.Add(time.Hour))
	d.must(err)
	d.key = key
	d.at = now.Add(ahead)
	d.issue("Eve", time.Hour)
	if got := names(d.Links()); got != "Eve" || len(d.Retired()) != 0 {
		t.Errorf("links %q, %d retired keys", got, len(d.Retired()))
	}
	d.at = now
	d.Store = d.open()
	d.check(ann, Withdrawn)
	if got := names(d.Links()); got != "Eve Bob -Ann" {
		t.Errorf("links %q", got)
	}
	if keys := d.Retired(); len(keys) != 1 || keys[0].ID != old.ID() {
		t.Errorf("retired keys %+v", keys)
	}
}

// However far a clock was ahead, what was withdrawn stays so when it is set back;
// and a list can't grow without end by that.
func TestStoreWithAClockFarAhead(t *testing.T) {
	d := newDesk(t)
	ann, l := d.issue("Ann", time.Hour)
	bob, _ := d.issue("Bob", time.Hour)
	d.must(d.Withdraw(l.ID, "blog:4f1c"))
	d.at = now.Add(14 * 365 * 24 * time.Hour)
	_, made := d.issue("Eve", time.Hour)
	d.at = now
	if at, all := d.Ahead(); !at.Equal(made.Made) || !all.IsZero() {
		t.Errorf("ahead: %v and %v", at, all)
	}
	d.issue("Kim", time.Hour)
	d.Store = d.open()
	d.check(ann, Withdrawn)
	d.check(bob, "")
	if !d.Revoked(Claims{Key: "blog", ID: "blog:4f1c"}) {
		t.Error("another program's token lives again")
	}
	d.must(d.Withdraw(made.ID))
	if at, all := d.Ahead(); !at.IsZero() || !all.IsZero() {
		t.Errorf("ahead, all being withdrawn: %v and %v", at, all)
	}
	eve, _ := d.issue("Eve", time.Hour)
	d.at = now.Add(14 * 365 * 24 * time.Hour)
	future, _ := d.issue("Eve", time.Hour)
	d.at = now
	d.must(d.WithdrawAll())
	d.check(eve, Withdrawn)
	raw, _ := d.issue("Kim", time.Hour)
	d.check(raw, "")
	d.at = now.Add(14 * 365 * 24 * time.Hour)
	d.check(future, Withdrawn)
	d.at = now.Add(time.Hour)
	d.must(d.WithdrawAll())
	d.at = now
	if _, all := d.Ahead(); !all.Equal(now.Add(time.Hour)) {
		t.Errorf("all are withdrawn until %v", all)
	}

}

// A file can't grow without end: of what is over the latest stays.
func TestPrune(t *testing.T) {
	later := now.Add(time.Hour)
	f := storeFile{All: now.Add(-time.Hour)}
	key := make(ed25519.PublicKey, ed25519.PublicKeySize)
	for i := range maxEnded + 3 {
		id := fmt.Sprint(i)
		f.Links = append(f.Links,
			Link{ID: "gone " + id, Made: now, Ends: now.Add(-time.Duration(i+1) * time.Hour), Withdrawn: true},
			Link{ID: "ended " + id, Made: now, Ends: now}) // all of one moment
		if i < maxUnder+3 {
			f.Links = append(f.Links, Link{ID: "under " + id, Made: f.All.Add(-time.Duration(i) * time.Second), Ends: later})
		}
		if i < maxRetired+3 {
			one := slices.Clone(key)
			one[0] = byte(i)
			f.Retired = append(f.Retired, retirement{one, now.Add(-time.Duration(i) * time.Hour)})
		}
		f.Withdrawn = append(f.Withdrawn, withdrawal{id, now.Add(-time.Duration(i) * time.Hour)})
	}
	oldest := f.Retired[maxRetired+2]
	f.Links = append(f.Links, Link{ID: "good", Made: now, Ends: later}, Link{ID: "gone good", Made: now, Ends: later, Withdrawn: true},
		Link{ID: "of a key", Key: thumbprint(oldest.Public), Made: now, Ends: later})
	f.prune(now)
	left := map[string]int{}
	for _, l := range f.Links {
		kind, _, _ := strings.Cut(l.ID, " ")
		left[kind]++
	}
	want := map[string]int{"gone": maxEnded + 1, "ended": maxEnded - 2, "under": maxUnder, "good": 1, "of": 1}
	if !maps.Equal(left, want) {
		t.Errorf("links are left: %v, want %v", left, want)
	}
	has := func(id string) bool { return slices.ContainsFunc(f.Links, func(l Link) bool { return l.ID == id }) }
	if has(fmt.Sprint("gone ", maxEnded)) || !has("gone 0") || has("ended 0") || !has(fmt.Sprint("ended ", maxEnded+2)) || has(fmt.Sprint("under ", maxUnder)) || !has("under 0") {
		t.Error("not the latest are left")
	}
	if n := len(f.Withdrawn); n != maxEnded || f.Withdrawn[n-1].ID != fmt.Sprint(maxEnded-1) {
		t.Errorf("%d withdrawals are left", n)
	}
	if n := len(f.Retired); n != maxRetired+1 || !f.Retired[n-1].Public.Equal(oldest.Public) {
		t.Errorf("%d keys are left, without that of a link that is good", n)
	}
}

// What is withdrawn by a clock that is ahead is told to relays, whose clock isn't:
// each link of all, and one that has ended by this clock only.
func TestWithdrawalsByAClockAhead(t *testing.T) {
	d := newDesk(t)
	d.at = now.Add(2 * time.Hour)
	_, early := d.issue("Ann", 24*time.Hour)
	d.must(d.WithdrawAll())
	told := func(want ...string) {
		t.Helper()
		_, some := d.Withdrawals()
		var got []string
		for _, w := range some {
			got = append(got, w.ID)
			if !w.Until.After(d.at) {
				t.Errorf("%s is told to end at %v", w.ID, w.Until)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("told are %q, want %q", got, want)
		}
	}
	told(early.ID)
	if links := d.Links(); links != nil {
		t.Errorf("links %q", names(links))
	}
	d.at = now
	d.Store = d.open()
	told(early.ID)

	d = newDesk(t)
	bob, l := d.issue("Bob", time.Hour)
	d.at = now.Add(2 * time.Hour)
	d.must(d.Withdraw(l.ID)) // he listens at a relay
	told(l.ID)
	d.at = now
	told(l.ID, l.ID)
	d.check(bob, Withdrawn)
}

func TestStoreIsMissing(t *testing.T) {
	d := newDesk(t)
	d.must(d.Reload()) // there was none yet
	_, l := d.issue("Ann", time.Hour)
	d.must(d.Withdraw(l.ID))
	reader := d.open()
	d.must(os.Rename(d.Store.path, d.Store.path+".away"))
	for _, s := range []*Store{d.Store, reader} {
		_, _, issueErr := s.Issue(d.key, Grant{For: time.Hour})
		_, rotateErr := s.Rotate(d.path, now.Add(time.Hour))
		for _, err := range []error{issueErr, rotateErr, s.Reload(), s.Withdraw("x"), s.WithdrawAll()} {
			if err == nil || !strings.Contains(err.Error(), "is missing: restore it") || !strings.Contains(err.Error(), s.path) {
				t.Errorf("error %v", err)
			}
		}
		if !s.Revoked(Claims{ID: l.ID, Issued: now}) {
			t.Error("a withdrawn link lives again")
		}
	}
	d.must(os.Rename(d.Store.path+".away", d.Store.path))
	d.issue("Bob", time.Hour)
	d.must(reader.Reload())
	if got := names(reader.Links()); got != "Bob -Ann" {
		t.Errorf("links %q", got)
	}
}

// A link of a retired key ends with it, also in the list.
func TestLinksOfARetiredKey(t *testing.T) {
	d := newDesk(t)
	d.issue("Ann", 7*24*time.Hour)
	d.issue("Bob", time.Hour)
	var err error
	d.key, err = d.Rotate(d.path, now.Add(2*time.Hour))
	d.must(err)
	d.issue("Kim", 7*24*time.Hour)
	links := d.open().Links()
	if names(links) != "Kim Bob Ann" || !links[0].Ends.Equal(now.Add(7*24*time.Hour)) ||
		!links[1].Ends.Equal(now.Add(time.Hour)) || !links[2].Ends.Equal(now.Add(2*time.Hour)) {
		t.Errorf("links %+v", links)
	}
	for _, at := range []time.Duration{2 * time.Hour, 3 * 24 * time.Hour} {
		d.at = now.Add(at)
		d.must(d.Withdraw("x"))
		if got := names(d.open().Links()); got != "Kim" {
			t.Errorf("after %v: links %q", at, got)
		}
	}
}

// Reading waits for no other program.
func TestReloadUnderALock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced there")
	}
	d := newDesk(t)
	reader := d.open()
	d.issue("Ann", time.Hour)
	lock := flock.New(d.Store.path + ".lock")
	d.must(lock.Lock())
	start := time.Now()
	d.must(reader.Reload())
	if took := time.Since(start); took > lockTimeout/2 || names(reader.Links()) != "Ann" {
		t.Errorf("links %q after %v", names(reader.Links()), took)
	}
	d.must(lock.Close())

	// What is read is not older than what was just written and counts already.
	var wg sync.WaitGroup
	d.step = func(step string) {
		if step != "create" {
			return
		}
		read := make(chan error, 1)
		wg.Go(func() { read <- d.Reload() })
		select {
		case <-read:
			t.Error("read while it is written")
		case <-time.After(50 * time.Millisecond):
		}
	}
	d.issue("Bob", time.Hour)
	wg.Wait()
	if got := names(d.Links()); got != "Bob Ann" {
		t.Errorf("links %q", got)
	}
}

// However many goroutines of one program make links, another program gets its
// turn.
func TestStoreTakesTurns(t *testing.T) {
	d := newDesk(t)
	owner := d.open()
	d.step = func(step string) {
		if step == "write" {
			time.Sleep(20 * time.Millisecond) // a slow disk
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, _, err := d.Issue(d.key, Grant{Scope: ScopeListen, For: time.Hour}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var longest time.Duration
	for range 10 {
		start := time.Now()
		if err := owner.Withdraw("x"); err != nil {
			t.Error(err)
		}
		longest = max(longest, time.Since(start))
	}
	close(stop)
	wg.Wait()

	// Whoever looks every lockRetry finds the lock free between two changes.
	var ended, next time.Time
	d.step = func(step string) {
		switch step {
		case "end":
			ended = time.Now()
		case "create":
			next = time.Now()
		}
	}
	d.must(d.Withdraw("x"))
	first := ended
	d.must(d.Withdraw("y"))
	if free := next.Sub(first); free < lockPause {
		t.Errorf("the lock was free for %v", free)
	}
	if longest > time.Second {
		t.Errorf("another program waited for %v", longest)
	}
}
