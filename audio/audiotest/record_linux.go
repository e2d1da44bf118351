package audiotest

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"earshot/audio"
)

// Recording is a program that records what sounds in a sink.
type Recording struct {
	s       *Server
	process *process
	heard   heard
}

// heard is what a recording program has written so far.
type heard struct {
	mu   sync.Mutex
	data []byte
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.data = append(h.data, p...)
	return len(p), nil
}

// StartRecording records what sounds in a sink until it is stopped.
func (s *Server) StartRecording(sink string) *Recording {
	s.t.Helper()
	return s.record(sink + ".monitor")
}

// record records from a source.
func (s *Server) record(source string) *Recording {
	s.t.Helper()
	need(s.t, "parec", "pulseaudio-utils")
	r := &Recording{s: s}
	cmd := s.command("parec", "--raw", "--format=float32le", "--rate=48000", "--channels=2",
		"--latency-msec=20", "--device="+source)
	cmd.Stdout = &r.heard
	r.process = start(s.t, cmd)
	return r
}

// Record returns what sounds in a sink during the next d.
func (s *Server) Record(sink string, d time.Duration) []float32 {
	s.t.Helper()
	r := s.StartRecording(sink)
	r.Wait(d)
	return r.Stop()[:audio.Samples(d)*audio.Channels]
}

// Len returns how much has been recorded.
func (r *Recording) Len() time.Duration {
	r.heard.mu.Lock()
	defer r.heard.mu.Unlock()
	return audio.Duration(len(r.heard.data) / bytesPerFrame)
}

// Wait waits until d of sound has been recorded in all.
func (r *Recording) Wait(d time.Duration) {
	r.s.t.Helper()
	for end := time.Now().Add(d + patience); r.Len() < d; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.s.t.Fatalf("recorded only %v of %v in %v", r.Len(), d, d+patience)
		}
	}
}

// Stop ends the recording and returns all of it.
func (r *Recording) Stop() []float32 {
	r.process.kill()
	return samples(r.heard.data)
}

const bytesPerFrame = 4 * audio.Channels

// samples converts little-endian float32.
func samples(data []byte) []float32 {
	pcm := make([]float32, len(data)/bytesPerFrame*audio.Channels)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return pcm
}
