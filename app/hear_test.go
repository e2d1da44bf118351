package main

import (
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"earshot/audio/audiotest"
	"earshot/audio/capture"
)

// soundEnv is the environment of a user at home who has the sound server and no
// desktop.
func soundEnv(t testing.TB, sound *audiotest.Server) []string {
	return append(sound.Env(), "XDG_CONFIG_HOME="+t.TempDir(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent",
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent")
}

// pitch is the frequency of the sine that the tests play.
const pitch = 997

// The main job: what a program plays here comes out of a browser that opened a
// share link, at its pitch and without a gap.
func TestHear(t *testing.T) {
	tests := []struct {
		name  string
		start func(testing.TB, ...string) *audiotest.Server
		open  opener
		host  string // of the link; "" is this computer
		want  bool   // a secure context
	}{
		{"Chromium", audiotest.StartPulse, openChromium, "", true},
		{"Chromium, insecure page", audiotest.StartPulse, openChromium, "lan.test", false},
		{"Chromium on PipeWire", audiotest.StartPipeWire, openChromium, "", true},
		{"Firefox", audiotest.StartPulse, openFirefox, "", true},
		{"Firefox, insecure page", audiotest.StartPulse, openFirefox, "lan.test", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sound := tt.start(t, "speakers", browserSink)
			sound.PlaySine("speakers", pitch)
			app := launch(t, soundEnv(t, sound), "--headless", "--start")
			page := tt.open(t, sound.Env())
			page.open(app.link(tt.host))
			if got := page.secure(); got != tt.want {
				t.Fatalf("secure context: %v", got)
			}
			page.play()
			if got := app.must("listeners"); !strings.Contains(got, "  Bob  ") {
				t.Errorf("listeners: %q", got)
			}
			page.hearWhole(sound, 11*time.Second)
		})
	}
}

// hearWhole checks that d of the sine of pitch come out of the browser without a
// gap, once the player has settled.
func (p player) hearWhole(sound *audiotest.Server, d time.Duration) {
	p.t.Helper()
	// On a busy machine the browser itself may stutter; then once more.
	var got audiotest.Tone
	for range 4 {
		p.settle()
		got = audiotest.Measure(sound.Record(browserSink, d), pitch)
		p.t.Log(got)
		// The player's clock follows ours by up to 0.5 %.
		if math.Abs(got.Hz-pitch) > pitch*0.005 || got.Level < 0.1 {
			p.t.Errorf("heard %v", got)
		}
		if got.To-got.From > d-time.Second && len(got.Breaks) == 0 {
			return
		}
	}
	p.t.Errorf("the sound has gaps: %v", got)
}

// waitTone waits until a sine of hz comes out of the browser.
func waitTone(t *testing.T, sound *audiotest.Server, what string, hz float64) {
	t.Helper()
	waitFor(t, what+" is heard", func() bool {
		return audiotest.Level(sound.Record(browserSink, 300*time.Millisecond), hz) > 0.1
	})
}

// Before a click nothing sounds and nothing is sent. A page that would play by
// itself is held by the browser; it says so, and plays on a click.
func TestOnlyAClickPlays(t *testing.T) {
	for name, open := range map[string]opener{"Chromium": openChromium, "Firefox": openFirefox} {
		t.Run(name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, browserSink)
			app := launch(t, soundEnv(t, sound), "--headless", "--source", "tone", "--start")
			page := open(t, sound.Env())
			page.open(app.link(""))
			silent := func() {
				t.Helper()
				if peak := audiotest.Peak(sound.Record(browserSink, 300*time.Millisecond)); peak > 0 {
					t.Errorf("sound without a click: %v", peak)
				}
			}
			silent()
			if got := sound.Pactl("list", "short", "sink-inputs"); got != "" {
				t.Errorf("the browser has opened an audio device: %s", got)
			}
			if st := app.status(); st.Listeners != 0 {
				t.Error("who hasn't clicked is a listener")
			}
			page.run(`document.getElementById("play").click();`)
			page.waitState("blocked")
			silent()
			page.play()
			waitTone(t, sound, "the tone", capture.DefaultTone)
		})
	}
}

// Stop and start are the owner's: the page stays, is silent, and goes on
// without a click.
func TestPause(t *testing.T) {
	sound := audiotest.StartPulse(t, browserSink)
	app := launch(t, soundEnv(t, sound), "--headless", "--source", "tone", "--start", "--title", "Ann on laptop")
	page := openChromium(t, sound.Env())
	page.open(app.link(""))
	page.play()
	app.must("stop")
	page.waitState("paused")
	waitFor(t, "it is silent", func() bool {
		return audiotest.Peak(sound.Record(browserSink, 300*time.Millisecond)) < 0.001
	})
	if st := app.status(); st.Listeners != 1 {
		t.Errorf("%d listeners while paused", st.Listeners)
	}
	app.must("start")
	page.waitState("live")
	waitTone(t, sound, "the tone again", capture.DefaultTone)
	picture(t, "page.png", do(page.tab.(*chromium), chromedp.CaptureScreenshot()))
}

// The app restarting is not the end of the page.
func TestRestartUnderAPage(t *testing.T) {
	sound := audiotest.StartPulse(t, browserSink)
	app := launch(t, soundEnv(t, sound), "--headless", "--source", "tone", "--start")
	_, port, err := net.SplitHostPort(app.address())
	if err != nil {
		t.Fatal(err)
	}
	page := openChromium(t, sound.Env())
	page.open(app.link(""))
	page.play()
	if status := app.quit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	page.waitState("reconnecting")
	app.start("--headless", "--source", "tone", "--start", "--listen", "127.0.0.1:"+port)
	page.waitState("live")
	waitTone(t, sound, "the tone again", capture.DefaultTone)
}

// What ends the listening for good, the page says; what ends soon, too.
func TestLinksThatEnd(t *testing.T) {
	sound := audiotest.StartPulse(t, browserSink)
	app := launch(t, soundEnv(t, sound), "--headless", "--source", "tone", "--start")
	page := openChromium(t, sound.Env())
	t.Run("expired", func(t *testing.T) {
		page.open(app.must("link", "--for", "6s"))
		page.play()
		page.waitWords("ends in a minute")
		page.waitState("ended")
		page.waitWords("expired")
	})
	t.Run("withdrawn", func(t *testing.T) {
		link := app.made("--name", "Ann")
		page.navigate("about:blank")
		page.open(link.Share)
		page.play()
		app.must("revoke", link.ID)
		page.waitState("ended")
		page.waitWords("withdrawn")
		page.navigate("about:blank")
		page.navigate(link.Share)
		page.waitState("ended")
		page.waitWords("withdrawn")
	})
	t.Run("removed by the owner", func(t *testing.T) {
		page.navigate("about:blank")
		page.open(app.link(""))
		page.play()
		id, _, _ := strings.Cut(app.must("listeners"), " ")
		app.must("kick", id)
		page.waitState("ended")
		page.waitWords("removed")
	})
	t.Run("in use", func(t *testing.T) {
		link := app.made("--listeners", "1")
		app.listen(link.Token)
		page.navigate("about:blank")
		page.navigate(link.Share)
		page.waitState("ended")
		page.waitWords("in use")
	})
}

// The token leaves the address bar, and the page finds it again when it is
// loaded anew. A link for one lets the same tab in again.
func TestReload(t *testing.T) {
	for name, open := range map[string]opener{"Chromium": openChromium, "Firefox": openFirefox} {
		t.Run(name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, browserSink)
			app := launch(t, soundEnv(t, sound), "--headless", "--source", "tone", "--start")
			page := open(t, sound.Env())
			page.open(app.made("--listeners", "1").Share)
			page.play()
			var address string
			if page.evaluate("location.href", &address); strings.Contains(address, "#") {
				t.Errorf("the address is %q", address)
			}
			page.run("location.reload();")
			page.waitState("ready")
			page.play()
			page.navigate("about:blank")
			app.waitStatus("who left the page listens no more", func(st status) bool { return st.Listeners == 0 })
		})
	}
}

// The speakers change, go away, and their server dies and comes back, all while
// somebody listens.
func TestChangesOfTheSpeakers(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers") // what the app captures
	ear := audiotest.StartPulse(t, browserSink)  // what the browser plays into
	const before, after = 997, 1499
	sound.PlaySine("speakers", before)
	app := launch(t, soundEnv(t, sound), "--headless", "--start")
	page := openChromium(t, ear.Env())
	page.open(app.link(""))
	page.play()
	hear := func(what string, hz float64) {
		t.Helper()
		waitTone(t, ear, what, hz)
	}
	hear("the speakers", before)

	sound.LoadSink("headphones")
	sound.PlaySine("headphones", after)
	sound.SetDefaultSink("headphones")
	hear("the headphones", after)

	sound.SetDefaultSink("speakers")
	hear("the speakers again", before)

	sound.SetDefaultSink("headphones")
	hear("the headphones again", after)
	sound.UnloadSink("headphones") // the default goes back to the speakers
	hear("the speakers after the headphones went", before)

	sound.Kill()
	app.waitStatus("the app says that the sound server is gone", func(st status) bool {
		return st.State == stateTrouble && st.Trouble != ""
	})
	page.waitState("interrupted")
	app.must("stop")
	app.must("start") // and no test tone for those who listen
	app.waitStatus("the sound server is still gone", func(st status) bool { return st.State == stateTrouble })
	sound.Start()
	sound.PlaySine("speakers", after)
	app.waitStatus("the app goes on by itself", func(st status) bool { return st.State == stateLive })
	page.waitState("live")
	hear("the restarted server's speakers", after)
	if st := app.status(); st.Listeners != 1 {
		t.Errorf("%d listeners", st.Listeners)
	}

	// A server that hangs holds up nobody, and is not taken for sound.
	sound.Freeze()
	app.waitStatus("the app says that the sound server hangs", func(st status) bool { return st.State == stateTrouble })
	if got := app.must("stop"); got != "Stopped" {
		t.Errorf("stop says %q", got)
	}
	app.must("start")
	app.waitStatus("it still hangs", func(st status) bool { return st.State == stateTrouble })
	sound.Thaw()
	hear("the speakers of the server that hung", after)
}
