package server

import (
	"encoding/json"
	"testing"
	"time"
)

// busyRig is a server whose writers take as long as the test says.
type busyRig struct {
	*rig
	now time.Time
}

// pass lets time go by, in which each message of the live lane takes so long to
// be with everybody.
func (r *busyRig) pass(t time.Duration, took time.Duration) {
	for range t / (20 * time.Millisecond) {
		r.now = r.now.Add(20 * time.Millisecond)
		r.hub.mu.Lock()
		var all []place
		for _, l := range r.hub.listeners {
			if l.lane.Load() == r.hub.live {
				all = append(all, place{l, l.place.Load()})
			}
		}
		r.hub.mu.Unlock()
		r.hub.pressure.note(r.hub.live, took, r.now, all)
	}
}

// until reads until a text message of this type, and takes the sound before.
func (l *lanes) until(kind string) laneMessage {
	l.t.Helper()
	for {
		_, msg, err := l.conn.ReadMessage()
		if err != nil {
			l.t.Fatalf("no %q: %v", kind, err)
		}
		var m laneMessage
		if json.Unmarshal(msg, &m) == nil && m.Type == kind {
			return m
		}
	}
}

// Where the writers can't keep up, listeners are asked to take longer messages,
// and are moved when they agree; when there is little to do, they come back.
// Who chose a lane is left there, and so is who doesn't answer.
func TestPressure(t *testing.T) {
	r := &busyRig{start(t), time.Now()}
	lane := func(i int) Listener { return r.hub.Listeners()[i] }
	// in waits until a listener is in a lane, while sound comes.
	seq := uint32(0)
	in := func(i int, want Lane, why Why) {
		t.Helper()
		waitFor(t, "a listener is in "+string(want), func() bool {
			r.publish(seq, 3)
			seq++
			return lane(i).Lane == want && lane(i).Why == why
		})
	}
	radio := &lanes{t: t, conn: r.join("/listen?lane=radio")}
	in(0, RadioLane, Chosen)
	willing := &lanes{t: t, conn: r.join("/listen")}
	old := &lanes{t: t, conn: r.join("/listen")}
	waitFor(t, "both are in the live lane", func() bool {
		r.publish(seq, 3)
		seq++
		return lane(1).Sent > 0 && lane(2).Sent > 0
	})

	// A busy moment, and a load that is still borne, are nothing.
	r.pass(200*time.Millisecond, 60*time.Millisecond)
	r.pass(5*time.Second, 30*time.Millisecond)
	r.pass(100*time.Millisecond, 100*time.Millisecond)
	if n := r.asked(); n != 0 {
		t.Fatalf("%d are asked to go", n)
	}

	r.pass(2*time.Second, 80*time.Millisecond)
	for _, l := range []*lanes{old, willing} {
		if m := l.until("move"); m.Lane != BalancedLane || m.Length != 100 {
			t.Errorf("asked for %+v", m)
		}
	}
	if lane(1).Lane != LiveLane || lane(1).Why != "" {
		t.Error("moved before it agreed")
	}
	willing.ask(BalancedLane)
	in(1, BalancedLane, Busy)
	willing.until("lane")

	// It comes back after a while of calm, not before.
	r.pass(calm/2, 5*time.Millisecond)
	r.pass(time.Second, 30*time.Millisecond)
	r.pass(calm-time.Second, 14*time.Millisecond)
	if r.asked() > 1 { // old is, for ever
		t.Error("asked back too soon")
	}
	r.pass(5*time.Second, 14*time.Millisecond)
	if m := willing.until("move"); m.Lane != LiveLane || m.Length != 20 {
		t.Errorf("asked back to %+v", m)
	}
	willing.ask(LiveLane)
	in(1, LiveLane, "")

	// That was too soon: next time it takes twice as long.
	r.pass(3*time.Second, 80*time.Millisecond)
	willing.until("move")
	willing.ask(BalancedLane)
	in(1, BalancedLane, Busy)
	r.pass(calm+5*time.Second, 5*time.Millisecond)
	if r.asked() > 1 { // old is, for ever
		t.Error("asked back as soon as the first time")
	}
	r.pass(calm, 5*time.Millisecond)
	willing.until("move")

	// Who then chooses is left alone.
	willing.ask(RadioLane)
	in(1, RadioLane, Chosen)
	r.pass(3*time.Second, 80*time.Millisecond)
	r.pass(10*calm, 5*time.Millisecond)
	if r.asked() > 1 {
		t.Error("one who chose is asked to go")
	}
	if lane(2).Lane != LiveLane {
		t.Error("moved without its word")
	}
	_ = radio
}

// Listeners are asked one after the other, a few in a second.
func TestPressureIsSlow(t *testing.T) {
	r := &busyRig{start(t), time.Now()}
	for range 30 {
		r.join("/listen")
	}
	waitFor(t, "all are with a writer", func() bool {
		r.hub.mu.Lock()
		defer r.hub.mu.Unlock()
		for _, l := range r.hub.listeners {
			if l.place.Load() == 0 {
				return false
			}
		}
		return true
	})
	r.pass(500*time.Millisecond, 100*time.Millisecond) // to be believed
	before := r.asked()
	r.pass(time.Second, 100*time.Millisecond)
	if n := r.asked() - before; n < 5 || n > 11 {
		t.Errorf("%d were asked in a second", n)
	}
}

// asked is how many are asked to go and have not agreed.
func (r *busyRig) asked() (n int) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	for _, l := range r.hub.listeners {
		if l.offered.Load() != nil {
			n++
		}
	}
	return n
}
