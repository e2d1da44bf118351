package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The log holds the newest entries, each whole and in one of two files that
// stay small.
func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "earshot.log")
	const most = 1000
	var all strings.Builder
	for run := range 5 { // of the program
		l, err := openLog(path, most)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 25 {
			entry := fmt.Sprintf("entry %d of run %d\n", i, run)
			all.WriteString(entry)
			if n, err := l.Write([]byte(entry)); n != len(entry) || err != nil {
				t.Fatal(n, err)
			}
		}
		l.close()
		if n, err := l.Write([]byte("late")); n != 4 || err != nil {
			t.Error(n, err)
		}
	}
	older, err1 := os.ReadFile(path + ".1")
	newer, err2 := os.ReadFile(path)
	if err1 != nil || err2 != nil || len(older) > most || len(newer) > most || len(older) < most/2 ||
		!strings.HasSuffix(all.String(), string(older)+string(newer)) || !strings.HasPrefix(string(older), "entry ") {
		t.Errorf("older: %v\n%s\nnewer: %v\n%s", err1, older, err2, newer)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What the program says while it runs is in the log, and so is why it crashed.
func TestLogOfTheProgram(t *testing.T) {
	home := t.TempDir()
	r := launch(t, plainEnv(home), "--headless", "--source", "tone", "--start")
	r.waitStatus("live", func(st status) bool { return st.State == stateLive })
	if err := r.cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	<-r.done
	text, err := os.ReadFile(filepath.Join(r.data, "earshot.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"earshot started", "version=" + version, "capturing", "SIGABRT", "goroutine "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the log lacks %q:\n%.2000s", want, text)
		}
	}

	// One that can't be written keeps nobody from starting.
	if err := os.RemoveAll(filepath.Join(r.data, "earshot.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.data, "earshot.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.start("--listen", "127.0.0.1:0", "--headless")
	if !strings.Contains(r.log.String(), "open log") {
		t.Error("it doesn't say that it keeps no log")
	}
}

// Why it could not start is there, too: after a login nobody sees what it prints.
func TestLogOfAStartThatFails(t *testing.T) {
	home := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := command(t, plainEnv(home), "--headless", "--listen", ln.Addr().String())
	text, err := os.ReadFile(filepath.Join(home, ".local/state/earshot/earshot.log"))
	if err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), "taken by another program") {
		t.Errorf("%v: logged %q", err, text)
	}
	if strings.Count(got.err, "\n") != 1 {
		t.Errorf("printed %q", got.err)
	}
}

func TestLogPath(t *testing.T) {
	if got := logPath("/elsewhere"); got != "/elsewhere/earshot.log" {
		t.Errorf("log of another data folder: %s", got)
	}
	if got := logPath(defaultData()); filepath.Base(got) != "earshot.log" || strings.HasPrefix(got, defaultData()) {
		t.Errorf("log: %s", got)
	}
}
