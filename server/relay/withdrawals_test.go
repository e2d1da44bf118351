package relay

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// bucketHas returns what is stored of a token; the zero Withdrawal where nothing.
func (e *ear) bucketHas(id string) Withdrawal {
	e.t.Helper()
	w, _, err := e.bus.bucket.Load().withdrawal(context.Background(), keyWithdrawn+"song."+hash(id))
	if err != nil {
		return Withdrawal{}
	}
	return w
}

// An end that isn't ahead is none, and a later end replaces an earlier one.
func TestWithdrawnUntil(t *testing.T) {
	dir := t.TempDir()
	e := alone(t, dir)
	now := time.Now()
	e.withdraw(Withdrawal{ID: "none"}, Withdrawal{ID: "past", Until: now.Add(-2 * grace)}, Withdrawal{ID: "far", Until: now.Add(20 * tenYears)}, Withdrawal{ID: "soon", Until: now.Add(time.Hour)})
	e.withdraw(Withdrawal{ID: "soon", Until: now.Add(100 * time.Hour)})
	check := func(e *ear, now time.Time, want map[string]bool) {
		t.Helper()
		e.member.withdrawn.prune(now) // as it does each second
		for id, withdrawn := range want {
			if got := e.member.Withdrawn(id, now); got != withdrawn {
				t.Errorf("%s withdrawn: %v", id, got)
			}
		}
	}
	for range 2 {
		check(e, now.Add(time.Minute), map[string]bool{"none": true, "past": true, "far": true, "soon": true})
		if got := e.bucketHas("soon").Until; !got.Equal(now.Add(100 * time.Hour)) {
			t.Errorf("soon is stored until %v", got)
		}
		e.stop()
		e = alone(t, dir)
	}
	check(e, now.Add(100*time.Hour+grace-time.Minute), map[string]bool{"none": true, "past": true, "far": true, "soon": true})
	check(e, now.Add(100*time.Hour+grace+time.Minute), map[string]bool{"none": true, "past": true, "far": true, "soon": false})
	check(e, now.Add(tenYears+2*grace), map[string]bool{"none": false, "past": false, "far": false, "soon": false})
}

// What ends in the bucket before its time, as by a clock of NATS that was ahead, is
// stored again.
func TestWithdrawnExpiresEarly(t *testing.T) {
	e := alone(t, t.TempDir())
	ctx := context.Background()
	w := Withdrawal{ID: "x", Until: time.Now().Add(time.Hour)}
	key := keyWithdrawn + "song." + hash(w.ID)
	first, err := e.bus.bucket.Load().Create(ctx, key, encode(w), jetstream.KeyTTL(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "it counts", func() bool { return e.member.Withdrawn("x", time.Now()) })
	eventually(t, patience, "it is stored anew", func() bool {
		there, err := e.bus.bucket.Load().Get(ctx, key)
		return err == nil && there.Revision() > first && e.bucketHas("x").Until.Equal(w.Until)
	})
}

// A moment that is far ahead doesn't end the links of the time until then, even
// where it is stored already.
func TestWithdrawnInFuture(t *testing.T) {
	dir := t.TempDir()
	e := alone(t, dir)
	if _, err := e.bus.bucket.Load().Put(context.Background(), keyWithdrawn+"song.all", encode(Withdrawal{All: time.Now().Add(tenYears)})); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	eventually(t, patience, "all that was made is withdrawn", func() bool { return e.member.Withdrawn("x", now) })
	if e.member.Withdrawn("x", now.Add(time.Minute)) {
		t.Error("withdrawn before it was made")
	}
	all := time.Now()
	e.withdraw(Withdrawal{All: all}) // which replaces it
	e.stop()
	e = alone(t, dir)
	if !e.member.Withdrawn("x", all) || e.member.Withdrawn("x", all.Add(time.Second)) {
		t.Error("not what was withdrawn last")
	}
}

// A relay doesn't remember any number.
func TestWithdrawnTooMany(t *testing.T) {
	m := newMember(&Bus{}, Stream{Review: func() {}})
	var list []Withdrawal
	for i := range maxWithdrawn {
		list = append(list, Withdrawal{ID: fmt.Sprint(i), Until: time.Now().Add(time.Hour)})
	}
	for range 2 {
		if _, err := m.Withdraw(list); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Withdraw([]Withdrawal{{ID: "one more"}}); err == nil || m.Withdrawn("one more", time.Now()) {
		t.Errorf("one more: %v", err)
	}
	if _, err := m.Withdraw([]Withdrawal{{All: time.Now()}}); err != nil {
		t.Errorf("all: %v", err)
	}
}

// Who deletes the bucket brings nothing back to life: relays store it again.
func TestBucketDeleted(t *testing.T) {
	dir := t.TempDir()
	e := alone(t, dir)
	now := time.Now()
	e.withdraw(Withdrawal{ID: "phone", Until: now.Add(time.Hour)}, Withdrawal{All: now.Add(-time.Hour)})
	if err := e.bus.js.DeleteKeyValue(context.Background(), bucketName); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*patience, "it is stored again", func() bool { return e.bucketHas("phone").ID == "phone" })
	select {
	case <-e.member.withdrawn.stored():
	case <-time.After(patience):
		t.Fatal("not all is stored")
	}
	e.stop()
	e = alone(t, dir)
	if !e.member.Withdrawn("phone", now) || !e.member.Withdrawn("x", now.Add(-time.Hour)) || e.member.Withdrawn("x", now) {
		t.Error("not what was withdrawn")
	}
}

// What can't be stored just now is stored when it can be, though nobody asks again.
func TestStoredLater(t *testing.T) {
	e := alone(t, "")
	now := time.Now()
	bk := e.bus.bucket.Swap(nil) // as before it is found
	stored, err := e.member.Withdraw([]Withdrawal{{ID: "phone", Until: now.Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if !e.member.Withdrawn("phone", now) {
		t.Error("not withdrawn at once")
	}
	select {
	case <-stored:
		t.Fatal("stored, where nothing can be")
	case <-time.After(reportEvery / 2):
	}
	e.bus.bucket.Store(bk)
	select {
	case <-stored:
	case <-time.After(3 * reportEvery):
		t.Fatal("not tried again")
	}
	if got := e.bucketHas("phone").ID; got != "phone" {
		t.Errorf("stored is %q", got)
	}
}
