package tray

import (
	"fyne.io/systray"

	"earshot/server/line"
)

// Sound is what can be shared, as the submenu of that name shows it.
type Sound struct {
	Known    bool // false hides the submenu: there is nothing to choose
	Default  bool // what plays on the default output is shared
	Outputs  []Sharable
	Programs []Sharable
	Mute     bool // it is silent here
	CanMute  bool // false hides "Mute here"
}

// Sharable is an output or a program.
type Sharable struct {
	Name   string // tells it from all others
	Title  string // from a driver or a program, so anything at all
	Chosen bool   // it is what is shared
	Gone   bool   // it isn't there just now
	Never  bool   // of outputs: it is never shared
	Fixed  bool   // of outputs: that is a setting, which the menu can't change
}

// soundView is what is to be seen of a Sound.
type soundView struct {
	menu         item // the submenu
	byDefault    item
	outputs      [most]item
	outputNames  [most]string // which they are
	programs     [most]item
	programNames [most]string
	never        item       // the submenu in it
	nevers       [most]item // in that, on the same lines as outputs
	mute         item
}

func newSoundView(s Sound, on places) soundView {
	v := soundView{
		menu:      item{label: label("Sound"), hidden: !s.Known},
		byDefault: item{label: label("What the speakers play"), checked: s.Default},
		never:     item{label: label("Never share"), hidden: len(s.Outputs) == 0},
		mute:      item{label: label("Mute here, keep streaming"), checked: s.Mute, hidden: !s.CanMute},
	}
	for n := range v.outputs {
		v.outputs[n].hidden, v.nevers[n].hidden, v.programs[n].hidden = true, true, true
		if i := on.outputs[n]; i >= 0 {
			o := s.Outputs[i]
			title := titleOf(o, "not connected")
			v.outputs[n] = item{label: label("Only " + title), checked: o.Chosen, off: o.Never}
			v.nevers[n] = item{label: label(title), checked: o.Never, off: o.Fixed}
			v.outputNames[n] = o.Name
		}
		if i := on.programs[n]; i >= 0 {
			p := s.Programs[i]
			v.programs[n] = item{label: label("Only " + titleOf(p, "not playing")), checked: p.Chosen}
			v.programNames[n] = p.Name
		}
	}
	return v
}

// titleOf is what people call s, in one line, with a word where it is gone.
func titleOf(s Sharable, gone string) string {
	title := line.Clean(s.Title, 40)
	if title == "" {
		title = line.Clean(s.Name, 40)
	}
	if s.Gone {
		title += " (" + gone + ")"
	}
	return title
}

// soundMenu is that submenu on the screen.
type soundMenu struct {
	menu      *systray.MenuItem
	byDefault *systray.MenuItem
	outputs   [most]*systray.MenuItem
	programs  [most]*systray.MenuItem
	never     *systray.MenuItem
	nevers    [most]*systray.MenuItem
	mute      *systray.MenuItem
}

func newSoundMenu(v soundView) soundMenu {
	// What has lines below it is hidden after them: Windows adds nothing below a
	// hidden item.
	m := soundMenu{menu: systray.AddMenuItem(v.menu.label, "")}
	m.byDefault = checkIn(m.menu, v.byDefault)
	for n := range m.outputs {
		m.outputs[n] = checkIn(m.menu, v.outputs[n])
	}
	for n := range m.programs {
		m.programs[n] = checkIn(m.menu, v.programs[n])
	}
	m.never = m.menu.AddSubMenuItem(v.never.label, "")
	for n := range m.nevers {
		m.nevers[n] = checkIn(m.never, v.nevers[n])
	}
	dress(m.never, v.never)
	m.mute = checkIn(m.menu, v.mute)
	dress(m.menu, v.menu)
	return m
}

func checkIn(parent *systray.MenuItem, i item) *systray.MenuItem {
	return dress(parent.AddSubMenuItemCheckbox(i.label, "", i.checked), i)
}

// show turns the submenu from was into want, which then says what it is.
func (m *soundMenu) show(was soundView, want *soundView) {
	change(m.menu, was.menu, &want.menu)
	change(m.byDefault, was.byDefault, &want.byDefault)
	for n := range m.outputs {
		change(m.outputs[n], was.outputs[n], &want.outputs[n])
		change(m.programs[n], was.programs[n], &want.programs[n])
	}
	change(m.never, was.never, &want.never)
	for n := range m.nevers {
		change(m.nevers[n], was.nevers[n], &want.nevers[n])
	}
	change(m.mute, was.mute, &want.mute)
	if was.menu.hidden && !want.menu.hidden {
		// GTK's panels draw an empty submenu where the item was hidden at first.
		m.byDefault.Show()
	}
}

// on calls watch with each line that can be clicked, and what that asks for.
func (m *soundMenu) on(watch func(*systray.MenuItem, click)) {
	watch(m.byDefault, click{what: ShareDefault})
	watch(m.mute, click{what: ToggleMute})
	for n := range m.outputs {
		watch(m.outputs[n], click{ShareOutput, n})
		watch(m.programs[n], click{ShareProgram, n})
		watch(m.nevers[n], click{ToggleNever, n})
	}
}
