package server

import (
	"sync/atomic"
	"testing"
	"time"
)

// When the computer's clock is set, links follow it, and who listens by one that
// is good stays, however far it was set. It is as after a long sleep.
func TestClockIsSet(t *testing.T) {
	var shift atomic.Int64
	r := start(t)
	r.tokens.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	short, long := r.token(time.Hour), r.token(30*24*time.Hour)
	ends, _ := r.listen(short, "")
	stays, _ := r.listen(long, "")

	shift.Store(int64(2 * time.Hour))
	if n := r.hub.Review(r.tokens.Good); n != 1 {
		t.Errorf("%d were ended, want the one whose link has ended", n)
	}
	if code := closeCode(t, ends); code != closeExpired {
		t.Errorf("close code %d", code)
	}
	if _, status := r.listen(short, ""); status != 401 {
		t.Errorf("a link that has ended gets %d", status)
	}

	shift.Store(int64(-24 * time.Hour))
	if n := r.hub.Review(r.tokens.Good); n != 0 {
		t.Errorf("%d were ended by a clock that was set back", n)
	}
	r.publish(1, 3)
	next(t, stays)
	// By this clock it was made tomorrow: nobody can have sent it yet.
	if _, status := r.listen(long, ""); status != 401 {
		t.Errorf("a link of the future gets %d", status)
	}
	shift.Store(0)
	if conn, _ := r.listen(short, ""); conn == nil {
		t.Error("the clock is right again, and the link not")
	}
}

// Who joins after the laptop slept hears nothing from before, however much sound
// they ask for at once.
func TestNothingFromBeforeASleep(t *testing.T) {
	r := start(t)
	for seq := range uint32(5) {
		r.publish(seq, 3)
	}
	for _, state := range []State{Live, Offline, Live} {
		if err := r.hub.SetState(state); err != nil {
			t.Fatal(err)
		}
	}
	conn, _ := r.listen(r.token(time.Hour), "?buffer=2000")
	r.publish(5, 3)
	if got := next(t, conn); got.Seq != 5 {
		t.Errorf("the first packet is %d, want 5", got.Seq)
	}
}
