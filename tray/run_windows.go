package tray

import (
	"context"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Run shows the tray until ctx ends (nil) or the session does
// (ErrSessionEnded). Where there is no taskbar, as at a login that is not
// through yet, it waits for one and says so. It must be called from the main
// goroutine, once a process. While it runs, what package log is given goes to
// c.Log, since that is where the tray library complains; so c.Log must not
// write through package log.
func Run(ctx context.Context, c Config) error {
	defer capture(c)()
	if !waitTaskbar(ctx, c) {
		return nil
	}
	return show(ctx, c)
}

// taskbarEvery is how often a taskbar is looked for.
const taskbarEvery = 500 * time.Millisecond

const noTaskbar = "Windows shows no taskbar. The icon appears as soon as there is one."

// HasHost tells whether the desktop shows tray icons, and where it doesn't, what
// the user can do about that.
func HasHost(context.Context) (has bool, advises string, err error) {
	if takesIcons() {
		return true, "", nil
	}
	return false, noTaskbar, nil
}

// waitTaskbar returns true once the taskbar takes icons, or false when ctx ends.
// The tray library tries once only, and shows no icon ever after if it was too
// early.
func waitTaskbar(ctx context.Context, c Config) bool {
	start, told := time.Now(), false
	for {
		if takesIcons() {
			return true
		}
		if !told && time.Since(start) > hostWait {
			told = true
			c.Log.Warn("no tray: " + noTaskbar) // and where to show it to the user there is none
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(taskbarEvery):
		}
	}
}

// The parts of user32 and shell32 that golang.org/x/sys doesn't have.
var (
	user32          = windows.NewLazySystemDLL("user32.dll")
	createWindow    = user32.NewProc("CreateWindowExW")
	destroyWindow   = user32.NewProc("DestroyWindow")
	findWindow      = user32.NewProc("FindWindowExW")
	shellNotifyIcon = windows.NewLazySystemDLL("shell32.dll").NewProc("Shell_NotifyIconW")
)

// notifyIcon is NOTIFYICONDATAW.
type notifyIcon struct {
	size                uint32
	window              windows.HWND
	id, flags, callback uint32
	icon                windows.Handle
	tip                 [128]uint16
	state, stateMask    uint32
	info                [256]uint16
	version             uint32
	infoTitle           [64]uint16
	infoFlags           uint32
	guid                windows.GUID
	balloonIcon         windows.Handle
}

const (
	nimAdd    = 0
	nimModify = 1
	nimDelete = 2
)

// send hands n to the taskbar.
func (n *notifyIcon) send(message uintptr) error {
	n.size = uint32(unsafe.Sizeof(*n))
	if ok, _, err := shellNotifyIcon.Call(message, uintptr(unsafe.Pointer(n))); ok == 0 {
		return err
	}
	return nil
}

// takesIcons tries it out with an icon that isn't seen.
func takesIcons() bool {
	class, _ := windows.UTF16PtrFromString("STATIC")
	const onlyForMessages = ^uintptr(2) // HWND_MESSAGE
	window, _, _ := createWindow.Call(0, uintptr(unsafe.Pointer(class)), 0, 0, 0, 0, 0, 0, onlyForMessages, 0, 0, 0)
	if window == 0 {
		return false
	}
	defer func() { _, _, _ = destroyWindow.Call(window) }()
	n := notifyIcon{window: windows.HWND(window), id: 1}
	if n.send(nimAdd) != nil {
		return false
	}
	_ = n.send(nimDelete)
	return true
}

// Balloon shows a notification at the icon, without a chime, which every
// listener would hear. Both texts are plain; what is too long for Windows is cut
// off. Without an icon of this process's it returns ErrNoSession.
func Balloon(title, text string) error {
	// The library has the icon as number 100 of a window of this class.
	class, _ := windows.UTF16PtrFromString("SystrayClass")
	for window := uintptr(0); ; {
		window, _, _ = findWindow.Call(0, window, uintptr(unsafe.Pointer(class)), 0)
		if window == 0 {
			return ErrNoSession
		}
		var process uint32
		if _, err := windows.GetWindowThreadProcessId(windows.HWND(window), &process); err != nil || process != windows.GetCurrentProcessId() {
			continue
		}
		const nifInfo, niifUser, niifNoSound = 0x10, 0x4, 0x10
		n := notifyIcon{window: windows.HWND(window), id: 100, flags: nifInfo, infoFlags: niifUser | niifNoSound}
		fill(n.infoTitle[:], title)
		fill(n.info[:], text)
		return n.send(nimModify)
	}
}

// fill writes s to to, with a NUL at its end, and cuts off what is too much.
func fill(to []uint16, s string) {
	for _, r := range s {
		units := utf16.AppendRune(nil, r)
		if len(units) >= len(to) {
			break
		}
		copy(to, units)
		to = to[len(units):]
	}
	to[0] = 0
}

// iconFile is a PNG as the tray library takes pictures: an ICO file that holds
// it (the header ICONDIR, one ICONDIRENTRY, and the PNG as it is).
func iconFile(png []byte) []byte {
	file := []byte{0, 0, 1, 0, 1, 0, 64, 64, 0, 0, 1, 0, 32, 0}
	file = binary.LittleEndian.AppendUint32(file, uint32(len(png)))
	file = binary.LittleEndian.AppendUint32(file, uint32(len(file))+4)
	return append(file, png...)
}

// label is text as a menu takes it: a single "&" would mark the letter after it
// as the line's key.
func label(s string) string { return strings.ReplaceAll(s, "&", "&&") }
