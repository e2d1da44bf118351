package audiotest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// process is a child process and its end.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

// start starts cmd, which ends with the test at the latest.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	// A test that panics or is killed runs no clean-up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		cmd.Wait() // how it ended doesn't matter: most of them are killed
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process, frozen or not, and waits for it.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// end sends sig and waits until the process has ended.
func (p *process) end(sig os.Signal) {
	p.cmd.Process.Signal(sig)
	<-p.done
}

// need fails the test unless all programs are installed; each is followed by
// the Debian package that has it.
func need(t testing.TB, programs ...string) {
	t.Helper()
	var missing, packages []string
	for i := 0; i < len(programs); i += 2 {
		if _, err := exec.LookPath(programs[i]); err == nil {
			continue
		}
		missing = append(missing, programs[i])
		if !slices.Contains(packages, programs[i+1]) {
			packages = append(packages, programs[i+1])
		}
	}
	if missing != nil {
		t.Fatalf("this test needs %s: apt-get install %s",
			strings.Join(missing, ", "), strings.Join(packages, " "))
	}
}
