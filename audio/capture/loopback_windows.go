package capture

import (
	"fmt"
	"log/slog"
	"unsafe"

	"github.com/gen2brain/malgo"
	"golang.org/x/sys/windows"
)

const systemName = "WASAPI"

// newDevices returns the outputs of WASAPI, which are opened as loopbacks: that
// is all that no test could run, since Wine has no loopback.
func newDevices(log *slog.Logger) *devices {
	return &devices{backend: malgo.BackendWasapi, listed: malgo.Playback, opened: malgo.Loopback, log: log}
}

// wide is how miniaudio holds the ID of an endpoint: UTF-16, ended by a NUL.
type wide [64]uint16

// deviceName returns the ID of an endpoint: "{0.0.0.00000000}.{d5a3…}". It stays
// the same until its driver is installed anew.
func deviceName(id malgo.DeviceID) string {
	return windows.UTF16ToString((*wide)(unsafe.Pointer(&id))[:])
}

// deviceID is the inverse of deviceName.
func deviceID(name string) (id malgo.DeviceID, err error) {
	text, err := windows.UTF16FromString(name)
	if err != nil || len(text) > len(wide{}) {
		return id, fmt.Errorf("%q is no ID of an output", name)
	}
	copy((*wide)(unsafe.Pointer(&id))[:], text)
	return id, nil
}
