package nettest

import (
	"container/heap"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// lane is one direction of a link.
type lane struct {
	from, to *os.File
	packets  chan packet

	mu         sync.Mutex // guards the rest
	conditions Conditions
	random     *rand.Rand
	last       time.Time // when the last packet is due
	sent, lost int
}

// queue is how many packets wait to be sorted; those in flight don't count.
const queue = 4096

func newLane(from, to *os.File, c Conditions, random *rand.Rand) *lane {
	return &lane{from: from, to: to, packets: make(chan packet, queue), conditions: c, random: random}
}

func (l *lane) set(c Conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions = c
}

// read takes packets until the device is closed.
func (l *lane) read() {
	buf := make([]byte, 1<<16)
	for {
		n, err := l.from.Read(buf)
		if err != nil {
			return
		}
		// IPv6 has its own talk that nobody here asked for.
		if n == 0 || buf[0]>>4 != 4 {
			continue
		}
		due, ok := l.judge(time.Now())
		if !ok {
			continue
		}
		select {
		case l.packets <- packet{append([]byte(nil), buf[:n]...), due}:
		default: // as a router whose queue is full
			l.mu.Lock()
			l.lost++
			l.mu.Unlock()
		}
	}
}

// judge says when a packet that came now is due, if ever.
func (l *lane) judge(now time.Time) (due time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conditions
	l.sent++
	// Both drawn for each packet, whatever the conditions.
	chance, shift := l.random.Float64(), 2*l.random.Float64()-1
	if chance < c.Loss {
		l.lost++
		return time.Time{}, false
	}
	due = now.Add(c.Delay + time.Duration(shift*float64(c.Jitter)))
	if !c.Reorder && !due.After(l.last) {
		due = l.last.Add(1) // a time of its own keeps its place
	}
	l.last = due
	return due, true
}

// write hands packets over when they are due.
func (l *lane) write(stop <-chan struct{}) {
	var flying flight
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if len(flying) > 0 {
			wait = time.Until(flying[0].due)
		}
		if wait <= 0 {
			// An interface that is down loses packets, too.
			_, _ = l.to.Write(heap.Pop(&flying).(packet).data)
			continue
		}
		timer.Reset(wait)
		select {
		case p := <-l.packets:
			heap.Push(&flying, p)
		case <-timer.C:
		case <-stop:
			return
		}
	}
}

// packet is an IP packet on its way.
type packet struct {
	data []byte
	due  time.Time
}

// flight is a heap of packets, the next due first.
type flight []packet

func (f flight) Len() int           { return len(f) }
func (f flight) Less(i, j int) bool { return f[i].due.Before(f[j].due) }
func (f flight) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)        { *f = append(*f, x.(packet)) }
func (f *flight) Pop() any {
	last := len(*f) - 1
	p := (*f)[last]
	*f = (*f)[:last]
	return p
}
