package audiotest

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"earshot/audio"
)

// The sound that delays are measured by: every interval a click, which is a
// short burst of one of some tones in turn, so that a click that is heard tells
// which one it is; and under them a quiet steady tone, whose breaks are gaps.
const (
	clickTones  = 16
	clickEvery  = 250 * time.Millisecond
	clickLength = 960 // samples, with a Hann window's shape
	clickLevel  = 0.5
	clickLow    = 1200 // Hz; the lowest tone
	clickStep   = 300  // Hz; clear of the burst's own bandwidth of ±100
	pilotHz     = 300
	pilotLevel  = 0.1
)

// Ambiguous is the delay from which on clicks can't be told apart.
const Ambiguous = clickTones * clickEvery

// Click is a click in a recording.
type Click struct {
	Tone int       // which, from 0
	At   time.Time // its middle
}

// Delay is how much later a click was heard than played.
type Delay struct {
	At   time.Time // it was heard
	Late time.Duration
}

// Delays matches clicks that were heard with those that were played, both in
// order. Who has heard a click twice is told twice. A click that was heard and
// never played doesn't count.
func Delays(played, heard []Click) []Delay {
	// What is measured through nothing may seem to be early.
	const early = 10 * time.Millisecond
	var delays []Delay
	for _, h := range heard {
		after, _ := slices.BinarySearchFunc(played, h.At.Add(early), func(p Click, at time.Time) int { return p.At.Compare(at) })
		for _, p := range slices.Backward(played[:after]) {
			if late := h.At.Sub(p.At); late >= Ambiguous-early {
				break
			} else if p.Tone == h.Tone {
				delays = append(delays, Delay{h.At, late})
				break
			}
		}
	}
	return delays
}

func clickHz(tone int) float64 { return clickLow + clickStep*float64(tone) }

// hann is the shape of a click at sample i of n.
func hann(i, n int) float64 { return 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/float64(n)) }

// clicks is endless clicks as stereo float32 samples in bytes.
type clicks struct {
	n    int // sample
	rest []byte
}

func (c *clicks) Read(p []byte) (int, error) {
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	for n < len(p) {
		x := float32(c.sample())
		var both [4 * audio.Channels]byte
		binary.LittleEndian.PutUint32(both[:4], math.Float32bits(x))
		binary.LittleEndian.PutUint32(both[4:], math.Float32bits(x))
		m := copy(p[n:], both[:])
		c.rest = append(c.rest[:0], both[m:]...)
		n += m
	}
	return n, nil
}

func (c *clicks) sample() float64 {
	every := audio.Samples(clickEvery)
	// All tones have whole cycles in a second.
	second := float64(c.n%audio.SampleRate) / audio.SampleRate
	x := pilotLevel * math.Sin(2*math.Pi*pilotHz*second)
	if i := c.n % every; i < clickLength {
		hz := clickHz(c.n / every % clickTones)
		x += clickLevel * hann(i, clickLength) * math.Sin(2*math.Pi*hz*second)
	}
	c.n++
	return x
}

// tick is a click at a sample of a recording.
type tick struct {
	tone   int
	middle float64
}

// ticks finds the clicks in mono sound, to a tenth of a millisecond. One that
// is damaged is left out.
func ticks(mono []int16) []tick {
	const hop = clickLength / 4
	filters := make([]filter, clickTones)
	for i := range filters {
		filters[i] = newFilter(clickHz(i), clickLength)
	}
	// The strongest tone at each hop.
	tones := make([]int, max(0, (len(mono)-clickLength)/hop+1))
	levels := make([]float64, len(tones))
	for i := range tones {
		window := mono[i*hop:][:clickLength]
		for tone := range filters {
			if l := filters[tone].level(window); l > levels[i] {
				tones[i], levels[i] = tone, l
			}
		}
	}
	// Their peaks: nothing louder less than half an interval away.
	apart := audio.Samples(clickEvery) / hop / 2
	var peaks []int
	for i, l := range levels {
		near := levels[max(0, i-apart):min(len(levels), i+apart+1)]
		if l == slices.Max(near) && l > 1e-3 && (len(peaks) == 0 || i-peaks[len(peaks)-1] > apart) {
			peaks = append(peaks, i)
		}
	}
	if len(peaks) == 0 {
		return nil
	}
	heights := make([]float64, len(peaks))
	for i, p := range peaks {
		heights[i] = levels[p]
	}
	slices.Sort(heights)
	// A part of a click is not where its whole is. Half-way between two hops a
	// whole one still has 0.9 of its height.
	least := 0.75 * heights[len(heights)*9/10]
	var found []tick
	for _, p := range peaks {
		if levels[p] < least {
			continue
		}
		if middle, ok := filters[tones[p]].peak(mono, p*hop, hop); ok {
			found = append(found, tick{tones[p], middle})
		}
	}
	return found
}

// gap is a stretch of a recording, in samples, in which the steady tone is weak.
type gap struct{ from, to int }

// steady finds where the steady tone begins and ends in mono sound, and its gaps
// in between; from about 5 ms on, to about 2 ms.
func steady(mono []int16) (from, to int, gaps []gap) {
	const length, hop = audio.SampleRate / 100, audio.SampleRate / 500
	f := newFilter(pilotHz, length)
	levels := make([]float64, max(0, (len(mono)-length)/hop+1))
	for i := range levels {
		levels[i] = f.level(mono[i*hop:][:length])
	}
	// Half of the level that it has most of the time that it is heard.
	loud := slices.DeleteFunc(slices.Clone(levels), func(l float64) bool { return l < 1e-2 })
	if len(loud) == 0 {
		return 0, 0, nil
	}
	slices.Sort(loud)
	least := loud[len(loud)/2] / 2
	since := -1 // the first without it
	for i, l := range levels {
		middle := i*hop + length/2
		switch {
		case l < least && since < 0:
			since = i
		case l >= least && to == 0:
			from, to = middle, middle
			since = -1
		case l >= least:
			if since >= 0 {
				gaps = append(gaps, gap{since*hop + length/2, middle})
			}
			to = middle
			since = -1
		}
	}
	return from, to, gaps
}

// filter measures one tone in a window of mono sound.
type filter struct {
	cos, sin []float64 // times a Hann window; what they make of a sine is its amplitude
}

func newFilter(hz float64, length int) filter {
	f := filter{make([]float64, length), make([]float64, length)}
	for i := range length {
		w := hann(i, length) * 4 / float64(length) / -math.MinInt16
		sin, cos := math.Sincos(2 * math.Pi * hz / audio.SampleRate * float64(i))
		f.cos[i], f.sin[i] = w*cos, w*sin
	}
	return f
}

func (f filter) level(window []int16) float64 {
	var re, im float64
	for i, x := range window[:len(f.cos)] {
		re += f.cos[i] * float64(x)
		im += f.sin[i] * float64(x)
	}
	return math.Hypot(re, im)
}

// peak returns the middle of the window within about ±reach of start in which
// the tone is loudest.
func (f filter) peak(mono []int16, start, reach int) (middle float64, ok bool) {
	const step = 12 // a quarter of a millisecond
	at := func(start int) float64 {
		if start < 0 || start+len(f.cos) > len(mono) {
			return 0
		}
		return f.level(mono[start:])
	}
	best, height := 0, 0.0
	for s := start - reach; s <= start+reach; s += step {
		if l := at(s); l > height {
			best, height = s, l
		}
	}
	before, after := at(best-step), at(best+step)
	if before == 0 || after == 0 {
		return 0, false
	}
	// The top of the parabola through three points.
	top := float64(step) / 2 * (before - after) / (before - 2*height + after)
	return float64(best) + top + float64(len(f.cos))/2, true
}
