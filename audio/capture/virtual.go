package capture

import (
	"slices"
	"strings"
)

// virtual tells whether o is a device that hands the sound it plays to whoever
// captures from it, as people install them on macOS. Anything else with an input
// is a microphone.
func virtual(o Output) bool {
	return slices.ContainsFunc([]string{"BlackHole", "Loopback Audio", "VB-Cable", "Soundflower"}, func(maker string) bool {
		return strings.HasPrefix(strings.ToLower(o.Title), strings.ToLower(maker))
	})
}
