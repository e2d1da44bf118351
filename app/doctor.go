package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"earshot/audio"
	"earshot/audio/capture"
	"earshot/audio/opus"
	"earshot/server/token"
)

// How a check came out.
const (
	checkOK    = "ok"
	checkNote  = "note" // good to know; nothing may be wrong
	checkWrong = "wrong"
)

// finding is what was found out about one thing. What it says has no secret in it
// and names no listener, so that it can go into a bug report; an output may be
// called after its owner.
type finding struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // what to do about it
}

// checkup is what `earshot doctor --json` prints.
type checkup struct {
	Version   string    `json:"version"`
	Commit    string    `json:"commit"`
	Go        string    `json:"go"`
	Opus      string    `json:"opus"`
	Miniaudio string    `json:"miniaudio"`
	System    string    `json:"system"`
	Wrong     int       `json:"wrong"` // how many checks are
	Checks    []finding `json:"checks"`
}

type doctorCommand struct {
	JSON bool `help:"As JSON."`
}

const (
	doctorLimit = 20 * time.Second // for all checks
	reachLimit  = 3 * time.Second  // for the app's own address to answer
)

func (o *doctorCommand) Run(s *settings, c *console) error {
	ctx, cancel := context.WithTimeout(context.Background(), doctorLimit)
	defer cancel()
	report := checkup{Version: version, Commit: commit(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Opus: opus.Version(), Miniaudio: capture.Version(), System: systemName()}
	d := doctor{ctx: ctx, settings: s}
	report.Checks = d.checks()
	for i := range report.Checks {
		k := &report.Checks[i]
		k.Says, k.Do = withoutHome(k.Says), withoutHome(k.Do)
		if k.State == checkWrong {
			report.Wrong++
		}
	}
	var err error
	if o.JSON {
		err = printJSON(c.out, report)
	} else {
		err = report.print(c.out)
	}
	if err == nil && report.Wrong > 0 {
		err = fmt.Errorf("not all is well (%d wrong): see above for what to do", report.Wrong)
	}
	return err
}

func (r checkup) print(out io.Writer) error {
	fmt.Fprintf(out, "Earshot %s (%s), %s, %s, miniaudio %s\n%s\n\n", r.Version, r.Commit, r.Go, r.Opus, r.Miniaudio, r.System)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range r.Checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.State, k.Name, k.Says)
		if k.Do != "" {
			fmt.Fprintf(w, "\t\t→ %s\n", k.Do)
		}
	}
	return w.Flush()
}

// withoutHome replaces the user's home folder, which is often named as they are.
func withoutHome(text string) string {
	dir, err := os.UserHomeDir()
	if err != nil || len(dir) < 2 {
		return text
	}
	// The folder itself, and not one whose name only begins like it.
	whole := regexp.MustCompile(regexp.QuoteMeta(filepath.Clean(dir)) + `([/\\\s"':;,)]|\.\s|\.?$)`)
	return whole.ReplaceAllString(text, "~$1")
}

// doctor looks at one Earshot and what it needs.
type doctor struct {
	ctx      context.Context
	settings *settings
	running  *status // nil where it doesn't run
}

func (d *doctor) checks() []finding {
	var all []finding
	if d.settings.wrong != nil {
		all = append(all, wrongSettings(d.settings.wrong))
	}
	all = append(all, d.program())
	all = append(all, d.sound()...)
	all = append(all, d.port(), d.address(), d.firewall(), d.clock())
	all = append(all, systemChecks(d.ctx)...)
	return append(all, d.login(), d.files())
}

// quoted is what an error quotes of the settings.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// wrongSettings tells of settings with which Earshot doesn't start. What stands
// there may be a password in the wrong place.
func wrongSettings(err error) finding {
	return finding{Name: "settings", State: checkWrong, Says: quoted.ReplaceAllString(err.Error(), `"…"`),
		Do: "Correct that: Earshot does not start with it, and what follows is without those settings. earshot status says it in full."}
}

func (d *doctor) program() finding {
	k := finding{Name: "program", State: checkOK}
	var st status
	err := call(dataFolder(d.settings.Data).control(), "GET", "status", &st)
	switch {
	case errors.Is(err, errNotRunning):
		k.State, k.Says, k.Do = checkNote, "Earshot does not run", "Start it: earshot"
		return k
	case err != nil:
		k.State, k.Says, k.Do = checkWrong, "Earshot runs, but does not answer: "+err.Error(), "End it and start it again."
		return k
	}
	d.running = &st
	k.Says = fmt.Sprintf("Earshot runs (process %d): %s", st.PID, st.line())
	switch {
	case st.State == stateTrouble:
		k.State, k.Do = checkWrong, "See what is said of the sound; it goes on by itself. If not: earshot stop, and earshot start"
	case st.Version != version:
		k.State, k.Do = checkNote, "It is version "+st.Version+": quit it and start it again."
	}
	return k
}

// sound listens for a second to what is shared, and to nothing else.
func (d *doctor) sound() []finding {
	if kind := d.settings.Source.kind; kind == "tone" || kind == "file" {
		return []finding{{Name: "sound", State: checkOK, Says: "the settings say to share a " + kind}}
	}
	server := finding{Name: "sound server", State: checkOK, Says: capture.ServerName(d.ctx)}
	if server.Says == "" {
		server.State, server.Says, server.Do = checkWrong, "no sound server answers", noSoundServer
		return []finding{server}
	}
	output := finding{Name: "sound", State: checkOK}
	data := dataFolder(d.settings.Data)
	demand := capture.NewDemand(capture.Choice{})
	if _, err := openSound(d.settings, data.sound(), demand, func() {}, slog.New(slog.DiscardHandler)); err != nil {
		output.State, output.Says, output.Do = checkWrong, err.Error(), "Remove that file."
		return []finding{server, output}
	}
	demand.Listen(true)
	all := []finding{server}
	if k := missing(d.ctx, d.settings); k.Says != "" {
		all = append(all, k)
	}
	st, peak, heard := listen1s(d.ctx, demand)
	switch {
	case st.Held != "":
		output.State, output.Says = checkNote, "nothing is shared: "+st.Held
		output.Do = "If somebody shall hear it, choose another output, or change what is never shared: in the tray's menu under Sound, or in the settings."
	case !heard:
		output.State, output.Says = checkWrong, cmp.Or(st.Trouble, "no sound comes from "+st.Output)
		output.Do = "Choose an output in the desktop's sound settings, and play something."
	case st.Waiting != "":
		output.State, output.Says = checkNote, "silence is shared: "+st.Waiting
		output.Do = "If something else shall be heard, choose it: in the tray's menu under Sound, or in the settings."
	case peak == 0:
		output.State, output.Says = checkNote, st.Output+" plays nothing just now"
		output.Do = "Play something, and run this again: it should say how loud that is."
	default:
		output.Says = fmt.Sprintf("%s plays, %.0f dB at its loudest", st.Output, 20*math.Log10(peak))
	}
	if d.running != nil && d.running.Output != "" && d.running.Output != st.Output {
		output.Says += "; Earshot shares " + d.running.Output
	}
	return append(all, output)
}

// missing tells of names in the settings that nothing here has now.
func missing(ctx context.Context, s *settings) finding {
	k := finding{Name: "sound settings", State: checkNote, Do: "If that is not just unplugged or not playing, correct the name: earshot outputs has all that are there."}
	there, err := capture.List(ctx)
	if err != nil {
		return k
	}
	var gone []string
	for _, name := range capture.Unmatched(s.NeverShare, there.Outputs) {
		gone = append(gone, fmt.Sprintf("never-share: there is no output %q", name))
	}
	if s.Output != "" && !slices.ContainsFunc(there.Outputs, func(o capture.Output) bool { return o.Name == s.Output }) {
		gone = append(gone, fmt.Sprintf("output: there is no output %q", s.Output))
	}
	k.Says = strings.Join(gone, "; ")
	return k
}

// listen1s captures a second of what is shared, and returns how loud it is: 1 at
// most. heard is false where no sound is to be had, not even silence.
func listen1s(ctx context.Context, demand *capture.Demand) (st capture.Status, peak float64, heard bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	reports := make(chan capture.Status, 16)
	source := capture.NewLoopback(capture.Config{
		Clock:  audio.NewClock(),
		Log:    slog.New(slog.DiscardHandler),
		Demand: demand,
		Report: func(s capture.Status) {
			select {
			case reports <- s:
			default:
			}
		},
	})
	ring := audio.NewRing()
	done := make(chan struct{})
	go func() { _ = source.Run(ctx, ring); close(done) }()
	defer func() {
		cancel()
		select {
		case <-done:
		case <-time.After(time.Second): // a sound server that hangs: this program ends soon
		}
	}()
	pcm := make([]float32, audio.SampleRate/100*audio.Channels)
	giveUp := time.After(2 * time.Second) // on trouble; an output may take longer to wake
	got := 0
	for {
		select {
		case <-ctx.Done():
			return st, peak, got > 0
		case st = <-reports:
			if st.Held != "" {
				return st, 0, false
			}
		case <-giveUp:
			if st.Trouble != "" && got == 0 {
				return st, 0, false
			}
		case <-ring.Wake():
		}
		for {
			if _, ok := ring.Read(pcm); !ok {
				break
			}
			for _, sample := range pcm {
				peak = max(peak, math.Abs(float64(sample)))
			}
			if got++; got >= 100 && (st.Output != "" || st.Waiting != "") {
				return st, peak, true
			}
		}
	}
}

// port looks at whether listeners could connect to this computer at all.
func (d *doctor) port() finding {
	k := finding{Name: "port", State: checkOK}
	if d.running != nil {
		k.Says = "listens on " + d.running.Listen
		return k
	}
	ln, err := listen(string(d.settings.Listen))
	if err != nil {
		k.State, k.Says, k.Do = checkWrong, string(d.settings.Listen)+" can't be listened on", err.Error()
		return k
	}
	_ = ln.Close()
	k.Says = string(d.settings.Listen) + " is free"
	return k
}

// place is where links lead to.
func (d *doctor) place() (place, error) {
	if d.running != nil {
		return place{d.running.URL, d.running.Reach}, nil
	}
	return d.settings.place(string(d.settings.Listen))
}

// address looks at whether the address of links leads to the app.
func (d *doctor) address() finding {
	k := finding{Name: "address", State: checkOK}
	where, err := d.place()
	if err != nil {
		k.State, k.Says = checkWrong, err.Error()
		return k
	}
	k.Says = fmt.Sprintf("links lead to %s and work %s", where.base, where.reach)
	if where.reach == computer {
		k.State, k.Do = checkNote, "Connect this computer to a network, unless --listen keeps to it."
	}
	if d.running == nil {
		return k
	}
	ctx, cancel := context.WithTimeout(d.ctx, reachLimit)
	defer cancel()
	err = answers(ctx, where)
	if err == nil {
		return k
	}
	k.State, k.Says = checkWrong, fmt.Sprintf("links lead to %s, and nothing good answers there: %v", where.base, err)
	if k.Do = "Restart Earshot; if that doesn't help, see its log."; where.reach == anywhere {
		k.Do = "See that the proxy or router behind public-url passes it on to this computer, and that this name has a valid certificate."
	} else if strings.HasPrefix(where.base, "https:") {
		k.Do = "See that the certificate is for the name in the links: set public-url to that name."
	}
	return k
}

// answers makes sure that the app's server is what answers there.
func answers(ctx context.Context, where place) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.base+"/healthz", nil)
	if err != nil {
		return err
	}
	way := &http.Transport{DisableKeepAlives: true}
	if where.reach == anywhere {
		way.Proxy = http.ProxyFromEnvironment
	}
	client := http.Client{Transport: way}
	resp, err := client.Do(req)
	var cause *url.Error
	if errors.As(err, &cause) {
		err = cause.Err // the URL was said already
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16))
	if err == nil && (resp.StatusCode != http.StatusOK || string(text) != "ok\n") {
		err = fmt.Errorf("it is something else, which says %s", resp.Status)
	}
	return err
}

func (d *doctor) firewall() finding {
	k := finding{Name: "firewall", State: checkOK, Says: "none known that holds listeners back"}
	where, err := d.place()
	if err != nil || where.reach == anywhere {
		k.Says = "not in the way of " + where.base
		return k
	}
	at := string(d.settings.Listen)
	if d.running != nil {
		at = d.running.Listen
	}
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		return k
	}
	ctx, cancel := context.WithTimeout(d.ctx, firewallLimit)
	defer cancel()
	f, err := findFirewall(ctx, port)
	switch {
	case err != nil:
		k.State, k.Says = checkNote, err.Error()
	case f.State == firewallBlocks:
		k.State, k.Says = checkWrong, f.Name+" holds listeners on other devices back"
	case f.State == firewallUnknown:
		k.State, k.Says = checkNote, f.Name+" is on, and tells only root whether it lets listeners in"
	case f.Name != "":
		k.Says = f.Name + " lets listeners in"
	}
	if f.State != firewallOpen {
		k.Do = "To let them in: " + f.Open
	}
	return k
}

// clock looks at the time, which links carry.
func (d *doctor) clock() finding {
	now := time.Now()
	k := finding{Name: "clock", State: checkOK, Says: now.Format(time.RFC3339)}
	if made := built(); now.Before(made) {
		k.State, k.Says = checkWrong, k.Says+", which is before this program was made"
		k.Do = "Set the clock: links would end at the wrong time, or be refused."
		return k
	}
	store, err := token.OpenStore(dataFolder(d.settings.Data).links(), time.Now)
	if err == nil {
		if made, all := store.Ahead(); !all.IsZero() {
			k.State, k.Says = checkWrong, k.Says+", and all links were withdrawn at "+clock(all)
			k.Do = "Set the clock if it is behind. Else it was ahead then, and no link can be made until that time."
			return k
		} else if !made.IsZero() {
			k.State, k.Says = checkWrong, k.Says+", and a link was made at "+clock(made)
			k.Do = "Set the clock if it is behind. Else it was ahead then: make that link anew, since it lets in nobody before that time."
			return k
		}
	}
	if exact, known := clockIsExact(); known && !exact {
		k.State, k.Says = checkNote, k.Says+", set by no time server"
		k.Do = "If that is wrong, set the clock: links would end at the wrong time, or be refused."
	}
	return k
}

// built is when what this program was built from was committed; zero where that
// isn't known.
func built() (t time.Time) {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return t
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, _ = time.Parse(time.RFC3339, s.Value)
		}
	}
	return t
}

func (d *doctor) login() finding {
	k := finding{Name: "start on login", State: checkOK, Says: "off"}
	a, err := newAutostart(d.settings.Data)
	var on bool
	if err == nil {
		on, err = a.enabled()
	}
	switch {
	case err != nil:
		k.State, k.Says = checkWrong, err.Error()
	case on:
		k.Says = "on"
	}
	return k
}

// files says where to look further.
func (d *doctor) files() finding {
	says := "log " + logPath(d.settings.Data) + ", data " + d.settings.Data
	if _, err := os.Stat(configFile()); err == nil {
		says += ", config " + configFile()
	}
	return finding{Name: "files", State: checkOK, Says: says}
}
