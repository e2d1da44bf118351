//go:build linux

package fanout

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// peers is how many listen by WebRTC: they decrypt each packet, and all on this
// computer.
const peers = 200

// webrtc measures a fan-out by WebRTC in turn with the hub, where its modules are
// there or can be had.
func (r *results) webrtc(b *testing.B, ours process, length time.Duration) {
	b.Helper()
	program := filepath.Join(b.TempDir(), "pion")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "pion"
	if text, err := build.CombinedOutput(); err != nil {
		r.Skipped = append(r.Skipped, fmt.Sprintf("WebRTC: server/fanout/pion can't be built: %v: %s", err, strings.TrimSpace(string(text))))
		return
	}
	theirs := startServer(b, exec.Command(program, "serve"))
	for range trials {
		before, _ := os.ReadFile("/proc/loadavg")
		// In a process for each trial, which takes its listeners with it.
		load := exec.Command(program, "listen", theirs.addr, fmt.Sprint(peers), fmt.Sprint(length))
		load.Stderr = os.Stderr
		out, err := load.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := load.Start(); err != nil {
			b.Fatal(err)
		}
		var word string
		var messages int64
		_, err = fmt.Fscanln(out, &word)
		cpu := used(b, theirs.cmd.Process.Pid)
		if err == nil {
			_, err = fmt.Fscanln(out, &messages)
		}
		cpu = used(b, theirs.cmd.Process.Pid) - cpu
		stop(load)
		if err != nil {
			r.Skipped = append(r.Skipped, fmt.Sprintf("WebRTC: its listeners heard nothing: %v", err))
			return
		}
		r.Samples = append(r.Samples, sample{Row: "webrtc", Listeners: peers, Messages: messages,
			CPU: cpu.Seconds() * 1e6 / float64(max(1, messages)), Load: strings.TrimSpace(string(before))})
		r.measure(b, "hub", "ws", ours, peers, length)
		time.Sleep(5 * time.Second) // until the server has noticed that they are gone
	}
}
