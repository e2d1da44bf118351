//go:build linux

package main

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"

	"earshot/tray/traytest"
)

// write writes files below a root, by their paths.
func write(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestUFW(t *testing.T) {
	const (
		on   = "# a comment\nENABLED=yes\n\nLOGLEVEL=low\n"
		drop = "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\n"
		head = "*filter\n### RULES ###\n\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n\n"
	)
	rules := func(tuples string) map[string]string {
		return map[string]string{"etc/ufw/ufw.conf": on, "etc/default/ufw": drop, "etc/ufw/user.rules": head + tuples}
	}
	tests := map[string]struct {
		files map[string]string
		name  string
		want  firewallState
	}{
		"not installed":        {nil, "", firewallOpen},
		"off":                  {map[string]string{"etc/ufw/ufw.conf": "ENABLED=no\n", "etc/default/ufw": drop}, "", firewallOpen},
		"rules for root alone": {map[string]string{"etc/ufw/ufw.conf": on, "etc/default/ufw": drop}, "ufw", firewallUnknown},
		"lets all in":          {map[string]string{"etc/ufw/ufw.conf": on, "etc/default/ufw": "DEFAULT_INPUT_POLICY=\"ACCEPT\"\n"}, "ufw", firewallOpen},
		"no rule":              {rules(""), "ufw", firewallBlocks},
		// As ufw 0.36.2 writes them.
		"port":             {rules("### tuple ### allow tcp 3277 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallOpen},
		"another port":     {rules("### tuple ### allow tcp 32770 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallBlocks},
		"another protocol": {rules("### tuple ### allow udp 3277 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallBlocks},
		"range":            {rules("### tuple ### allow tcp 3000:4000 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallOpen},
		"list":             {rules("### tuple ### limit tcp 80,3277 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallOpen},
		"any protocol":     {rules("### tuple ### allow any 3277 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallOpen},
		"an application":   {rules("### tuple ### allow tcp 3277 0.0.0.0/0 any 0.0.0.0/0 Earshot - in\n"), "ufw", firewallOpen},
		"one network":      {rules("### tuple ### allow tcp 3277 0.0.0.0/0 any 192.168.1.0/24 in\n"), "ufw", firewallOpen},
		"one interface":    {rules("### tuple ### allow any 3277 0.0.0.0/0 any 0.0.0.0/0 in_eth0\n"), "ufw", firewallOpen},
		"out":              {rules("### tuple ### allow tcp 3277 0.0.0.0/0 any 0.0.0.0/0 out\n"), "ufw", firewallBlocks},
		"denied first": {rules("### tuple ### deny any 3277 0.0.0.0/0 any 0.0.0.0/0 in\n" +
			"### tuple ### allow tcp 3277 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallBlocks},
		"one denied": {rules("### tuple ### deny any 3277 0.0.0.0/0 any 192.168.1.7 in\n" +
			"### tuple ### allow tcp 3277 0.0.0.0/0 any 0.0.0.0/0 in\n"), "ufw", firewallOpen},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := findUFW(write(t, tt.files), "3277")
			if err != nil || f.Name != tt.name || f.State != tt.want {
				t.Errorf("%+v, %v; want %q, %d", f, err, tt.name, tt.want)
			}
			if f.Name != "" && f.Open != "sudo ufw allow 3277/tcp" {
				t.Errorf("opened by %q", f.Open)
			}
		})
	}
}

// firewalldService answers as firewalld 1.3.3 does.
type firewalldService struct {
	zone   string // of every interface
	target string
	open   bool
	asked  *atomic.Bool // for what polkit guards
}

func (f firewalldService) GetZoneOfInterface(string) (string, *dbus.Error) { return f.zone, nil }
func (f firewalldService) GetDefaultZone() (string, *dbus.Error)           { return "public", nil }

func (f firewalldService) GetZoneSettings2(string) (map[string]dbus.Variant, *dbus.Error) {
	f.asked.Store(true)
	return map[string]dbus.Variant{"short": dbus.MakeVariant("Public"), "target": dbus.MakeVariant(f.target)}, nil
}

func (f firewalldService) QueryPort(zone, port, protocol string) (bool, *dbus.Error) {
	f.asked.Store(true)
	return f.open && port == "3277" && protocol == "tcp", nil
}

// polkitService answers as polkit does.
type polkitService struct{ allows bool }

func (p polkitService) CheckAuthorization(subject struct {
	Kind    string
	Details map[string]dbus.Variant
}, action string, details map[string]string, flags uint32, cancel string) (struct {
	Allowed, Challenge bool
	Details            map[string]string
}, *dbus.Error) {
	answer := struct {
		Allowed, Challenge bool
		Details            map[string]string
	}{p.allows && subject.Kind == "system-bus-name" && action == firewalldInfo, flags != 0, map[string]string{}}
	return answer, nil
}

func TestFirewalld(t *testing.T) {
	tests := map[string]struct {
		service firewalldService
		polkit  any // nil for none
		want    firewallState
		open    string
	}{
		"closed":          {firewalldService{target: "default"}, nil, firewallBlocks, "sudo firewall-cmd --permanent --zone=public --add-port=3277/tcp && sudo firewall-cmd --reload"},
		"open":            {firewalldService{target: "default", open: true}, nil, firewallOpen, ""},
		"trusted":         {firewalldService{zone: "trusted", target: "ACCEPT"}, nil, firewallOpen, ""},
		"another zone":    {firewalldService{zone: "home"}, polkitService{true}, firewallBlocks, "sudo firewall-cmd --permanent --zone=home --add-port=3277/tcp && sudo firewall-cmd --reload"},
		"tells root only": {firewalldService{open: true}, polkitService{false}, firewallUnknown, "sudo firewall-cmd --permanent --zone=public --add-port=3277/tcp && sudo firewall-cmd --reload"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bus := traytest.StartBus(t)
			t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.Address)
			serve := func(name, path, face string, v any, methods map[string]string) {
				conn := bus.Connect()
				if err := conn.ExportWithMap(v, methods, dbus.ObjectPath(path), face); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
					t.Fatal(err)
				}
			}
			if f, err := findFirewalld(t.Context(), "3277"); err != nil || f.Name != "" {
				t.Errorf("without firewalld: %+v, %v", f, err)
			}
			var asked atomic.Bool
			tt.service.asked = &asked
			conn := bus.Connect()
			for face, methods := range map[string]map[string]string{
				firewalld:     {"GetDefaultZone": "getDefaultZone"},
				firewalldZone: {"GetZoneOfInterface": "getZoneOfInterface", "GetZoneSettings2": "getZoneSettings2", "QueryPort": "queryPort"},
			} {
				if err := conn.ExportWithMap(tt.service, methods, firewalldPath, face); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := conn.RequestName(firewalld, dbus.NameFlagDoNotQueue); err != nil {
				t.Fatal(err)
			}
			if tt.polkit != nil {
				serve("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority", tt.polkit, nil)
			}
			f, err := findFirewalld(t.Context(), "3277")
			if err != nil || f.Name != "firewalld" || f.State != tt.want || tt.open != "" && f.Open != tt.open {
				t.Errorf("%+v, %v; want %d, %q", f, err, tt.want, tt.open)
			}
			if asked.Load() && tt.want == firewallUnknown {
				t.Error("it would have asked the user for a password")
			}
		})
	}
}
