//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio/audiotest"
	"earshot/audio/capture"
	"earshot/tray/traytest"
)

// soundMenu returns the lines of a submenu; what is checked has a "*" before it.
func soundMenu(icon *traytest.Item, path ...string) []string {
	lines := icon.Menu()
	for _, label := range path {
		i := slices.IndexFunc(lines, func(l traytest.Line) bool { return l.Label == label })
		if i < 0 {
			return nil
		}
		lines = lines[i].Lines
	}
	var all []string
	for _, l := range lines {
		if l.Checked {
			l.Label = "*" + l.Label
		}
		all = append(all, l.Label)
	}
	return all
}

// What is shared is chosen in the tray, and kept; what is never shared, too;
// and what was muted is not any more, whatever ends Earshot.
func TestTrayChoosesSound(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.LoadSink("dock", "device.description=Dock_<b>")
	sound.PlaySineAs("Music", "speakers", pitch)
	bus := traytest.StartBus(t)
	desktop, notices := bus.StartTray(), bus.StartNotices()
	r := launch(t, bus.Env(soundEnv(t, sound)), "--start")
	icon := desktop.Item(r.cmd.Process.Pid)
	shown := func(want []string, path ...string) {
		t.Helper()
		var got []string
		defer func() {
			if t.Failed() {
				t.Logf("the menu is %q", got)
			}
		}()
		waitFor(t, "the menu "+strings.Join(want, ", "), func() bool {
			got = soundMenu(icon, path...)
			// Their order is that in which they came to be known.
			return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)))
		})
	}
	again := func(args ...string) {
		t.Helper()
		<-r.done
		r.start(append([]string{"--listen", "127.0.0.1:0", "--start"}, args...)...)
		icon = desktop.Item(r.cmd.Process.Pid)
	}
	is := func(what string, ok func(st status) bool) { t.Helper(); r.waitStatus(what, ok) }

	shown([]string{"*What the speakers play", "Only Null Output", "Only Dock_<b>", "Only Music", "Never share", "Mute here, keep streaming"}, "Sound")
	icon.Choose("Sound", "Only Dock_<b>")
	is("the dock", func(st status) bool { return st.Output == "Dock_<b>" && st.Note == "" })
	icon.Choose("Sound", "Never share", "Dock_<b>")
	is("never the dock", func(st status) bool { return st.Note == "Dock_<b> is never shared" && st.State == stateLive })
	icon.WaitStatus("Dock_<b> is never shared")
	shown([]string{"What the speakers play", "Only Null Output", "*Only Dock_<b>", "Only Music", "Never share", "Mute here, keep streaming"}, "Sound")
	r.quit()
	again()
	is("as before", func(st status) bool { return st.Note == "Dock_<b> is never shared" })
	sound.UnloadSink("dock")
	shown([]string{"What the speakers play", "Only Null Output", "*Only Dock_<b> (not connected)", "Only Music", "Never share", "Mute here, keep streaming"}, "Sound")
	is("it waits", func(st status) bool {
		return st.State == stateTrouble && st.Trouble == "waiting for the output Dock_<b>, which is not connected"
	})
	icon.Choose("Sound", "Only Music")
	is("the program", func(st status) bool { return st.Output == "Music" && st.Note == "" && st.State == stateLive })

	icon.Choose("Sound", "Mute here, keep streaming")
	is("muted", func(st status) bool { return st.Muted })
	if !sound.Muted("speakers") {
		t.Error("it is not silent here")
	}
	shown([]string{"What the speakers play", "Only Null Output", "Only Dock_<b> (not connected)", "*Only Music", "Never share", "*Mute here, keep streaming"}, "Sound")
	icon.Choose("Stop")
	waitFor(t, "stopping unmutes", func() bool { return !sound.Muted("speakers") })
	icon.Choose("Start")
	waitFor(t, "starting mutes", func() bool { return sound.Muted("speakers") })
	if err := r.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-r.done
	if !sound.Muted("speakers") {
		t.Error("a killed program has unmuted")
	}
	again()
	waitFor(t, "the next start unmutes", func() bool { return !sound.Muted("speakers") })
	is("the program as before", func(st status) bool { return st.Output == "Music" && !st.Muted })
	icon.Choose("Sound", "Mute here, keep streaming")
	is("muted", func(st status) bool { return st.Muted })
	icon.Choose("Quit")
	r.ends()
	if sound.Muted("speakers") {
		t.Error("quitting has not unmuted")
	}

	// The settings come first, at each start; the menu's never-shared stay.
	again("--output", "speakers", "--never-share", "other, speakers2")
	is("the setting's", func(st status) bool { return st.Output == "Null Output" })
	shown([]string{"Null Output", "*Dock_<b> (not connected)", "*other (not connected)", "*speakers2 (not connected)"}, "Sound", "Never share")
	icon.Choose("Sound", "What the speakers play")
	waitFor(t, "the default is shared", func() bool { return slices.Contains(soundMenu(icon, "Sound"), "*What the speakers play") })
	waitFor(t, "a warning of the names that mean nothing", func() bool {
		text, err := os.ReadFile(filepath.Join(r.data, "earshot.log"))
		return err == nil && strings.Contains(string(text), "never-share=other") && strings.Contains(string(text), "never-share=speakers2")
	})
	r.quit()
	again()
	is("what was chosen without a setting", func(st status) bool { return st.Output == "Music" })
	if all := notices.All(); len(all) > 0 {
		t.Errorf("notified: %+v", all)
	}
}

func TestOutputs(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.LoadSink("dock", "device.description=Dock")
	sound.PlaySineAs("Music", "", pitch)
	env := soundEnv(t, sound)
	waitFor(t, "the program plays", func() bool { return strings.Contains(command(t, env, "outputs").out, "Music (pacat)") })
	got := command(t, env, "outputs")
	want := "output   \"speakers\"       Null Output  the default\noutput   \"dock\"           Dock         \nprogram  \"Music (pacat)\"  Music        plays now\n"
	if got.out != want || got.status != 0 {
		t.Errorf("status %d, %q%s", got.status, got.out, got.err)
	}
	var all capture.Sounds
	if err := json.Unmarshal([]byte(command(t, env, "outputs", "--json").out), &all); err != nil || len(all.Outputs) != 2 || all.Outputs[1].Name != "dock" || len(all.Programs) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	sound.Kill()
	if got := command(t, env, "outputs"); got.status != exitFailure || !strings.Contains(got.err, "the sound server is not running") {
		t.Errorf("without a server: %+v", got)
	}
}

func TestSoundSettings(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"two":       {[]string{"--output", "a", "--program", "b"}, "give one of them only"},
		"space":     {[]string{"--output", "Headset", "--never-share", "speakers, headset"}, "take it out"},
		"empty":     {[]string{"--never-share", "a, ,b"}, "one of the names is empty"},
		"both ways": {[]string{"--output", "a", "--never-share", "b,a"}, "take it out"},
	} {
		if got := command(t, plainEnv(t.TempDir()), test.args...); got.status != exitUsage || !strings.Contains(got.err, test.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// A file that can't be read may have said what is never shared.
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(data, "sound.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := command(t, plainEnv(t.TempDir()), "--headless", "--listen", "127.0.0.1:0", "--data", data)
	if got.status != exitFailure || !strings.Contains(got.err, file) || !strings.Contains(got.err, "remove it") {
		t.Errorf("with a broken file: %+v", got)
	}
}

// Names in the config file may have commas and spaces around them; a title means
// its output as well.
func TestNeverShareByTitle(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.LoadSink("dock", "device.description=Dock,_the_left")
	sound.SetDefaultSink("dock")
	env := soundEnv(t, sound)
	config := filepath.Join(t.TempDir(), "earshot")
	if err := os.Mkdir(config, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(config, "config.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env = append(env, "XDG_CONFIG_HOME="+filepath.Dir(config))
	write(`never-share = ["speakers", " dock,_the_left "]`)
	r := launch(t, env, "--headless", "--start")
	r.waitStatus("held", func(st status) bool { return st.Note == "Dock,_the_left is never shared" })
	r.quit()
	write(`never-share = ["dock", " "]`)
	if got := command(t, env, "outputs"); got.status != exitUsage || !strings.Contains(got.err, "empty") {
		t.Errorf("an empty name: %+v", got)
	}
}

// Outputs of one title are told apart by what their names differ in.
func TestEqualTitles(t *testing.T) {
	o := &sound{demand: capture.NewDemand(capture.Choice{}), changed: func() {}}
	o.saw(capture.Sounds{Outputs: []capture.Output{
		{Name: "alsa_output.pci-0000_01_00.1.hdmi-stereo", Title: "A Graphics Card's High Definition Television"},
		{Name: "alsa_output.pci-0000_01_00.1.hdmi-stereo-extra1", Title: "A Graphics Card's High Definition Television"},
		{Name: "usb-A_Headset_1234.stereo", Title: "Headset"},
		{Name: "usb-A_Headset_5678.stereo", Title: "Headset"},
		{Name: "dock", Title: "Dock"},
	}})
	var got []string
	for _, a := range o.menu(engineStatus{}).Outputs {
		got = append(got, a.Title)
	}
	want := []string{
		"A Graphics Card's… (stereo)", "A Graphics Card's… (stereo-extra1)",
		"Headset (1234.stereo)", "Headset (5678.stereo)", "Dock",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A headset's other profile is never shared, either, and one click unmarks both.
func TestNeverMarksDevice(t *testing.T) {
	o := &sound{path: filepath.Join(t.TempDir(), "sound.json"), demand: capture.NewDemand(capture.Choice{}), changed: func() {}}
	const music, call = "bluez_sink.AA_BB_CC_DD_EE_FF.a2dp_sink", "bluez_sink.AA_BB_CC_DD_EE_FF.handsfree_head_unit"
	o.saw(capture.Sounds{Outputs: []capture.Output{{Name: music, Title: "Headset"}}})
	if err := o.toggleNever(music); err != nil {
		t.Fatal(err)
	}
	o.saw(capture.Sounds{Outputs: []capture.Output{{Name: call, Title: "Headset"}}})
	if all := o.menu(engineStatus{}).Outputs; len(all) != 1 || all[0].Name != call || !all[0].Never {
		t.Errorf("during a call: %+v", all)
	}
	if err := o.toggleNever(call); err != nil {
		t.Fatal(err)
	}
	if all := o.menu(engineStatus{}).Outputs; all[0].Never || len(o.choice().Never) > 0 {
		t.Errorf("unmarked: %+v", all)
	}
}

// While nobody listens nothing is recorded; who comes is let in without a wait;
// and the trouble is told all the same.
func TestLiveWithNobody(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.PlaySine("speakers", pitch)
	r := launch(t, soundEnv(t, sound), "--headless", "--start")
	r.waitStatus("live", func(st status) bool { return st.State == stateLive && st.Output != "" })
	if n := sound.Streams(); n != 0 {
		t.Errorf("%d recordings for nobody", n)
	}
	began := time.Now()
	conn, _, _ := r.listen(r.made().Token)
	defer conn.Close()
	for kind := 0; kind != websocket.BinaryMessage; {
		var err error
		if kind, _, err = conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the first packet came %v after asking for a link", time.Since(began))
	conn.Close()
	waitFor(t, "the recording ends", func() bool { return sound.Streams() == 0 })
	if waited := time.Since(began); waited < linger {
		t.Errorf("it ended after %v: who reloads the page would have to wait", waited)
	}
	sound.Kill()
	r.waitStatus("trouble", func(st status) bool { return st.Trouble == "the sound server is not running" })
}

// In a real panel the submenu opens, and is not empty.
func TestSoundMenuInAPanel(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.LoadSink("dock", "device.description=Dock")
	sound.PlaySineAs("Music", "", pitch)
	panel := traytest.StartPanel(t)
	r := launch(t, panel.Env(soundEnv(t, sound)), "--start")
	r.waitStatus("live", func(st status) bool { return st.Output == "Null Output" })
	waitFor(t, "the icon in the panel", func() bool { return changed(image.NewRGBA(image.Rect(1, 0, 33, 32)), panel.Icon()) > 500 })
	before := panel.Screen()
	panel.Click(3)
	waitFor(t, "the menu", func() bool { return changed(before, panel.Screen()) > 10_000 })
	before = panel.Screen()
	panel.Point(60, 175) // at "Sound"
	beside := image.Rect(250, 0, 800, 600)
	waitFor(t, "the submenu", func() bool { return changed(part(before, beside), part(panel.Screen(), beside)) > 10_000 })
	var shot bytes.Buffer
	if err := png.Encode(&shot, panel.Screen()); err != nil {
		t.Fatal(err)
	}
	picture(t, "sound.png", shot.Bytes())
}
