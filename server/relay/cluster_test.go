package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"earshot/server/relay/relaytest"
)

// gap returns the longest time without sound since the given moment, and logs
// when that was.
func (e *ear) gap(since time.Time) time.Duration {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	longest, last, begin := time.Duration(0), since, since
	look := func(at time.Time) {
		if at.Sub(last) > longest {
			longest, begin = at.Sub(last), last
		}
		last = at
	}
	for _, h := range e.heard {
		if h.at.After(since) {
			look(h.at)
		}
	}
	look(time.Now())
	e.t.Logf("%s: at most %v without sound, %v after that", e.bus.Name(), longest, begin.Sub(since))
	return longest
}

// hearing waits until e hears what is published now.
func (e *ear) hearing(within time.Duration) {
	e.t.Helper()
	begin := time.Now()
	eventually(e.t, within, e.bus.Name()+" hears", func() bool { return e.last().at.After(begin) })
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	l := ears[0].mustClaim("laptop")
	for _, e := range ears {
		eventually(t, patience, e.bus.Name()+" knows of the publisher", e.online)
	}
	defer play(l, 1)()

	// Nobody listens: nothing is sent.
	if l.wanted.Load() || get(ears[0], func() bool { return ears[0].wanted }) {
		t.Error("wanted, and nobody listens")
	}
	ears[1].listen(1)
	ears[2].listen(2)
	for _, e := range ears[1:] {
		eventually(t, patience, e.bus.Name()+" hears", func() bool { return e.last().epoch == l.Epoch() })
		// The quickest of the first answers is right, however busy this computer is.
		eventually(t, patience, "the clock is right", func() bool {
			at, ok := e.member.Clock()
			return ok && (at-testClock()).Abs() < 100*time.Millisecond
		})
	}
	if !get(ears[0], func() bool { return ears[0].wanted }) {
		t.Error("not wanted")
	}
	counts := func() []int {
		return get(ears[0], func() []int {
			var counts []int
			for _, r := range ears[0].others {
				counts = append(counts, r.Count)
			}
			slices.Sort(counts)
			return counts
		})
	}
	eventually(t, patience, "the owner sees who listens", func() bool { return slices.Equal(counts(), []int{1, 2}) })

	if _, err := ears[2].claim("thief"); !errors.Is(err, ErrTaken) {
		t.Errorf("claim of another: %v", err)
	}
	l.Kick("r1", 5)
	eventually(t, time.Second, "kicked", func() bool { return slices.Equal(get(ears[1], func() []uint64 { return ears[1].kicked }), []uint64{5}) })
	if get(ears[2], func() []uint64 { return ears[2].kicked }) != nil {
		t.Error("kicked on another relay")
	}
	if err := l.Tell(json.RawMessage(`{"state":"paused"}`)); err != nil {
		t.Fatal(err)
	}
	for _, e := range ears {
		eventually(t, time.Second, "the state", func() bool { return string(get(e, func() State { return e.state }).About) == `{"state":"paused"}` })
	}

	// The laptop comes to another relay.
	again := ears[1].mustClaim("laptop")
	select {
	case <-l.Done():
	case <-time.After(2 * time.Second):
		t.Fatal("the old lease goes on")
	}
	if !errors.Is(l.Err(), ErrReplaced) {
		t.Errorf("old lease: %v", l.Err())
	}
	defer play(again, 1)()
	eventually(t, 2*time.Second, "sound from the other relay", func() bool { return ears[2].last().epoch == again.Epoch() })
	// A relay that stood still wakes and sends what it had: newEar would tell.
	ears[0].bus.publish(subject("song", toSound), envelope(kindSound, l.Epoch(), song(1<<20)))
	eventually(t, patience, "an earlier epoch is dropped", func() bool { return ears[2].bus.Status().Stale > 0 })
	again.Release()
	for _, e := range ears {
		eventually(t, time.Second, "offline", func() bool { return !e.online() })
	}
}

// The publisher's relay is gone without a word; NATS is well.
func TestRelayDies(t *testing.T) {
	t.Parallel()
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	ears[1].listen(1)
	ears[2].listen(1)
	l := ears[0].mustClaim("laptop")
	defer play(l, 1)()
	ears[2].hearing(patience)
	ears[0].bus.nc.Opts.AllowReconnect = false // it says goodbye to nobody
	ears[0].bus.nc.Close()
	died := time.Now()
	next := ears[1].mustClaim("laptop")
	defer play(next, 1)()
	eventually(t, 2*time.Second, "sound again", func() bool { return ears[2].last().epoch == next.Epoch() })
	t.Logf("%v to the next sound", time.Since(died))
}

// A server dies, whichever it is; the publisher's own and the leader among them.
func TestServerDies(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := relaytest.NewCluster(t)
			ears := startEars(t, c)
			ears[1].listen(1)
			ears[2].listen(1)
			l := ears[0].mustClaim("laptop")
			defer play(l, 1)()
			ears[1].hearing(patience)
			ears[2].hearing(patience)
			died := time.Now()
			c.Nodes[i].Kill()

			time.Sleep(leaseFor + time.Second) // what isn't renewed is lost by then
			for _, e := range ears[1:] {
				if gap := e.gap(died); gap > 3*time.Second {
					t.Errorf("%s: %v without sound", e.bus.Name(), gap)
				}
			}
			if l.Err() != nil {
				t.Errorf("the lease is lost: %v", l.Err())
			}
			for _, e := range ears {
				if !e.bus.Admits() {
					t.Errorf("%s admits nobody", e.bus.Name())
				}
			}
			begin := time.Now()
			ears[1].withdraw(Withdrawal{ID: "phone", Until: begin.Add(time.Hour)})
			eventually(t, time.Second, "withdrawn everywhere", func() bool { return ears[2].member.Withdrawn("phone", begin) })
			l.Release()
			// The server that answers may be behind for a moment.
			eventually(t, time.Second, "another gets the stream", func() bool { _, err := ears[2].claim("friend"); return err == nil })
		})
	}
}

// The way between two servers is cut, and whole again.
func TestCableCut(t *testing.T) {
	t.Parallel()
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	ears[1].listen(1)
	ears[2].listen(1)
	l := ears[0].mustClaim("laptop")
	defer play(l, 1)()
	ears[1].hearing(patience)
	ears[2].hearing(patience)
	cut := time.Now()
	for _, way := range c.Ways(0, 1) {
		way.Cut()
	}
	time.Sleep(leaseFor + 3*time.Second) // a lease that isn't renewed is lost by then
	for _, e := range ears[1:] {
		if gap := e.gap(cut); gap > 10*time.Second {
			t.Errorf("%s: %v without sound", e.bus.Name(), gap)
		}
	}
	for _, way := range c.Ways(0, 1) {
		way.Heal()
	}
	healed := time.Now()
	time.Sleep(3 * time.Second) // the servers find each other again
	ears[1].hearing(patience)
	ears[2].hearing(patience)
	if l.Err() != nil {
		t.Errorf("lease: %v", l.Err())
	}
	for _, e := range ears[1:] {
		if gap := e.gap(healed); gap > 3*time.Second {
			t.Errorf("%s: %v without sound", e.bus.Name(), gap)
		}
	}
}

// Two laptops race for the stream: never both have it.
func TestRace(t *testing.T) {
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range 1000 {
		at := random.Perm(3)[:2] // relays
		if i%5 == 0 {
			at[1] = at[0]
		}
		delay := time.Duration(random.IntN(3000)) * time.Microsecond
		leases := make([]*Lease, 2)
		var wg sync.WaitGroup
		for k := range 2 {
			wg.Go(func() {
				if k == 1 {
					time.Sleep(delay)
				}
				l, err := ears[at[k]].claim(fmt.Sprintf("laptop %d", k))
				if err == nil {
					leases[k] = l
				} else if !errors.Is(err, ErrTaken) {
					t.Errorf("race %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		switch {
		case leases[0] != nil && leases[1] != nil:
			t.Fatalf("race %d at %v: both have it, epochs %d and %d", i, at, leases[0].Epoch(), leases[1].Epoch())
		case leases[0] == nil && leases[1] == nil:
			t.Errorf("race %d at %v: nobody has it", i, at)
		}
		for _, l := range leases {
			if l != nil {
				l.Release()
			}
		}
	}
}

// More listen with one link than it is for, on all relays together.
func TestSeatsAcrossRelays(t *testing.T) {
	t.Parallel()
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	begin := time.Now()
	for i, e := range ears {
		var list []Seat
		for id := range uint64(3) {
			list = append(list, Seat{Listener: id, Link: "phone", Most: 4, Since: begin.Add(time.Duration(id)*time.Minute + time.Duration(i)*time.Second)})
		}
		e.mu.Lock()
		e.report = Report{Count: len(list), Seats: list}
		e.mu.Unlock()
		e.member.Changed()
	}
	left := func() (n []int) {
		for _, e := range ears {
			n = append(n, get(e, func() int { return len(e.report.Seats) }))
		}
		return n
	}
	eventually(t, 2*time.Second, "four are left, the oldest", func() bool { return slices.Equal(left(), []int{2, 1, 1}) })
	// A relay may have more seats than one message has room for.
	ears[0].mu.Lock()
	for id := range uint64(3 * seatsPart) {
		ears[0].report.Seats = append(ears[0].report.Seats, Seat{Listener: 100 + id, Link: fmt.Sprint("other ", id), Most: 1, Since: begin})
	}
	ears[0].mu.Unlock()
	ears[0].member.Changed()
	eventually(t, 2*time.Second, "all seats are known", func() bool {
		m := ears[1].member
		m.mu.Lock()
		defer m.mu.Unlock()
		n := 0
		for key, r := range m.seats {
			if key.relay == "r0" {
				n += len(r.Seats)
			}
		}
		return n == 2+3*seatsPart
	})
	ears[0].mu.Lock()
	ears[0].report.Seats = ears[0].report.Seats[:2]
	ears[0].mu.Unlock()
	time.Sleep(1500 * time.Millisecond) // nobody more must go
	if got := left(); !slices.Equal(got, []int{2, 1, 1}) {
		t.Errorf("left %v", got)
	}
}

func TestWithdrawalsReachAll(t *testing.T) {
	t.Parallel()
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	begin := time.Now()
	ears[0].withdraw(Withdrawal{ID: "phone", Until: begin.Add(time.Hour)})
	for _, e := range ears {
		eventually(t, time.Second-time.Since(begin), "withdrawn at "+e.bus.Name(), func() bool { return e.member.Withdrawn("phone", begin) })
	}
	late := newEar(t, Config{Name: "late", URLs: []string{c.Nodes[2].URL()}})
	eventually(t, patience, "the late one admits", late.bus.Admits)
	if !late.member.Withdrawn("phone", begin) {
		t.Error("one that starts later admits and doesn't know")
	}
	// All servers gone: after 15 s nobody new is admitted.
	for _, n := range c.Nodes {
		n.Kill()
	}
	died := time.Now()
	eventually(t, patience, "nobody admits", func() bool {
		return !slices.ContainsFunc(ears, func(e *ear) bool { return e.bus.Admits() })
	})
	if took := time.Since(died); took > cutOff+time.Second/2 || took < cutOff-beatEvery-2*time.Second {
		t.Errorf("admitted for %v", took)
	}
	// A withdrawal applies here nevertheless, and is stored when that can be.
	stored, err := ears[0].member.Withdraw([]Withdrawal{{ID: "tablet", Until: begin.Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if !ears[0].member.Withdrawn("tablet", begin) {
		t.Error("not withdrawn here")
	}
	if _, err := ears[0].claim("laptop"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("claim: %v", err)
	}
	select {
	case <-stored:
		t.Error("confirmed without a server")
	default:
	}
	for _, n := range c.Nodes {
		n.Begin()
	}
	for _, e := range ears {
		eventually(t, 2*patience, "admits again", e.bus.Admits)
	}
	select {
	case <-stored:
	case <-time.After(patience):
		t.Error("not stored in the end")
	}
	for _, e := range ears {
		eventually(t, time.Second, "withdrawn at "+e.bus.Name(), func() bool { return e.member.Withdrawn("phone", begin) && e.member.Withdrawn("tablet", begin) })
	}
}
