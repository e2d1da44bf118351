package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/windows/registry"
)

// firewallKey has what the Windows firewall does, for all users to read.
const firewallKey = `SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy`

// findFirewall tells whether the firewall of Windows lets listeners in: not if a
// rule blocks this program, as it does after "Cancel" in the question that
// Windows asks when a program first listens; yes if one allows it or the port.
// For which kind of network a rule is made is left aside.
func findFirewall(_ context.Context, port string) (firewall, error) {
	program, err := os.Executable()
	if err != nil {
		return firewall{}, fmt.Errorf("look at the Windows firewall: %w", err)
	}
	on := false
	for _, profile := range []string{"StandardProfile", "PublicProfile", "DomainProfile"} {
		key, err := registry.OpenKey(registry.LOCAL_MACHINE, firewallKey+`\`+profile, registry.QUERY_VALUE)
		if err != nil {
			continue // without it there is none
		}
		enabled, _, err := key.GetIntegerValue("EnableFirewall")
		_ = key.Close()
		on = on || err == nil && enabled != 0
	}
	if !on {
		return firewall{}, nil
	}
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, firewallKey+`\FirewallRules`, registry.QUERY_VALUE)
	if err != nil {
		return firewall{}, fmt.Errorf("look at the Windows firewall: %w", err)
	}
	defer key.Close()
	names, err := key.ReadValueNames(-1)
	if err != nil {
		return firewall{}, fmt.Errorf("look at the Windows firewall: %w", err)
	}
	f := firewall{
		Name:  "Windows Defender Firewall",
		State: firewallUnknown,
		Open:  fmt.Sprintf(`netsh advfirewall firewall add rule name=Earshot dir=in action=allow protocol=TCP localport=%s (as administrator)`, port),
	}
	for _, name := range names {
		text, _, err := key.GetStringValue(name)
		if errors.Is(err, registry.ErrNotExist) {
			continue // it has just gone
		}
		rule := parseRule(text)
		if err != nil || !rule.about(program, port) {
			continue
		}
		if rule.blocks() { // no rule that allows comes before it
			f.State = firewallBlocks
			f.Open = fmt.Sprintf(`netsh advfirewall firewall set rule name="%s" dir=in new action=allow (as administrator)`, rule.one("Name"))
			break
		}
		f.State = firewallOpen
	}
	return f, nil
}

// rule is one of the firewall's: "v2.31|Action=Allow|Active=TRUE|Dir=In|
// Protocol=6|LPort=3277|App=C:\…\earshot.exe|Name=Earshot|".
type rule map[string][]string

func parseRule(text string) rule {
	r := rule{}
	for part := range strings.SplitSeq(text, "|") {
		if key, value, ok := strings.Cut(part, "="); ok {
			r[key] = append(r[key], value)
		}
	}
	return r
}

func (r rule) one(key string) string {
	if len(r[key]) == 0 {
		return ""
	}
	return r[key][0]
}

func (r rule) blocks() bool { return r.one("Action") == "Block" }

// about tells whether the rule is in force and means TCP from outside to this
// program or, whatever the program, to the port.
func (r rule) about(program, port string) bool {
	app, err := registry.ExpandString(r.one("App"))
	if err != nil || r.one("Active") != "TRUE" || r.one("Dir") != "In" {
		return false
	}
	if p := r.one("Protocol"); p != "" && p != "6" {
		return false
	}
	ports := slices.Concat(r["LPort"], r["LPort2_10"])
	anyPort, thisPort := len(ports) == 0, slices.Contains(ports, port)
	return strings.EqualFold(app, program) && (anyPort || thisPort) || app == "" && r.one("Svc") == "" && thisPort
}
