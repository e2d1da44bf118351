package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// findFirewall finds out whether a firewall of this computer holds back who
// connects to a TCP port from elsewhere in the network. It never makes the
// desktop ask for a password.
func findFirewall(ctx context.Context, port string) (firewall, error) {
	f, err := findUFW("/", port)
	if err != nil || f.Name != "" {
		return f, err
	}
	return findFirewalld(ctx, port)
}

// findUFW looks for ufw by its files below root: everybody may read whether it
// is on, and root what it lets through.
func findUFW(root, port string) (firewall, error) {
	on, err := shellValue(filepath.Join(root, "etc/ufw/ufw.conf"), "ENABLED")
	if errors.Is(err, fs.ErrNotExist) || err == nil && on != "yes" {
		return firewall{}, nil
	}
	if err != nil {
		return firewall{}, fmt.Errorf("look at ufw: %w", err)
	}
	f := firewall{Name: "ufw", Open: "sudo ufw allow " + port + "/tcp"}
	policy, err := shellValue(filepath.Join(root, "etc/default/ufw"), "DEFAULT_INPUT_POLICY")
	if err == nil && policy == "ACCEPT" {
		return f, nil
	}
	rules, err := os.ReadFile(filepath.Join(root, "etc/ufw/user.rules"))
	if err != nil {
		f.State = firewallUnknown
		return f, nil
	}
	f.State = firewallBlocks
	// "### tuple ### allow tcp 3000:4000 0.0.0.0/0 any 0.0.0.0/0 in": what, of
	// what protocol, to which ports, where to, from which ports, where from,
	// which way. The first that fits decides. One that lets in some will be
	// meant for those who listen.
	for line := range strings.Lines(string(rules)) {
		rule := strings.Fields(line)
		if len(rule) < 10 || rule[1] != "tuple" || rule[4] != "tcp" && rule[4] != "any" || !hasPort(rule[5], port) {
			continue
		}
		action, from, way := rule[3], rule[8], rule[len(rule)-1]
		switch all := from == "0.0.0.0/0" && way == "in"; {
		case !strings.HasPrefix(way, "in"):
		case strings.HasPrefix(action, "allow"), strings.HasPrefix(action, "limit"):
			f.State = firewallOpen
			return f, nil
		case all && !strings.HasPrefix(action, "route:"):
			return f, nil
		}
	}
	return f, nil
}

// hasPort tells whether port is among those of a list as ufw writes it:
// "any", "80,443" or "3000:4000".
func hasPort(list, port string) bool {
	n, err := strconv.Atoi(port)
	if err != nil {
		return false
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, ":")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if part == "any" || err1 == nil && err2 == nil && from <= n && n <= to {
			return true
		}
	}
	return false
}

// shellValue returns what a file of lines KEY=VALUE says of key, "" for nothing.
func shellValue(path, key string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), key+"="); found {
			return strings.Trim(value, `"'`), nil
		}
	}
	return "", nil
}

// firewalld on the system bus (firewalld.dbus(5)).
const (
	firewalld     = "org.fedoraproject.FirewallD1"
	firewalldPath = "/org/fedoraproject/FirewallD1"
	firewalldZone = "org.fedoraproject.FirewallD1.zone"
	firewalldInfo = "org.fedoraproject.FirewallD1.config.info" // what it asks polkit for before it tells its rules
)

// findFirewalld asks firewalld, if it runs.
func findFirewalld(ctx context.Context, port string) (firewall, error) {
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return firewall{}, nil // nor can there be a firewalld
	}
	defer bus.Close()
	var runs bool
	if err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, firewalld).Store(&runs); err != nil || !runs {
		return firewall{}, err
	}
	ask := func(answer any, method string, args ...any) error {
		err := bus.Object(firewalld, firewalldPath).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...).Store(answer)
		if err != nil {
			return fmt.Errorf("ask firewalld: %w", err)
		}
		return nil
	}
	f := firewall{Name: "firewalld", State: firewallUnknown}
	open := func(zone string) string {
		return fmt.Sprintf("sudo firewall-cmd --permanent%s --add-port=%s/tcp && sudo firewall-cmd --reload", zone, port)
	}
	f.Open = open("")
	var zone string
	err = ask(&zone, firewalldZone+".getZoneOfInterface", outwardInterface())
	if err == nil && zone == "" {
		err = ask(&zone, firewalld+".getDefaultZone")
	}
	if err != nil {
		return f, err
	}
	f.Open = open(" --zone=" + quote(zone))
	if !allowed(ctx, bus, firewalldInfo) {
		return f, nil
	}
	var settings map[string]dbus.Variant
	if err := ask(&settings, firewalldZone+".getZoneSettings2", zone); err == nil {
		if target, _ := settings["target"].Value().(string); target == "ACCEPT" {
			f.State = firewallOpen
			return f, nil
		}
	}
	var has bool
	if err := ask(&has, firewalldZone+".queryPort", zone, port, "tcp"); err != nil {
		return f, err
	}
	if f.State = firewallBlocks; has {
		f.State = firewallOpen
	}
	return f, nil
}

// allowed tells whether this program may do what polkit calls action without
// anybody being asked for a password: some services ask for one whatever their
// caller wants. Without polkit they don't.
func allowed(ctx context.Context, bus *dbus.Conn, action string) bool {
	const polkit = "org.freedesktop.PolicyKit1"
	var runs bool
	err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, polkit).Store(&runs)
	if err == nil && !runs {
		var can []string
		err = bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.ListActivatableNames", 0).Store(&can)
		for _, name := range can {
			runs = runs || name == polkit // it would be started
		}
		if err == nil && !runs {
			return true
		}
	}
	type subject struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	var answer struct {
		Allowed, Challenge bool
		Details            map[string]string
	}
	us := subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(bus.Names()[0])}}
	err = bus.Object(polkit, "/org/freedesktop/PolicyKit1/Authority").CallWithContext(ctx,
		polkit+".Authority.CheckAuthorization", 0, us, action, map[string]string{}, uint32(0), "").Store(&answer)
	return err == nil && answer.Allowed
}

// outwardInterface returns the name of the interface that leads out of this
// computer; "" where none does.
func outwardInterface() string {
	out, err := netip.ParseAddr(outwardAddress())
	all, err2 := net.Interfaces()
	if err != nil || err2 != nil {
		return ""
	}
	for _, i := range all {
		addrs, _ := i.Addrs() // of one that has just gone
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == out {
				return i.Name
			}
		}
	}
	return ""
}
