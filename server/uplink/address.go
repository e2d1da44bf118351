package uplink

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"earshot/server"
	"earshot/server/setting"
)

// ParseURL reads the address of a stream on a relay, wss://HOST/NAME or
// https://HOST/NAME, and returns it as tokens for it name it: https, or http
// where it is on this computer, since over plain connections the token and the
// sound could be heard on the way.
func ParseURL(text string) (*url.URL, error) {
	wrong := fmt.Errorf("%q is no address of a stream on a relay: use wss://HOST/NAME, such as wss://radio.example.org/mystream", text)
	u, err := url.Parse(text)
	if err != nil {
		return nil, wrong
	}
	scheme := map[string]string{"wss": "https", "https": "https", "ws": "http", "http": "http"}[strings.ToLower(u.Scheme)]
	name := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	if scheme == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.Contains(name, "/") || name == "" {
		return nil, wrong
	}
	var base setting.URL
	if err := base.UnmarshalText([]byte(scheme + "://" + strings.ToLower(u.Host))); err != nil {
		return nil, wrong
	}
	if err := server.CheckName(name); err != nil {
		return nil, err
	}
	if scheme == "http" && !local(base.URL.Hostname()) {
		return nil, fmt.Errorf("%s would be read on the way: use wss://", text)
	}
	base.URL.Path = "/" + name
	return base.URL, nil
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
