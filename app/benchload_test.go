package main

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// busy is how busy the machine was, with the measuring itself.
type busy struct {
	// Before and Most are 1-minute load averages: before a row, and the highest
	// during it.
	Before float64 `json:"before"`
	Most   float64 `json:"most"`
	// Waiting is the part of the time in which something had to wait for a
	// processor: the kernel's Documentation/accounting/psi.rst.
	Waiting float64 `json:"waiting"`

	since   time.Time
	stalled time.Duration
}

// watchLoad looks at the machine before a row, and waits for it to be quiet if
// build/bench was asked to.
func watchLoad(b *testing.B) busy {
	b.Helper()
	if os.Getenv("EARSHOT_BENCH_QUIET") != "" {
		for end := time.Now().Add(15 * time.Minute); loadAverage(b) > 0.5; time.Sleep(time.Second) {
			if time.Now().After(end) {
				b.Fatal("the machine does not come to rest: its load is above 0.5")
			}
		}
	}
	return busy{Before: loadAverage(b), since: time.Now(), stalled: stalled(b)}
}

// note brings it up to now.
func (l *busy) note(b *testing.B) {
	b.Helper()
	l.Most = max(l.Most, loadAverage(b))
	part := (stalled(b) - l.stalled).Seconds() / time.Since(l.since).Seconds()
	l.Waiting = math.Round(part*1000) / 1000
}

// loadAverage is the machine's over the last minute.
func loadAverage(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	x, err := strconv.ParseFloat(first, 64)
	if err != nil {
		b.Fatal(err)
	}
	return x
}

// stalled is the time since the machine's start in which something waited for a
// processor; 0 where the kernel doesn't tell.
func stalled(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	some, _, _ := strings.Cut(string(text), "\n")
	_, total, _ := strings.Cut(some, "total=")
	us, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}
