package tray

import (
	"fmt"
	"strings"
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
	relays    item
	toggle    item
	action    What // what toggle does
	copyLink  item
	listeners item         // the submenu
	nobody    item         // in it, while it would be empty: that is drawn as a sliver
	names     [most]item   // in it, each with a submenu of its own
	ids       [most]uint64 // who they are
	more      item         // counts the rest
	sound     soundView
	autostart item
	start     item
	notify    item               // the submenu
	notices   [len(notices)]item // in it
	quit      item
}

// notices are the kinds of notifications, as lines of the menu.
var notices = [...]struct {
	label  string
	toggle What
	on     func(Notify) bool
}{
	{"A link was copied", ToggleLinkNotice, func(n Notify) bool { return n.Link }},
	{"The first listener", ToggleListenerNotice, func(n Notify) bool { return n.Listener }},
	{"Trouble with the sound", ToggleTroubleNotice, func(n Notify) bool { return n.Trouble }},
}

// newView is what s looks like at now, with everything on these lines.
func newView(s State, on places, now time.Time) view {
	status := statusLine(s)
	v := view{
		icon:      iconFor(s),
		tooltip:   tooltip("Earshot · " + status),
		status:    item{label: label(status), off: true},
		output:    item{label: label("Sharing " + line.Clean(s.Output, 60)), off: true, hidden: s.Mode != Live || s.Output == ""},
		relays:    item{label: label(relaysLine(s.Relays)), off: true, hidden: len(s.Relays) == 0},
		toggle:    item{label: label("Stop")},
		action:    Stop,
		copyLink:  item{label: label("Copy share link")},
		listeners: item{label: label("Listeners")},
		sound:     newSoundView(s.Sound, on),
		autostart: item{label: label("Start on login"), checked: s.Autostart, hidden: !s.AutostartKnown},
		start:     item{label: label("Go live when started"), checked: s.Start, off: s.StartFixed},
		notify:    item{label: label("Notifications")},
		quit:      item{label: label("Quit")},
	}
	for i, n := range notices {
		v.notices[i] = item{label: label(n.label), checked: n.on(s.Notify), off: s.NotifyFixed}
	}
	if s.Mode == Stopped {
		v.toggle.label, v.action = label("Start"), Start
	}

	v.nobody = item{label: label("Nobody yet"), off: true, hidden: count(s) > 0}
	for i := range v.names {
		v.names[i].hidden = true
	}
	v.more = item{off: true, hidden: true}
	if count(s) == 0 {
		return v
	}
	v.listeners.label = label(fmt.Sprintf("Listeners (%d)", count(s)))
	more := count(s)
	for n, i := range on.listeners {
		if i < 0 {
			continue
		}
		more--
		l := s.Listeners[i]
		name := line.Clean(l.Name, 40)
		if name == "" {
			name = "Guest"
		}
		v.names[n] = item{label: label(name + " — " + lasted(now.Sub(l.Since)))}
		v.ids[n] = l.ID
	}
	if more > 0 {
		v.more = item{label: label(fmt.Sprintf("and %d more", more)), off: true}
	}
	return v
}

// count is how many listen, named or not.
func count(s State) int { return len(s.Listeners) + s.Uncounted }

// relaysLine says how the relays are.
func relaysLine(all []string) string {
	switch len(all) {
	case 0:
		return ""
	case 1:
		return "Relay " + line.Clean(all[0], 90)
	}
	return "Relays " + line.Clean(strings.Join(all, " · "), 90)
}

func iconFor(s State) icon {
	switch {
	case s.Mode == Trouble || s.Trouble != "":
		return iconTrouble
	case s.Mode == Stopped:
		return iconIdle
	case count(s) > 0:
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
	case s.Note != "":
		return sentence(line.Clean(s.Note, 90))
	case s.Mode == Trouble:
		return "Live · no sound to share"
	case count(s) > 0:
		return fmt.Sprintf("Live · %d listening", count(s))
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
