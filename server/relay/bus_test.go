package relay

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// alone starts a relay with its embedded server.
func alone(t testing.TB, dir string) *ear {
	t.Helper()
	e := newEar(t, Config{Dir: dir, Name: "alone"})
	eventually(t, patience, "the relay admits listeners", e.bus.Admits)
	return e
}

func TestAlone(t *testing.T) {
	e := alone(t, "")
	if s := e.bus.Status(); !s.Connected || s.Server != "" || s.Behind < 0 {
		t.Errorf("status %+v", s)
	}
	l := e.mustClaim("laptop")
	if s := get(e, func() State { return e.state }); !s.Online || s.Epoch != l.Epoch() || string(s.About) != `{"title":"laptop"}` {
		t.Errorf("state %+v", s)
	}
	if get(e, func() bool { return e.wanted }) {
		t.Error("wanted, and nobody listens")
	}
	e.listen(1)
	eventually(t, patience, "wanted", func() bool { return get(e, func() bool { return e.wanted }) })
	for seq := range uint32(5) {
		if err := l.Publish(song(seq)); err != nil {
			t.Fatal(err)
		}
		if got := e.last(); got.seq != seq || got.epoch != l.Epoch() {
			t.Errorf("heard %+v", got)
		}
	}
	_ = l.Publish(song(3))
	if got := e.last(); got.seq != 4 {
		t.Error("an old packet came through")
	}
	if err := l.Publish([]byte("noise")); err == nil {
		t.Error("published noise")
	}
	if at, ok := e.member.Clock(); !ok || (at-testClock()).Abs() > time.Second {
		t.Errorf("clock %v, %v", at, ok)
	}

	// Somebody else doesn't get it, the same one does.
	if _, err := e.claim("thief"); !errors.Is(err, ErrTaken) {
		t.Errorf("claim of another: %v", err)
	}
	again := e.mustClaim("laptop")
	if again.Epoch() <= l.Epoch() {
		t.Errorf("epochs %d, %d", l.Epoch(), again.Epoch())
	}
	<-l.Done()
	if !errors.Is(l.Err(), ErrReplaced) {
		t.Errorf("ended: %v", l.Err())
	}
	_ = l.Publish(song(100))
	_ = again.Publish(song(0)) // numbers start over
	if got := e.last(); got.epoch != again.Epoch() || got.seq != 0 {
		t.Errorf("heard %+v", got)
	}
	l.Release() // comes to nothing
	if !e.online() {
		t.Error("offline since the old connection ended")
	}
	if err := again.Tell(json.RawMessage(`{"state":"paused"}`)); err != nil {
		t.Error(err)
	}
	if s := get(e, func() State { return e.state }); string(s.About) != `{"state":"paused"}` {
		t.Errorf("state %s", s.About)
	}
	again.Kick("alone", 7)
	if !slices.Equal(get(e, func() []uint64 { return e.kicked }), []uint64{7}) {
		t.Error("nobody was kicked")
	}
	again.Release()
	if e.online() {
		t.Error("online after the release")
	}
	other := e.mustClaim("friend") // at once
	other.Release()
}

func TestClaimsAreChecked(t *testing.T) {
	e := alone(t, "")
	for _, about := range []string{"no JSON", `"` + strings.Repeat("x", maxAbout) + `"`} {
		if _, err := e.member.Claim(context.Background(), Claim{Identity: "a", About: json.RawMessage(about)}); err == nil {
			t.Errorf("claim with %.10s", about)
		}
	}
}

func TestNames(t *testing.T) {
	b, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a.b", "*", ">", "A", "a b", "a\n", "ä", strings.Repeat("a", 64)} {
		if _, err := b.Join(Stream{Name: name}); err == nil {
			t.Errorf("joined %q", name)
		}
	}
	if _, err := b.Join(Stream{Name: "my-song-2"}); err != nil {
		t.Error(err)
	}
	if _, err := b.Join(Stream{Name: "my-song-2"}); err == nil {
		t.Error("joined twice")
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{
		{Name: "a.b"},
		{URLs: []string{"nats.example.org"}},
		{URLs: []string{"https://nats.example.org"}},
		{Replicas: 7},
		{Cert: "file"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("taken: %+v", c)
		}
	}
	_, err := New(Config{URLs: []string{"nats://me:secret@%zz"}})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

// Two relays can't share a folder.
func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	alone(t, dir)
	b, err := New(Config{Dir: dir, Log: testLog(t, "second")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(context.Background()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("second relay: %v", err)
	}
}

func TestWithdrawalsPersist(t *testing.T) {
	dir := t.TempDir()
	e := alone(t, dir)
	now := time.Now()
	list := []Withdrawal{{ID: "phone", Until: now.Add(time.Hour)}, {ID: "key:über.*", Until: now.Add(87600 * time.Hour)}, {ID: "gone", Until: now.Add(-time.Hour)}}
	e.withdraw(list...)
	e.withdraw(list...) // again, as after a lost answer
	e.withdraw(Withdrawal{All: now.Add(-time.Hour)}, Withdrawal{All: now.Add(-2 * time.Hour)})
	check := func(e *ear) {
		t.Helper()
		for id, want := range map[string]bool{"phone": true, "key:über.*": true, "gone": true, "other": false} {
			if got := e.member.Withdrawn(id, now); got != want {
				t.Errorf("%s withdrawn: %v", id, got)
			}
		}
		if !e.member.Withdrawn("x", now.Add(-time.Hour)) || !e.member.Withdrawn("x", time.Time{}) || e.member.Withdrawn("x", now) {
			t.Error("all that were made until an hour ago")
		}
	}
	check(e)
	if get(e, func() int { return e.reviews }) == 0 {
		t.Error("no review")
	}
	e.stop()
	check(alone(t, dir))
}

// The lease survives with its epoch, so that a relay that restarts hears no
// packets of before.
func TestEpochsPersist(t *testing.T) {
	dir := t.TempDir()
	e := alone(t, dir)
	first := e.mustClaim("laptop").Epoch()
	e.stop()
	e = alone(t, dir)
	if e.online() {
		t.Error("online after a restart")
	}
	if second := e.mustClaim("friend").Epoch(); second <= first {
		t.Errorf("epochs %d, %d", first, second)
	}
}

func TestExcess(t *testing.T) {
	begin := time.Now()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	all := map[string][]Seat{
		"a": {{1, "phone", 2, "", at(3)}, {2, "tablet", 1, "tab", at(1)}, {3, "phone", 2, "p", at(5)}},
		"b": {{1, "phone", 2, "", at(1)}, {2, "tablet", 1, "tab", at(9)}, {3, "desk", 1, "", at(2)}},
		"c": {{1, "phone", 2, "", at(3)}, {2, "desk", 1, "x", at(1)}, {9, "tablet", 1, "other", at(2)}},
	}
	for relay, want := range map[string][]uint64{
		"a": {3},    // phone: b/1 and a/1 stay; the tab has moved to b
		"b": {3},    // desk: c was first
		"c": {1, 9}, // phone: as old as a's, whose name comes first
	} {
		if got := excess(relay, all); !slices.Equal(got, want) {
			t.Errorf("too many at %s: %v, want %v", relay, got, want)
		}
	}
}
