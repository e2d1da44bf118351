package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot/audio/opus"
)

// settings are the options that are flags, keys of the config file and
// environment variables alike. A type of its own checks each text, so that one
// sentence says what would be right, wherever the text stands.
type settings struct {
	Listen    address   `default:":3277" placeholder:"HOST:PORT" help:"Where listeners connect (${default})."`
	PublicURL publicURL `name:"public-url" placeholder:"URL" help:"The address that share links carry, when listeners come through a proxy or another name."`
	Source    source    `default:"auto" placeholder:"SOURCE" help:"The sound: auto, loopback (what the speakers play), tone, or file:PATH.wav (${default})."`
	Bitrate   bitrate   `default:"128k" placeholder:"RATE" help:"Bits per second, 6k to 510k (${default})."`
	Frame     frame     `default:"20ms" placeholder:"TIME" help:"Sound in one packet: 5ms, 10ms, 20ms, 40ms or 60ms (${default})."`
	Start     bool      `help:"Be live at once."`
	Title     string    `placeholder:"TEXT" help:"What the page calls the stream (your name and this computer's)."`
	Data      string    `placeholder:"DIR" help:"The folder of key, lock and control socket; another one is another Earshot."`
	LogLevel  logLevel  `default:"info" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
	LogFormat logFormat `default:"text" placeholder:"FORMAT" help:"text or json (${default})."`
}

// complete fills in what depends on this computer.
func (s *settings) complete() error {
	if s.Title == "" {
		s.Title = defaultTitle()
	}
	if s.Data == "" {
		s.Data = defaultData()
	}
	dir, err := filepath.Abs(home(s.Data))
	if err != nil {
		return fmt.Errorf("find data folder: %w", err)
	}
	s.Data = dir
	return nil
}

// home replaces a leading ~, which a shell does for flags but nobody for the
// config file.
func home(path string) string {
	rest, found := strings.CutPrefix(path, "~/")
	dir, err := os.UserHomeDir()
	if !found || err != nil {
		return path
	}
	return filepath.Join(dir, rest)
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

// address is a TCP address to listen on; the host may be empty.
type address string

func (a *address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n > 65535 {
		return fmt.Errorf("%q is no address to listen on: use :PORT or HOST:PORT, such as :3277", text)
	}
	*a = address(text)
	return nil
}

// publicURL is the base of share links.
type publicURL struct{ url *url.URL } // nil for none

func (p *publicURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%q is no address for links: use http(s)://HOST or http(s)://HOST:PORT, such as https://radio.example.org", text)
	}
	u.Path = ""
	// Browsers leave the scheme's own port out of an Origin.
	if u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	p.url = u
	return nil
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
			*s = source{kind: kind, path: home(path)}
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

type logLevel struct{ slog.Level }

func (l *logLevel) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug", "info", "warn", "error":
		return l.Level.UnmarshalText(text)
	}
	return fmt.Errorf("%q is no log level: use debug, info, warn or error", text)
}

type logFormat string

func (l *logFormat) UnmarshalText(text []byte) error {
	if s := string(text); s != "text" && s != "json" {
		return fmt.Errorf("%q is no log format: use text or json", text)
	}
	*l = logFormat(text)
	return nil
}

// validity is how long a link is good: a duration that may also be in days or
// weeks.
type validity time.Duration

const maxValidity = 10 * 365 * 24 * time.Hour

func (v *validity) UnmarshalText(text []byte) error {
	s := string(text)
	unit := time.Duration(0)
	switch {
	case strings.HasSuffix(s, "d"):
		unit = 24 * time.Hour
	case strings.HasSuffix(s, "w"):
		unit = 7 * 24 * time.Hour
	}
	var d time.Duration
	var err error
	if unit != 0 {
		var n float64
		n, err = strconv.ParseFloat(s[:len(s)-1], 64)
		d = time.Duration(min(n*float64(unit), float64(2*maxValidity)))
	} else {
		d, err = time.ParseDuration(s)
	}
	if err != nil || d < time.Second || d > maxValidity {
		return fmt.Errorf("%q is no time that a link can last: use 30m, 24h, 7d or 2w, ten years at most", text)
	}
	*v = validity(d)
	return nil
}
