package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"earshot/audio"
	"earshot/server/relay/relaytest"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// eventually waits until f is true.
func eventually(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// ear is a relay as a test sees it: what its one stream heard, and who listens.
type ear struct {
	t      testing.TB
	bus    *Bus
	member *Member
	stop   func() // ends it and waits

	mu      sync.Mutex
	report  Report
	heard   []heard
	state   State
	wanted  bool
	others  []Report
	kicked  []uint64
	excess  []uint64
	reviews int
}

// heard is a packet.
type heard struct {
	epoch uint64
	seq   uint32
	at    time.Time
	after time.Duration // its capture
}

func testLog(t testing.TB, name string) *slog.Logger {
	if os.Getenv("EARSHOT_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("relay", name, "test", t.Name())
}

// newEar starts a relay with the stream "song".
func newEar(t testing.TB, c Config) *ear {
	t.Helper()
	c.Log = testLog(t, c.Name)
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{t: t, bus: b}
	e.member, err = b.Join(Stream{
		Name: "song",
		Sound: func(epoch uint64, packets []audio.Packet) {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, p := range packets {
				if n := len(e.heard); n > 0 {
					last := e.heard[n-1]
					if epoch < last.epoch || epoch == last.epoch && p.Seq <= last.seq {
						t.Errorf("%s heard %d of epoch %d after %d of %d", b.Name(), p.Seq, epoch, last.seq, last.epoch)
					}
				}
				e.heard = append(e.heard, heard{epoch, p.Seq, time.Now(), testClock() - p.At})
			}
		},
		State:  func(s State) { e.mu.Lock(); defer e.mu.Unlock(); e.state = s },
		Wanted: func(w bool) { e.mu.Lock(); defer e.mu.Unlock(); e.wanted = w },
		Others: func(o []Report) { e.mu.Lock(); defer e.mu.Unlock(); e.others = o },
		Kick:   func(id uint64) { e.mu.Lock(); defer e.mu.Unlock(); e.kicked = append(e.kicked, id) },
		Excess: func(id uint64) {
			e.mu.Lock()
			defer e.mu.Unlock()
			if !slices.Contains(e.excess, id) {
				e.excess = append(e.excess, id)
			}
			e.report.Seats = slices.DeleteFunc(slices.Clone(e.report.Seats), func(s Seat) bool { return s.Listener == id })
			e.report.Count = len(e.report.Seats)
			e.member.Changed()
		},
		Review: func() { e.mu.Lock(); defer e.mu.Unlock(); e.reviews++ },
		Report: func() Report { e.mu.Lock(); defer e.mu.Unlock(); return e.report },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run %s: %v", b.Name(), err)
			}
		case <-time.After(patience):
			t.Errorf("%s does not stop", b.Name())
		}
	})
	t.Cleanup(e.stop)
	return e
}

// listen says how many listen at this relay.
func (e *ear) listen(n int) {
	e.mu.Lock()
	e.report.Count = n
	e.report.Listeners, _ = json.Marshal(n)
	e.mu.Unlock()
	e.member.Changed()
}

// withdraw withdraws, and waits until that is stored.
func (e *ear) withdraw(list ...Withdrawal) {
	e.t.Helper()
	stored, err := e.member.Withdraw(list)
	if err != nil {
		e.t.Fatal(err)
	}
	select {
	case <-stored:
	case <-time.After(patience):
		e.t.Fatal("what is withdrawn is not stored")
	}
}

// get reads something of e.
func get[T any](e *ear, f func() T) T {
	e.mu.Lock()
	defer e.mu.Unlock()
	return f()
}

func (e *ear) online() bool { return get(e, func() bool { return e.state.Online }) }

func (e *ear) last() heard {
	return get(e, func() heard {
		if len(e.heard) == 0 {
			return heard{}
		}
		return e.heard[len(e.heard)-1]
	})
}

// claim claims for an identity.
func (e *ear) claim(identity string) (*Lease, error) {
	return e.member.Claim(context.Background(), Claim{
		Identity: identity,
		About:    json.RawMessage(`{"title":"` + identity + `"}`),
		Clock:    testClock,
	})
}

// testClock is every publisher's.
var testClock = func() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) + time.Hour }
}()

func (e *ear) mustClaim(identity string) *Lease {
	e.t.Helper()
	l, err := e.claim(identity)
	if err != nil {
		e.t.Fatalf("claim at %s: %v", e.bus.Name(), err)
	}
	return l
}

// song is one message of one packet.
func song(seq uint32) []byte {
	return audio.AppendMessage(nil, audio.Packet{Seq: seq, At: testClock(), Data: []byte{0xfc, 1, 2, 3}})
}

// play publishes a packet each 20 ms until it is told to stop, or the lease ends.
func play(l *Lease, from uint32) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for seq := from; ; seq++ {
			select {
			case <-quit:
				return
			case <-l.Done():
				return
			case <-tick.C:
				_ = l.Publish(song(seq))
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

// ears starts a relay for each node, which comes first in its list.
func startEars(t testing.TB, c *relaytest.Cluster) []*ear {
	t.Helper()
	var ears []*ear
	for i := range c.Nodes {
		var urls []string
		for j := range c.Nodes {
			urls = append(urls, c.Nodes[(i+j)%len(c.Nodes)].URL())
		}
		ears = append(ears, newEar(t, Config{Name: fmt.Sprintf("r%d", i), URLs: urls}))
	}
	for _, e := range ears {
		eventually(t, 2*patience, e.bus.Name()+" has the bucket", e.bus.Admits)
	}
	return ears
}
