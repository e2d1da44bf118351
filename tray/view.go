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
	action    What // what toggle does
	copyLink  item
	listeners item         // the submenu
	nobody    item         // in it, while it would be empty: that is drawn as a sliver
	names     [most]item   // in it, each with a submenu of its own
	ids       [most]uint64 // who they are
	more      item         // counts the rest
	autostart item
	quit      item
}

// lineup keeps each listener on a line of the menu for as long as they are
// there, so that a click never means somebody else: a line that was left stays
// empty for a while.
type lineup struct {
	ids  [most]uint64
	left [most]time.Time
}

// empty is how long a line stays empty: longer than a click takes.
const empty = 5 * time.Second

// place gives the listeners their lines at now; a line holds one's place in
// all, or -1.
func (l *lineup) place(all []Listener, now time.Time) (lines [most]int) {
	waiting := map[uint64]int{}
	for i, one := range all {
		waiting[one.ID] = i
	}
	for n, id := range l.ids {
		lines[n] = -1
		if i, there := waiting[id]; there && id != 0 {
			lines[n] = i
			delete(waiting, id)
		} else if id != 0 {
			l.ids[n], l.left[n] = 0, now
		}
	}
	next := 0
	for n := range lines {
		if lines[n] >= 0 || now.Sub(l.left[n]) < empty {
			continue
		}
		for ; next < len(all); next++ {
			if i, there := waiting[all[next].ID]; there && i == next {
				lines[n], l.ids[n] = next, all[next].ID
				next++
				break
			}
		}
	}
	return lines
}

// newView is what s looks like at now, with the listeners on these lines.
func newView(s State, lines [most]int, now time.Time) view {
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

	v.nobody = item{label: label("Nobody yet"), off: true, hidden: len(s.Listeners) > 0}
	for i := range v.names {
		v.names[i].hidden = true
	}
	v.more = item{off: true, hidden: true}
	if len(s.Listeners) == 0 {
		return v
	}
	v.listeners.label = label(fmt.Sprintf("Listeners (%d)", len(s.Listeners)))
	more := len(s.Listeners)
	for n, i := range lines {
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
