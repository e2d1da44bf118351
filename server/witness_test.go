//go:build !windows

package server

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// stream publishes a packet of so many bytes every 20 ms until the test ends.
// Stamps are of the clock that it returns.
func (r *rig) stream(size int) audio.Clock { return r.streamEvery(20*time.Millisecond, size) }

func (r *rig) streamEvery(d time.Duration, size int) audio.Clock {
	clock := audio.NewClock()
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for seq := uint32(0); ; seq++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				r.hub.Publish(audio.Packet{Seq: seq, At: clock(), Data: make([]byte, size)})
			}
		}
	})
	r.t.Cleanup(func() { close(stop); done.Wait() })
	return clock
}

// witness is a listener who hears all, whatever others do. Its worst is how long
// a packet took to it, at most.
type witness struct {
	t     testing.TB
	clock audio.Clock

	mu     sync.Mutex
	heard  int
	next   uint32
	missed int
	worst  time.Duration
	last   time.Time
	err    error
}

// watch makes a witness of a connection.
func watch(t testing.TB, conn *websocket.Conn, clock audio.Clock) *witness {
	w := &witness{t: t, clock: clock}
	_ = conn.SetReadDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			kind, message, err := conn.ReadMessage()
			w.mu.Lock()
			if err != nil {
				w.err = err
				w.mu.Unlock()
				return
			}
			if packets, err := audio.ParseMessage(message); kind == websocket.BinaryMessage && err == nil {
				for _, p := range packets {
					if w.heard > 0 {
						w.missed += int(p.Seq - w.next)
					}
					w.heard, w.next, w.last = w.heard+1, p.Seq+1, time.Now()
					w.worst = max(w.worst, clock()-p.At)
				}
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return w
}

// check tells whether the witness has heard everything so far, without a gap that
// a player would hear on a computer that is as busy as one that runs tests.
func (w *witness) check() {
	w.t.Helper()
	const most = time.Second
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.missed > 0 || w.worst > most || w.heard == 0 || time.Since(w.last) > most {
		w.t.Errorf("the witness heard %d packets, missed %d, the latest after %v, the last %v ago, %v", w.heard, w.missed, w.worst, time.Since(w.last), w.err)
	}
	w.t.Logf("the witness heard %d packets, each within %v", w.heard, w.worst)
}

// held is how many bytes this process has in its heap and stacks.
func held() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
