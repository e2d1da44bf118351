package capture

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// choosing is a Loopback whose choice can be changed.
type choosing struct {
	*listening
	demand *Demand
	mutes  *Mutes
}

// choose runs a Loopback that somebody listens to.
func choose(t *testing.T, choice Choice) *choosing {
	t.Helper()
	c := &choosing{demand: NewDemand(choice)}
	c.demand.Listen(true)
	var err error
	if c.mutes, err = OpenMutes(filepath.Join(t.TempDir(), "muted.json")); err != nil {
		t.Fatal(err)
	}
	c.listening = listen(t, func(config Config) audio.Source {
		config.Demand, config.Mutes = c.demand, c.mutes
		return NewLoopback(config)
	})
	return c
}

// reports waits until the status is as ok wants it.
func (l *listening) reports(what string, ok func(Status) bool) {
	l.t.Helper()
	audiotest.Poll(l.t, "the status is not: "+what, func() bool { return ok(l.status()) })
}

// secret is the pitch of what must not be heard: so high that hardly anything
// of it is in the beginning or the end of another tone.
const secret = 12000

// silentAt fails if hz was captured since clear, be it for a millisecond.
func (l *listening) silentAt(what string, hz float64) {
	l.t.Helper()
	if level := loudest(l.heard(), hz); level > 0.0005 {
		l.t.Errorf("%s is heard, level %v", what, level)
	}
}

func TestChosenOutput(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("dock", "device.description=Dock")
		s.LoadSink("headphones")
		s.SetDefaultSink("speakers")
		s.PlaySineAs("Call", "speakers", secret)
		s.PlaySineAs("Music", "dock", 997)
		l := choose(t, Choice{Output: "dock"})
		l.hears(997)
		l.silentAt("another output", secret)
		s.SetDefaultSink("headphones")
		l.hears(997)
		for range 3 {
			s.SetDefaultSink("headphones")
			s.UnloadSink("dock")
			l.troubled("waiting for the output Dock, which is not connected")
			time.Sleep(300 * time.Millisecond)
			l.silentAt("another output", secret)
			s.LoadSink("dock", "device.description=Dock")
			l.clear()
			l.troubled("")
			player := s.PlaySine("dock", 997)
			l.hears(997)
			player.Stop()
			l.silentAt("another output", secret)
		}
		l.demand.Choose(Choice{})
		l.hears(secret)
	})
}

// TestNeverShared: not one sample of an output that is never shared goes out,
// however the default output changes.
func TestNeverShared(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("private", "device.description=Headset")
		s.SetDefaultSink("speakers")
		s.PlaySineAs("Call", "private", secret)
		music := s.PlaySineAs("Music", "speakers", 997)
		for _, to := range []string{"speakers", "private"} { // moved there by hand, it stays there
			s.Move("Call", to)
		}
		l := choose(t, Choice{Never: []string{"private"}})
		l.hears(997)
		held := func(s Status) bool { return s.Held == "Headset is never shared" && s.Trouble == "" }
		for range 5 {
			s.SetDefaultSink("private")
			l.reports("held", held)
			if n := s.Streams(); n != 0 {
				t.Errorf("%d recordings while held", n)
			}
			s.SetDefaultSink("speakers")
			l.hears(997)
			l.silentAt("the private output", secret)
		}
		// Where the server could move what records the lost output.
		music.Stop() // since two of them may cancel out
		for range 3 {
			l.clear()
			s.UnloadSink("speakers")
			audiotest.Poll(t, "the lost output is not noticed", func() bool { return l.status().Held != "" || l.status().Trouble != "" })
			s.LoadSink("speakers")
			s.SetDefaultSink("speakers")
			p := s.PlaySine("speakers", 997)
			l.hears(997)
			p.Stop()
			l.silentAt("the private output", secret)
		}
		p := s.PlaySine("speakers", 997)
		l.hears(997)
		// Chosen all the same, it is held back, too.
		l.demand.Choose(Choice{Output: "private", Never: []string{"private"}})
		l.reports("held", held)

		// By its title, too.
		l.demand.Choose(Choice{Output: "private", Never: []string{"headset"}})
		l.reports("held", held)
		// And by another name of the same device.
		s.LoadSink("bluez_sink.AA_BB_CC_DD_EE_FF.handsfree_head_unit", "device.description=Headset")
		l.demand.Choose(Choice{
			Output: "bluez_sink.AA_BB_CC_DD_EE_FF.handsfree_head_unit",
			Never:  []string{"bluez_sink.AA_BB_CC_DD_EE_FF.a2dp_sink"},
		})
		l.reports("held", held)
		s.UnloadSink("bluez_sink.AA_BB_CC_DD_EE_FF.handsfree_head_unit")

		// Marked while it is heard, it is silent as soon as Choose has returned.
		l.demand.Choose(Choice{})
		l.hears(997)
		for range 20 {
			l.demand.Choose(Choice{})
			l.hears(997)
			l.demand.Choose(Choice{Never: []string{"speakers"}})
			chosen := l.clock()
			time.Sleep(100 * time.Millisecond)
			for _, b := range l.heard() {
				if b.at > chosen+5*time.Millisecond {
					t.Errorf("a sample from %v after", b.at-chosen)
				}
			}
		}
		p.Stop()
	})
}

// TestIdle: while nobody listens no device is open, and the status is as true.
func TestIdle(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("dock", "device.description=Dock")
		s.SetDefaultSink("speakers")
		s.PlaySine("", 997)
		l := choose(t, Choice{})
		l.hears(997)
		l.demand.Listen(false)
		audiotest.Poll(t, "a recording is left", func() bool { return s.Streams() == 0 })
		l.clear()
		s.SetDefaultSink("dock")
		t.Cleanup(func() {
			if t.Failed() { // has it, or a program, changed its mind?
				t.Log("the default output is", s.DefaultSink())
			}
		})
		l.reports("the new output", func(s Status) bool { return s.Output == "Dock" })
		s.Kill()
		l.troubled(errNoServer.Error())
		s.Start()
		l.troubled("")
		if n := len(l.heard()); n > 0 {
			t.Errorf("%d blocks for nobody", n)
		}
		s.PlaySine("", 997)
		for _, program := range []string{"", "pacat"} {
			l.demand.Choose(Choice{Program: program})
			var took []time.Duration
			for range 10 {
				l.demand.Listen(false)
				audiotest.Poll(t, "a recording is left", func() bool { return s.Streams() == 0 })
				l.clear()
				began := l.clock()
				l.demand.Listen(true)
				l.hearsSince(997)
				first := slices.IndexFunc(l.heard(), func(b block) bool { return audiotest.Level(b.pcm[:], 997) > 0.1 })
				took = append(took, l.heard()[first].now-began)
			}
			slices.Sort(took)
			t.Logf("from the first listener to sound, program %q: %v median, %v at most", program, took[5], took[9])
			if took[5] > 200*time.Millisecond {
				t.Error("that is too long")
			}
		}
	})
}

// hearsSince is hears without forgetting what was captured before.
func (l *listening) hearsSince(hz float64) {
	l.t.Helper()
	audiotest.Poll(l.t, "the tone is not captured", func() bool { return loudest(l.heard(), hz) > 0.1 })
}

// watched is what Watch has told.
type watched struct {
	mu  sync.Mutex
	all []Sounds
}

func (w *watched) last() Sounds {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return Sounds{Programs: []Program{{Name: "none was told"}}}
	}
	return w.all[len(w.all)-1]
}

// watch runs Watch until the test ends.
func watch(t *testing.T, mutes *Mutes) *watched {
	w := &watched{}
	var done sync.WaitGroup
	ctx := t.Context()
	done.Go(func() {
		Watch(ctx, WatchConfig{
			Log:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
			Mutes: mutes,
			Tell: func(s Sounds) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.all = append(w.all, s)
			},
		})
	})
	t.Cleanup(done.Wait)
	return w
}

func TestWatch(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		w := watch(t, nil)
		tells := func(what string, ok func(Sounds) bool) {
			t.Helper()
			audiotest.Poll(t, fmt.Sprintf("it does not tell %s; %+v", what, w.last()), func() bool { return ok(w.last()) })
		}
		names := func(s Sounds) string {
			var all []string
			for _, o := range s.Outputs {
				if o.Name == "auto_null" {
					continue
				}
				if o.Default {
					o.Name += "!"
				}
				all = append(all, o.Name)
			}
			for _, p := range s.Programs {
				all = append(all, p.Name)
			}
			return strings.Join(all, " ")
		}
		is := func(want string) func(Sounds) bool { return func(s Sounds) bool { return names(s) == want } }
		tells("the output", is("speakers!"))
		s.LoadSink("dock", "device.description=Dock")
		tells("another", func(s Sounds) bool {
			return names(s) == "speakers! dock" && s.Outputs[len(s.Outputs)-1].Title == "Dock"
		})
		s.SetDefaultSink("dock")
		tells("the default", is("speakers dock!"))
		s.PlaySineAs("zither", "", 997)
		s.PlaySineAs("Music", "", 997)
		one := s.PlaySineAs("Music", "", 997)
		tells("programs", is("speakers dock! Music (pacat) zither (pacat)"))
		if got, err := List(t.Context()); err != nil || !reflect.DeepEqual(got, w.last()) {
			t.Errorf("List: %+v, %v; watched %+v", got, err, w.last())
		}
		one.Stop()
		s.UnloadSink("dock")
		tells("an output that went", is("speakers! Music (pacat) zither (pacat)"))
		s.Kill()
		tells("nothing", is(""))
		s.Start()
		tells("it again", is("speakers!"))
	})
}
