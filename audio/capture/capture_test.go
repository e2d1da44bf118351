package capture

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"earshot/audio"
	"earshot/audio/audiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listening runs a source and keeps what it delivers.
type listening struct {
	t     testing.TB
	clock audio.Clock
	stop  func()        // ends the source and waits for it
	ended chan struct{} // closed when the source's Run has returned

	mu       sync.Mutex
	blocks   []block
	statuses []Status
}

// block is 10 ms of captured sound.
type block struct {
	at  time.Duration // when the first sample was captured
	now time.Duration // when it was taken from the ring
	pcm [period * audio.Channels]float32
}

// listen runs the source that source makes until the test ends.
func listen(t testing.TB, source func(Config) audio.Source) *listening {
	t.Helper()
	l := &listening{t: t, clock: audio.NewClock(), ended: make(chan struct{})}
	ring := audio.NewRing()
	src := source(Config{
		Clock: l.clock,
		Log:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Report: func(s Status) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.statuses = append(l.statuses, s)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		defer close(l.ended)
		if err := src.Run(ctx, ring); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	done.Go(func() {
		for {
			var b block
			at, ok := ring.Read(b.pcm[:])
			if ok {
				b.at, b.now = at, l.clock()
				l.mu.Lock()
				l.blocks = append(l.blocks, b)
				l.mu.Unlock()
				continue
			}
			select {
			case <-ring.Wake():
			case <-ctx.Done():
				return
			}
		}
	})
	l.stop = func() { cancel(); done.Wait() }
	t.Cleanup(l.stop)
	return l
}

// status returns the last status; it is zero before the first.
func (l *listening) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.statuses) == 0 {
		return Status{}
	}
	return l.statuses[len(l.statuses)-1]
}

// history returns all statuses.
func (l *listening) history() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.statuses)
}

// clear forgets what was captured.
func (l *listening) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocks = nil
}

// heard returns what was captured since clear.
func (l *listening) heard() []block {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.blocks)
}

// next waits for d of sound from now on and returns it.
func (l *listening) next(d time.Duration) []float32 {
	l.t.Helper()
	l.clear()
	n := int(d / audio.Duration(period))
	for end := time.Now().Add(d + 10*time.Second); len(l.heard()) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("captured %d of %d blocks; %+v", len(l.heard()), n, l.status())
		}
	}
	return join(l.heard()[:n])
}

// hears waits until a sine of hz is captured.
func (l *listening) hears(hz float64) {
	l.t.Helper()
	l.clear()
	audiotest.Poll(l.t, "the tone is not captured", func() bool {
		blocks := l.heard()
		return len(blocks) >= 5 && audiotest.Level(join(blocks[len(blocks)-5:]), hz) > 0.1
	})
}

// troubled waits until the trouble is as given ("" for none).
func (l *listening) troubled(trouble string) {
	l.t.Helper()
	audiotest.Poll(l.t, "the trouble is not: "+trouble, func() bool {
		s := l.status()
		return s != Status{} && s.Trouble == trouble
	})
}

func join(blocks []block) []float32 {
	var pcm []float32
	for i := range blocks {
		pcm = append(pcm, blocks[i].pcm[:]...)
	}
	return pcm
}

func TestVersion(t *testing.T) {
	if v := Version(); !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(v) {
		t.Errorf("miniaudio's version is %q", v)
	}
}

func TestStamps(t *testing.T) {
	ms := time.Millisecond
	var s stamps
	steps := []struct {
		now, from, to time.Duration // bounds of the result
	}{
		{100 * ms, 100 * ms, 100 * ms},
		{113 * ms, 110 * ms, 111 * ms},    // 3 ms late
		{116 * ms, 119 * ms, 120 * ms},    // 4 ms early
		{170 * ms, 129 * ms, 131 * ms},    // a stall of 40 ms,
		{170 * ms, 139 * ms, 142 * ms},    // and what it held up
		{170 * ms, 149 * ms, 153 * ms},    //
		{130 * ms, 130 * ms, 130 * ms},    // far too early
		{1170 * ms, 1170 * ms, 1170 * ms}, // a pause
	}
	for i, step := range steps {
		if got := s.next(period, step.now); got < step.from || got > step.to {
			t.Errorf("step %d: %v, want %v to %v", i, got, step.from, step.to)
		}
	}
	// A clock of the device's that is 200 ppm slow is followed.
	now, got := time.Duration(0), time.Duration(0)
	s = stamps{}
	for range 100_000 {
		now += 10*ms + 2*time.Microsecond
		got = s.next(period, now)
	}
	if lag := now - got; lag < 0 || lag > ms {
		t.Errorf("lags %v behind after 1000 s", lag)
	}
}

// TestCallbackAllocates: the device's thread must not wait for the garbage
// collector.
func TestCallbackAllocatesNothing(t *testing.T) {
	f := &feed{config: Config{Clock: audio.NewClock()}, ring: audio.NewRing()}
	in := make([]byte, period*audio.Channels*4)
	pcm := make([]float32, period*audio.Channels)
	if n := testing.AllocsPerRun(1000, func() {
		f.data(nil, in, period)
		f.ring.Read(pcm)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCallback(b *testing.B) {
	f := &feed{config: Config{Clock: audio.NewClock()}, ring: audio.NewRing()}
	in := make([]byte, period*audio.Channels*4)
	pcm := make([]float32, period*audio.Channels)
	b.ReportAllocs()
	for b.Loop() {
		f.data(nil, in, period)
		f.ring.Read(pcm)
	}
}
