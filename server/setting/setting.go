// Package setting reads the settings that both programs have. A type of its own
// checks each text, so that one sentence says what would be right, wherever the
// text stands.
package setting

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Address is a TCP address to listen on; the host may be empty.
type Address string

func (a *Address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n > 65535 {
		return fmt.Errorf("%q is no address to listen on: use :PORT or HOST:PORT, such as :3277", text)
	}
	*a = Address(text)
	return nil
}

// URL is the address of a server, without a path.
type URL struct{ URL *url.URL } // nil for none

func (p *URL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%q is no address for links: use http(s)://HOST or http(s)://HOST:PORT, such as https://radio.example.org", text)
	}
	u.Path = ""
	u.Host = strings.ToLower(u.Host) // tokens are for it, letter by letter
	// Browsers leave the scheme's own port out of an Origin.
	if u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	p.URL = u
	return nil
}

// Origin is a site, as browsers name it in an Origin (RFC 6454 section 7).
type Origin string

func (o *Origin) UnmarshalText(text []byte) error {
	var u URL
	// What is in a host goes into a header as it is.
	if err := u.UnmarshalText(text); err != nil || strings.Trim(strings.ToLower(u.URL.Host), "abcdefghijklmnopqrstuvwxyz0123456789.:[]-") != "" {
		return fmt.Errorf("%q is no site: use http(s)://HOST or http(s)://HOST:PORT, such as https://blog.example.org", text)
	}
	*o = Origin(strings.ToLower(u.URL.String()))
	return nil
}

// Prefix is one address or all of a network.
type Prefix struct{ netip.Prefix }

func (p *Prefix) UnmarshalText(text []byte) error {
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

// Level is how much is logged.
type Level struct{ slog.Level }

func (l *Level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug", "info", "warn", "error":
		return l.Level.UnmarshalText(text)
	}
	return fmt.Errorf("%q is no log level: use debug, info, warn or error", text)
}

// Format is how that is written.
type Format string

func (l *Format) UnmarshalText(text []byte) error {
	if s := string(text); s != "text" && s != "json" {
		return fmt.Errorf("%q is no log format: use text or json", text)
	}
	*l = Format(text)
	return nil
}

// Pause is a short while that a program takes over something, of a minute at
// most.
type Pause time.Duration

func (p *Pause) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 || d > time.Minute {
		return fmt.Errorf("%q is no short while: use 5s, 500ms or 0s, a minute (1m) at most", text)
	}
	*p = Pause(d)
	return nil
}

// Validity is how long a link is good: a duration that may also be in days or
// weeks.
type Validity time.Duration

// MaxValidity is "forever".
const MaxValidity = 10 * 365 * 24 * time.Hour

func (v *Validity) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "forever" {
		*v = Validity(MaxValidity)
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
		d = time.Duration(min(n*float64(unit), float64(2*MaxValidity)))
	} else {
		d, err = time.ParseDuration(s)
	}
	if err != nil || d < time.Second || d > MaxValidity {
		return fmt.Errorf("%q is no time that a link can last: use 30m, 24h, 7d, 2w or forever (until you withdraw it), ten years at most", text)
	}
	*v = Validity(d)
	return nil
}
