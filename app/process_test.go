package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// process is a process as /proc tells of it.
type process struct {
	id, parent int
	used       time.Duration // processor time of its threads
}

// family returns a process and all that come from it.
func family(t testing.TB, id int) []process {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]process{}
	var all []process
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		p := parseStat(t, text)
		children[p.parent] = append(children[p.parent], p)
		if p.id == id {
			all = append(all, p)
		}
	}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].id]...)
	}
	if len(all) == 0 {
		t.Fatalf("process %d has ended", id)
	}
	return all
}

// parseStat reads /proc/PID/stat: proc(5).
func parseStat(t testing.TB, text []byte) process {
	t.Helper()
	id, rest, _ := bytes.Cut(text, []byte(" "))
	fields := bytes.Fields(rest[bytes.LastIndexByte(rest, ')')+1:]) // from the state on
	const tick = 10 * time.Millisecond
	number := func(text []byte) int {
		n, err := strconv.Atoi(string(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return n
	}
	return process{number(id), number(fields[1]), time.Duration(number(fields[11])+number(fields[12])) * tick}
}

// cpu returns the processor time that a process and all that come from it have used.
func cpu(t testing.TB, id int) (used time.Duration) {
	for _, p := range family(t, id) {
		used += p.used
	}
	return used
}

// sleep stops a process and all that come from it for so long, as a computer does
// that sleeps, and returns when they went on.
func sleep(t testing.TB, id int, d time.Duration) time.Time {
	t.Helper()
	all := family(t, id)
	for _, p := range all {
		if err := syscall.Kill(p.id, syscall.SIGSTOP); err != nil {
			t.Log(fmt.Errorf("stop process %d: %w", p.id, err))
		}
	}
	time.Sleep(d)
	awake := time.Now()
	for _, p := range all {
		_ = syscall.Kill(p.id, syscall.SIGCONT) // one that could not be stopped has ended
	}
	return awake
}
