package tray

import (
	"context"
	"slices"
	"sync"

	"fyne.io/systray"
)

// menu is the tray icon and the menu behind it, on the screen. Only one
// goroutine at a time may use it.
type menu struct {
	now view

	status    *systray.MenuItem
	output    *systray.MenuItem
	relays    *systray.MenuItem
	toggle    *systray.MenuItem
	copyLink  *systray.MenuItem
	links     []fixed
	sound     soundMenu
	listeners *systray.MenuItem
	nobody    *systray.MenuItem
	names     [most]*systray.MenuItem
	removes   []fixed
	more      *systray.MenuItem
	autostart *systray.MenuItem
	start     *systray.MenuItem
	notify    *systray.MenuItem
	notices   [len(notices)]*systray.MenuItem
	quit      *systray.MenuItem
}

// fixed is an item that never changes, and what a click on it asks for.
type fixed struct {
	item  *systray.MenuItem
	click click
}

// click is on an item of the menu.
type click struct {
	what What
	slot int // the line in a list: of the listener, output or program
}

// newMenu puts the menu together, once and for all, showing v.
func newMenu(v view) *menu {
	m := &menu{now: v}
	m.status = add(v.status)
	m.output = add(v.output)
	m.relays = add(v.relays)
	systray.AddSeparator()
	m.toggle = add(v.toggle)
	m.copyLink = add(v.copyLink)
	m.addLinks()
	m.sound = newSoundMenu(v.sound)
	m.listeners = add(v.listeners)
	m.nobody = addTo(m.listeners, v.nobody)
	for i := range m.names {
		m.names[i] = m.listeners.AddSubMenuItem(v.names[i].label, "")
		m.removes = append(m.removes,
			fixed{m.names[i].AddSubMenuItem(label("Remove"), ""), click{Remove, i}},
			fixed{m.names[i].AddSubMenuItem(label("Remove and withdraw the link"), ""), click{RemoveWithdraw, i}})
		dress(m.names[i], v.names[i]) // not before: Windows adds nothing below a hidden item
	}
	m.more = addTo(m.listeners, v.more)
	systray.AddSeparator()
	m.autostart = dress(systray.AddMenuItemCheckbox(v.autostart.label, "", v.autostart.checked), v.autostart)
	m.start = dress(systray.AddMenuItemCheckbox(v.start.label, "", v.start.checked), v.start)
	m.notify = add(v.notify)
	for i, n := range v.notices {
		m.notices[i] = dress(m.notify.AddSubMenuItemCheckbox(n.label, "", n.checked), n)
	}
	m.quit = add(v.quit)
	m.again()
	return m
}

// addLinks adds the submenu of what else there is to do with links.
func (m *menu) addLinks() {
	more := systray.AddMenuItem(label("More links"), "")
	link := func(in *systray.MenuItem, text string, what What) {
		m.links = append(m.links, fixed{in.AddSubMenuItem(label(text), ""), click{what: what}})
	}
	link(more, "Copy a link for 1 hour", CopyHour)
	link(more, "Copy a link for a day", CopyLink)
	link(more, "Copy a link for a week", CopyWeek)
	link(more, "Copy a link until I withdraw it", CopyForever)
	link(more, "Copy a link for one person only", CopyOne)
	// Two clicks, since it can't be undone.
	link(more.AddSubMenuItem(label("Withdraw all links"), ""), "Yes, all that were made until now", WithdrawAll)
}

func add(i item) *systray.MenuItem {
	return dress(systray.AddMenuItem(i.label, ""), i)
}

func addTo(parent *systray.MenuItem, i item) *systray.MenuItem {
	return dress(parent.AddSubMenuItem(i.label, ""), i)
}

// dress gives a new item what can't be said while adding it. Hiding comes
// last: on Windows every other change shows the item again.
func dress(mi *systray.MenuItem, i item) *systray.MenuItem {
	if i.off {
		mi.Disable()
	}
	if i.hidden {
		mi.Hide()
	}
	return mi
}

func (m *menu) show(v view) {
	was := m.now
	m.now = v
	if v.icon != was.icon {
		systray.SetIcon(picture(v.icon))
	}
	if v.tooltip != was.tooltip {
		systray.SetTooltip(v.tooltip)
	}
	change(m.status, was.status, &m.now.status)
	change(m.output, was.output, &m.now.output)
	change(m.relays, was.relays, &m.now.relays)
	change(m.toggle, was.toggle, &m.now.toggle)
	change(m.copyLink, was.copyLink, &m.now.copyLink)
	m.sound.show(was.sound, &m.now.sound)
	change(m.listeners, was.listeners, &m.now.listeners)
	change(m.nobody, was.nobody, &m.now.nobody)
	for i := range m.names {
		change(m.names[i], was.names[i], &m.now.names[i])
		if was.names[i].hidden && !m.now.names[i].hidden {
			// GTK's panels draw an empty submenu where the item was hidden at first.
			m.removes[2*i].item.Show()
			m.removes[2*i+1].item.Show()
		}
	}
	change(m.more, was.more, &m.now.more)
	change(m.autostart, was.autostart, &m.now.autostart)
	change(m.start, was.start, &m.now.start)
	for i := range m.notices {
		change(m.notices[i], was.notices[i], &m.now.notices[i])
	}
	change(m.quit, was.quit, &m.now.quit)
}

func (m *menu) again() {
	systray.SetIcon(picture(m.now.icon))
	systray.SetTooltip(m.now.tooltip)
}

// change turns mi from was into want. A hidden item keeps what it had, and
// want then says so: on Windows any change would show it.
func change(mi *systray.MenuItem, was item, want *item) {
	if want.hidden {
		if !was.hidden {
			mi.Hide()
		}
		*want = was
		want.hidden = true
		return
	}
	if want.label != was.label {
		mi.SetTitle(want.label)
	}
	if want.off != was.off {
		if want.off {
			mi.Disable()
		} else {
			mi.Enable()
		}
	}
	if want.checked != was.checked {
		if want.checked {
			mi.Check()
		} else {
			mi.Uncheck()
		}
	}
	if was.hidden {
		mi.Show()
	}
}

// clicks hands on what is clicked until ctx ends. The library drops a click
// that nobody waits for, so each item has somebody who waits.
func (m *menu) clicks(ctx context.Context, to chan<- click) {
	var all sync.WaitGroup
	on := func(mi *systray.MenuItem, k click) {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-mi.ClickedCh:
					tap(to, k)
				}
			}
		})
	}
	on(m.toggle, click{what: startOrStop})
	on(m.copyLink, click{what: CopyLink})
	for _, f := range slices.Concat(m.links, m.removes) {
		on(f.item, f.click)
	}
	m.sound.on(on)
	on(m.autostart, click{what: ToggleAutostart})
	on(m.start, click{what: ToggleStart})
	for i, n := range notices {
		on(m.notices[i], click{what: n.toggle})
	}
	on(m.quit, click{what: Quit})
	all.Wait()
}

// tap hands on one click, or drops it where a person's clicks are already more
// than the loop can follow: the desktop's own thread must never wait.
func tap(to chan<- click, k click) {
	select {
	case to <- k:
	default:
	}
}
