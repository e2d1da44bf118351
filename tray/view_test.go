package tray

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lines writes a view down as a user sees it: "-" before what can't be
// clicked, "*" before what is checked, "+" before both, what is hidden left out.
func lines(v view) string {
	var b strings.Builder
	put := func(indent string, i item) {
		if i.hidden {
			return
		}
		mark := " "
		switch {
		case i.off && i.checked:
			mark = "+"
		case i.off:
			mark = "-"
		case i.checked:
			mark = "*"
		}
		fmt.Fprintf(&b, "%s%s%s\n", indent, mark, unlabel.Replace(i.label))
	}
	put("", v.status)
	put("", v.output)
	put("", v.toggle)
	put("", v.copyLink)
	if !v.sound.menu.hidden {
		put("", v.sound.menu)
		put("  ", v.sound.byDefault)
		for _, i := range slices.Concat(v.sound.outputs[:], v.sound.programs[:]) {
			put("  ", i)
		}
		put("  ", v.sound.never)
		for _, i := range v.sound.nevers {
			put("    ", i)
		}
		put("  ", v.sound.mute)
	}
	put("", v.listeners)
	put("  ", v.nobody)
	for _, n := range v.names {
		put("  ", n)
	}
	put("  ", v.more)
	put("", v.autostart)
	put("", v.start)
	put("", v.notify)
	for _, n := range v.notices {
		put("  ", n)
	}
	put("", v.quit)
	return b.String()
}

// unlabel undoes label.
var unlabel = strings.NewReplacer(label("_"), "_", label("&"), "&")

func TestLabel(t *testing.T) {
	want := map[string]string{"linux": "__ &", "windows": "_ &&"}[runtime.GOOS]
	if got := label("_ &"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func listeners(n int) []Listener {
	var all []Listener
	for i := range n {
		all = append(all, Listener{ID: uint64(i + 1), Name: fmt.Sprintf("Guest %d", i+1), Since: noon.Add(-time.Minute)})
	}
	return all
}

func TestView(t *testing.T) {
	ann := Listener{ID: 1, Name: "Ann", Since: noon.Add(-12*time.Minute - 50*time.Second)}
	bob := Listener{ID: 2, Name: "Guest · Firefox on Android", Since: noon}
	tests := []struct {
		name    string
		state   State
		icon    icon
		tooltip string
		action  What
		want    string
	}{
		{"stopped", State{Output: "Built-in Audio"}, iconIdle, "Earshot · Stopped", Start, `
-Stopped
 Start
 Copy share link
 Listeners
  -Nobody yet
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"stopped, a listener waits", State{Listeners: []Listener{ann}, AutostartKnown: true}, iconIdle, "Earshot · Stopped", Start, `
-Stopped
 Start
 Copy share link
 Listeners (1)
   Ann — 12 min
 Start on login
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"live", State{Mode: Live, Output: "test tone", AutostartKnown: true, Autostart: true, Start: true, Notify: Notify{Listener: true}, NotifyFixed: true}, iconLive, "Earshot · Live · nobody listening", Stop, `
-Live · nobody listening
-Sharing test tone
 Stop
 Copy share link
 Listeners
  -Nobody yet
*Start on login
*Go live when started
 Notifications
  -A link was copied
  +The first listener
  -Trouble with the sound
 Quit
`},
		{"listening", State{Mode: Live, Output: "my_sink", Listeners: []Listener{ann, bob}}, iconListening, "Earshot · Live · 2 listening", Stop, `
-Live · 2 listening
-Sharing my_sink
 Stop
 Copy share link
 Listeners (2)
   Ann — 12 min
   Guest · Firefox on Android — just now
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"trouble", State{Mode: Trouble, Trouble: "No sound server\nfor <b>AT&T</b>", Output: "gone", Listeners: []Listener{ann}}, iconTrouble,
			"Earshot · No sound server for ‹b›AT+T‹/b›", Stop, `
-No sound server for <b>AT&T</b>
 Stop
 Copy share link
 Listeners (1)
   Ann — 12 min
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"stopped by trouble", State{Trouble: "stopped: the file is gone"}, iconTrouble, "Earshot · Stopped: the file is gone", Start, `
-Stopped: the file is gone
 Start
 Copy share link
 Listeners
  -Nobody yet
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"trouble without a word", State{Mode: Trouble}, iconTrouble, "Earshot · Live · no sound to share", Stop, `
-Live · no sound to share
 Stop
 Copy share link
 Listeners
  -Nobody yet
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"what to share", State{Mode: Live, Note: "waiting for Firefox to play", Output: "Firefox", Sound: Sound{
			Known: true, CanMute: true, Mute: true,
			Outputs: []Sharable{{Name: "a", Title: "Built-in_Audio"}, {Name: "b", Title: "Headset\n", Never: true, Fixed: true},
				{Name: "c", Title: "Dock", Gone: true, Never: true}},
			Programs: []Sharable{{Name: "f", Title: "Firefox", Chosen: true, Gone: true}, {Name: "m", Title: "\u202e"}},
		}}, iconLive, "Earshot · Waiting for Firefox to play", Stop, `
-Waiting for Firefox to play
-Sharing Firefox
 Stop
 Copy share link
 Sound
   What the speakers play
   Only Built-in_Audio
  -Only Headset
  -Only Dock (not connected)
  *Only Firefox (not playing)
   Only m
   Never share
     Built-in_Audio
    +Headset
    *Dock (not connected)
  *Mute here, keep streaming
 Listeners
  -Nobody yet
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"nothing plays", State{Sound: Sound{Known: true, Default: true}}, iconIdle, "Earshot · Stopped", Start, `
-Stopped
 Start
 Copy share link
 Sound
  *What the speakers play
 Listeners
  -Nobody yet
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
		{"names that mean harm", State{Mode: Live, Listeners: []Listener{
			{ID: 1, Name: "a_b\x00\n\tc", Since: noon},
			{ID: 2, Name: "\u202egnp.exe", Since: noon},
			{ID: 3, Name: " \u200b\u2028 ", Since: noon},
			{ID: 4, Name: strings.Repeat("x", 5000), Since: noon.Add(time.Hour)},
		}}, iconListening, "Earshot · Live · 4 listening", Stop, `
-Live · 4 listening
 Stop
 Copy share link
 Listeners (4)
   a_b c — just now
   gnp.exe — just now
   Guest — just now
   ` + strings.Repeat("x", 39) + `… — just now
 Go live when started
 Notifications
   A link was copied
   The first listener
   Trouble with the sound
 Quit
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newView(tt.state, new(lineups).place(tt.state, noon), noon)
			if got, want := lines(v), strings.TrimPrefix(tt.want, "\n"); got != want {
				t.Errorf("menu is\n%swant\n%s", got, want)
			}
			if v.icon != tt.icon || v.tooltip != tt.tooltip || v.action != tt.action {
				t.Errorf("icon %d, tooltip %q, action %v; want %d, %q, %v", v.icon, v.tooltip, v.action, tt.icon, tt.tooltip, tt.action)
			}
		})
	}
}

func TestViewCountsListenersBeyondTwenty(t *testing.T) {
	for n, want := range map[int]string{19: "Guest 19 — 1 min", 20: "Guest 20 — 1 min", 21: "and 1 more", 32: "and 12 more"} {
		all := listeners(n)
		v := newView(State{Mode: Live, Listeners: all}, new(lineups).place(State{Listeners: all}, noon), noon)
		var shown []string
		for _, i := range append(v.names[:], v.more) {
			if !i.hidden {
				shown = append(shown, i.label)
			}
		}
		if len(shown) != min(n, most+1) || shown[len(shown)-1] != want {
			t.Errorf("with %d listeners the menu lists %d, the last as %q; want %q", n, len(shown), shown[len(shown)-1], want)
		}
	}
}

// A listener keeps a line while there, and nobody else gets it soon after.
func TestLineup(t *testing.T) {
	var l lineup[uint64]
	who := func(now time.Time, ids ...uint64) string {
		var said []string
		for _, i := range l.place(ids, now) {
			if i < 0 {
				said = append(said, "-")
			} else {
				said = append(said, fmt.Sprint(ids[i]))
			}
		}
		return strings.TrimRight(strings.Join(said, " "), " -")
	}
	steps := []struct {
		after time.Duration
		ids   []uint64
		want  string
	}{
		{0, []uint64{7, 8, 9}, "7 8 9"},
		{0, []uint64{8, 9}, "- 8 9"},
		{time.Second, []uint64{8, 9, 10}, "- 8 9 10"},
		{empty, []uint64{8, 9, 10, 11}, "11 8 9 10"},
		{0, nil, ""},
	}
	now := noon
	for i, step := range steps {
		now = now.Add(step.after)
		if got := who(now, step.ids...); got != step.want {
			t.Errorf("step %d: lines %q, want %q", i, got, step.want)
		}
	}
}

func TestLasted(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:                    "just now",
		59 * time.Second:              "just now",
		time.Minute:                   "1 min",
		59*time.Minute + time.Second:  "59 min",
		time.Hour:                     "1 h 0 min",
		23*time.Hour + 59*time.Minute: "23 h 59 min",
		50 * time.Hour:                "2 d 2 h",
		10 * 365 * 24 * time.Hour:     "3650 d 0 h",
	} {
		if got := lasted(d); got != want {
			t.Errorf("%v is worded %q, want %q", d, got, want)
		}
	}
}

// Relays have a line of their own, and who listens there counts.
func TestRelays(t *testing.T) {
	see := func(s State) view { return newView(s, new(lineups).place(s, noon), noon) }
	v := see(State{Mode: Live})
	if !v.relays.hidden {
		t.Errorf("without a relay: %+v", v.relays)
	}
	v = see(State{Mode: Live, Relays: []string{"radio.example.org: 7 listening"}, Uncounted: 7})
	if v.relays.hidden || !v.relays.off || v.relays.label != label("Relay radio.example.org: 7 listening") {
		t.Errorf("relay: %+v", v.relays)
	}
	if v.status.label != label("Live · 7 listening") || v.listeners.label != label("Listeners (7)") || v.more.label != label("and 7 more") || v.icon != iconListening || !v.nobody.hidden {
		t.Errorf("%+v", v)
	}
	v = see(State{Mode: Live, Relays: []string{"a: connected", "b: refused"}})
	if v.relays.label != label("Relays a: connected · b: refused") {
		t.Errorf("relays: %+v", v.relays)
	}
}
