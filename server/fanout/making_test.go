//go:build linux

package fanout

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"earshot/audio"
	"earshot/audio/audiotest"
	"earshot/audio/capture"
	"earshot/audio/opus"
)

// bitrate is the one that opusSize comes of.
const bitrate = 90_000

// captures takes what a sound server plays to where it would be encoded.
func captures(net.Listener) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-ended(); cancel() }()
	encoder, err := opus.NewEncoder(bitrate)
	if err != nil {
		return err
	}
	p := audio.Pipeline{
		Source:  capture.NewLoopback(capture.Config{Clock: audio.NewClock(), Log: log, Frame: frame}),
		Encoder: encoder, Frame: frame, Log: log,
		Wanted: func() bool { return false },
	}
	return p.Run(ctx)
}

// encodes encodes noise, a packet a frame, the first second of it again and again.
func encodes(net.Listener) error {
	encoder, err := opus.NewEncoder(bitrate)
	if err != nil {
		return err
	}
	size := audio.Samples(frame) * audio.Channels
	pcm := make([]float32, int(time.Second/frame)*size)
	for i := range pcm {
		pcm[i] = float32(rand.NormFloat64() / 10)
	}
	data := make([]byte, audio.MaxPacketSize)
	pace(func(seq uint32) {
		at := int(seq) * size % len(pcm)
		if _, err = encoder.Encode(pcm[at:at+size], data); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	return err
}

// making measures what a packet costs before it is published, which is done once
// for all listeners.
func (r *results) making(b *testing.B, length time.Duration) {
	b.Helper()
	if _, err := exec.LookPath("pulseaudio"); err != nil {
		r.Skipped = append(r.Skipped, "capture: PulseAudio is not installed")
		return
	}
	sound := audiotest.StartPulse(b, "speakers")
	sound.PlaySine("speakers", 997)
	sound.Setenv()
	taken, made := start(b, "capture"), start(b, "encode")
	time.Sleep(time.Second)
	for range trials {
		for row, p := range map[string]process{"capture": taken, "encode": made} {
			before, _ := os.ReadFile("/proc/loadavg")
			cpu := used(b, p.cmd.Process.Pid)
			time.Sleep(length)
			cpu = used(b, p.cmd.Process.Pid) - cpu
			frames := int64(length / frame)
			r.Samples = append(r.Samples, sample{Row: row, Messages: frames, CPU: cpu.Seconds() * 1e6 / float64(frames), Load: strings.TrimSpace(string(before))})
		}
	}
}

const fullRow = "radio-full"

// fullHouse is how many listeners the limit of file descriptors leaves room for,
// 20,000 at most.
func fullHouse() int {
	const others = 1200 // connections that ask, and what a program has besides
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return int(min(20_000, limit.Max-others))
}

// full lets as many listen to radio as can.
func (r *results) full(b *testing.B, length time.Duration) {
	b.Helper()
	r.measure(b, fullRow, "radio", start(b, "hub"), fullHouse(), max(length, 10*time.Second))
}
