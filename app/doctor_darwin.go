package main

import (
	"context"

	"golang.org/x/sys/unix"
)

// noSoundServer is what to do where none answers.
const noSoundServer = "Restart this computer."

// systemName names the system.
func systemName() string {
	version, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		return "macOS"
	}
	return "macOS " + version
}

// clockIsExact does not know.
func clockIsExact() (exact, known bool) { return false, false }

// systemChecks are none: macOS always has its menu bar.
func systemChecks(context.Context) []finding { return nil }
