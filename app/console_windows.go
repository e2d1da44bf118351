package main

import (
	"os"
	"strings"

	"golang.org/x/sys/windows"
)

var (
	kernel32      = windows.NewLazySystemDLL("kernel32.dll")
	attachConsole = kernel32.NewProc("AttachConsole")
	consoleWindow = kernel32.NewProc("GetConsoleWindow")
	freeConsole   = kernel32.NewProc("FreeConsole")
)

// joinConsole makes what the program prints come out in the console that it was
// started from, if it was. Without it a program that opens no window of its own
// (-H windowsgui) has none. What is redirected stays so.
func joinConsole() {
	const parent = ^uintptr(0) // ATTACH_PARENT_PROCESS
	if ok, _, _ := attachConsole.Call(parent); ok == 0 {
		return
	}
	for which, file := range map[uint32]**os.File{
		windows.STD_OUTPUT_HANDLE: &os.Stdout,
		windows.STD_ERROR_HANDLE:  &os.Stderr,
	} {
		if kind, err := windows.GetFileType(windows.Handle((*file).Fd())); err == nil && kind != windows.FILE_TYPE_UNKNOWN {
			continue
		}
		if out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0); err == nil {
			*file = out
			_ = windows.SetStdHandle(which, windows.Handle(out.Fd()))
		}
	}
}

// leaveConsole makes the tray app independent of the console that it was started
// from: closing that would end it, as would Ctrl-C there, long after the prompt
// is back.
func leaveConsole() { _, _, _ = freeConsole.Call() }

// hasConsole tells whether this program has joined a console, in which somebody
// sees what it prints.
func hasConsole() bool {
	window, _, _ := consoleWindow.Call()
	return window != 0
}

// quote writes s as cmd and PowerShell take it for one word.
func quote(s string) string {
	if !strings.ContainsAny(s, " \t&()[]{}^=;!'+,`~%@$#") {
		return s
	}
	return `"` + s + `"`
}

// What is wrong with an address to listen on.
const (
	addressInUse   = windows.WSAEADDRINUSE
	addressDenied  = windows.WSAEACCES
	addressMissing = windows.WSAEADDRNOTAVAIL
)
