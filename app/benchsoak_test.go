//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot/audio/audiotest"
	"earshot/server/uplink"
)

// soak is what BenchmarkSoak keeps. There is growth where, with all listeners
// gone, a program has more than a few goroutines or descriptors, or more than a
// megabyte in its heap, beyond what it had after a first round of everything; or
// where the memory of the process under load, in the last quarter of the time, is
// a tenth more than in the second quarter, the relay's than in the eighth before.
// (Each output that goes at the moment at which miniaudio opens it costs the laptop
// four descriptors.)
type soak struct {
	Commit  string    `json:"commit"`
	Machine machine   `json:"machine"`
	Date    time.Time `json:"date"`
	Seconds float64   `json:"seconds"`

	Samples []sample          `json:"samples"`
	Rest    map[string][2]has `json:"rest"` // of each program with nobody there: before and after
	Stirs   map[string]int    `json:"stirs"`
	Joined  int64             `json:"joined"`
	Expired int64             `json:"expired"` // listeners whose link ended

	Missed  int            `json:"missed"`  // packets that were left out of what came
	Strange int            `json:"strange"` // that came twice, or out of order
	Silent  []silence      `json:"silent"`  // that nothing explains
	Faults  map[string]int `json:"faults"`
	Load    busy           `json:"load"`

	// Failed is how often miniaudio could not open an output: each time it keeps a
	// connection to the sound server, two ends of a pipe and a memory file for ever.
	Failed int `json:"failed"`

	stirs []stirred
	began time.Time
}

// has is what a program has of the computer.
type has struct {
	Goroutines  int     `json:"goroutines"`
	Descriptors int     `json:"descriptors"`
	Resident    float64 `json:"rss"`            // MB
	Heap        float64 `json:"heap,omitempty"` // MB, after a collection
}

// sample is a moment.
type sample struct {
	At        float64        `json:"at"` // s
	Has       map[string]has `json:"has"`
	Listeners int64          `json:"listeners"`
	Missed    int            `json:"missed"` // until then
	Latency   spread         `json:"latency"`
}

// The names of the programs.
const (
	laptop   = "earshot"
	relaying = "earshot-relay"
)

const (
	soakers    = 500
	spare      = 4   // goroutines or descriptors more at the end than at the beginning
	heapSpare  = 1.0 // MB
	failSpare  = 4   // descriptors for each time that an output could not be opened
	growth     = 1.1
	soakSample = 2 * time.Second
)

// openFails is in the log when an output could not be opened.
const openFails = "open capture device"

// soaking is the programs under test.
type soaking struct {
	b        *testing.B
	sound    *audiotest.Server
	app      *running
	relay    *relayProgram
	profiles string // of the app: HOST:PORT
	stir     *stir
}

// BenchmarkSoak runs everything at once for a long time, and looks whether
// anything grows: capture, encoder, server and relay, 500 listeners who come and
// go, outputs that change, links that end, a relay that restarts. build/bench
// runs it, and has the options.
func BenchmarkSoak(b *testing.B) {
	length, err := time.ParseDuration(os.Getenv("EARSHOT_BENCH_FOR"))
	if err != nil || length < 30*time.Second {
		b.Fatal("run ./build/bench soak, with a time of 30s or more")
	}
	s := &soaking{b: b, profiles: freePort(b)}
	s.sound = audiotest.StartPulse(b, "speakers")
	s.sound.PlaySine("speakers", pitch)
	env := append(s.sound.Env(), "XDG_CONFIG_HOME="+b.TempDir(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent")
	s.app = launch(b, env, "--headless", "--source", "loopback", "--start", "--profile", s.profiles)
	s.relay = launchRelay(b, "profiles = true\ndrain = \"1s\"", fmt.Sprintf("keys = [%q]", s.app.must("relay", "key")))
	s.app.must("relay", "add", "ws://"+s.relay.addr+"/radio")

	result := &soak{
		Commit: os.Getenv("EARSHOT_BENCH_COMMIT"), Machine: thisMachine(b), Date: time.Now().UTC().Truncate(time.Second),
		Seconds: length.Seconds(), Rest: map[string][2]has{}, Stirs: map[string]int{}, Load: watchLoad(b),
	}
	// What is made once and kept is made in a round before.
	s.round(&soak{Stirs: map[string]int{}}, 20*time.Second)
	before := s.rest()
	failed := strings.Count(s.app.log.String(), openFails)
	s.round(result, length)
	result.Failed = strings.Count(s.app.log.String(), openFails) - failed
	after := s.rest()
	for name := range before {
		result.Rest[name] = [2]has{before[name], after[name]}
	}
	b.ReportMetric(0, "ns/op") // hides it: that would be the length
	verdict, well := result.verdict()
	fmt.Printf("\n%s\n", verdict)
	keep(b, result)
	if out := os.Getenv("EARSHOT_BENCH_OUT"); out != "" {
		plot := strings.TrimSuffix(out, filepath.Ext(out)) + ".svg"
		if err := os.WriteFile(plot, []byte(result.plot()), 0o644); err != nil {
			b.Fatal(err)
		}
		fmt.Printf("The plot is %s\n", plot)
	}
	if !well {
		b.Error("something grows or was not heard: see above")
	}
}

// round lets everybody come and go for so long.
func (s *soaking) round(result *soak, length time.Duration) {
	b := s.b
	result.began = time.Now()
	s.stir = &stir{began: result.began}
	c := &crowd{
		app: s.app.address(), relay: s.relay.addr, stay: min(length/4, time.Minute), stir: s.stir,
		direct: s.app.must("link", "--direct", "--token"),
		away:   s.app.must("link", "--token"),
		issuer: s.app.must("link", "--direct", "--scope", "issue", "--for", "24h"),
	}
	p := &probe{}
	p.conn, _, _ = s.app.listen(c.direct)
	ctx, cancel := context.WithDeadline(b.Context(), result.began.Add(length))
	defer cancel()
	var all sync.WaitGroup
	all.Go(p.run)
	all.Go(func() { s.stir.metronome(ctx) })
	all.Go(func() { c.run(ctx, soakers) })
	samples := time.NewTicker(soakSample)
	defer samples.Stop()
	restart, change := max(length/20, 6*time.Second), 8*time.Second
	restarts, changes := time.NewTicker(restart), time.NewTicker(change)
	defer restarts.Stop()
	defer changes.Stop()
	for headphones := false; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-samples.C:
			late, missed, err := p.take()
			if err != nil {
				b.Errorf("who stays was cut off: %v", err)
			}
			missedOthers, _, _, _ := c.findings()
			result.Samples = append(result.Samples, sample{
				time.Since(result.began).Seconds(), s.has(false), c.here.Load(), missed + missedOthers, spreadOf(late),
			})
			result.Load.note(b)
		case <-restarts.C:
			if time.Since(result.began) > length*3/5 {
				continue // to see whether the relay's memory grows, too
			}
			s.stir.while(relayRestarts, func() { s.relay.stop(); s.relay.start(); s.reached() })
		case <-changes.C:
			s.stir.while(outputChanges, func() {
				if headphones = !headphones; headphones {
					s.sound.LoadSink("headphones")
					s.sound.SetDefaultSink("headphones")
				} else {
					s.sound.UnloadSink("headphones")
				}
			})
		}
	}
	_ = p.conn.Close()
	all.Wait()
	_, missed, _ := p.take()
	result.Missed, result.Strange, result.Silent, result.Faults = c.findings()
	result.Missed += missed
	result.Joined, result.Expired = c.joined.Load(), c.expired.Load()
	for _, d := range s.stir.done {
		result.Stirs[d.what]++
	}
	result.stirs = s.stir.done
	if len(s.sound.DefaultSink()) > 0 && s.sound.DefaultSink() != "speakers" {
		s.sound.UnloadSink("headphones")
	}
}

// reached waits until the app is at the relay again.
func (s *soaking) reached() {
	s.app.waitStatus("connected", func(st status) bool { return len(st.Relays) == 1 && st.Relays[0].State == uplink.Connected })
}

// rest is what the programs have once everybody is gone and nothing is captured.
func (s *soaking) rest() map[string]has {
	s.b.Helper()
	s.reached()
	s.app.waitStatus("nobody listens", func(st status) bool { return st.Listeners == 0 })
	time.Sleep(linger + idleAfter)
	return s.has(true)
}

// idleAfter is how long after the last listener connections may be kept.
const idleAfter = 5 * time.Second

// has looks at both programs; rest makes them collect garbage before.
func (s *soaking) has(rest bool) map[string]has {
	s.b.Helper()
	all := map[string]has{}
	for name, at := range map[string]struct {
		pid      int
		profiles string
	}{laptop: {s.app.cmd.Process.Pid, s.profiles}, relaying: {s.relay.cmd.Process.Pid, s.relay.metrics}} {
		var h has
		_, text := fetch(s.b, "http://"+at.profiles+"/debug/pprof/goroutine?debug=1")
		if _, err := fmt.Sscanf(text, "goroutine profile: total %d", &h.Goroutines); err != nil {
			s.b.Fatalf("%s has no profile: %v", name, err)
		}
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", at.pid))
		if err != nil {
			s.b.Fatal(err)
		}
		h.Descriptors = len(files)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", at.pid))
		if err != nil {
			s.b.Fatal(err)
		}
		h.Resident = megabytes(s.b, string(status), "VmRSS:")
		if rest {
			for range 2 { // pools keep for one collection what they have
				_, text = fetch(s.b, "http://"+at.profiles+"/debug/pprof/heap?gc=1&debug=1")
			}
			_, bytes, _ := strings.Cut(text, "\n# HeapAlloc = ")
			bytes, _, _ = strings.Cut(bytes, "\n")
			n, err := strconv.ParseFloat(bytes, 64)
			if err != nil {
				s.b.Fatal(err)
			}
			h.Heap = n / 1e6
		}
		all[name] = h
	}
	return all
}

// verdict is the table of what was found, and whether all is well.
func (r *soak) verdict() (string, bool) {
	var s strings.Builder
	well := true
	row := func(name string, ok bool, format string, args ...any) {
		word := "met"
		if !ok {
			word, well = "MISSED", false
		}
		fmt.Fprintf(&s, "| %s | %s | %s |\n", name, fmt.Sprintf(format, args...), word)
	}
	fmt.Fprintf(&s, "%.0f s; %d listeners at once, %d joined, %d links ended; %s %d times, %s %d times; %s %d times\n\n| | | |\n| --- | --- | --- |\n",
		r.Seconds, soakers, r.Joined, r.Expired, outputChanges, r.Stirs[outputChanges], relayRestarts, r.Stirs[relayRestarts], computerBusy, r.Stirs[computerBusy])
	for _, name := range slices.Sorted(maps.Keys(r.Rest)) {
		b, a := r.Rest[name][0], r.Rest[name][1]
		row(name+": goroutines at rest, before and after", a.Goroutines <= b.Goroutines+spare, "%d, %d", b.Goroutines, a.Goroutines)
		allowed := spare
		if name == laptop {
			allowed += failSpare * r.Failed
		}
		row("– descriptors", a.Descriptors <= b.Descriptors+allowed, "%d, %d", b.Descriptors, a.Descriptors)
		row("– heap", a.Heap <= b.Heap+heapSpare, "%.2f MB, %.2f MB", b.Heap, a.Heap)
		n := len(r.Samples)
		early, late := r.resident(name, n/4, n/2), r.resident(name, n*3/4, n)
		if name == relaying { // which was started again until then
			early = r.resident(name, n*5/8, n*3/4)
		}
		row("– memory under load, earlier and in the last quarter", late <= early*growth, "%.1f MB, %.1f MB", early, late)
	}
	row("packets missed by anybody", r.Missed == 0, "%d", r.Missed)
	row("packets twice or out of order", r.Strange == 0, "%d", r.Strange)
	longest := 0.0
	for _, g := range r.Silent {
		longest = max(longest, g.Length)
	}
	row("silence that nothing explains", len(r.Silent) == 0, "%d times, %.1f s at most", len(r.Silent), longest)
	for _, what := range slices.Sorted(maps.Keys(r.Faults)) {
		row(what, false, "%d times", r.Faults[what])
	}
	var median, p99 []float64
	for _, one := range r.Samples {
		if one.Latency.Median > 0 {
			median, p99 = append(median, one.Latency.Median), append(p99, one.Latency.P99)
		}
	}
	if r.Failed > 0 {
		fmt.Fprintf(&s, "\nan output could not be opened %d times, of which each costs %d descriptors for ever (miniaudio)\n", r.Failed, failSpare)
	}
	fmt.Fprintf(&s, "\nfrom the capture of a packet's first sample to a listener: median %.1f ms, p99 of two seconds %.1f ms (median), %.1f ms (worst); load before %.1f, at most %.1f\n",
		spreadOf(median).Median, spreadOf(p99).Median, spreadOf(p99).Max, r.Load.Before, r.Load.Most)
	return s.String(), well
}

// resident is the median memory of a program in some of the samples.
func (r *soak) resident(name string, from, to int) float64 {
	var all []float64
	for _, one := range r.Samples[from:to] {
		all = append(all, one.Has[name].Resident)
	}
	return spreadOf(all).Median
}
