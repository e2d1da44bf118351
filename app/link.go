package main

import (
	"fmt"
	"net"
	"net/netip"
)

// reach is from where a link works.
type reach string

const (
	anywhere reach = "anywhere"
	network  reach = "on this network"
	computer reach = "on this computer"
)

// place is where listeners find the server.
type place struct {
	base  string // URL without a path
	reach reach
}

// place returns where listeners find a server that listens on addr, a
// HOST:PORT: at the public URL if there is one, else at the address that addr
// names, else at that of the interface that leads out of this computer.
func (s *settings) place(addr string) (place, error) {
	if s.PublicURL.URL != nil {
		return place{s.PublicURL.URL.String(), anywhere}, nil
	}
	scheme := "http://"
	if s.TLSCert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return place{}, fmt.Errorf("find address for links: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = outwardAddress()
	}
	p := place{scheme + net.JoinHostPort(host, port), network}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		p.reach = computer
	}
	return p, nil
}

// outwardAddress returns this computer's address on the interface that leads
// out, else on any network, else localhost.
func outwardAddress() string {
	// Connecting a UDP socket sends nothing; it asks the kernel for the route.
	// The destinations are for documentation (RFC 5737, RFC 3849).
	for _, to := range []string{"203.0.113.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
		_ = conn.Close()
		if !addr.IsLoopback() {
			return addr.WithZone("").String()
		}
	}
	all, _ := net.Interfaces() // without them, it has none
	for _, i := range all {
		if i.Flags&(net.FlagUp|net.FlagRunning) != net.FlagUp|net.FlagRunning {
			continue
		}
		addrs, _ := i.Addrs() // of one that has just gone
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if ip := prefix.Addr(); err == nil && ip.IsGlobalUnicast() {
				return ip.String()
			}
		}
	}
	return "localhost"
}

// link returns the share link for a token. The token is in the fragment, which
// browsers send to nobody (RFC 9110 section 4.2.4).
func (p place) link(tok string) string { return p.base + "/#" + tok }

// isOurs tells whether addr is one of this computer's.
func isOurs(addr netip.Addr) bool {
	if addr = addr.Unmap(); addr.IsLoopback() {
		return true
	}
	all, _ := net.InterfaceAddrs() // without them it is somebody else's
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == addr.WithZone("") {
			return true
		}
	}
	return false
}
