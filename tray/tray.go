// Package tray is Earshot's icon in the system tray and the menu behind it.
//
// What is to be seen is a pure function of a State (see newView); one event
// loop applies what changed to menu items that are built once, since the tray
// library loses clicks on items that are replaced.
package tray

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

var (
	// ErrNoSession says that there is no desktop session to show a tray in: on
	// Linux, no D-Bus session bus.
	ErrNoSession = errors.New("no desktop session")
	// ErrSessionEnded says that the session went away under a running tray, as
	// it does at logout.
	ErrSessionEnded = errors.New("the desktop session ended")
)

// Mode is what the app does, as the icon shows it.
type Mode int

const (
	// Stopped: nothing is shared.
	Stopped Mode = iota
	// Live: sound is shared.
	Live
	// Trouble: live, but the laptop's sound can't be had just now.
	Trouble
)

// A Listener is somebody who hears the stream.
type Listener struct {
	ID    uint64 // of the connection
	Name  string // from a token, so anything at all
	Since time.Time
}

// State is all that the tray shows. A State handed over is not changed after.
type State struct {
	Mode           Mode
	Trouble        string     // one plain line for Mode Trouble, or why it is Stopped
	Note           string     // one plain line why nothing is heard though Live and all is well
	Output         string     // what is shared: "Built-in Audio", "test tone"
	Sound          Sound      // what could be
	Listeners      []Listener // the longest there first
	Uncounted      int        // how many listen beside those
	Relays         []string   // one line about each
	Autostart      bool       // "Start on login" is on
	AutostartKnown bool       // false hides "Start on login"
	Start          bool       // "Go live when started" is on
	StartFixed     bool       // and can't be changed here
	Notify         Notify     // what notifications are about
	NotifyFixed    bool       // and can't be changed here
}

// Notify is what notifications are about.
type Notify struct {
	Link     bool // that a link was copied
	Listener bool // the first listener
	Trouble  bool // with the sound, and its end
}

// Action is what the user asks for.
type Action struct {
	What     What
	Listener uint64 // of Remove and RemoveWithdraw: who
	Name     string // of ShareOutput, ToggleNever and ShareProgram: what
}

func (a Action) String() string { return a.What.String() }

// What is a kind of Action.
type What int

const (
	// Toggle is a click on the icon: start if stopped, else stop.
	Toggle What = iota
	// Start and Stop are the menu's: they mean what they say, whatever the
	// state has become in between.
	Start
	Stop
	// CopyLink asks for a fresh share link, the others for one that is good for
	// some other time, or for one person only.
	CopyLink
	CopyHour
	CopyWeek
	CopyForever
	CopyOne
	// WithdrawAll ends all links made so far.
	WithdrawAll
	// Remove ends a listener's connection, and RemoveWithdraw their link, too.
	Remove
	RemoveWithdraw
	// ShareDefault asks for what plays on the default output, ShareOutput and
	// ShareProgram for one output or program only.
	ShareDefault
	ShareOutput
	ShareProgram
	// ToggleNever marks an output as one that is never shared, or unmarks it.
	ToggleNever
	// ToggleMute makes it silent here while sound is shared, or ends that.
	ToggleMute
	// ToggleAutostart turns "Start on login" on or off.
	ToggleAutostart
	// ToggleStart turns "Go live when started" on or off.
	ToggleStart
	// These turn a kind of notification on or off.
	ToggleLinkNotice
	ToggleListenerNotice
	ToggleTroubleNotice
	// Quit ends the app.
	Quit

	// startOrStop is a click on the menu's line that is Start or Stop by turns.
	// The loop knows which it was.
	startOrStop
)

func (w What) String() string {
	names := [...]string{"toggle", "start", "stop", "copy link", "copy link for an hour", "copy link for a week",
		"copy link until withdrawn", "copy link for one", "withdraw all links", "remove", "remove and withdraw link",
		"share default", "share output", "share program", "toggle never share", "toggle mute",
		"toggle autostart", "toggle start", "toggle link notice", "toggle listener notice", "toggle trouble notice", "quit"}
	if w < 0 || int(w) >= len(names) {
		return "unknown action"
	}
	return names[w]
}

// Config is what Run needs. NoHost may be nil, the rest must be set.
type Config struct {
	// Title names the app to the desktop, "Earshot".
	Title string
	// States carries each new State; the first is there at once. Only the
	// newest counts, so a channel that holds one and replaces it is right. It
	// is never closed.
	States <-chan State
	// Do carries out what the user asked for. It is called on the tray's event
	// loop, so it must return at once.
	Do func(Action)
	// NoHost is told, once at most, that this desktop shows no tray icons, and
	// what the user can do about it. The same is logged. It is called on a
	// goroutine that Run waits for.
	NoHost func(advice string)
	// Now is the time that listening times are counted to.
	Now func() time.Time
	Log *slog.Logger
}

// screen is where a view is shown.
type screen interface {
	// show makes v what is to be seen.
	show(v view)
	// again sets icon and tooltip once more.
	again()
}

const (
	// settle is how long after the start the icon is set once more: what is set
	// while a panel takes the icon in is sometimes lost.
	settle = time.Second
	// refresh is how often listening times are counted again.
	refresh = time.Minute
	// pace is how long a state is shown at least. With many listeners coming at
	// once, a panel would else be kept busy with every one of them.
	pace = 100 * time.Millisecond
	// hostWait is how long a desktop that just started may take to bring its
	// tray up before the user is told that it has none.
	hostWait = 5 * time.Second
	// doubleClick is how soon after a click on the icon a further one belongs
	// to it. Many people double-click tray icons, and would start and stop.
	doubleClick = 400 * time.Millisecond
)

// loop shows each State on s and hands clicks to c.Do, until ctx ends.
func loop(ctx context.Context, c Config, s screen, clicks <-chan click) {
	var (
		state  State
		lines  lineups
		shown  view
		tapped time.Time        // the last click on the icon
		minute <-chan time.Time // nil while nobody listens
		states = c.States       // nil while the last one is fresh
		paced  <-chan time.Time // ends that
	)
	settled := time.NewTimer(settle)
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case k := <-clicks:
			a := Action{What: k.what}
			switch k.what {
			case Toggle:
				last := tapped
				tapped = time.Now()
				if tapped.Sub(last) < doubleClick {
					continue
				}
			case startOrStop:
				a.What = shown.action
			case Remove, RemoveWithdraw:
				if a.Listener = shown.ids[k.slot]; a.Listener == 0 {
					continue // who has just gone
				}
			case ShareOutput, ToggleNever:
				if a.Name = shown.sound.outputNames[k.slot]; a.Name == "" {
					continue
				}
			case ShareProgram:
				if a.Name = shown.sound.programNames[k.slot]; a.Name == "" {
					continue
				}
			}
			c.Do(a)
			continue
		case <-settled.C:
			s.again()
			continue
		case <-paced:
			states, paced = c.States, nil
			continue
		case state = <-states:
			states, paced = nil, time.After(pace)
		case <-minute:
		}
		now := c.Now()
		shown = newView(state, lines.place(state, now), now)
		s.show(shown)
		minute = nil
		if len(state.Listeners) > 0 {
			minute = time.After(refresh)
		}
	}
}
