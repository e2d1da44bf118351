package audiotest

import (
	"fmt"
	"math"
	"math/cmplx"
	"slices"
	"time"

	"earshot/audio"
)

// window is how many samples per channel of a sine are looked at at once to
// find breaks: 5 ms, five cycles of 997 Hz.
const window = 240

// What makes a window of a sine a bad one.
const (
	quiet = 0.5  // its amplitude is less than this part of the median's
	dirty = 0.25 // what is not the sine has more than this part of its amplitude
	jump  = 0.15 // radians that its phase is off from where its neighbours' lead
)

// Tone is what was measured of a sine in a recording.
type Tone struct {
	Hz     float64       // its frequency
	Level  float64       // its amplitude: 1 is full scale
	From   time.Duration // where it begins in the recording
	To     time.Duration // where it ends
	Breaks []Break       // where it is not a steady sine in between
}

// Break is a stretch of a recording in which a sine pauses, jumps or is
// disturbed.
type Break struct {
	At, Length time.Duration
}

// Longest returns the length of the longest break, in steps of 5 ms.
func (t Tone) Longest() time.Duration {
	var longest time.Duration
	for _, b := range t.Breaks {
		longest = max(longest, b.Length)
	}
	return longest
}

// String is for test logs.
func (t Tone) String() string {
	return fmt.Sprintf("%.2f Hz, level %.3f, from %v to %v, %d breaks, longest %v",
		t.Hz, t.Level, t.From, t.To, len(t.Breaks), t.Longest())
}

// Measure finds the sine of about hz (within 1 %) in the recording and all of
// its breaks: pauses, lost or doubled samples (from 2 samples on at 1 kHz),
// clicks. Other frequencies louder than it disturb the measure. Where there is
// no such sine the result's Level is 0.
//
// Silence before the first and after the last steady 5 ms is no break.
func Measure(pcm []float32, hz float64) Tone {
	mono := mix(pcm)
	fits := make([]fit, len(mono)/window)
	for i := range fits {
		fits[i] = fitSine(mono[i*window:(i+1)*window], hz)
	}
	levels := make([]float64, 0, len(fits))
	for _, f := range fits {
		if f.level > 1e-3 {
			levels = append(levels, f.level)
		}
	}
	if len(levels) == 0 {
		return Tone{}
	}
	slices.Sort(levels)
	median := levels[len(levels)/2]
	steady := func(i int) bool { return fits[i].level > quiet*median && fits[i].rest < dirty*fits[i].level }

	first, last := -1, -1
	for i := range fits {
		if steady(i) {
			last = i
			if first < 0 {
				first = i
			}
		}
	}
	if first < 0 {
		return Tone{}
	}
	tone := Tone{Level: median, From: at(first), To: at(last + 1)}
	tone.Hz = frequency(fits[first:last+1], steady, first, hz)

	steps := make([]float64, len(fits)) // of the phase since the window before; NaN where unknown
	for i := range steps {
		steps[i] = math.NaN()
		if i > first && i <= last && steady(i) && steady(i-1) {
			steps[i] = angle(fits[i].phase - fits[i-1].phase - 2*math.Pi*hz*window/audio.SampleRate)
		}
	}
	for i := first + 1; i <= last; i++ {
		bad := !steady(i)
		if usual := around(steps, i); !bad {
			// A jump in the middle of a window is spread over two steps.
			bad = math.Abs(steps[i]-usual) > jump ||
				i < last && math.Abs(steps[i]+steps[i+1]-2*usual) > jump
		}
		if !bad {
			continue
		}
		if n := len(tone.Breaks); n > 0 && tone.Breaks[n-1].At+tone.Breaks[n-1].Length == at(i) {
			tone.Breaks[n-1].Length += at(1)
		} else {
			tone.Breaks = append(tone.Breaks, Break{At: at(i), Length: at(1)})
		}
	}
	return tone
}

// around returns the median of the steps near i: it follows a recording whose
// clock drifts from the player's, and no single jump moves it.
func around(steps []float64, i int) float64 {
	const near = 10
	var known []float64
	for _, s := range steps[max(0, i-near):min(len(steps), i+near+1)] {
		if !math.IsNaN(s) {
			known = append(known, s)
		}
	}
	if len(known) == 0 {
		return math.NaN()
	}
	slices.Sort(known)
	return known[len(known)/2]
}

// Level returns the amplitude of the sine of hz in the recording, averaged over
// all of it: 1 is full scale.
func Level(pcm []float32, hz float64) float64 {
	mono := mix(pcm)
	var sum complex128
	var weight float64
	for i, x := range mono {
		// A Hann window keeps what sounds at other frequencies out.
		w := 1 - math.Cos(2*math.Pi*(float64(i)+0.5)/float64(len(mono)))
		sum += cmplx.Rect(w*x, -2*math.Pi*hz/audio.SampleRate*float64(i))
		weight += w
	}
	if weight == 0 {
		return 0
	}
	return 2 * cmplx.Abs(sum) / weight
}

// Peak returns the greatest magnitude of a sample.
func Peak(pcm []float32) float64 {
	var peak float64
	for _, x := range pcm {
		peak = max(peak, math.Abs(float64(x)))
	}
	return peak
}

// fit is the sine that fits a window best.
type fit struct {
	level, phase float64 // amplitude, and radians at the window's middle
	rest         float64 // root mean square of the rest, times √2 to compare with level
}

func fitSine(x []float64, hz float64) fit {
	// Least squares of a·cos + b·sin, solved by the 2×2 normal equations.
	var cc, cs, ss, xc, xs, xx float64
	for i, v := range x {
		sin, cos := math.Sincos(2 * math.Pi * hz / audio.SampleRate * (float64(i) - float64(len(x)-1)/2))
		cc, cs, ss = cc+cos*cos, cs+cos*sin, ss+sin*sin
		xc, xs, xx = xc+v*cos, xs+v*sin, xx+v*v
	}
	det := cc*ss - cs*cs
	a, b := (xc*ss-xs*cs)/det, (xs*cc-xc*cs)/det
	rest := max(0, xx-a*xc-b*xs)
	return fit{
		level: math.Hypot(a, b),
		phase: math.Atan2(-b, a),
		rest:  math.Sqrt(2 * rest / float64(len(x))),
	}
}

// frequency returns the frequency by the median advance of the phase between
// steady windows, so that breaks don't count.
func frequency(fits []fit, steady func(int) bool, first int, hz float64) float64 {
	// Further apart is more exact, but ambiguous from half a cycle on: 1 % of
	// 1 kHz is a cycle in 20 windows. So first neighbours, then tenths of seconds.
	for _, apart := range []int{1, 20} {
		var steps []float64
		for i := apart; i < len(fits); i++ {
			if steady(first+i) && steady(first+i-apart) {
				seconds := float64(apart*window) / audio.SampleRate
				steps = append(steps, angle(fits[i].phase-fits[i-apart].phase-2*math.Pi*hz*seconds)/(2*math.Pi*seconds))
			}
		}
		if len(steps) == 0 {
			break
		}
		slices.Sort(steps)
		hz += steps[len(steps)/2]
	}
	return hz
}

// mix returns the mean of both channels.
func mix(pcm []float32) []float64 {
	mono := make([]float64, len(pcm)/audio.Channels)
	for i := range mono {
		mono[i] = (float64(pcm[2*i]) + float64(pcm[2*i+1])) / 2
	}
	return mono
}

// angle brings radians into (-π, π].
func angle(r float64) float64 { return math.Remainder(r, 2*math.Pi) }

// at is where a window begins.
func at(i int) time.Duration { return audio.Duration(i * window) }
