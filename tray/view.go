package tray

import (
	"fmt"
	"time"

	"earshot/server/line"
)

// most is how many listeners the menu names before it only counts them.
const most = 20

// icon is one of the pictures of the tray icon.
type icon int

const (
	iconIdle icon = iota
	iconLive
	iconListening
	iconTrouble
)

// item is how one line of the menu looks. Its label is ready for the menu: a
// mnemonic mark in it is doubled.
type item struct {
	label   string
	off     bool // shown, but can't be clicked
	hidden  bool
	checked bool
}

// view is everything that is to be seen of a State.
type view struct {
	icon    icon
	tooltip string

	status    item
	output    item
	toggle    item
	action    Action // what toggle does
	copyLink  item
	listeners item           // the submenu
	names     [most + 1]item // in it; the last one counts the rest
	autostart item
	quit      item
}

// newView is what s looks like at now.
func newView(s State, now time.Time) view {
	status := statusLine(s)
	v := view{
		icon:      iconFor(s),
		tooltip:   tooltip("Earshot · " + status),
		status:    item{label: label(status), off: true},
		output:    item{label: label("Sharing " + line.Clean(s.Output, 60)), off: true, hidden: s.Mode != Live || s.Output == ""},
		toggle:    item{label: label("Stop")},
		action:    Stop,
		copyLink:  item{label: label("Copy share link")},
		listeners: item{label: label("Listeners")},
		autostart: item{label: label("Start on login"), checked: s.Autostart, hidden: !s.AutostartKnown},
		quit:      item{label: label("Quit")},
	}
	if s.Mode == Stopped {
		v.toggle.label, v.action = label("Start"), Start
	}

	for i := range v.names {
		v.names[i] = item{off: true, hidden: true}
	}
	if len(s.Listeners) == 0 {
		// An emptied submenu is drawn as a sliver.
		v.names[0] = item{label: label("Nobody yet"), off: true}
		return v
	}
	v.listeners.label = label(fmt.Sprintf("Listeners (%d)", len(s.Listeners)))
	for i, l := range s.Listeners[:min(len(s.Listeners), most)] {
		name := line.Clean(l.Name, 40)
		if name == "" {
			name = "Guest"
		}
		v.names[i] = item{label: label(name + " — " + lasted(now.Sub(l.Since))), off: true}
	}
	if more := len(s.Listeners) - most; more > 0 {
		v.names[most] = item{label: label(fmt.Sprintf("and %d more", more)), off: true}
	}
	return v
}

func iconFor(s State) icon {
	switch {
	case s.Mode == Trouble || s.Trouble != "":
		return iconTrouble
	case s.Mode == Stopped:
		return iconIdle
	case len(s.Listeners) > 0:
		return iconListening
	default:
		return iconLive
	}
}

func statusLine(s State) string {
	switch {
	case s.Trouble != "":
		return sentence(line.Clean(s.Trouble, 90))
	case s.Mode == Stopped:
		return "Stopped"
	case s.Mode == Trouble:
		return "Live · no sound to share"
	case len(s.Listeners) > 0:
		return fmt.Sprintf("Live · %d listening", len(s.Listeners))
	default:
		return "Live · nobody listening"
	}
}

// lasted words a listening time. One below zero (the clock was set back) is
// none yet.
func lasted(d time.Duration) string {
	minutes := int(d / time.Minute)
	switch {
	case minutes < 1:
		return "just now"
	case minutes < 60:
		return fmt.Sprintf("%d min", minutes)
	case minutes < 24*60:
		return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
	default:
		return fmt.Sprintf("%d d %d h", minutes/(24*60), minutes/60%24)
	}
}
