package server

import (
	"runtime"
	"sync"
	"time"
)

const (
	// turn is after how many listeners a writer lets others run: who captures
	// and who is live shall not wait until a second of radio is with everybody.
	turn = 16
	// bundled is how many messages a writer may send at once to somebody.
	bundled = 32
)

// writer sends a lane's messages to a part of its listeners: one goroutine for
// many sockets, since to wake one for each listener and packet costs nearly as
// much again as the packet. It waits for no socket: where one takes nothing, the
// listener's own goroutine goes on, and waits.
type writer struct {
	lane *lane
	wake chan struct{} // capacity 1: there may be something to send

	mu      sync.Mutex // guards the rest
	joined  []place    // since the last pass
	running bool
}

// place is a listener in a writer's list; it is good while the listener has the
// same number.
type place struct {
	listener *listener
	number   uint64
}

func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// add makes it send to l until l's place is another. What is in the lane already
// is sent after the next message only, or when it is poked.
func (w *writer) add(l *listener, number uint64, running *sync.WaitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.joined = append(w.joined, place{l, number})
	if !w.running {
		w.running = true
		running.Go(w.run)
	}
}

// run sends until it has no listeners any more.
func (w *writer) run() {
	var all []place
	var b bundle
	seen := w.lane.next.Load() // messages of before are no measure of the load
	for {
		<-w.wake
		w.mu.Lock()
		all = append(all, w.joined...)
		clear(w.joined)
		w.joined = w.joined[:0]
		w.mu.Unlock()

		first := w.lane.slot(seen).Load()
		next := w.lane.next.Load()
		now := time.Now()
		kept := all[:0]
		for i, p := range all {
			if p.listener.place.Load() != p.number {
				continue
			}
			kept = append(kept, p)
			if !p.listener.try(now, w, &b) {
				p.listener.poke()
			}
			if i%turn == turn-1 {
				runtime.Gosched()
			}
		}
		clear(all[len(kept):])
		all = kept
		if seen < next && first != nil && first.number == seen {
			w.lane.pressure.note(w.lane, time.Since(first.published), time.Now(), all)
		}
		seen = next

		w.mu.Lock()
		w.running = len(all) > 0 || len(w.joined) > 0
		if !w.running {
			w.joined = nil
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// bundle is the frames of several messages, one after the other, which a
// writer makes once for all who are as far behind.
type bundle struct {
	from, to uint64 // messages
	frames   []byte
	size     int    // bytes in the messages
	end      uint64 // the packet after their last
}

// fill makes it hold the messages from one number to before another, and tells
// whether they are all there.
func (b *bundle) fill(l *lane, from, to uint64) bool {
	if b.from == from && b.to == to {
		return true
	}
	fresh := bundle{from: from, to: to}
	for n := from; n < to; n++ {
		m := l.slot(n).Load()
		if m.number != n {
			return false // gone already
		}
		if to-from == 1 {
			fresh.frames = m.frame
		} else {
			fresh.frames = append(fresh.frames, m.frame...) // anew: somebody may still have some of the former to write
		}
		fresh.size += len(m.body)
		fresh.end = m.end
	}
	*b = fresh
	return true
}
