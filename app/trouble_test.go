package main

import (
	"fmt"
	"math"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// What gets lost or held up on the way is heard as little as can be, and never as
// a click.
func TestLossAndDelay(t *testing.T) {
	const times = 3 // that each trouble happens
	troubles := []struct {
		name            string
		happen          func(*hop)
		lost, concealed float64       // packets, in all
		underruns       float64       // at most, in all
		gap             time.Duration // at most, each time
	}{
		{"a packet is lost", func(h *hop) { h.drop(1) }, 1 * times, 1 * times, 0, 0},
		{"ten in a row are lost", func(h *hop) { h.drop(10) }, 10 * times, 0, times, 250 * time.Millisecond},
		// The first time is enough to learn from.
		{"all is held up", func(h *hop) { h.hold(150 * time.Millisecond) }, 0, 0, 1, 200 * time.Millisecond},
	}
	for name, host := range map[string]string{"secure page": "", "insecure page": "lan.test"} {
		t.Run(name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, "speakers", browserSink)
			sound.PlaySine("speakers", pitch)
			app := launch(t, soundEnv(t, sound), "--headless", "--start", "--frame", "20ms")
			hop := newHop(t, app)
			page := openChromium(t, sound.Env())
			page.open(hop.link(app.link(host)))
			for _, tt := range troubles {
				// On a busy machine the browser itself may stutter; then once more.
				fine := false
				for try := 0; try < 4 && !fine; try++ {
					page.play() // anew, with nothing learnt from former troubles
					waitTone(t, sound, "the sine", pitch)
					recording := sound.StartRecording(browserSink)
					recording.Wait(300 * time.Millisecond)
					before := page.number("underruns")
					for range times {
						tt.happen(hop)
						recording.Wait(recording.Len() + 700*time.Millisecond)
					}
					recording.Wait(recording.Len() + 700*time.Millisecond) // it tells what was lost once a second
					got := listenTo(recording.Stop())
					lost, concealed, underruns := page.number("lost"), page.number("concealed"), page.number("underruns")-before
					t.Logf("%s: %v lost, %v concealed, %v underruns, %v", tt.name, lost, concealed, underruns, got)
					fine = lost == tt.lost && concealed == tt.concealed && underruns <= tt.underruns &&
						got.gap <= tt.gap && got.jump < click && got.back && page.dataset()["state"] == "live"
					page.stop()
				}
				if !fine {
					t.Errorf("%s, and more is heard of it than must be", tt.name)
				}
			}
		})
	}
}

// heard is what became of a sine of pitch in trouble.
type heard struct {
	at, gap time.Duration // the longest time that it was gone, and since when
	jump    float64       // the greatest from a sample to the next, as a part of its level
	back    bool          // it is whole in the end, for a second
}

// click is a jump that can be heard; the sine's own are up to 0.13.
const click = 0.2

func (h heard) String() string {
	return fmt.Sprintf("gone for %v at %v, a jump of %.2f, back: %v", h.gap, h.at, h.jump, h.back)
}

func listenTo(pcm []float32) (h heard) {
	level := audiotest.Measure(pcm, pitch).Level
	const look = 5 * time.Millisecond
	n := audio.Samples(look) * audio.Channels
	var since time.Duration
	for i := 0; i+n <= len(pcm); i += n {
		now := audio.Duration(i / audio.Channels)
		if audiotest.Level(pcm[i:i+n], pitch) > level/2 {
			since = now + look
		} else if gap := now + look - since; gap > h.gap {
			h.at, h.gap = since, gap
		}
	}
	for i := audio.Channels; i < len(pcm); i++ {
		h.jump = max(h.jump, math.Abs(float64(pcm[i]-pcm[i-audio.Channels]))/level)
	}
	end := audiotest.Measure(pcm[len(pcm)-audio.Samples(time.Second)*audio.Channels:], pitch)
	h.back = end.Level > level/2 && end.To-end.From > 990*time.Millisecond && len(end.Breaks) == 0
	return h
}

// A script that blocks the page costs the sound nothing where the page has an
// AudioWorklet; elsewhere the player learns to hold more back, and then nothing.
func TestStalledPage(t *testing.T) {
	const stall = 300 // ms
	tests := []struct {
		name, host string
		learns     bool
	}{
		{"secure page", "", false},
		{"insecure page", "lan.test", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, "speakers", browserSink)
			sound.PlaySine("speakers", pitch)
			app := launch(t, soundEnv(t, sound), "--headless", "--start")
			page := openChromium(t, sound.Env())
			page.open(app.link(tt.host))
			page.play()
			page.run(fmt.Sprintf(`window.stalls = 0;
				setInterval(() => {
					for (const end = performance.now() + %d; performance.now() < end;);
					window.stalls++;
				}, 1000);`, stall))
			page.hearWhole(sound, 4*time.Second)
			target := page.number("target")
			if (target > stall) != tt.learns {
				t.Errorf("the target is %v ms", target)
			}
			var stalls int
			if page.evaluate("window.stalls", &stalls); stalls < 6 {
				t.Errorf("the page stalled %d times only", stalls)
			}
		})
	}
}
