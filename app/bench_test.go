package main

import (
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"earshot/audio/audiotest"
	"earshot/server/nettest"
)

// listening is one way of listening, which BenchmarkPlayer measures.
type listening struct {
	name    string // which tells of all the rest
	browser string // "chromium" or "firefox"
	sound   string // "pulse" or "pipewire": the server
	secure  bool   // the page
	profile string // the player's
	frame   string
	// limit is what the latency's median may be, in ms; 0 is anything.
	limit float64
	// network is between the app and the browser; nil is none at all.
	network *nettest.Conditions
	// outage is for how long of every outageEvery the network is away or, where
	// there is none, the browser's computer sleeps.
	outage time.Duration
}

const (
	// learning is how long a player may learn before its latency counts.
	learning = 10 * time.Second

	outageEvery = 30 * time.Second
	// usual is how near to its latency before an outage a player is back at live.
	usual = 100 * time.Millisecond
)

// listenings are all that is measured.
func listenings() []listening {
	var all []listening
	for _, on := range []struct{ browser, sound string }{
		{"chromium", "pulse"}, {"firefox", "pulse"}, {"chromium", "pipewire"},
	} {
		for _, l := range []listening{
			{secure: true, profile: "live", frame: "10ms", limit: 85},
			{secure: true, profile: "live", frame: "20ms", limit: 105},
			{secure: false, profile: "live", frame: "20ms", limit: 160},
			{secure: true, profile: "balanced", frame: "20ms", limit: 300},
			{secure: false, profile: "balanced", frame: "20ms", limit: 300},
			{secure: true, profile: "radio", frame: "20ms"},
		} {
			l.browser, l.sound = on.browser, on.sound
			if on.browser != "chromium" || on.sound != "pulse" {
				l.limit = 0
			}
			page := "insecure"
			if l.secure {
				page = "secure"
			}
			l.name = fmt.Sprintf("%s-%s-%s-%s-%s", l.browser, l.sound, page, l.profile, l.frame)
			all = append(all, l)
		}
	}
	const ms = time.Millisecond
	for _, l := range []listening{
		{name: "jitter-20ms", network: &nettest.Conditions{Delay: 20 * ms, Jitter: 10 * ms}},
		{name: "jitter-100ms", network: &nettest.Conditions{Delay: 100 * ms, Jitter: 50 * ms}},
		{name: "loss", network: &nettest.Conditions{Delay: 20 * ms, Loss: 0.02}},
		{name: "outage-3s", network: &nettest.Conditions{Delay: 20 * ms}, outage: 3 * time.Second},
		{name: "outage-12s", network: &nettest.Conditions{Delay: 20 * ms}, outage: 12 * time.Second},
		{name: "sleep-12s", outage: 12 * time.Second},
	} {
		if l.network != nil {
			l.name = "network-" + l.name
		}
		l.browser, l.sound, l.secure, l.profile, l.frame = "chromium", "pulse", true, "live", "20ms"
		all = append(all, l)
	}
	return all
}

// BenchmarkPlayer measures how late and how whole a browser plays what a laptop
// plays. build/bench runs it, and has the options.
func BenchmarkPlayer(b *testing.B) {
	length := time.Minute
	if text := os.Getenv("EARSHOT_BENCH_FOR"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length < time.Second {
			b.Fatalf("%q is no time for each row: 1m or 10m, say", text)
		}
	}
	var bm benchmark
	for _, l := range listenings() {
		b.Run(l.name, func(b *testing.B) {
			r := l.measure(b, length)
			bm.Rows = append(bm.Rows, r)
			b.ReportMetric(0, "ns/op") // hides it: that would be the length
			b.ReportMetric(r.Latency.Median, "ms-median")
			b.ReportMetric(r.Latency.P95, "ms-p95")
			b.ReportMetric(r.Latency.Max, "ms-max")
			b.ReportMetric(float64(r.Counts.Underruns), "underruns")
		})
	}
	if len(bm.Rows) > 0 {
		bm.report(b)
	}
}

// measure listens for so long.
func (l listening) measure(b *testing.B, length time.Duration) measured {
	b.Helper()
	r := measured{Row: l.name, Limit: l.limit, Seconds: length.Seconds(), Load: watchLoad(b)}
	start := audiotest.StartPulse
	if l.sound == "pipewire" {
		start = audiotest.StartPipeWire
	}
	sound := start(b, "speakers", browserSink)
	sound.PlayClicks("speakers")
	var network *nettest.Link
	if l.network != nil {
		network = nettest.Connect(b, *l.network, 1)
	}
	page := l.open(b, sound, l.serve(b, sound, network))
	page.evaluate("navigator.userAgent", &r.Browser)
	played, heard := sound.StartTape("speakers"), sound.StartTape(browserSink)
	click := clickPlay(page)

	// The player says what it did once a second.
	follow := func(until time.Time, each func(said)) {
		for now := time.Now(); now.Before(until); now = time.Now() {
			if s, ok := ask(b, page); ok {
				each(s)
			}
			r.Load.note(b)
			time.Sleep(min(time.Until(until), time.Until(now.Add(time.Second))))
		}
	}
	follow(time.Now().Add(learning), func(s said) { r.Learning = s.counts })
	from := time.Now()
	to := from.Add(length)
	var outages []time.Time // their ends
	used := cpu(b, page.pid())
	if l.outage > 0 {
		for at := from.Add(outageEvery / 3); !at.Add(outageEvery * 2 / 3).After(to); at = at.Add(outageEvery) {
			follow(at, r.add)
			if network == nil {
				outages = append(outages, sleep(b, page.pid(), l.outage))
				continue
			}
			network.Set(nettest.Conditions{Loss: 1})
			follow(time.Now().Add(l.outage), r.add)
			network.Set(*l.network)
			outages = append(outages, time.Now())
		}
	}
	follow(to, r.add)
	r.CPU = math.Round(1000*(cpu(b, page.pid())-used).Seconds()/length.Seconds()) / 10
	if s, ok := ask(b, page); ok {
		r.add(s)
	}
	r.Date = time.Now().UTC().Truncate(time.Second)
	if network != nil {
		r.Packets, r.Lost = network.Counts()
	}
	played.Stop()
	heard.Stop()
	if l.secure != (r.Path == "worklet") {
		b.Errorf("the page plays by %q", r.Path)
	}

	delays := audiotest.Delays(played.Clicks(), heard.Clicks())
	r.latency(delays, from, to)
	r.recoveries(delays, from, outages, l.outage)
	whole := heard.Sound()
	r.heard(whole, from, to)
	if !whole.From.IsZero() {
		r.Start = ms(whole.From.Sub(click))
	}
	return r
}

// serve starts an app that is live, beyond the network if there is one, and
// returns a link to it.
func (l listening) serve(b *testing.B, sound *audiotest.Server, network *nettest.Link) string {
	b.Helper()
	app := &running{t: b, env: soundEnv(b, sound), data: filepath.Join(b.TempDir(), "data"), log: &output{}}
	start := func(host string) {
		app.start("--headless", "--start", "--frame", l.frame, "--listen", host+":0")
	}
	switch {
	case network != nil:
		host := network.FarAddr().String()
		network.Far(func() { start(host) })
		return app.link(host)
	case l.secure:
		start("127.0.0.1")
		return app.link("")
	default:
		start("127.0.0.1")
		return app.link("lan.test")
	}
}

// open opens a link in a new browser, ready to be played.
func (l listening) open(b *testing.B, sound *audiotest.Server, link string) player {
	b.Helper()
	u, err := url.Parse(link)
	if err != nil {
		b.Fatal(err)
	}
	origin := &url.URL{Scheme: u.Scheme, Host: u.Host}
	// Over a network that isn't this computer only https is secure, and a
	// certificate for it would be one more thing to distrust.
	trusted := l.secure && l.network != nil
	open, trust := openChromium, "unsafely-treat-insecure-origin-as-secure="+origin.String()
	if l.browser == "firefox" {
		open, trust = openFirefox, fmt.Sprintf("user_pref(%q, %q);", "dom.securecontext.allowlist", origin.Hostname())
	}
	var more []string
	if trusted {
		more = append(more, trust)
	}
	page := open(b, sound.Env(), more...)
	// The profile is the listener's choice, which the page keeps.
	page.navigate(origin.JoinPath("healthz").String())
	page.run(fmt.Sprintf("localStorage.setItem(%q, %q);", profileKey, l.profile))
	page.open(link)
	if secure := page.secure(); secure != l.secure {
		b.Fatalf("secure context: %v", secure)
	}
	if got := page.dataset()["profile"]; got != l.profile && (got != "" || l.profile != "live") {
		b.Fatalf("the player's profile is %q, want %q", got, l.profile)
	}
	return page
}

// profileKey is where the player keeps what the listener chose.
const profileKey = "earshot.profile"

// clickPlay clicks on play and returns when that was, by the page.
func clickPlay(page player) time.Time {
	page.t.Helper()
	page.run(`addEventListener("click", () => { window.clickedAt = Date.now(); }, true);`)
	page.play()
	var clicked int64
	page.evaluate("window.clickedAt", &clicked)
	return time.UnixMilli(clicked)
}

// said is what a player says of itself.
type said struct {
	counts  counts
	target  float64 // ms
	latency float64 // ms; 0 where it says none
	path    string
}

// ask returns what the player says, if it has something to say just now.
func ask(b *testing.B, page player) (s said, ok bool) {
	b.Helper()
	data := page.dataset()
	if data["target"] == "" {
		return said{}, false
	}
	number := func(name string) float64 {
		x, err := strconv.ParseFloat(data[name], 64)
		if err != nil {
			b.Fatalf("the page's %s is %q", name, data[name])
		}
		return x
	}
	s = said{
		counts: counts{int(number("underruns")), int(number("skips")), int(number("pauses"))},
		target: number("target"),
		path:   data["path"],
	}
	if data["latency"] != "" {
		s.latency = number("latency")
	}
	return s, true
}
