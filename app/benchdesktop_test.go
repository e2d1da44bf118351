//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"earshot/audio/audiotest"
	"earshot/tray/traytest"
)

// figures is what BenchmarkDesktop keeps.
type figures struct {
	Commit  string    `json:"commit"`
	Machine machine   `json:"machine"`
	Date    time.Time `json:"date"`
	Seconds float64   `json:"seconds"` // that each state was measured for
	Program int64     `json:"program"` // bytes
	Start   []float64 `json:"start"`   // ms from the start of the program to its icon, each time
	States  []usage   `json:"states"`
	Load    busy      `json:"load"`
}

// usage is what the program takes of the computer in one state.
type usage struct {
	State    string  `json:"state"`
	CPU      float64 `json:"cpu"`     // percent of one core
	Wakes    float64 `json:"wakes"`   // a second: how often a thread slept and was woken
	Resident float64 `json:"rss"`     // MB, libraries that others have loaded, too, included
	Share    float64 `json:"pss"`     // MB, those counted by parts
	Threads  int     `json:"threads"` // at the end

	cpuTarget float64 // percent; 0 is any
}

// The targets for all states.
const (
	programTarget  = 20.0 // MB
	residentTarget = 40.0 // MB, stopped
	startTarget    = 300  // ms
)

// BenchmarkDesktop measures how light Earshot is on the desktop: with its tray
// icon, at a sound server that plays something. build/bench runs it, and has
// the options.
func BenchmarkDesktop(b *testing.B) {
	length, err := time.ParseDuration(os.Getenv("EARSHOT_BENCH_FOR"))
	if err != nil || length < time.Second || os.Getenv("EARSHOT_BINARY") == "" {
		b.Fatal("run ./build/bench desktop, with a time of a second or more for each state")
	}
	program, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	f := figures{
		Commit:  os.Getenv("EARSHOT_BENCH_COMMIT"),
		Machine: thisMachine(b),
		Date:    time.Now().UTC().Truncate(time.Second),
		Seconds: length.Seconds(),
		Load:    watchLoad(b),
	}
	info, err := os.Stat(program)
	if err != nil {
		b.Fatal(err)
	}
	f.Program = info.Size()

	sound := audiotest.StartPulse(b, "speakers")
	sound.PlaySine("speakers", pitch)
	bus := traytest.StartBus(b)
	tray := bus.StartTray()
	env := bus.Env(append(sound.Env(), "XDG_CONFIG_HOME="+b.TempDir(), "EARSHOT_LISTEN=127.0.0.1:0", "EARSHOT_SOURCE=loopback"))
	const starts = 20
	for range starts {
		f.Start = append(f.Start, startToIcon(b, program, env, tray))
		f.Load.note(b)
	}

	app := &running{t: b, env: env, data: filepath.Join(b.TempDir(), "data"), log: &output{}}
	app.start()
	icon := tray.Item(app.cmd.Process.Pid)
	for _, state := range []struct {
		name      string
		cpuTarget float64
		reach     func()
	}{
		{"stopped", 0.3, func() { icon.WaitStatus("Stopped") }},
		{"live, nobody listening", 1.5, func() { icon.Click(); icon.WaitStatus("Live · nobody listening") }},
		{"live, one listening", 4, func() {
			conn, _, _ := app.listen(app.made().Token)
			read := make(chan struct{})
			go func() {
				defer close(read)
				for err := error(nil); err == nil; _, _, err = conn.ReadMessage() {
				}
			}()
			b.Cleanup(func() { conn.Close(); <-read })
			icon.WaitStatus("Live · 1 listening")
		}},
	} {
		state.reach()
		time.Sleep(3 * time.Second) // what it does once is done
		u := app.usage(length)
		u.State, u.cpuTarget = state.name, state.cpuTarget
		f.States = append(f.States, u)
		f.Load.note(b)
	}
	b.ReportMetric(0, "ns/op") // hides it: that would be the length
	fmt.Printf("\n%s\n", f.table())
	keep(b, f)
}

// startToIcon starts the program and returns how many ms it took until a tray
// could show its icon.
func startToIcon(b *testing.B, program string, env []string, tray *traytest.Tray) float64 {
	b.Helper()
	cmd := exec.Command(program, "--data", filepath.Join(b.TempDir(), "data"))
	cmd.Env = env
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if icon := tray.Item(cmd.Process.Pid).Icon(); icon.Bounds().Empty() {
		b.Fatal("the icon is empty")
	}
	return ms(time.Since(began))
}

// usage measures what the program takes for so long.
func (r *running) usage(length time.Duration) usage {
	r.t.Helper()
	before, began := r.counters(), time.Now()
	time.Sleep(length)
	after, took := r.counters(), time.Since(began).Seconds()
	rollup := r.proc("smaps_rollup")
	return usage{
		CPU:      100 * (after.running - before.running).Seconds() / took,
		Wakes:    float64(after.wakes-before.wakes) / took,
		Resident: megabytes(r.t, rollup, "Rss:"),
		Share:    megabytes(r.t, rollup, "Pss:"),
		Threads:  after.threads,
	}
}

// counters are the kernel's, of all threads that there are.
type counters struct {
	running time.Duration
	wakes   int
	threads int
}

func (r *running) counters() (c counters) {
	r.t.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, thread := range threads {
		schedule := strings.Fields(r.proc("task/" + thread.Name() + "/schedstat")) // proc(5)
		ns, err := strconv.ParseInt(schedule[0], 10, 64)
		if err != nil {
			r.t.Fatal(err)
		}
		c.running += time.Duration(ns)
		c.wakes += int(number(r.t, r.proc("task/"+thread.Name()+"/status"), "voluntary_ctxt_switches:"))
		c.threads++
	}
	return c
}

// proc is a file of the program's in /proc.
func (r *running) proc(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", r.cmd.Process.Pid, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// number is what follows a name at the beginning of a line.
func number(t testing.TB, text, name string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			x, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
	}
	t.Fatalf("no %s in:\n%s", name, text)
	return 0
}

// megabytes is a number of kB in MB.
func megabytes(t testing.TB, text, name string) float64 {
	t.Helper()
	return number(t, text, name) * 1024 / 1e6
}

// table is the figures as Markdown, with what they shall be at most.
func (f *figures) table() string {
	var s strings.Builder
	s.WriteString("| | measured | target | |\n| --- | ---: | ---: | --- |\n")
	row := func(name string, value, target float64, format string) {
		limit, verdict := "", ""
		if target > 0 {
			limit, verdict = fmt.Sprintf(format, target), "met"
			if value > target {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", name, fmt.Sprintf(format, value), limit, verdict)
	}
	row("program", float64(f.Program)/1e6, programTarget, "%.1f MB")
	start := spreadOf(f.Start)
	row(fmt.Sprintf("start to icon, median of %d", len(f.Start)), start.Median, startTarget, "%.0f ms")
	row("start to icon, slowest", start.Max, 0, "%.0f ms")
	for _, u := range f.States {
		memory := 0.0
		if u.State == "stopped" {
			memory = residentTarget
		}
		row(u.State+": CPU", u.CPU, u.cpuTarget, "%.2f %%")
		row("– wake-ups a second", u.Wakes, 0, "%.1f")
		row("– memory, resident", u.Resident, memory, "%.1f MB")
		row("– memory, shared parts divided", u.Share, 0, "%.1f MB")
		row("– threads", float64(u.Threads), 0, "%.0f")
	}
	fmt.Fprintf(&s, "\n%.0f s for each state; load before %.1f, at most %.1f; something waited for a processor %.0f %% of the time\n",
		f.Seconds, f.Load.Before, f.Load.Most, 100*f.Load.Waiting)
	return s.String()
}
