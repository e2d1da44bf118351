package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot/audio/audiotest"
)

// benchmark is what BenchmarkPlayer keeps.
type benchmark struct {
	Commit  string     `json:"commit"`
	Machine machine    `json:"machine"`
	Rows    []measured `json:"rows"`
}

// machine is what was measured on.
type machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Kernel    string `json:"kernel"`
}

// measured is a row of the table. Latencies and lengths are in ms.
type measured struct {
	Row     string    `json:"row"`
	Date    time.Time `json:"date"`
	Seconds float64   `json:"seconds"` // that it was measured for, after learning
	Browser string    `json:"browser"` // as it names itself
	Path    string    `json:"path"`    // how the page played: "worklet" or "scheduled"

	// Latency is from the sink that was captured to the sink of the browser.
	Latency spread  `json:"latency"`
	Limit   float64 `json:"limit,omitempty"` // of its median
	Clicks  int     `json:"clicks"`          // that were heard whole
	Start   float64 `json:"start"`           // from the click to the first sound

	// What the page counted while it learnt and since; what it aimed at, and
	// what it took its latency to be, where it says.
	Learning counts  `json:"learning"`
	Counts   counts  `json:"counts"`
	Target   float64 `json:"target"`
	Says     float64 `json:"says,omitempty"`
	targets  []float64
	says     []float64

	// Gaps are those in what was heard, from 5 ms on.
	Gaps []float64 `json:"gaps,omitempty"`

	// CPU is what the browser used of a core, in per cent.
	CPU float64 `json:"cpu"`

	// Of the network: its packets. For each outage, of the network or of the
	// browser's computer, how long after its end there was sound again, and how
	// long until it was as late as before.
	Packets  int       `json:"packets,omitempty"`
	Lost     int       `json:"lost,omitempty"`
	Outages  int       `json:"outages,omitempty"`
	Sounding []float64 `json:"sounding,omitempty"`
	Back     []float64 `json:"back,omitempty"`

	Load busy `json:"load"`
}

// counts is what a player counts.
type counts struct {
	Underruns int `json:"underruns"`
	Skips     int `json:"skips"`
	Pauses    int `json:"pauses"`
}

// spread is how something is distributed.
type spread struct {
	P5     float64 `json:"p5"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

func spreadOf(x []float64) spread {
	if len(x) == 0 {
		return spread{}
	}
	x = slices.Sorted(slices.Values(x))
	at := func(q float64) float64 { return x[int(q*float64(len(x)-1))] }
	return spread{at(0.05), at(0.5), at(0.95), at(0.99), at(1)}
}

// ms is d in ms, with a tenth.
func ms(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 10 }

// add adds what the player says.
func (r *measured) add(s said) {
	r.Path = s.path
	r.targets = append(r.targets, s.target)
	r.Target = spreadOf(r.targets).Median
	if s.latency > 0 {
		r.says = append(r.says, s.latency)
		r.Says = spreadOf(r.says).Median
	}
	r.Counts = counts{
		s.counts.Underruns - r.Learning.Underruns,
		s.counts.Skips - r.Learning.Skips,
		s.counts.Pauses - r.Learning.Pauses,
	}
}

func (r *measured) latency(delays []audiotest.Delay, from, to time.Time) {
	var late []float64
	for _, d := range delays {
		if d.At.After(from) && d.At.Before(to) {
			late = append(late, ms(d.Late))
		}
	}
	r.Clicks, r.Latency = len(late), spreadOf(late)
}

func (r *measured) heard(sound audiotest.Sound, from, to time.Time) {
	for _, g := range sound.Gaps {
		if g.At.After(from) && g.At.Before(to) && g.Length >= 5*time.Millisecond {
			r.Gaps = append(r.Gaps, ms(g.Length))
		}
	}
}

// recoveries tells how long the player took after each outage of that length.
// What did not come before the next one is not in it.
func (r *measured) recoveries(delays []audiotest.Delay, from time.Time, outages []time.Time, length time.Duration) {
	r.Outages = len(outages)
	for i, end := range outages {
		var before []float64
		sounding, back := 0.0, 0.0
		for j, d := range delays {
			switch {
			case d.At.Before(from) || i+1 < len(outages) && d.At.After(outages[i+1].Add(-length)):
			case d.At.Before(end.Add(-length)):
				before = append(before, ms(d.Late))
			case d.At.After(end):
				if sounding == 0 {
					sounding = ms(d.At.Sub(end))
				}
				// Four clicks, a second, to stay there.
				limit := spreadOf(before).Median + ms(usual)
				ahead := delays[j:min(len(delays), j+4)]
				if back == 0 && !slices.ContainsFunc(ahead, func(d audiotest.Delay) bool { return ms(d.Late) > limit }) {
					back = ms(d.At.Sub(end))
				}
			}
		}
		if sounding > 0 {
			r.Sounding = append(r.Sounding, sounding)
		}
		if back > 0 {
			r.Back = append(r.Back, back)
		}
	}
}

// report prints the table, and keeps the figures where build/bench said.
func (bm *benchmark) report(b *testing.B) {
	b.Helper()
	fmt.Printf("\n%s\n", bm.table())
	bm.Commit = os.Getenv("EARSHOT_BENCH_COMMIT")
	bm.Machine = thisMachine(b)
	keep(b, bm)
}

// keep writes figures as JSON where build/bench said.
func keep(b *testing.B, figures any) {
	b.Helper()
	path := os.Getenv("EARSHOT_BENCH_OUT")
	if path == "" {
		return
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func thisMachine(b *testing.B) machine {
	b.Helper()
	m := machine{Cores: runtime.NumCPU()}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		b.Fatal(err)
	}
	m.Kernel = strings.TrimSpace(string(kernel))
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(cpu)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
		}
	}
	return m
}

// table is the rows as Markdown.
func (bm *benchmark) table() string {
	var s strings.Builder
	columns := []string{
		"row", "minutes", "median ms", "at most", "p95", "p99", "max", "underruns", "while learning",
		"skips", "pauses", "gaps heard", "longest ms", "target", "page says", "start", "browser's CPU", "load before", "load at most", "waiting",
	}
	s.WriteString("| " + strings.Join(columns, " | ") + " |\n| ---" + strings.Repeat(" | ---:", len(columns)-1) + " |\n")
	or := func(x float64) string {
		if x == 0 {
			return "-"
		}
		return fmt.Sprintf("%.0f", x)
	}
	for _, r := range bm.Rows {
		l := r.Latency
		fmt.Fprintf(&s, "| %s | %.3g | %.0f | %s | %.0f | %.0f | %.0f | %d | %d | %d | %d | %d | %s | %.0f | %s | %.0f | %.1f %% | %.1f | %.1f | %.0f %% |\n",
			r.Row, r.Seconds/60, l.Median, or(r.Limit), l.P95, l.P99, l.Max, r.Counts.Underruns, r.Learning.Underruns,
			r.Counts.Skips, r.Counts.Pauses, len(r.Gaps), or(spreadOf(r.Gaps).Max), r.Target, or(r.Says), r.Start,
			r.CPU, r.Load.Before, r.Load.Most, 100*r.Load.Waiting)
	}
	s.WriteString("\n")
	for _, r := range bm.Rows {
		if r.Packets > 0 {
			fmt.Fprintf(&s, "%s: %d of %d packets lost\n", r.Row, r.Lost, r.Packets)
		}
		if r.Outages > 0 {
			sounding, back := spreadOf(r.Sounding), spreadOf(r.Back)
			fmt.Fprintf(&s, "%s: after %d outages sound again %d times, in %.0f ms (median; %.0f at most), back at live %d times, in %.0f ms (%.0f)\n",
				r.Row, r.Outages, len(r.Sounding), sounding.Median, sounding.Max, len(r.Back), back.Median, back.Max)
		}
	}
	for _, r := range bm.Rows {
		fmt.Fprintf(&s, "again: ./build/bench player --row %s --for %v\n", r.Row, time.Duration(r.Seconds*float64(time.Second)))
	}
	return s.String()
}
