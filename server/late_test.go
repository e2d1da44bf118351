package server

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
	"earshot/server/token"
)

// What of sound is taken: a packet each 20 ms, by its stamp, that comes after
// the delay given.
func TestLateness(t *testing.T) {
	const frame = 20 * time.Millisecond
	tests := []struct {
		name  string
		delay func(at time.Duration) time.Duration
		total time.Duration
		lost  [2]time.Duration // of the sound's time; from and to
	}{
		{"steady", func(time.Duration) time.Duration { return time.Second / 10 }, time.Minute, [2]time.Duration{}},
		{"jitter", func(at time.Duration) time.Duration { return at * 7 % (900 * time.Millisecond) }, time.Minute, [2]time.Duration{}},
		{"a clock that is slow", func(at time.Duration) time.Duration { return at / 2500 }, 24 * time.Hour, [2]time.Duration{}},
		{"a clock that is fast", func(at time.Duration) time.Duration { return -at / 2500 }, 24 * time.Hour, [2]time.Duration{}},
		{"a stall from 10 s to 20 s", func(at time.Duration) time.Duration {
			if at < 10*time.Second || at >= 20*time.Second {
				return 0
			}
			return 20*time.Second - at
		}, time.Minute, [2]time.Duration{10 * time.Second, 19 * time.Second}},
		{"a pause of 10 s that stamps don't know of", func(at time.Duration) time.Duration {
			if at < 10*time.Second {
				return 0
			}
			return 10 * time.Second
		}, time.Minute, [2]time.Duration{10 * time.Second, 10*time.Second + latePatience}},
		// From then on, so that is how it is.
		{"a clock set back by an hour at 10 s", func(at time.Duration) time.Duration {
			if at < 10*time.Second {
				return 0
			}
			return time.Hour
		}, time.Minute, [2]time.Duration{10 * time.Second, 10*time.Second + latePatience}},
		{"a clock set ahead", func(at time.Duration) time.Duration {
			if at < 10*time.Second {
				return 0
			}
			return -time.Hour
		}, time.Minute, [2]time.Duration{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l lateness
			for at := time.Duration(0); at < tt.total; at += frame {
				late := l.late(24*time.Hour+at+tt.delay(at), at)
				// The clock's leak lets through a little more.
				if want := at >= tt.lost[0] && at < tt.lost[1]; late != want &&
					(at-tt.lost[1]).Abs() > 2*frame && (at-tt.lost[0]).Abs() > 2*frame {
					t.Fatalf("at %v: late is %v", at, late)
				}
			}
		})
	}
}

// After a stall what was held up on the way is dropped, and counted, but for its
// last second; then sound goes on.
func TestBacklog(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{})
	p := r.publisher(0)
	send := func(seq uint32, at time.Duration) {
		t.Helper()
		message := audio.AppendMessage(nil, audio.Packet{Seq: seq, At: at, Data: []byte{0xfc}})
		if err := p.WriteMessage(websocket.BinaryMessage, message); err != nil {
			t.Fatal(err)
		}
	}
	send(1, time.Hour)
	if got := heard(t, listener, nil); got.At != time.Hour {
		t.Fatalf("%+v", got)
	}
	for n := range uint32(100) { // 10 s
		send(2+n, time.Hour-time.Duration(100-n)*100*time.Millisecond)
	}
	send(102, time.Hour)
	taken := 0
	for {
		got := heard(t, listener, nil)
		if got.At == time.Hour {
			break
		}
		if got.At < time.Hour-tooLate-deadline/10 {
			t.Errorf("a packet that is %v late", time.Hour-got.At)
		}
		taken++
	}
	if taken < 5 || taken > 15 {
		t.Errorf("%d packets of the backlog", taken)
	}
	if stats := r.srv.Stats()[0]; stats.Late != uint64(100-taken) || stats.Late == 0 {
		t.Errorf("late: %d of 100, %d were taken", stats.Late, taken)
	}
}
