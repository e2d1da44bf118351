package capture

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"earshot/audio"
)

// desk is a simulated sound system. Each of its outputs plays a steady value,
// its own.
type desk struct {
	mu      sync.Mutex
	has     []Output
	fault   error         // of outputs
	refuse  error         // of open
	dies    time.Duration // how long a stream runs; 0 for ever
	opened  []string      // names, in order
	streams map[*deskStream]bool
	closed  bool
}

func newDesk(has ...Output) *desk { return &desk{has: has, streams: map[*deskStream]bool{}} }

func (d *desk) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *desk) outputs() ([]Output, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.has), d.fault
}

// tries returns how often an output was opened, and how many streams are open.
func (d *desk) tries() (tried, open int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.opened), len(d.streams)
}

func (d *desk) close() { d.change(func() { d.closed = true }) }

// deskStream plays until it is closed or its output goes.
type deskStream struct {
	desk *desk
	name string
	stop chan struct{}
	done chan struct{}
}

func (d *desk) open(name string, take func([]float32)) (intake, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = append(d.opened, name)
	if d.refuse != nil {
		return nil, d.refuse
	}
	i := slices.IndexFunc(d.has, func(o Output) bool { return o.Name == name })
	if i < 0 {
		return nil, errors.New("no such output")
	}
	s := &deskStream{d, name, make(chan struct{}), make(chan struct{})}
	d.streams[s] = true
	block := slices.Repeat([]float32{float32(name[0])}, period*audio.Channels)
	end := time.Now().Add(d.dies)
	go func() {
		defer close(s.done)
		for ticker := time.NewTicker(step); ; {
			select {
			case <-s.stop:
				return
			case <-ticker.C:
				if s.running() && (d.dies == 0 || time.Now().Before(end)) {
					take(block)
				} else {
					d.change(func() { d.streams[s] = false })
				}
			}
		}
	}()
	return s, nil
}

func (s *deskStream) running() bool {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	return s.desk.streams[s] && slices.ContainsFunc(s.desk.has, func(o Output) bool { return o.Name == s.name })
}

func (s *deskStream) close() {
	close(s.stop)
	<-s.done
	s.desk.change(func() { delete(s.desk.streams, s) })
}

// followed is a follower of a desk, for a test in simulated time.
type followed struct {
	t      *testing.T
	desk   *desk
	demand *Demand
	ring   *audio.Ring

	mu     sync.Mutex
	status Status
	told   []Status
}

// follow runs test with a follower of d.
func follow(t *testing.T, d *desk, c Choice, test func(f *followed)) {
	synctest.Test(t, func(t *testing.T) {
		f := &followed{t: t, desk: d, demand: NewDemand(c), ring: audio.NewRing()}
		f.demand.Listen(true)
		ctx, cancel := context.WithCancel(t.Context())
		follower := newFollower(Config{
			Clock:  audio.NewClock(),
			Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
			Demand: f.demand,
			Report: func(s Status) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.status, f.told = s, append(f.told, s)
			},
		}, f.ring, d)
		ended := make(chan struct{})
		go func() { follower.run(ctx); close(ended) }()
		test(f)
		cancel()
		<-ended
		if _, open := d.tries(); open > 0 || !d.closed {
			t.Errorf("left open: %d streams; the system is closed: %v", open, d.closed)
		}
	})
}

// hears returns which outputs are heard within the next d, and 0 for silence.
func (f *followed) hears(d time.Duration) string {
	block := make([]float32, period*audio.Channels)
	drain := func(use func()) {
		synctest.Wait()
		for {
			if _, ok := f.ring.Read(block); !ok {
				return
			}
			use()
		}
	}
	drain(func() {})
	heard := map[byte]bool{}
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(step)
		drain(func() {
			for _, x := range block {
				heard[byte(x)] = true
			}
		})
	}
	var all []byte
	for x := range heard {
		if x == 0 {
			x = '0'
		}
		all = append(all, x)
	}
	slices.Sort(all)
	return string(all)
}

// want checks what is heard after a second, and what the status is then.
func (f *followed) want(heard string, status Status) {
	f.t.Helper()
	time.Sleep(time.Second)
	if got := f.hears(300 * time.Millisecond); got != heard {
		f.t.Errorf("hears %q, want %q", got, heard)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status != status {
		f.t.Errorf("status %+v, want %+v", f.status, status)
	}
}

var (
	speakers   = Output{Name: "a", Title: "Speakers", Default: true}
	headphones = Output{Name: "b", Title: "Headphones"}
)

// chosen makes o the default output.
func chosen(o Output, is bool) Output {
	o.Default = is
	return o
}

func TestFollowerFollowsTheDefault(t *testing.T) {
	d := newDesk(speakers, headphones)
	follow(t, d, Choice{}, func(f *followed) {
		f.want("a", Status{Output: "Speakers"})
		d.change(func() { d.has = []Output{chosen(speakers, false), chosen(headphones, true)} })
		f.want("b", Status{Output: "Headphones"})
		d.change(func() { d.has = []Output{speakers} })
		f.want("a", Status{Output: "Speakers"})
		for _, s := range f.told {
			if s.Trouble != "" {
				t.Errorf("told %+v though there was always an output", s)
			}
		}
	})
}

func TestFollowerWaitsForAnOutput(t *testing.T) {
	d := newDesk()
	follow(t, d, Choice{}, func(f *followed) {
		f.want("", Status{Trouble: "there is no sound output"})
		d.change(func() { d.has = []Output{speakers} })
		f.want("a", Status{Output: "Speakers"})
		d.change(func() { d.has = nil })
		f.want("", Status{Trouble: "there is no sound output"})
		d.change(func() { d.fault = errors.New("Windows Audio does not run") })
		f.want("", Status{Trouble: "Windows Audio does not run"})
		d.change(func() { d.has, d.fault = []Output{headphones, speakers}, nil })
		f.want("a", Status{Output: "Speakers"})
	})
}

func TestFollowerKeepsToTheChoice(t *testing.T) {
	d := newDesk(speakers, headphones)
	follow(t, d, Choice{Output: "b", Title: "Headphones"}, func(f *followed) {
		f.want("b", Status{Output: "Headphones"})
		d.change(func() { d.has = []Output{speakers} })
		f.want("", Status{Output: "Headphones", Trouble: "waiting for Headphones, which is unplugged"})
		d.change(func() { d.has = []Output{speakers, headphones} })
		f.want("b", Status{Output: "Headphones"})

		f.demand.Choose(Choice{Never: []string{"a"}})
		if got := f.hears(time.Second); got != "" {
			t.Errorf("hears %q of what was not chosen any more", got)
		}
		f.want("", Status{Output: "Speakers", Held: "Speakers is never shared"})
		f.demand.Choose(Choice{})
		f.want("a", Status{Output: "Speakers"})
		f.demand.Choose(Choice{Output: "a", Title: "Speakers"}) // the same output, by another choice
		f.want("a", Status{Output: "Speakers"})
	})
}

func TestFollowerOpensNothingForNobody(t *testing.T) {
	d := newDesk(speakers)
	follow(t, d, Choice{}, func(f *followed) {
		f.want("a", Status{Output: "Speakers"})
		f.demand.Listen(false)
		f.want("", Status{Output: "Speakers"})
		if _, open := d.tries(); open > 0 {
			t.Error("a stream is open for nobody")
		}
		d.change(func() { d.has = nil })
		time.Sleep(lookLate)
		f.want("", Status{Trouble: "there is no sound output"})
		d.change(func() { d.has = []Output{speakers} })
		f.demand.Listen(true)
		f.want("a", Status{Output: "Speakers"})
	})
}

func TestFollowerBacksOff(t *testing.T) {
	d := newDesk(speakers)
	d.refuse = errors.New("the device is in use")
	follow(t, d, Choice{}, func(f *followed) {
		f.want("", Status{Output: "Speakers", Trouble: "cannot capture from Speakers: the device is in use"})
		time.Sleep(65 * time.Second) // then the next is some seconds off
		if n, _ := d.tries(); n < 5 || n > 15 {
			t.Errorf("tried %d times in a minute", n)
		}
		d.change(func() { d.has = []Output{chosen(speakers, false), chosen(headphones, true)}; d.refuse = nil })
		f.want("b", Status{Output: "Headphones"}) // at once: that is another device

		d.change(func() { d.has, d.dies, d.opened = []Output{speakers}, 10*time.Millisecond, nil })
		time.Sleep(time.Minute)
		if n, _ := d.tries(); n < 5 || n > 15 {
			t.Errorf("tried %d times in a minute what breaks at once", n)
		}
		d.change(func() { d.dies = 0 })
		time.Sleep(10 * time.Second)
		f.want("a", Status{Output: "Speakers"})
	})
}

// What a device breaks off is opened anew, soon.
func TestFollowerReopens(t *testing.T) {
	d := newDesk(speakers)
	follow(t, d, Choice{}, func(f *followed) {
		f.want("a", Status{Output: "Speakers"})
		d.change(func() {
			for s := range d.streams {
				d.streams[s] = false
			}
		})
		f.want("a", Status{Output: "Speakers"})
		if n, _ := d.tries(); n != 2 {
			t.Errorf("opened %d times", n)
		}
	})
}
