package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/windows"

	"earshot/tray"
)

// noSoundServer is what to do where none answers.
const noSoundServer = "Start the service Windows Audio (in services.msc), or restart this computer."

// systemName names the system.
func systemName() string {
	v := windows.RtlGetVersion()
	return fmt.Sprintf("Windows %d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)
}

// clockIsExact does not know: Windows tells it to administrators.
func clockIsExact() (exact, known bool) { return false, false }

// systemChecks are those of what the desktop gives.
func systemChecks(ctx context.Context) []finding {
	host := finding{Name: "tray", State: checkOK, Says: "the taskbar shows icons"}
	if has, advice, _ := tray.HasHost(ctx); !has {
		host.State, host.Says, host.Do = checkNote, "no taskbar is here", advice
	}
	return []finding{host}
}
