package capture

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// TestMute: the output is silent here, what plays on it is captured, and in the
// end it is as it was.
func TestMute(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("dock", "device.description=Dock")
		s.SetDefaultSink("speakers")
		s.PlaySine("speakers", 997)
		s.PlaySine("speakers", 1500)
		s.PlaySine("dock", secret)
		l := choose(t, Choice{Mute: true})
		l.reports("muted", func(s Status) bool { return s.Muted })
		l.hears(997)
		l.hears(1500)
		pcm := l.next(3 * time.Second)
		for _, hz := range []float64{997, 1500} {
			// Mostly: a busy machine makes the players stutter.
			var levels []float64
			for part := range slices.Chunk(pcm, audio.Samples(100*time.Millisecond)*audio.Channels) {
				levels = append(levels, audiotest.Level(part, hz))
			}
			slices.Sort(levels)
			if level := levels[len(levels)/2]; math.Abs(level-0.25) > 0.01 {
				t.Errorf("%v Hz has level %v", hz, level)
			}
		}
		if level := audiotest.Level(pcm, secret); level > 0.0005 {
			t.Errorf("another output is heard, level %v", level)
		}
		if level := audiotest.Level(s.Record("speakers", 300*time.Millisecond), 997); level > 0.0005 || !s.Muted("speakers") {
			t.Errorf("it is heard here, level %v", level)
		}
		// It goes with the default output.
		s.SetDefaultSink("dock")
		audiotest.Poll(t, "the other output is not muted", func() bool { return s.Muted("dock") && !s.Muted("speakers") })
		s.SetDefaultSink("speakers")
		audiotest.Poll(t, "the other output is not muted", func() bool { return !s.Muted("dock") && s.Muted("speakers") })
		// Whoever unmutes it by a key means it.
		s.Pactl("set-sink-mute", "speakers", "0")
		l.reports("no longer muted", func(s Status) bool { return !s.Muted })
		l.hears(997)
		if s.Muted("speakers") {
			t.Error("it was muted again")
		}
		l.demand.Choose(Choice{Mute: true}) // asked for once more
		audiotest.Poll(t, "it is not muted", func() bool { return s.Muted("speakers") })
		l.demand.Choose(Choice{})
		audiotest.Poll(t, "it is not unmuted", func() bool { return !s.Muted("speakers") })
		l.hears(997)
		// What somebody else muted stays so.
		s.Pactl("set-sink-mute", "speakers", "1")
		l.demand.Choose(Choice{Mute: true})
		l.hears(997)
		l.demand.Choose(Choice{})
		time.Sleep(400 * time.Millisecond)
		if !s.Muted("speakers") {
			t.Error("what somebody muted was unmuted")
		}
		s.Pactl("set-sink-mute", "speakers", "0")
		l.demand.Choose(Choice{Mute: true})
		audiotest.Poll(t, "it is not muted", func() bool { return s.Muted("speakers") })
		l.stop()
		if s.Muted("speakers") {
			t.Error("it stays muted in the end")
		}
		if left := l.mutes.left(); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// TestMuteProgram: with one program shared, the outputs that it plays on are
// silent, and no other.
func TestMuteProgram(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("dock")
		s.LoadSink("third")
		s.SetDefaultSink("speakers")
		s.PlaySineAs("Call", "speakers", secret)
		s.PlaySineAs("Music", "dock", 997)
		l := choose(t, Choice{Program: "Music (pacat)", Mute: true})
		muted := func(what string, want ...string) {
			t.Helper()
			audiotest.Poll(t, what, func() bool {
				return !slices.ContainsFunc([]string{"speakers", "dock", "third"}, func(name string) bool {
					return s.Muted(name) != slices.Contains(want, name)
				})
			})
		}
		muted("its output is not the only muted one", "dock")
		l.reports("muted", func(s Status) bool { return s.Muted })
		l.hears(997)
		other := s.PlaySineAs("Music", "third", 1500)
		muted("its two outputs are not the muted ones", "dock", "third")
		l.hears(1500)
		other.Stop()
		muted("its output is not the only muted one again", "dock")
		s.Move("Music", "speakers")
		muted("it has moved, the muting not", "speakers")
		s.Pactl("set-sink-mute", "speakers", "0")
		l.reports("no longer muted", func(s Status) bool { return !s.Muted })
		muted("it was muted again")
		s.Move("Music", "dock")
		muted("its other output is not muted", "dock")
		l.demand.Choose(Choice{Program: "Music (pacat)"})
		muted("it is not unmuted")
		if left := l.mutes.left(); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		l.demand.Choose(Choice{Program: "Music (pacat)", Mute: true})
		muted("it is not muted again", "dock")
		l.stop()
		muted("it stays muted in the end")
	})
}

// TestUnmutesAfterCrash: what an Earshot left muted that was killed is unmuted as
// soon as it can be.
func TestUnmutesAfterCrash(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("dock")
		s.LoadSink("other")
		path := filepath.Join(t.TempDir(), "muted.json")
		before, err := OpenMutes(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"speakers", "dock"} {
			if err := before.hold(name); err != nil {
				t.Fatal(err)
			}
		}
		s.Pactl("set-sink-mute", "speakers", "1")
		s.Pactl("set-sink-mute", "dock", "1")
		s.Pactl("set-sink-mute", "other", "1")
		s.UnloadSink("dock")
		mutes, err := OpenMutes(path)
		if err != nil {
			t.Fatal(err)
		}
		watch(t, mutes)
		audiotest.Poll(t, "it stays muted", func() bool { return !s.Muted("speakers") })
		s.LoadSink("dock")
		audiotest.Poll(t, "it stays muted, or stays in the account", func() bool { return !s.Muted("dock") && len(mutes.left()) == 0 })
		if text, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(text)) != "[]" {
			t.Errorf("the account is %q, %v", text, err)
		}
		if !s.Muted("other") {
			t.Error("what somebody else muted was unmuted")
		}
	})
}

// TestOpenMutes: a file that makes no sense is not taken for an empty one.
func TestOpenMutes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muted.json")
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMutes(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
