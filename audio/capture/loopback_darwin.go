package capture

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/gen2brain/malgo"
)

const systemName = "Core Audio"

// newDevices returns the virtual devices of Core Audio. macOS lets nobody hear
// what the speakers play; a virtual device is an output whose sound can be had
// as an input.
func newDevices(log *slog.Logger) *devices {
	return &devices{
		backend: malgo.BackendCoreaudio,
		listed:  malgo.Capture,
		opened:  malgo.Capture,
		is:      virtual,
		none: "macOS needs a virtual device to share its sound: run brew install blackhole-2ch, and in Audio MIDI Setup " +
			"make a Multi-Output Device of it and your speakers, and the default output",
		log: log,
	}
}

// deviceName returns the UID of a device.
func deviceName(id malgo.DeviceID) string {
	name, _, _ := strings.Cut(string(id[:]), "\x00")
	return name
}

// deviceID is the inverse of deviceName.
func deviceID(name string) (id malgo.DeviceID, err error) {
	if name == "" || len(name) >= len(id) {
		return id, fmt.Errorf("%q is no UID of a device", name)
	}
	copy(id[:], name)
	return id, nil
}
