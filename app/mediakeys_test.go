package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"earshot/audio/audiotest"
	"earshot/tray/traytest"
)

// Lock screen, headset and keyboard pause and play, and show what is heard: on
// Linux browsers offer that by MPRIS.
func TestMediaKeys(t *testing.T) {
	bus := traytest.StartBus(t)
	sound := audiotest.StartPulse(t, browserSink)
	app := launch(t, soundEnv(t, sound), "--headless", "--source", "tone", "--start", "--title", "Ann on laptop")
	page := openChromium(t, bus.Env(sound.Env()))
	page.open(app.link(""))
	page.play()

	conn := bus.Connect()
	var media dbus.BusObject
	waitFor(t, "the browser offers media controls", func() bool {
		var names []string
		if err := conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "org.mpris.MediaPlayer2.") })
		if i >= 0 {
			media = conn.Object(names[i], "/org/mpris/MediaPlayer2")
		}
		return i >= 0
	})
	const player = "org.mpris.MediaPlayer2.Player"
	waitFor(t, "they show what is heard", func() bool {
		shown, err := media.GetProperty(player + ".Metadata")
		if err != nil {
			return false
		}
		facts, _ := shown.Value().(map[string]dbus.Variant)
		title, _ := facts["xesam:title"].Value().(string)
		return title == "Ann on laptop"
	})
	if err := media.Call(player+".Pause", 0).Err; err != nil {
		t.Fatal(err)
	}
	page.waitState("ready")
	app.waitStatus("nobody listens", func(st status) bool { return st.Listeners == 0 })
	if err := media.Call(player+".Play", 0).Err; err != nil {
		t.Fatal(err)
	}
	page.waitState("live")
}
