//go:build wine

package capture

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gen2brain/malgo"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// Under Wine there is no loopback. All else is as on Windows: a monitor, which
// Wine shows as an input, stands in for an output. It plays 440 Hz; app's tests
// see to that.
func TestMonitor(t *testing.T) {
	d := newDevices(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	d.listed, d.opened = malgo.Capture, malgo.Capture
	d.is = func(o Output) bool { return strings.HasPrefix(o.Title, "Monitor of") }
	d.none = "no monitor"

	statuses := make(chan Status, 16)
	ring := audio.NewRing()
	f := newFollower(Config{Clock: audio.NewClock(), Log: d.log, Report: func(s Status) { statuses <- s }}, ring, d)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	ended := make(chan struct{})
	go func() { f.run(ctx); close(ended) }()
	var pcm []float32
	block := make([]float32, period*audio.Channels)
	for len(pcm) < 4*audio.SampleRate*audio.Channels {
		select {
		case <-ended:
			t.Fatalf("only %d samples came", len(pcm))
		case <-ring.Wake():
		}
		for {
			if _, ok := ring.Read(block); !ok {
				break
			}
			pcm = append(pcm, block...)
		}
	}
	cancel()
	<-ended
	if s := <-statuses; s.Trouble != "" || !strings.HasPrefix(s.Output, "Monitor of") {
		t.Errorf("status %+v", s)
	}
	heard := audiotest.Measure(pcm[len(pcm)/4:], 440)
	t.Log(heard)
	var broken time.Duration // Wine's threads are not on time on a busy computer
	for _, b := range heard.Breaks {
		broken += b.Length
	}
	if broken > time.Second || heard.Level < 0.2 || heard.Hz < 439.5 || heard.Hz > 440.5 {
		t.Errorf("heard %v, broken for %v", heard, broken)
	}

	before, err := d.outputs()
	defer d.close()
	if err != nil || len(before) == 0 || !before[0].Default {
		t.Fatalf("outputs %+v, %v", before, err)
	}
	if id, err := deviceID(before[0].Name); err != nil || deviceName(id) != before[0].Name {
		t.Errorf("the ID %q does not come back: %v", before[0].Name, err)
	}
	if _, err := d.open("{0.0.1.00000000}.{none}", func([]float32) {}); err == nil {
		t.Error("opened a device that is not there")
	}
}
