package audiotest

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"earshot/audio"
)

// Tape is a recording of what sounds in a sink together with when it sounded,
// on the clock of time.Now, so that two tapes can be compared. All sinks of a
// kind are seen equally late, so differences between tapes are exact to about
// the block in which the sound server works.
type Tape struct {
	process *process
	spool   spool
}

// PlayClicks plays the sound that tapes are compared by into a sink, until it
// is stopped, the server dies or the test ends.
func (s *Server) PlayClicks(sink string) *Player {
	s.t.Helper()
	cmd := s.player(sink, "pacat", "--raw", "--format=float32le", "--rate=48000", "--channels=2")
	cmd.Stdin = &clicks{}
	return &Player{start(s.t, cmd)}
}

// StartTape records what sounds in a sink until it is stopped: some 100 kB a
// second in memory.
func (s *Server) StartTape(sink string) *Tape {
	s.t.Helper()
	need(s.t, "parec", "pulseaudio-utils")
	t := &Tape{}
	cmd := s.command("parec", "--raw", "--format=s16le", "--rate=48000", "--channels=1",
		"--latency-msec=5", "--device="+sink+".monitor")
	cmd.Stdout = &t.spool
	t.process = start(s.t, cmd)
	return t
}

// Stop ends the recording; what was recorded stays.
func (t *Tape) Stop() { t.process.kill() }

// Len returns how much has been recorded.
func (t *Tape) Len() time.Duration {
	t.spool.mu.Lock()
	defer t.spool.mu.Unlock()
	return audio.Duration(len(t.spool.mono))
}

// Clicks returns the clicks on a stopped tape.
func (t *Tape) Clicks() []Click {
	clock := t.spool.clock()
	var found []Click
	for _, c := range ticks(t.spool.mono) {
		found = append(found, Click{c.tone, clock.at(c.middle)})
	}
	return found
}

// Sound is what was heard of the steady tone of PlayClicks.
type Sound struct {
	From, To time.Time // zero where nothing was
	Gaps     []Gap     // in between
}

// Levels returns the samples that are not silence, as parts of full scale.
func (t *Tape) Levels() []float64 {
	const faint = 30
	t.spool.mu.Lock()
	defer t.spool.mu.Unlock()
	var all []float64
	for _, x := range t.spool.mono {
		if x > faint || x < -faint {
			all = append(all, float64(x)/32768)
		}
	}
	return all
}

// Gap is a time in which the sound was gone.
type Gap struct {
	At     time.Time
	Length time.Duration
}

// Sound returns what a stopped tape has of the steady tone of PlayClicks.
func (t *Tape) Sound() Sound {
	clock := t.spool.clock()
	from, to, gaps := steady(t.spool.mono)
	if from == to {
		return Sound{}
	}
	sound := Sound{From: clock.at(float64(from)), To: clock.at(float64(to))}
	for _, g := range gaps {
		sound.Gaps = append(sound.Gaps, Gap{clock.at(float64(g.from)), audio.Duration(g.to - g.from)})
	}
	return sound
}

// spool takes what a recording program writes, and notes when.
type spool struct {
	mu     sync.Mutex
	mono   []int16
	odd    []byte // half a sample
	stamps []stamp
}

// stamp says that a recording had so many samples at a time.
type stamp struct {
	samples int
	at      time.Time
}

func (s *spool) Write(p []byte) (int, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	data := append(s.odd, p...)
	for len(data) >= 2 {
		s.mono = append(s.mono, int16(binary.LittleEndian.Uint16(data)))
		data = data[2:]
	}
	s.odd = append([]byte(nil), data...)
	s.stamps = append(s.stamps, stamp{len(s.mono), now})
	return len(p), nil
}

// stretch is how long a recording's clock is taken to be right.
const stretch = 5 * audio.SampleRate

// clock tells when a sample sounded. The sound server hands samples out at a
// steady rate, and each is read at once or later: so the earliest read, counted
// back to a stretch's start, says when that was.
type clock struct {
	start  time.Time
	starts []time.Duration // of each stretch after start
}

func (s *spool) clock() clock {
	c := clock{}
	if len(s.stamps) == 0 {
		return c
	}
	c.start = s.stamps[0].at
	for i := 0; i < len(s.stamps); {
		least := time.Duration(math.MaxInt64)
		for n := len(c.starts); i < len(s.stamps) && s.stamps[i].samples <= (n+1)*stretch; i++ {
			least = min(least, s.stamps[i].at.Sub(c.start)-audio.Duration(s.stamps[i].samples-n*stretch))
		}
		c.starts = append(c.starts, least)
	}
	return c
}

func (c clock) at(sample float64) time.Time {
	n := min(int(sample/stretch), len(c.starts)-1)
	since := (sample - float64(n*stretch)) / audio.SampleRate
	return c.start.Add(c.starts[n] + time.Duration(since*float64(time.Second)))
}
