package traytest

import (
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// panelConfig is an Xfce panel with nothing but a tray, in the top left corner.
const panelConfig = `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="true"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
  </property>
</channel>
`

// iconSpot is where a panel of panelConfig shows its one icon.
var iconSpot = image.Rect(1, 0, 33, 32)

// Panel is a real desktop with a real tray: a display, a session bus and an
// Xfce panel.
type Panel struct {
	t       testing.TB
	bus     *Bus
	conn    *dbus.Conn
	display *Display
	home    []string // environment that keeps it off the user's files
	cmd     *exec.Cmd
	log     *os.File // what it prints
}

// StartPanel brings a desktop with a tray up for t.
func StartPanel(t testing.TB) *Panel {
	t.Helper()
	dir := t.TempDir()
	p := &Panel{t: t, display: StartDisplay(t)}
	for name, sub := range map[string]string{"HOME": "home", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache",
		"XDG_DATA_HOME": "data", "XDG_RUNTIME_DIR": "run"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		p.home = append(p.home, name+"="+path)
	}
	settings := filepath.Join(dir, "config", "xfce4", "xfconf", "xfce-perchannel-xml")
	if err := os.MkdirAll(settings, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(settings, "xfce4-panel.xml"), []byte(panelConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	p.home = append(p.home, "NO_AT_BRIDGE=1", "GDK_BACKEND=x11", "LIBGL_ALWAYS_SOFTWARE=1", "XDG_CURRENT_DESKTOP=XFCE")

	// The panel needs Xfce's settings service, which the bus starts.
	p.bus = startBus(t, "<standard_session_servicedirs/>", p.display.Env(append(os.Environ(), p.home...)))
	// Not a buffer: the panel's plugins are processes that would hold a pipe.
	var err error
	if p.log, err = os.Create(filepath.Join(dir, "panel.log")); err != nil {
		t.Fatal(err)
	}
	p.conn = p.bus.Connect()
	p.run()
	t.Cleanup(func() {
		// The plugins leave with the panel, if it is asked to go.
		p.cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(deadline/4, func() { p.cmd.Process.Kill() })
		p.cmd.Wait()
		late.Stop()
		p.log.Close()
		if text, err := os.ReadFile(p.log.Name()); t.Failed() && err == nil {
			t.Logf("the panel said:\n%s", text)
		}
	})
	return p
}

// run starts the panel and waits for its tray.
func (p *Panel) run() {
	p.t.Helper()
	p.cmd = exec.Command("xfce4-panel", "--disable-wm-check")
	p.cmd.Env = p.Env(os.Environ())
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start a panel (Debian package xfce4-panel): %v", err)
	}
	Until(p.t, "the panel's tray", func() bool { return owned(p.conn, watcher) })
}

// Restart ends the panel as a crash does, waits until its tray is gone, and
// starts it again.
func (p *Panel) Restart() {
	p.t.Helper()
	p.cmd.Process.Kill()
	p.cmd.Wait()
	Until(p.t, "the tray to go", func() bool { return !owned(p.conn, watcher) })
	p.run()
}

// Env is env with this desktop as the user's.
func (p *Panel) Env(env []string) []string {
	return p.bus.Env(p.display.Env(append(env[:len(env):len(env)], p.home...)))
}

// Click clicks the tray icon, with button 1 for the left one and 3 for the
// right one.
func (p *Panel) Click(button int) {
	p.t.Helper()
	spot := iconSpot.Min.Add(iconSpot.Size().Div(2))
	p.xdotool("mousemove", fmt.Sprint(spot.X), fmt.Sprint(spot.Y), "click", fmt.Sprint(button))
}

// Point moves the pointer.
func (p *Panel) Point(x, y int) {
	p.t.Helper()
	p.xdotool("mousemove", fmt.Sprint(x), fmt.Sprint(y))
}

// Press presses keys, by their X names.
func (p *Panel) Press(keys ...string) {
	p.t.Helper()
	p.xdotool(append([]string{"key"}, keys...)...)
}

func (p *Panel) xdotool(args ...string) {
	p.t.Helper()
	p.display.Do(p.t, args...)
}

// Screen is what the display shows.
func (p *Panel) Screen() image.Image {
	p.t.Helper()
	return p.display.Screen(p.t)
}

// Icon is the part of the display where the tray icon is.
func (p *Panel) Icon() image.Image {
	p.t.Helper()
	return p.Screen().(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(iconSpot)
}

// owned tells whether somebody owns name on the bus.
func owned(conn *dbus.Conn, name string) bool {
	var has bool
	err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Store(&has)
	return err == nil && has
}
