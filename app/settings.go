package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot/audio/opus"
	"earshot/server/token"
)

// settings are the options that are flags, keys of the config file and
// environment variables alike. A type of its own checks each text, so that one
// sentence says what would be right, wherever the text stands.
type settings struct {
	Listen         address   `default:":3277" placeholder:"HOST:PORT" help:"Where listeners connect (${default})."`
	PublicURL      publicURL `name:"public-url" placeholder:"URL" help:"The address that share links carry, when listeners come through a proxy or another name."`
	TLSCert        string    `name:"tls-cert" placeholder:"FILE" help:"The certificate chain (PEM) for https links; read again when it changes."`
	TLSKey         string    `name:"tls-key" placeholder:"FILE" help:"The certificate's private key (PEM)."`
	Origins        []origin  `placeholder:"ORIGIN" help:"Other sites whose pages may connect: https://blog.example.org,…"`
	Embed          []origin  `placeholder:"ORIGIN" help:"Sites that may show the page in a frame."`
	TrustedProxies []prefix  `placeholder:"ADDRESS" help:"Proxies whose X-Forwarded-For is believed: 127.0.0.1, 10.0.0.0/8,…"`
	MaxListeners   int       `default:"1000" placeholder:"N" help:"How many may listen at once (${default})."`
	Source         source    `default:"auto" placeholder:"SOURCE" help:"The sound: auto, loopback (what the speakers play), tone, or file:PATH.wav (${default})."`
	Bitrate        bitrate   `default:"128k" placeholder:"RATE" help:"Bits per second, 6k to 510k (${default})."`
	Frame          frame     `default:"20ms" placeholder:"TIME" help:"Sound in one packet: 5ms, 10ms, 20ms, 40ms or 60ms (${default})."`
	Start          bool      `help:"Be live at once."`
	Title          string    `placeholder:"TEXT" help:"What the page calls the stream (your name and this computer's)."`
	Data           string    `placeholder:"DIR" help:"The folder of key, links, lock and control socket; another one is another Earshot."`
	LogLevel       logLevel  `default:"info" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
	LogFormat      logFormat `default:"text" placeholder:"FORMAT" help:"text or json (${default})."`

	keys []token.KeyConfig // of other programs; the config file's only
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
	if s.TLSCert, s.TLSKey = home(s.TLSCert), home(s.TLSKey); (s.TLSCert == "") != (s.TLSKey == "") {
		return &usageError{errors.New("tls-cert and tls-key belong together: give both, or none")}
	}
	if s.MaxListeners < 1 {
		return &usageError{fmt.Errorf("max-listeners: %d is too few: use 1 or more", s.MaxListeners)}
	}
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

// origin is a site, as browsers name it in an Origin (RFC 6454 section 7).
type origin string

func (o *origin) UnmarshalText(text []byte) error {
	var u publicURL
	// What is in a host goes into a header as it is.
	if err := u.UnmarshalText(text); err != nil || strings.Trim(strings.ToLower(u.url.Host), "abcdefghijklmnopqrstuvwxyz0123456789.:[]-") != "" {
		return fmt.Errorf("%q is no site: use http(s)://HOST or http(s)://HOST:PORT, such as https://blog.example.org", text)
	}
	*o = origin(strings.ToLower(u.url.String()))
	return nil
}

// prefix is one address or all of a network.
type prefix struct{ netip.Prefix }

func (p *prefix) UnmarshalText(text []byte) error {
	if read, err := netip.ParsePrefix(string(text)); err == nil {
		p.Prefix = read
		return nil
	}
	address, err := netip.ParseAddr(string(text))
	if err != nil {
		return fmt.Errorf("%q is no address: use one such as 127.0.0.1, or a network such as 10.0.0.0/8", text)
	}
	p.Prefix = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
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
	if s == "forever" {
		*v = validity(maxValidity)
		return nil
	}
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
		return fmt.Errorf("%q is no time that a link can last: use 30m, 24h, 7d, 2w or forever (until you withdraw it), ten years at most", text)
	}
	*v = validity(d)
	return nil
}
