package audiotest

import (
	"math"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"earshot/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestServers plays into both kinds of server and listens.
func TestServers(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *Server{
		"PulseAudio": StartPulse, "PipeWire": StartPipeWire,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "speakers", "headphones")
			if got := s.DefaultSink(); got != "speakers" {
				t.Fatalf("default sink is %s", got)
			}
			s.LoadMicrophone("mic", 300)
			s.PlaySine("", 997)
			pcm := s.Record("speakers", 3*time.Second)
			got := Measure(pcm, 997)
			t.Log(got)
			if math.Abs(got.Hz-997) > 0.1 || math.Abs(got.Level-level) > 0.01 || got.To-got.From < 2*time.Second {
				t.Error("not the tone that was played")
			}
			if l := Level(pcm, 300); l > 0.001 {
				t.Errorf("the microphone is heard, level %v", l)
			}
			mic := s.record("mic")
			mic.Wait(time.Second)
			if l := Level(mic.Stop()[audio.SampleRate:], 300); l < 0.01 {
				t.Errorf("the microphone makes no sound, level %v", l)
			}

			s.SetDefaultSink("headphones")
			Poll(t, "the player does not follow the default sink", func() bool {
				return Level(s.Record("headphones", 200*time.Millisecond), 997) > level/2
			})

			s.Freeze()
			s.Thaw()
			s.UnloadSink("headphones")
			s.Kill()
			if _, err := os.Stat(s.Socket()); err != nil {
				t.Error("a killed server removed its socket:", err)
			}
			s.Start()
			s.PlaySine("speakers", 440)
			Poll(t, "nothing plays after the restart", func() bool {
				return Level(s.Record("speakers", 200*time.Millisecond), 440) > level/2
			})
		})
	}
}
