//go:build linux

package fanout

import (
	"syscall"
	"testing"
	"time"
)

// TestOverload lets a server with many listeners have so little time that a pass
// through them takes several frames: of those who agree some are moved to longer
// messages, and back when it has all of its time again. Nobody misses a packet or
// gets one twice, and who doesn't answer stays.
func TestOverload(t *testing.T) {
	const (
		agree, stay = 480, 20
		runs, rests = 3 * time.Millisecond, 100 * time.Millisecond
	)
	t.Setenv("GOMAXPROCS", "1") // which the server has, too
	p := start(t, "hub")
	willing, old := &load{}, &load{stays: true}
	defer willing.close()
	defer old.close()
	willing.listen(t, "ws", p.addr, agree)
	old.listen(t, "ws", p.addr, stay) // who came last is asked first
	until := func(what string, ok func() bool) {
		t.Helper()
		for begun := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatalf("waited in vain until %s: %d asked and %d moved of those who agree, %d asked of those who don't",
					what, willing.asked.Load(), willing.moved.Load(), old.asked.Load())
			}
		}
	}
	until("all hear", func() bool { return old.messages.Load() > 100*stay && willing.messages.Load() > 100*agree })
	if n := willing.asked.Load() + old.asked.Load(); n != 0 {
		t.Fatalf("%d are asked to go while there is little to do", n)
	}

	stop, running := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(running)
		for {
			_ = p.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(rests)
			_ = p.cmd.Process.Signal(syscall.SIGCONT)
			select {
			case <-stop:
				return
			case <-time.After(runs):
			}
		}
	}()
	func() {
		defer func() { close(stop); <-running }() // or the server could not end
		until("many are moved", func() bool { return old.asked.Load() > 0 && willing.moved.Load() > agree/4 })
	}()
	t.Logf("%d moved, of %d and %d who were asked", willing.moved.Load(), willing.asked.Load(), old.asked.Load())
	begun := time.Now()
	until("all are back", func() bool { return willing.moved.Load() == 0 })
	t.Logf("back after %v", time.Since(begun))
	heard := willing.messages.Load()
	until("they hear", func() bool { return willing.messages.Load() > heard+100*agree })
	if a, b := willing.gaps.Load(), old.gaps.Load(); a+b != 0 {
		t.Errorf("gaps: %d of those who were moved, %d of the others", a, b)
	}
	if n := old.moved.Load(); n != 0 {
		t.Errorf("%d are moved who did not agree", n)
	}
}
