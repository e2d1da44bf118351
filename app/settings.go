package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot/audio/capture"
	"earshot/audio/opus"
	"earshot/server/setting"
	"earshot/server/token"
)

// settings are the options that are flags, keys of the config file and
// environment variables alike. A type of its own checks each text, so that one
// sentence says what would be right, wherever the text stands.
type settings struct {
	Listen         address      `default:":3277" placeholder:"HOST:PORT" help:"Where listeners connect (${default})."`
	PublicURL      publicURL    `name:"public-url" placeholder:"URL" help:"The address that share links carry, when listeners come through a proxy or another name."`
	TLSCert        string       `name:"tls-cert" placeholder:"FILE" help:"The certificate chain (PEM) for https links; read again when it changes."`
	TLSKey         string       `name:"tls-key" placeholder:"FILE" help:"The certificate's private key (PEM)."`
	Origins        []origin     `placeholder:"ORIGIN" help:"Other sites whose pages may connect: https://blog.example.org,…"`
	Embed          []origin     `placeholder:"ORIGIN" help:"Sites that may show the page in a frame."`
	TrustedProxies []prefix     `placeholder:"ADDRESS" help:"Proxies whose X-Forwarded-For is believed: 127.0.0.1, 10.0.0.0/8,…"`
	MaxListeners   int          `default:"1000" placeholder:"N" help:"How many may listen at once (${default})."`
	Source         source       `default:"auto" placeholder:"SOURCE" help:"The sound: auto, loopback (what the speakers play), tone, or file:PATH.wav (${default})."`
	Output         string       `placeholder:"NAME" help:"The only output whose sound is shared (the default one, whichever that is); earshot outputs has the names."`
	Program        string       `placeholder:"NAME" help:"The only program whose sound is shared; earshot outputs has the names of those that play."`
	NeverShare     []string     `placeholder:"NAME" help:"Outputs whose sound is never shared, by name or title."`
	Bitrate        bitrate      `default:"128k" placeholder:"RATE" help:"Bits per second, 6k to 510k (${default})."`
	Frame          frame        `default:"20ms" placeholder:"TIME" help:"Sound in one packet: 5ms, 10ms, 20ms, 40ms or 60ms (${default})."`
	Start          bool         `help:"Be live at once."`
	Title          string       `placeholder:"TEXT" help:"What the page calls the stream (your name and this computer's)."`
	Data           string       `placeholder:"DIR" help:"The folder of key, links, lock and control socket; another one is another Earshot."`
	Notify         []noticeKind `default:"link,first-listener,trouble" placeholder:"WHAT" help:"What notifications are about: link, first-listener, trouble (${default}), or none."`
	LogLevel       logLevel     `default:"info" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
	LogFormat      logFormat    `default:"text" placeholder:"FORMAT" help:"text or json (${default})."`

	keys  []token.KeyConfig // of other programs; the config file's only
	given map[string]bool   // the settings that flags, environment or config file give
	asked bool              // a flag of this start says to be live, and not a setting for every start
	wrong error             // what is wrong with them; the commands run and doctor find that out by themselves
}

// complete fills in what depends on this computer.
func (s *settings) complete() error {
	if s.Title == "" {
		s.Title = defaultTitle()
	}
	if s.Data == "" {
		s.Data = defaultData()
	}
	dir, err := filepath.Abs(setting.Home(s.Data))
	if err != nil {
		return fmt.Errorf("find data folder: %w", err)
	}
	s.Data = dir
	if s.TLSCert, s.TLSKey = setting.Home(s.TLSCert), setting.Home(s.TLSKey); (s.TLSCert == "") != (s.TLSKey == "") {
		return &usageError{errors.New("tls-cert and tls-key belong together: give both, or none")}
	}
	if slices.Contains(s.Notify, noticeNone) {
		if len(s.Notify) > 1 {
			return &usageError{errors.New("notify: none goes with nothing else")}
		}
		s.Notify = nil
	}
	for i, name := range s.NeverShare {
		if s.NeverShare[i] = strings.TrimSpace(name); s.NeverShare[i] == "" {
			return &usageError{errors.New("never-share: one of the names is empty: take it out")}
		}
	}
	switch {
	case s.Output != "" && s.Program != "":
		return &usageError{errors.New("output and program: give one of them only; a program is heard on whatever output it plays")}
	case !capture.CanChoose && (s.Output != "" || len(s.NeverShare) > 0):
		return &usageError{errors.New("output and never-share don't work on this system yet: leave them out")}
	case !capture.CanProgram && s.Program != "":
		return &usageError{errors.New("program works on Linux only: leave it out")}
	case s.neverShares(capture.Output{Name: s.Output}):
		return &usageError{fmt.Errorf("output and never-share both name %q: take it out of one of them", s.Output)}
	}
	if s.MaxListeners < 1 {
		return &usageError{fmt.Errorf("max-listeners: %d is too few: use 1 or more", s.MaxListeners)}
	}
	return nil
}

// neverShares tells whether o is one of the outputs that are never shared.
func (s *settings) neverShares(o capture.Output) bool {
	return slices.ContainsFunc(s.NeverShare, func(name string) bool { return capture.Covers(name, o) })
}

// defaultTitle names the user and the computer: "Ann on laptop".
func defaultTitle() string {
	var names []string
	if u, err := user.Current(); err == nil {
		name, _, _ := strings.Cut(u.Name, ",") // the rest of a GECOS field
		if name == "" {
			name = u.Username
		}
		names = append(names, name)
	}
	if host, err := os.Hostname(); err == nil {
		host, _, _ = strings.Cut(host, ".")
		names = append(names, host)
	}
	if len(names) == 0 {
		return "Earshot"
	}
	return strings.Join(names, " on ")
}

// source says where the sound comes from.
type source struct {
	kind string // "auto", "loopback", "tone" or "file"
	path string // of the file
}

func (s *source) UnmarshalText(text []byte) error {
	kind, path, _ := strings.Cut(string(text), ":")
	switch kind {
	case "auto", "loopback", "tone":
		if kind == string(text) {
			*s = source{kind: kind}
			return nil
		}
	case "file":
		if path != "" {
			*s = source{kind: kind, path: setting.Home(path)}
			return nil
		}
	}
	return fmt.Errorf("%q is no source: use auto, loopback, tone or file:PATH.wav", text)
}

// bitrate is in bits per second.
type bitrate int

func (b *bitrate) UnmarshalText(text []byte) error {
	digits, unit := strings.ToLower(string(text)), 1
	if d, ok := strings.CutSuffix(digits, "k"); ok {
		digits, unit = d, 1000
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < opus.MinBitrate/unit || n > opus.MaxBitrate/unit {
		return fmt.Errorf("%q is no bit rate for the stream: use 6k to 510k", text)
	}
	*b = bitrate(n * unit)
	return nil
}

// frame is the duration of a packet.
type frame time.Duration

func (f *frame) UnmarshalText(text []byte) error {
	s := string(text)
	if _, err := strconv.Atoi(s); err == nil {
		s += "ms"
	}
	d, err := time.ParseDuration(s)
	if err != nil || !slices.Contains(opus.Frames, d) {
		return fmt.Errorf("%q is no packet size: use 5ms, 10ms, 20ms, 40ms or 60ms", text)
	}
	*f = frame(d)
	return nil
}

// What the relay's settings have, too.
type (
	address   = setting.Address
	publicURL = setting.URL
	origin    = setting.Origin
	prefix    = setting.Prefix
	logLevel  = setting.Level
	logFormat = setting.Format
	validity  = setting.Validity
)

const maxValidity = setting.MaxValidity
