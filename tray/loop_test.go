package tray

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// paper is a screen that keeps what was shown on it.
type paper struct {
	shown  []view
	agains int
}

func (p *paper) show(v view) { p.shown = append(p.shown, v) }
func (p *paper) again()      { p.agains++ }

// desk is a loop at work in a synctest bubble.
type desk struct {
	paper
	states  chan State
	clicks  chan click
	actions []Action
}

func runLoop(t *testing.T, body func(d *desk)) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{states: make(chan State, 1), clicks: make(chan click, 8)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			loop(ctx, Config{
				States: d.states,
				Do:     func(a Action) { d.actions = append(d.actions, a) },
				Now:    time.Now,
			}, &d.paper, d.clicks)
		}()
		body(d)
		stop()
		<-ended
	})
}

func TestLoopCountsListeningTimesAMinuteAtATime(t *testing.T) {
	runLoop(t, func(d *desk) {
		d.states <- State{Mode: Live, Listeners: []Listener{{ID: 1, Name: "Ann", Since: time.Now()}}}
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		if len(d.shown) != 4 || d.shown[3].names[0].label != "Ann — 3 min" {
			t.Errorf("after three minutes: shown %d times, last %q", len(d.shown), d.shown[len(d.shown)-1].names[0].label)
		}

		d.states <- State{Mode: Live}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(d.shown) != 5 {
			t.Errorf("with nobody listening it was shown %d times more, want once", len(d.shown)-4)
		}
		if d.agains != 1 {
			t.Errorf("icon set again %d times, want once", d.agains)
		}
	})
}

func TestLoopTellsStartFromStop(t *testing.T) {
	runLoop(t, func(d *desk) {
		d.states <- State{}
		synctest.Wait()
		d.clicks <- click{what: startOrStop}
		d.states <- State{Mode: Trouble}
		time.Sleep(pace)
		synctest.Wait()
		d.clicks <- click{what: startOrStop}
		d.clicks <- click{what: CopyLink}
		synctest.Wait()
		if want := []Action{{What: Start}, {What: Stop}, {What: CopyLink}}; !slices.Equal(d.actions, want) {
			t.Errorf("asked for %v, want %v", d.actions, want)
		}
	})
}

func TestLoopKnowsWhoToRemove(t *testing.T) {
	runLoop(t, func(d *desk) {
		d.states <- State{Mode: Live, Listeners: []Listener{{ID: 7}, {ID: 8}}}
		synctest.Wait()
		d.clicks <- click{Remove, 1}
		d.states <- State{Mode: Live, Listeners: []Listener{{ID: 8}}}
		time.Sleep(pace)
		synctest.Wait()
		d.clicks <- click{RemoveWithdraw, 1}
		d.clicks <- click{Remove, 0} // gone
		synctest.Wait()
		if want := []Action{{What: Remove, Listener: 8}, {What: RemoveWithdraw, Listener: 8}}; !slices.Equal(d.actions, want) {
			t.Errorf("asked for %v, want %v", d.actions, want)
		}
	})
}

// A click on an output or a program means the one that was on that line.
func TestLoopKnowsWhatToShare(t *testing.T) {
	runLoop(t, func(d *desk) {
		d.states <- State{Sound: Sound{Known: true, Outputs: []Sharable{{Name: "a"}, {Name: "b"}}, Programs: []Sharable{{Name: "p"}}}}
		synctest.Wait()
		d.states <- State{Sound: Sound{Known: true, Outputs: []Sharable{{Name: "b"}, {Name: "c"}}}}
		time.Sleep(pace)
		synctest.Wait()
		for _, k := range []click{{ShareOutput, 1}, {ToggleNever, 1}, {ToggleNever, 0}, {ShareOutput, 2}, {ShareProgram, 0}, {what: ShareDefault}} {
			d.clicks <- k
			synctest.Wait()
		}
		want := []Action{{What: ShareOutput, Name: "b"}, {What: ToggleNever, Name: "b"}, {What: ShareOutput, Name: "c"}, {What: ShareDefault}}
		if !slices.Equal(d.actions, want) {
			t.Errorf("asked for %+v, want %+v", d.actions, want)
		}
	})
}

func TestLoopTakesADoubleClickAsOne(t *testing.T) {
	runLoop(t, func(d *desk) {
		d.states <- State{}
		for _, wait := range []time.Duration{doubleClick - 1, doubleClick - 1, doubleClick, 0} {
			d.clicks <- click{what: Toggle}
			time.Sleep(wait)
		}
		d.clicks <- click{what: Quit}
		synctest.Wait()
		if want := []Action{{What: Toggle}, {What: Toggle}, {What: Quit}}; !slices.Equal(d.actions, want) {
			t.Errorf("asked for %v, want %v", d.actions, want)
		}
	})
}

func TestLoopKeepsPace(t *testing.T) {
	runLoop(t, func(d *desk) {
		for n := range 1000 {
			select {
			case <-d.states: // only the newest counts
			default:
			}
			d.states <- State{Mode: Live, Listeners: make([]Listener, n+1)}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(pace)
		synctest.Wait()
		if n := len(d.shown); n > 12 || d.shown[n-1].status.label != "Live · 1000 listening" {
			t.Errorf("of 1000 states in a second %d were shown, last %q", n, d.shown[n-1].status.label)
		}
	})
}
