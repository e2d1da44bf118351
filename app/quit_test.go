package main

import "testing"

// `earshot quit` ends the app, well, and returns when it has ended.
func TestQuit(t *testing.T) {
	t.Parallel()
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	r.must("quit")
	if got := r.run("quit"); got.status != exitNotRunning {
		t.Errorf("again: status %d, %s", got.status, got.err)
	}
	<-r.done
	if status := r.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status %d\n%s", status, r.log)
	}
	r.start("--headless", "--listen", "127.0.0.1:0") // nothing holds the folder
}
