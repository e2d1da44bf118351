package main

import (
	"context"
	"net"
	"time"
)

// firewall is what is known of this computer's firewall.
type firewall struct {
	Name  string // "" where none is known
	State firewallState
	Open  string // the command that lets listeners through
}

// firewallState is what a firewall does with listeners.
type firewallState int

const (
	firewallOpen    firewallState = iota // lets them through, or there is none
	firewallBlocks                       // holds those on other computers back
	firewallUnknown                      // may hold them back: this user can't see its rules
)

// firewallLimit bounds how long a firewall is asked.
const firewallLimit = 2 * time.Second

// words says what to do about it, in a sentence; "" for nothing.
func (f firewall) words() string {
	switch f.State {
	case firewallBlocks:
		return "But this computer's firewall, " + f.Name + ", holds other devices back. To let them in, run: " + f.Open
	case firewallUnknown:
		return "If nobody can open it, the firewall " + f.Name + " holds them back. To let them in, run: " + f.Open
	}
	return ""
}

// firewall looks for a firewall between this app and its listeners.
func (a *app) firewall(ctx context.Context) firewall {
	where, err := a.place()
	if err != nil || where.reach != network {
		return firewall{} // they come from here, or through a proxy that the owner has set up
	}
	_, port, err := net.SplitHostPort(a.listen.String())
	if err != nil {
		return firewall{}
	}
	ctx, cancel := context.WithTimeout(ctx, firewallLimit)
	defer cancel()
	f, err := findFirewall(ctx, port)
	if err != nil {
		a.log.Debug("firewall unknown", "err", err)
	}
	return f
}

// warnOfFirewall logs it once where listeners may be held back.
func (a *app) warnOfFirewall(ctx context.Context) {
	switch f := a.firewall(ctx); f.State {
	case firewallBlocks:
		a.log.Warn("the firewall " + f.Name + " holds listeners on other devices back; to let them in: " + f.Open)
	case firewallUnknown:
		a.log.Info("the firewall " + f.Name + " may hold listeners on other devices back; to let them in: " + f.Open)
	}
}
