// Package icons holds the pictures of the tray icon, one a state. They tell
// apart by outline alone, down to 16 pixels, on light and dark panels.
//
// Each is a PNG of 64×64 pixels that are opaque or absent, nothing between:
// fyne.io/systray garbles half-transparent ones on Linux. build/icons renders
// them from the SVG files beside them.
package icons

import _ "embed"

var (
	// Idle is for stopped: nothing is shared.
	//go:embed idle.png
	Idle []byte
	// Live is for sharing with nobody listening.
	//go:embed live.png
	Live []byte
	// Listening is for sharing with somebody listening.
	//go:embed listening.png
	Listening []byte
	// Trouble is for sharing while the laptop's sound can't be had.
	//go:embed trouble.png
	Trouble []byte
)
