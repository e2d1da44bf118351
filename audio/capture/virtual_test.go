package capture

import "testing"

func TestVirtual(t *testing.T) {
	for title, want := range map[string]bool{
		"BlackHole 2ch":            true,
		"BlackHole 16ch":           true,
		"Loopback Audio 2":         true,
		"VB-Cable":                 true,
		"Soundflower (2ch)":        true,
		"MacBook Pro Microphone":   false,
		"External Microphone":      false,
		"AirPods of BlackHole Fan": false,
		"":                         false,
	} {
		if virtual(Output{Title: title}) != want {
			t.Errorf("%q: want %v", title, want)
		}
	}
}
