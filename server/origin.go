package server

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// welcomes tells whether a WebSocket may be opened from where r's page comes
// from: from the server's own page and the configured origins. Programs send no
// Origin, and pass on their token alone.
func (s *stream) welcomes(r *http.Request) bool {
	header := r.Header.Values("Origin")
	if len(header) == 0 {
		return true
	}
	if len(header) > 1 {
		return false
	}
	if slices.Contains(s.config.Origins, header[0]) {
		return true
	}
	origin, err := url.Parse(header[0])
	if err != nil || origin.Host == "" {
		return false
	}
	return strings.EqualFold(origin.Host, r.Host) ||
		s.Server.config.PublicURL != nil && strings.EqualFold(origin.Host, s.Server.config.PublicURL.Host)
}

// client returns the address that a request comes from: the peer's, or where
// that is a trusted proxy what it says, and so on along X-Forwarded-For from
// its end; each proxy appends whom it was asked by, and what stands before the
// first address that isn't trusted is anybody's word. The zero Addr is none.
func (s *Server) client(r *http.Request) netip.Addr {
	from := peer(r.RemoteAddr)
	path := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(path) {
		if !s.trusts(from) {
			break
		}
		before := peer(strings.TrimSpace(hop))
		if !before.IsValid() {
			break
		}
		from = before
	}
	return from
}

// trusts tells whether an address is a trusted proxy's.
func (s *Server) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// peer reads an address that a port may follow. The zero Addr is none.
func peer(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		pair, _ := netip.ParseAddrPort(text)
		a = pair.Addr()
	}
	return a.Unmap().WithZone("")
}
