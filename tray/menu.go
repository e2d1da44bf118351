package tray

import (
	"context"
	"sync"

	"fyne.io/systray"
)

// menu is the tray icon and the menu behind it, on the screen. Only one
// goroutine at a time may use it.
type menu struct {
	now view

	status    *systray.MenuItem
	output    *systray.MenuItem
	toggle    *systray.MenuItem
	copyLink  *systray.MenuItem
	listeners *systray.MenuItem
	names     [most + 1]*systray.MenuItem
	autostart *systray.MenuItem
	quit      *systray.MenuItem
}

// newMenu puts the menu together, once and for all, showing v.
func newMenu(v view) *menu {
	m := &menu{now: v}
	m.status = add(v.status)
	m.output = add(v.output)
	systray.AddSeparator()
	m.toggle = add(v.toggle)
	m.copyLink = add(v.copyLink)
	m.listeners = add(v.listeners)
	for i := range m.names {
		m.names[i] = dress(m.listeners.AddSubMenuItem(v.names[i].label, ""), v.names[i])
	}
	systray.AddSeparator()
	m.autostart = dress(systray.AddMenuItemCheckbox(v.autostart.label, "", v.autostart.checked), v.autostart)
	m.quit = add(v.quit)
	m.again()
	return m
}

func add(i item) *systray.MenuItem {
	return dress(systray.AddMenuItem(i.label, ""), i)
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
	change(m.toggle, was.toggle, &m.now.toggle)
	change(m.copyLink, was.copyLink, &m.now.copyLink)
	change(m.listeners, was.listeners, &m.now.listeners)
	for i := range m.names {
		change(m.names[i], was.names[i], &m.now.names[i])
	}
	change(m.autostart, was.autostart, &m.now.autostart)
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
func (m *menu) clicks(ctx context.Context, to chan<- Action) {
	var all sync.WaitGroup
	on := func(mi *systray.MenuItem, a Action) {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-mi.ClickedCh:
					tap(to, a)
				}
			}
		})
	}
	on(m.toggle, startOrStop)
	on(m.copyLink, CopyLink)
	on(m.autostart, ToggleAutostart)
	on(m.quit, Quit)
	all.Wait()
}

// tap hands on one click, or drops it where a person's clicks are already more
// than the loop can follow: the desktop's own thread must never wait.
func tap(to chan<- Action, a Action) {
	select {
	case to <- a:
	default:
	}
}
