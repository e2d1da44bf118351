package audiotest

import (
	"encoding/binary"
	"math"
	"os/exec"

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
