package capture

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"earshot/audio"
)

const (
	// apart is how far one recording may be ahead of another, and patient how
	// long it may be farther ahead, before the other counts as paused and is no
	// longer waited for. (After a stall all that one has comes first, and then all
	// that the other has.)
	apart   = 20 * time.Millisecond
	patient = 20 * time.Millisecond
	// filled is how far behind now silence is written while nothing plays, so
	// that sound that begins then is not late.
	filled = 20 * time.Millisecond
	// most is how much of one recording is kept at most.
	most = 200 * time.Millisecond
	// lookBack is how long sound is held back where a stream may go on being
	// recorded after it has moved to an output that is never shared: longer than
	// a server takes to tell of that.
	lookBack = 40 * time.Millisecond
)

// mixer mixes recordings of single streams into a ring. What writes into it is
// the reader of a connection; any goroutine may use it.
type mixer struct {
	mu     sync.Mutex
	inputs map[uint32]*input // by channel
	config Config
	ring   *audio.Ring     // nil: nothing goes out
	seq    uint64          // of the choice
	hold   time.Duration   // for how long sound is held back
	moves  map[uint32]bool // streams that may have moved since ask
	doubt  bool            // hold back all: a stream that is let in may have moved
	stamps stamps
	last   time.Duration // when sound last came, by the clock
	behind time.Duration // since when one recording is too far behind; 0 when none is
	sum    []float32
}

// input is a recording.
type input struct {
	stream uint32 // its index at the server
	pcm    []float32
	last   time.Duration // when some last came
	paused bool
}

func newMixer() *mixer { return &mixer{inputs: map[uint32]*input{}, moves: map[uint32]bool{}} }

// start lets sound out into ring, after it was held back for so long.
func (m *mixer) start(config Config, ring *audio.Ring, seq uint64, hold time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ring == nil {
		m.stamps = stamps{started: true, end: config.Clock() - hold - filled}
	}
	m.config, m.ring, m.seq, m.hold = config, ring, seq, hold
}

// moved says that a stream may have moved: if it is let in, what is held back
// stays so, until known says that all that is let in may go out. Of others nothing
// is heard: where many come and go, those play on.
func (m *mixer) moved(stream uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moves[stream] = true
	m.judge()
}

// judge doubts if any that is let in may have moved. mu is held.
func (m *mixer) judge() {
	for _, in := range m.inputs {
		m.doubt = m.doubt || m.hold > 0 && m.moves[in.stream]
	}
}

// ask says that the server is about to be asked where streams play.
func (m *mixer) ask() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.moves)
}

// known says that what is let in is right by what the server told after ask. Of a
// stream that may have moved since, that says nothing.
func (m *mixer) known() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubt = false
	m.judge()
}

// stop lets nothing out any more.
func (m *mixer) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ring = nil
	clear(m.inputs)
}

// open lets the sound of a channel in, which is a stream's.
func (m *mixer) open(channel, stream uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inputs[channel] = &input{stream: stream}
	m.judge()
}

// remove forgets a channel, and what came from it and is not out yet.
func (m *mixer) remove(channel uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.inputs, channel)
}

// heard returns when sound last came; 0 before the first.
func (m *mixer) heard() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// take takes what came from a channel: 32 bits float, little-endian, stereo.
func (m *mixer) take(channel uint32, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.inputs[channel]
	if in == nil || m.ring == nil {
		return
	}
	now := m.config.Clock()
	if in.paused {
		in.paused, in.pcm = false, in.pcm[:0] // what was held back is too late now
	}
	in.last, m.last = now, now
	const frame = 4 * audio.Channels
	for data = data[:len(data)/frame*frame]; len(data) > 0; data = data[4:] {
		in.pcm = append(in.pcm, math.Float32frombits(binary.LittleEndian.Uint32(data)))
	}
	if over := len(in.pcm) - audio.Samples(most)*audio.Channels; over > 0 {
		in.pcm = append(in.pcm[:0], in.pcm[over:]...)
	}
	m.flush(now)
}

// flush lets out what is complete: what all have brought that play.
func (m *mixer) flush(now time.Duration) {
	n := m.complete(now) - audio.Samples(m.hold)*audio.Channels
	if n <= 0 || m.doubt {
		return
	}
	m.sum = append(m.sum[:0], make([]float32, n)...)
	for _, in := range m.inputs {
		part := in.pcm[:min(n, len(in.pcm))]
		for i, x := range part {
			m.sum[i] += x
		}
		in.pcm = append(in.pcm[:0], in.pcm[len(part):]...)
	}
	for i, x := range m.sum {
		m.sum[i] = min(max(x, -1), 1)
	}
	m.write(m.stamps.next(n/audio.Channels, now-m.hold))
}

// complete returns how many samples all have brought that are not paused.
func (m *mixer) complete(now time.Duration) int {
	most := 0
	for _, in := range m.inputs {
		most = max(most, len(in.pcm))
	}
	least := most
	for _, in := range m.inputs {
		if !in.paused {
			least = min(least, len(in.pcm))
		}
	}
	enough := most - audio.Samples(apart)*audio.Channels
	switch {
	case least >= enough:
		m.behind = 0
	case m.behind == 0:
		m.behind = now
	case now-m.behind >= patient:
		m.behind = 0
		for _, in := range m.inputs {
			in.paused = in.paused || len(in.pcm) < enough
		}
		return m.complete(now)
	}
	return least
}

// fill writes silence where nothing plays, and returns when to call it again.
func (m *mixer) fill() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ring == nil {
		return lookEvery
	}
	now := m.config.Clock()
	patience := 2 * filled
	for _, in := range m.inputs {
		if now-in.last < most { // it will go on
			patience = most
		}
	}
	now -= m.hold
	if behind := now - m.stamps.end; behind < patience {
		return patience - behind
	}
	n := audio.Samples(now-filled-m.stamps.end) * audio.Channels
	m.sum = append(m.sum[:0], make([]float32, n)...)
	m.stamps.end = now - filled
	m.write(m.stamps.end)
	return filled
}

// write writes the sum, whose last sample was captured at end.
func (m *mixer) write(end time.Duration) {
	if m.config.current(m.seq) {
		m.ring.Write(m.sum, end)
	}
}
