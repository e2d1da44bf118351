package main

import (
	"context"
	"errors"
	"log/slog"
	"unsafe"

	"golang.org/x/sys/windows"
)

// watchSleep calls change(true) before the computer sleeps and change(false)
// after it woke, until ctx ends. Where nothing tells of sleep it returns at once.
// Windows waits some two seconds for what is done before a sleep.
func watchSleep(ctx context.Context, log *slog.Logger, change func(asleep bool)) {
	power := windows.NewLazySystemDLL("powrprof.dll")
	register := power.NewProc("PowerRegisterSuspendResumeNotification")
	unregister := power.NewProc("PowerUnregisterSuspendResumeNotification")
	const ( // of PBT_…
		suspend         = 0x4
		resumeSuspend   = 0x7
		resumeAutomatic = 0x12
	)
	asleep := false
	told := func(_, event, _ uintptr) uintptr { // one call at a time
		switch {
		case event == suspend && !asleep:
			asleep = true
			change(true)
		case (event == resumeAutomatic || event == resumeSuspend) && asleep: // of both, some computers tell one
			asleep = false
			change(false)
		}
		return 0
	}
	parameters := struct { // DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS
		callback, context uintptr
	}{callback: windows.NewCallback(told)}
	err := errors.Join(register.Find(), unregister.Find())
	var handle uintptr
	if err == nil {
		const callback = 2 // DEVICE_NOTIFY_CALLBACK
		if code, _, _ := register.Call(callback, uintptr(unsafe.Pointer(&parameters)), uintptr(unsafe.Pointer(&handle))); code != 0 {
			err = windows.Errno(code)
		}
	}
	if err != nil {
		log.Debug("sleep of this computer goes unnoticed", "err", err)
		return
	}
	<-ctx.Done()
	_, _, _ = unregister.Call(handle)
}
