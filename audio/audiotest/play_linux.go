package audiotest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strings"
	"time"

	"earshot/audio"
)

// level is the amplitude of the sines that are played.
const level = 0.25

// Player is a program that plays into a sink.
type Player struct {
	*process
}

// PlaySine plays a sine of hz and amplitude 0.25 on both channels into a sink,
// or into the default one, whichever that is at the time, when sink is "". It
// plays until it is stopped, the server dies or the test ends.
func (s *Server) PlaySine(sink string, hz float64) *Player {
	s.t.Helper()
	cmd := s.player(sink, "pacat", "--raw", "--format=float32le", "--rate=48000", "--channels=2")
	cmd.Stdin = newSine(hz)
	return &Player{start(s.t, cmd)}
}

// PlaySineAs is PlaySine by a program of that name.
func (s *Server) PlaySineAs(program, sink string, hz float64) *Player {
	s.t.Helper()
	return s.playAs(program, sink, newSine(hz))
}

// rampLength is how long a ramp takes: by samples of 16 bits its times are known to
// 0.3 ms.
const rampLength = 8 * time.Second

// PlayRampAs plays what rises from 0.1 to 0.9 of full scale again and again, so
// that a sample's level tells which it is.
func (s *Server) PlayRampAs(program, sink string) *Player {
	s.t.Helper()
	return s.playAs(program, sink, new(ramp))
}

func (s *Server) playAs(program, sink string, sound io.Reader) *Player {
	s.t.Helper()
	cmd := s.player(sink, "pacat", "--raw", "--format=float32le", "--rate=48000", "--channels=2", "--client-name="+program)
	cmd.Stdin = sound
	return &Player{start(s.t, cmd)}
}

// RampTime returns when in its ramp PlayRampAs plays a level.
func RampTime(level float64) time.Duration {
	return time.Duration((level - 0.1) / 0.8 * float64(rampLength))
}

// ramp is an endless float32le stereo ramp.
type ramp int

func (r *ramp) Read(p []byte) (int, error) {
	const frame = 4 * audio.Channels
	whole := audio.Samples(rampLength)
	p = p[:len(p)/frame*frame]
	for i := 0; i < len(p); i += frame {
		level := math.Float32bits(0.1 + 0.8*float32(int(*r)%whole)/float32(whole))
		for c := range audio.Channels {
			binary.LittleEndian.PutUint32(p[i+4*c:], level)
		}
		*r++
	}
	return len(p), nil
}

// PlayBriefly plays d of silence into a sink, by a program of that name, and
// waits for its end. Any goroutine may call it.
func (s *Server) PlayBriefly(ctx context.Context, program, sink string, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d+2*time.Second) // PipeWire forgets some
	defer cancel()
	cmd := exec.CommandContext(ctx, "pacat", "--raw", "--format=float32le", "--rate=48000", "--channels=2",
		"--latency-msec=20", "--device="+sink, "--client-name="+program)
	cmd.Env = s.Env()
	cmd.Stdin = bytes.NewReader(make([]byte, 4*audio.Channels*audio.Samples(d)))
	_ = cmd.Run() // it may well be ended
}

// Move moves all that programs of that name play to another sink, and waits
// until it is there.
func (s *Server) Move(program, sink string) {
	s.t.Helper()
	Poll(s.t, program+" does not play on "+sink, func() bool {
		elsewhere := s.playing(program, sink)
		for _, index := range elsewhere {
			s.Pactl("move-sink-input", index, sink)
		}
		if len(elsewhere) > 0 {
			time.Sleep(100 * time.Millisecond) // PipeWire forgets some
		}
		return len(s.playing(program, sink)) == 0
	})
}

// playing returns the indexes of what programs of that name play on other sinks
// than the given one.
func (s *Server) playing(program, sink string) (elsewhere []string) {
	s.t.Helper()
	wanted := ""
	for line := range strings.Lines(s.Pactl("list", "short", "sinks")) {
		if f := strings.Fields(line); f[1] == sink {
			wanted = f[0]
		}
	}
	index, on := "", ""
	for line := range strings.Lines(s.Pactl("list", "sink-inputs")) {
		line = strings.TrimSpace(line)
		if rest, found := strings.CutPrefix(line, "Sink Input #"); found {
			index = rest
		}
		if rest, found := strings.CutPrefix(line, "Sink: "); found {
			on = rest
		}
		if line == fmt.Sprintf("application.name = %q", program) && on != wanted {
			elsewhere = append(elsewhere, index)
		}
	}
	return elsewhere
}

// PlayFile plays a sound file once.
func (s *Server) PlayFile(sink, path string) *Player {
	s.t.Helper()
	need(s.t, "paplay", "pulseaudio-utils")
	return &Player{start(s.t, s.player(sink, "paplay", path))}
}

func (s *Server) player(sink, name string, args ...string) *exec.Cmd {
	s.t.Helper()
	// With less latency, players lose sound on a busy machine.
	args = append([]string{"--latency-msec=200"}, args...)
	if sink != "" {
		args = append([]string{"--device=" + sink}, args...)
	}
	return s.command(name, args...)
}

// Stop ends the player.
func (p *Player) Stop() { p.kill() }

// Wait waits until the player ends by itself.
func (p *Player) Wait() { <-p.done }

// sine is an endless sine as float32 samples in bytes.
type sine struct {
	step, phase float64 // radians
	rest        []byte  // of a sample that did not fit
}

func newSine(hz float64) *sine { return &sine{step: 2 * math.Pi * hz / audio.SampleRate} }

func (s *sine) Read(p []byte) (int, error) {
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	for n < len(p) {
		bits := math.Float32bits(float32(level * math.Sin(s.phase)))
		s.phase = math.Mod(s.phase+s.step, 2*math.Pi)
		var both [8]byte
		binary.LittleEndian.PutUint32(both[:4], bits)
		binary.LittleEndian.PutUint32(both[4:], bits)
		c := copy(p[n:], both[:])
		s.rest = append(s.rest[:0], both[c:]...)
		n += c
	}
	return n, nil
}
