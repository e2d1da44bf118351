package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// address is where a sound server may listen.
type address struct {
	network string // as for net.Dial
	addr    string
}

// String returns the address in libpulse's form.
func (a address) String() string { return a.network + ":" + a.addr }

// addresses returns where to look for the sound server, in this order, as
// libpulse does by
// https://www.freedesktop.org/wiki/Software/PulseAudio/Documentation/User/ServerStrings/
func addresses() []address {
	if servers := os.Getenv("PULSE_SERVER"); servers != "" {
		return parseAddresses(servers)
	}
	var paths []string
	if dir := os.Getenv("PULSE_RUNTIME_PATH"); dir != "" {
		paths = append(paths, filepath.Join(dir, "native"))
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		paths = append(paths, filepath.Join(dir, "pulse", "native"))
	} else {
		paths = append(paths, fmt.Sprintf("/run/user/%d/pulse/native", os.Getuid()))
	}
	paths = append(paths, "/run/pulse/native") // one server for all users
	list := make([]address, len(paths))
	for i, path := range paths {
		list[i] = address{"unix", path}
	}
	return list
}

// parseAddresses parses the value of PULSE_SERVER and leaves out what it does
// not understand.
func parseAddresses(servers string) []address {
	var list []address
	for s := range strings.FieldsSeq(servers) {
		if rest, ok := strings.CutPrefix(s, "{"); ok { // {machine}address
			_, s, _ = strings.Cut(rest, "}")
		}
		network, addr, ok := strings.Cut(s, ":")
		switch {
		case strings.HasPrefix(s, "/"):
			list = append(list, address{"unix", s})
		case ok && network == "unix" && addr != "":
			list = append(list, address{"unix", addr})
		case ok && (network == "tcp" || network == "tcp4" || network == "tcp6") && addr != "":
			list = append(list, address{network, withPort(addr)})
		case s != "" && !ok:
			list = append(list, address{"tcp", withPort(s)})
		}
	}
	return list
}

// withPort adds PulseAudio's port to a host that has none.
func withPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i < 0 || strings.HasSuffix(host, "]") {
		return host + ":4713"
	}
	return host
}
