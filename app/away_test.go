package main

import (
	"encoding/json"
	"testing"
	"time"

	"earshot/audio/audiotest"
	"earshot/server"
)

// openThrifty is an [opener] of a Chromium that saves where it can in tabs that
// nobody sees, which the others are kept from.
func openThrifty(t testing.TB, env []string, more ...string) player {
	t.Helper()
	return openChromium(t, env, append(more, "disable-background-timer-throttling=false",
		"disable-backgrounding-occluded-windows=false", "disable-renderer-backgrounding=false")...)
}

// A tab behind another one plays on.
func TestHiddenTab(t *testing.T) {
	tests := []struct {
		name string
		open opener
		host string
	}{
		{"Chromium", openThrifty, ""},
		{"Chromium, insecure page", openThrifty, "lan.test"},
		{"Firefox", openFirefox, ""},
		{"Firefox, insecure page", openFirefox, "lan.test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, "speakers", browserSink)
			sound.PlaySine("speakers", pitch)
			app := launch(t, soundEnv(t, sound), "--headless", "--start")
			page := tt.open(t, sound.Env())
			page.open(app.link(tt.host))
			page.play()
			page.hide()
			waitFor(t, "the page is hidden", func() (hidden bool) {
				page.evaluate("document.hidden", &hidden)
				return hidden
			})
			page.hearWhole(sound, 11*time.Second)
		})
	}
}

// After the listener's computer has slept, the page is at live again by itself.
func TestListenerSleeps(t *testing.T) {
	for name, host := range map[string]string{"secure page": "", "insecure page": "lan.test"} {
		t.Run(name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, "speakers", browserSink)
			sound.PlaySine("speakers", pitch)
			app := launch(t, soundEnv(t, sound), "--headless", "--start")
			page := openChromium(t, sound.Env())
			page.open(app.link(host))
			page.play()
			page.settle()
			behind := func() float64 { return page.number("latency") - page.number("target") }
			before := behind()
			sleep(t, page.pid(), 12*time.Second)
			page.settle()
			waitTone(t, sound, "the sine", pitch)
			// It may have learnt to hold more back, but not play what is older.
			if now := behind(); page.number("latency") == 0 || now > before+100 {
				t.Errorf("%v ms more behind live than it aims at, and %v before the sleep", now, before)
			}
		})
	}
}

// Radio gets its sound in messages of a second, and whole; and at live again,
// packet by packet.
func TestRadio(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers", browserSink)
	sound.PlaySine("speakers", pitch)
	app := launch(t, soundEnv(t, sound), "--headless", "--start")
	page := openChromium(t, sound.Env())
	page.open(app.link(""))
	page.play()
	listener := func() server.Listener {
		t.Helper()
		var all []server.Listener
		if err := json.Unmarshal([]byte(app.must("listeners", "--json")), &all); err != nil || len(all) != 1 {
			t.Fatalf("listeners: %v, %v", all, err)
		}
		return all[0]
	}
	in := func(lane server.Lane) {
		t.Helper()
		page.run(`document.querySelector("input[value=` + string(lane) + `]").click();`)
		waitFor(t, "the listener's lane is "+string(lane), func() bool { return listener().Lane == lane })
		page.hearWhole(sound, 6*time.Second)
	}
	in(server.RadioLane)
	before, at := listener().Sent, time.Now()
	page.hearWhole(sound, 6*time.Second)
	if rate := float64(listener().Sent-before) / time.Since(at).Seconds(); rate > 1.2 {
		t.Errorf("%v messages a second", rate)
	}
	if latency := page.number("latency"); latency < 1900 || latency > 2300 {
		t.Errorf("%v ms behind live", latency)
	}
	in(server.LiveLane)
	if latency := page.number("latency"); latency == 0 || latency > 1000 {
		t.Errorf("%v ms behind live", latency)
	}
}
