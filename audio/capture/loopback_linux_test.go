package capture

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
)

func loopback(c Config) audio.Source { return NewLoopback(c) }

// eachServer runs a test on each kind of sound server.
func eachServer(t *testing.T, test func(t *testing.T, start func(sinks ...string) *audiotest.Server)) {
	for name, start := range map[string]func(testing.TB, ...string) *audiotest.Server{
		"PulseAudio": audiotest.StartPulse, "PipeWire": audiotest.StartPipeWire,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(sinks ...string) *audiotest.Server {
				s := start(t, sinks...)
				s.Setenv()
				return s
			})
		})
	}
}

func TestLoopbackHearsSpeakers(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadMicrophone("mic", 300)
		s.PlaySine("speakers", 997)
		l := listen(t, loopback)
		l.hears(997)
		pcm := l.next(3 * time.Second)
		got := audiotest.Measure(pcm, 997)
		t.Log(got)
		if math.Abs(got.Hz-997) > 0.1 || math.Abs(got.Level-0.25) > 0.01 || got.To-got.From < 2900*time.Millisecond {
			t.Error("that is not what was played")
		}
		if len(got.Breaks) > 0 {
			t.Errorf("breaks: %v", got.Breaks)
		}
		if level := audiotest.Level(pcm, 300); level > 0.001 {
			t.Errorf("the microphone is heard, level %v", level)
		}
		if status := l.status(); status.Trouble != "" || status.Output == "" {
			t.Errorf("status %+v", status)
		}
		blocks := l.heard()
		for i := 1; i < len(blocks); i++ {
			if d := blocks[i].at - blocks[i-1].at; d < 5*time.Millisecond || d > 30*time.Millisecond {
				t.Errorf("block %d is stamped %v after the one before", i, d)
			}
		}
	})
}

// TestLoopbackFollowsDefaultOutput changes the default output, to which the
// player moves at once, and looks how long nothing is heard.
func TestLoopbackFollowsDefaultOutput(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("headphones", "device.description=Headphones")
		s.LoadSink("dock", "device.description=Dock")
		s.SetDefaultSink("speakers")
		s.PlaySine("", 997)
		l := listen(t, loopback)
		l.hears(997)
		for _, to := range []string{"Headphones", "Dock", "Headphones", "Dock"} {
			last := l.heard()[len(l.heard())-1].now
			l.clear()
			s.SetDefaultSink(strings.ToLower(to))
			audiotest.Poll(t, "the new output is not captured", func() bool { return l.status().Output == to })
			changed := l.clock()
			var gap time.Duration
			audiotest.Poll(t, "the tone is not captured from the new output", func() bool {
				blocks, before := l.heard(), last
				gap = 0
				for _, b := range blocks {
					if audiotest.Level(b.pcm[:], 997) > 0.1 {
						gap = max(gap, b.now-before)
						before = b.now
					}
				}
				return before-changed > 300*time.Millisecond
			})
			t.Logf("%s: no sound for %v", to, gap)
			if gap > time.Second {
				t.Error("that is too long")
			}
		}
		for _, status := range l.history() {
			if status.Trouble != "" {
				t.Errorf("status %+v", status)
			}
		}
	})
}

// TestLoopbackNeverHearsMicrophone takes the output away, so that a stream that
// the sound server could move would be moved to the microphone.
func TestLoopbackNeverHearsMicrophone(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadMicrophone("mic", 300)
		player := s.PlaySine("speakers", 997)
		l := listen(t, loopback)
		l.hears(997)
		player.Stop() // since two of them may cancel out
		for range 3 {
			l.clear()
			s.UnloadSink("speakers")
			// PipeWire puts a dummy in its place and moves the player there.
			audiotest.Poll(t, "the lost output is not noticed", func() bool {
				status := l.status()
				return status.Trouble == errNoOutput.Error() || strings.Contains(status.Output, "Dummy")
			})
			s.LoadSink("speakers")
			s.SetDefaultSink("speakers")
			l.troubled("")
			player = s.PlaySine("speakers", 997)
			l.hears(997)
			player.Stop()
			if level := loudest(l.heard(), 300); level > 0.01 {
				t.Fatalf("the microphone is heard, level %v", level)
			}
		}
		t.Logf("%+v", l.history())
	})
}

// loudest returns the greatest level of hz in any 50 ms.
func loudest(blocks []block, hz float64) float64 {
	var most float64
	for i := 0; i+5 <= len(blocks); i++ {
		most = max(most, audiotest.Level(join(blocks[i:i+5]), hz))
	}
	return most
}

func TestLoopbackOutlivesServer(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.PlaySine("", 997)
		l := listen(t, loopback)
		l.hears(997)
		for range 2 {
			s.Kill()
			l.troubled(errNoServer.Error())
			s.Start()
			l.troubled("")
			s.PlaySine("", 997)
			l.hears(997)
		}
		t.Logf("%+v", l.history())
	})
}

func TestLoopbackWaitsForServer(t *testing.T) {
	s := audiotest.StartPulse(t, "speakers")
	s.Setenv()
	s.Kill()
	l := listen(t, loopback)
	l.troubled(errNoServer.Error())
	s.Start()
	s.PlaySine("", 997)
	l.hears(997)
	l.troubled("")
}

func TestLoopbackSurvivesFrozenServer(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.PlaySine("", 997)
		l := listen(t, loopback)
		l.hears(997)
		s.Freeze()
		l.troubled(errNoAnswer.Error())
		s.Thaw()
		l.troubled("")
		l.hears(997)

		// Ended while the server is frozen, Run closes the device as soon as the
		// server answers, is gone, or is given up.
		s.Freeze()
		l.troubled(errNoAnswer.Error())
		stopped := make(chan struct{})
		go func() { l.stop(); close(stopped) }()
		s.Thaw()
		<-stopped
		if n := s.Streams(); n != 0 {
			t.Errorf("%d recordings are left", n)
		}
	})
}

// TestLoopbackLeaksNothing kills the server again and again, at moments that
// differ, and looks at what is left.
func TestLoopbackLeaksNothing(t *testing.T) {
	s := audiotest.StartPulse(t, "speakers")
	s.Setenv()
	l := listen(t, loopback)
	l.next(100 * time.Millisecond)
	files, clients := openFiles(t), s.Clients()
	for i := range 30 {
		s.Kill()
		s.Start()
		// Sometimes it dies while the device is being opened.
		if i%2 == 0 {
			l.next(100 * time.Millisecond)
		} else {
			l.troubled("")
		}
	}
	l.next(100 * time.Millisecond)
	audiotest.Poll(t, "open files or connections have grown", func() bool {
		return openFiles(t) <= files && s.Clients() <= clients
	})
	t.Logf("files %d, then %d; connections %d, then %d", files, openFiles(t), clients, s.Clients())
	l.stop()
	audiotest.Poll(t, "connections are left", func() bool { return s.Clients() == 0 })
}

// openFiles returns how many file descriptors this process has open.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestAuto(t *testing.T) {
	s := audiotest.StartPulse(t, "speakers")
	s.Setenv()
	s.Kill()
	l := listen(t, func(c Config) audio.Source { return NewAuto(c) })
	l.hears(DefaultTone)
	if status := l.status(); !strings.Contains(status.Output, "test tone") || status.Trouble != "" {
		t.Errorf("status %+v", status)
	}
	s.Start()
	s.PlaySine("", 997)
	l.hears(997)
	s.Kill()
	l.troubled(errNoServer.Error())
	l.clear()
	s.Start()
	s.PlaySine("", 997)
	l.hears(997)
	if level := loudest(l.heard(), DefaultTone); level > 0.01 {
		t.Errorf("the test tone came back, level %v", level)
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		server, runtime, xdg string
		want                 []string
	}{
		{"unix:/a/native", "/b", "/c", []string{"unix:/a/native"}},
		{"/a/native", "", "", []string{"unix:/a/native"}},
		{"{0123abc}unix:/a tcp:host:99 tcp6:[::1] other", "", "", []string{"unix:/a", "tcp:host:99", "tcp6:[::1]:4713", "tcp:other:4713"}},
		{"unix: nonsense:x", "", "", nil},
		{"", "/b", "/c", []string{"unix:/b/native", "unix:/c/pulse/native", "unix:/run/pulse/native"}},
		{"", "", "/c", []string{"unix:/c/pulse/native", "unix:/run/pulse/native"}},
		{"", "", "", []string{fmt.Sprintf("unix:/run/user/%d/pulse/native", os.Getuid()), "unix:/run/pulse/native"}},
	}
	for _, test := range tests {
		t.Setenv("PULSE_SERVER", test.server)
		t.Setenv("PULSE_RUNTIME_PATH", test.runtime)
		t.Setenv("XDG_RUNTIME_DIR", test.xdg)
		var got []string
		for _, a := range addresses() {
			got = append(got, a.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
