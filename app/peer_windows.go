package main

import "net/netip"

// ownPeer does not tell programs of other users apart: Windows has one user at a
// screen as a rule, and no easy way to ask.
func ownPeer(_, _ netip.AddrPort) (bool, error) { return true, nil }
