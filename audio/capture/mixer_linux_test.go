package capture

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"earshot/audio"
)

// bench is a mixer whose clock the test moves.
type bench struct {
	*mixer
	now  time.Duration
	ring *audio.Ring
	next [3]int // sample of each channel's
}

func newBench(hold time.Duration, channels ...uint32) *bench {
	b := &bench{mixer: newMixer(), ring: audio.NewRing(), now: time.Second}
	b.start(Config{Clock: func() time.Duration { return b.now }}, b.ring, 0, hold)
	for _, c := range channels {
		b.open(c, 10+c)
	}
	return b
}

// bring brings 10 ms of a ramp that all channels have in common: n/2^20 in each
// channel's sample n.
func (b *bench) bring(channels ...uint32) {
	for _, c := range channels {
		var data []byte
		for range period {
			x := math.Float32bits(float32(b.next[c]) / (1 << 20))
			data = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(data, x), x)
			b.next[c]++
		}
		b.take(c, data)
	}
}

// out returns what came out, of the left channel.
func (b *bench) out() []float32 {
	var all []float32
	pcm := make([]float32, audio.Channels)
	for {
		if _, ok := b.ring.Read(pcm); !ok {
			return all
		}
		all = append(all, pcm[0])
	}
}

// ramp counts the samples of out that are times n/2^20 for n from 0 on, and
// fails if others are among them.
func ramp(t *testing.T, out []float32, times float32) int {
	t.Helper()
	for n, x := range out {
		if want := times * float32(n) / (1 << 20); x != want {
			t.Fatalf("sample %d is %v, want %v", n, x, want)
		}
	}
	return len(out)
}

func TestMixerKeepsStreamsTogether(t *testing.T) {
	b := newBench(0, 1, 2)
	for range 5 {
		b.now += 10 * time.Millisecond
		b.bring(1, 2)
	}
	// A stall: then all comes at once, one stream's before the other's.
	b.now += 100 * time.Millisecond
	for _, c := range []uint32{1, 2} {
		for range 10 {
			b.bring(c)
		}
	}
	if n := ramp(t, b.out(), 2); n != 15*period {
		t.Errorf("%d samples came out", n)
	}
}

func TestMixerWaitsForNoPausedStream(t *testing.T) {
	b := newBench(0, 1, 2)
	for range 10 {
		b.now += 10 * time.Millisecond
		b.bring(1)
	}
	if n := ramp(t, b.out(), 1); n < 9*period {
		t.Errorf("only %d samples came out", n)
	}
	// It comes back without a wait, nor does the other have to.
	b.next[2] = b.next[1]
	for range 10 {
		b.now += 10 * time.Millisecond
		b.bring(1, 2)
	}
	if n := len(b.out()); n < 9*period {
		t.Errorf("then only %d", n)
	}
}

// What is held back stays so while a stream may have moved, and what came from
// one that is removed is gone.
func TestMixerHoldsBack(t *testing.T) {
	b := newBench(lookBack, 1)
	for range 10 {
		b.now += 10 * time.Millisecond
		b.bring(1)
	}
	if n := ramp(t, b.out(), 1); n != 6*period {
		t.Errorf("%d samples came out", n)
	}
	b.moved(12) // which nobody hears
	b.bring(1)
	if n := len(b.out()); n != period {
		t.Errorf("%d samples came out after another moved", n)
	}
	b.moved(11)
	b.bring(1)
	if n := len(b.out()); n != 0 {
		t.Errorf("%d samples came out in doubt", n)
	}
	// What the server told before a stream moved doesn't end the doubt.
	b.ask()
	b.moved(11)
	b.known()
	b.bring(1)
	if n := len(b.out()); n != 0 {
		t.Errorf("%d samples came out by what was known before", n)
	}
	// Nor is one heard that moved before it was let in.
	b.remove(1)
	b.ask()
	b.moved(12)
	b.open(2, 12)
	for range 10 {
		b.now += 10 * time.Millisecond
		b.bring(2)
	}
	if n := len(b.out()); n != 0 {
		t.Errorf("%d samples came out of one that had moved", n)
	}
	b.remove(2)
	b.ask()
	b.known()
	b.now += time.Second
	b.fill()
	for _, x := range b.out() {
		if x != 0 {
			t.Fatalf("%v came out of a stream that is gone", x)
		}
	}
}

// While nothing plays there is silence, in real time.
func TestMixerFillsWithSilence(t *testing.T) {
	b := newBench(0, 1)
	n := 0
	for range 1000 {
		b.now += min(b.fill(), 50*time.Millisecond)
		n += len(b.out())
	}
	if got, want := audio.Duration(n), b.now-time.Second; got < want-50*time.Millisecond || got > want {
		t.Errorf("%v of silence in %v", got, want)
	}
	b.stop()
	b.now += time.Second
	b.fill()
	if len(b.out()) > 0 {
		t.Error("stopped, it goes on")
	}
}
