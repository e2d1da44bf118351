package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"earshot/server/token"
	"earshot/tray"
)

// desktop is the app as the user has it on the desktop: the tray and what its
// menu does.
type desktop struct {
	app       *app
	autostart *autostart // nil where the program can't be found
	notifier  notifier

	firewall atomic.Bool // the user has read that there may be one in the way

	states  chan tray.State  // capacity 1: the newest
	actions chan tray.Action // what the user asked for and is not done yet
	tasks   sync.WaitGroup   // what takes longer
}

// showTray shows the tray until ctx ends, the user quits or the desktop session
// ends. It returns false at once where there is no desktop.
func (a *app) showTray(ctx context.Context) bool {
	d := &desktop{app: a, states: make(chan tray.State, 1), actions: make(chan tray.Action, 8)}
	defer d.notifier.close()
	var err error
	if d.autostart, err = newAutostart(string(a.data)); err != nil {
		a.log.Warn("no start on login", "err", err)
	}
	a.changed() // the first state

	ctx, quit := context.WithCancel(ctx)
	d.tasks.Go(func() { d.feed(ctx) })
	d.tasks.Go(func() { d.act(ctx, quit) })
	leaveConsole()
	err = tray.Run(ctx, tray.Config{
		Title:  "Earshot",
		States: d.states,
		Do:     d.do,
		NoHost: func(advice string) { d.tell(ctx, "No tray icon", advice) },
		Now:    time.Now,
		Log:    a.log,
	})
	quit()
	d.tasks.Wait()
	switch {
	case errors.Is(err, tray.ErrNoSession):
		fmt.Fprintln(a.console.out, "There is no desktop session here: running without a tray. To stop: Ctrl-C.")
		a.log.Debug("no tray", "err", err)
		return false
	case errors.Is(err, tray.ErrSessionEnded):
		a.log.Info("quitting: the desktop session ended")
	case err != nil:
		a.log.Error("no tray", "err", err)
		return false
	}
	return true
}

// do takes an action from the tray's event loop, which it must not keep.
func (d *desktop) do(what tray.Action) {
	select {
	case d.actions <- what:
	default:
		d.app.log.Warn("too busy for a click", "click", what)
	}
}

// feed hands the tray the state after each change, and tells of what has
// happened.
func (d *desktop) feed(ctx context.Context) {
	var watch watcher
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.app.changes:
		case <-again:
		}
		told, wait := watch.look(time.Now(), d.app.engine.status(), d.app.hub.Listeners())
		for _, n := range told {
			d.tasks.Go(func() { d.inform(ctx, n) })
		}
		if again = nil; wait > 0 {
			again = time.After(wait)
		}
		state := d.state()
		select {
		case <-d.states: // an older one that nobody took
		default:
		}
		d.states <- state
	}
}

// state is what the tray shows now.
func (d *desktop) state() tray.State {
	e := d.app.engine.status()
	set := d.app.settings.given
	s := tray.State{Output: e.output, Trouble: e.trouble, Note: e.note, Sound: d.app.sound.menu(e), StartFixed: set["start"], NotifyFixed: set["notify"]}
	start, shown := d.settings()
	s.Start = start
	s.Notify = tray.Notify{
		Link:     slices.Contains(shown, noticeLink),
		Listener: slices.Contains(shown, noticeListener),
		Trouble:  slices.Contains(shown, noticeTrouble),
	}
	switch {
	case e.on && e.trouble != "":
		s.Mode = tray.Trouble
	case e.on:
		s.Mode = tray.Live
	}
	for _, r := range d.app.relays.status() {
		s.Relays = append(s.Relays, r.line())
	}
	there, more := d.app.relays.listeners()
	s.Uncounted = more
	for _, l := range append(d.app.hub.Listeners(), there...) {
		s.Listeners = append(s.Listeners, tray.Listener{ID: l.ID, Name: l.Name, Since: l.Since})
	}
	if d.autostart != nil {
		s.AutostartKnown = true
		var err error
		if s.Autostart, err = d.autostart.enabled(); err != nil {
			d.app.log.Warn("start on login unknown", "err", err)
		}
	}
	return s
}

// act does what the user asks for, until ctx ends.
func (d *desktop) act(ctx context.Context, quit func()) {
	for {
		var a tray.Action
		select {
		case <-ctx.Done():
			return
		case a = <-d.actions:
		}
		copyLink := func(valid time.Duration, listeners int) {
			d.tasks.Go(func() { d.copyLink(ctx, valid, listeners) })
		}
		const day = 24 * time.Hour
		switch a.What {
		case tray.Toggle:
			d.app.engine.toggle()
		case tray.Start:
			d.app.engine.start()
		case tray.Stop:
			d.app.engine.stop()
		case tray.CopyLink:
			copyLink(day, 0)
		case tray.CopyHour:
			copyLink(time.Hour, 0)
		case tray.CopyWeek:
			copyLink(7*day, 0)
		case tray.CopyForever:
			copyLink(maxValidity, 0)
		case tray.CopyOne:
			copyLink(day, 1)
		case tray.WithdrawAll:
			d.withdrawAll(ctx)
		case tray.Remove, tray.RemoveWithdraw:
			d.remove(ctx, a.Listener, a.What == tray.RemoveWithdraw)
		case tray.ShareDefault, tray.ShareOutput, tray.ShareProgram, tray.ToggleNever, tray.ToggleMute:
			d.chooseSound(ctx, a)
		case tray.ToggleAutostart:
			d.toggleAutostart(ctx)
		case tray.ToggleStart:
			d.toggleStart(ctx)
		case tray.ToggleLinkNotice:
			d.toggleNotice(ctx, noticeLink)
		case tray.ToggleListenerNotice:
			d.toggleNotice(ctx, noticeListener)
		case tray.ToggleTroubleNotice:
			d.toggleNotice(ctx, noticeTrouble)
		case tray.Quit:
			quit()
		}
	}
}

// copyLink puts a new share link on the clipboard, or where there is no
// clipboard on a page, and says so.
func (d *desktop) copyLink(ctx context.Context, valid time.Duration, listeners int) {
	where, audience, err := d.app.sharePlace()
	if err != nil {
		d.tell(ctx, "No share link", err.Error())
		return
	}
	tok, _, err := d.app.access.issue(token.Grant{Audience: audience, Scope: token.ScopeListen, For: valid, Listeners: listeners})
	if err != nil {
		d.tell(ctx, "No share link", err.Error())
		return
	}
	link := where.link(tok)
	copyErr := copyText(link)
	if copyErr == nil {
		text := where.words(valid, listeners)
		if f := d.app.firewall(ctx); f.State == firewallBlocks || f.State == firewallUnknown && d.mayBeFirewall() {
			text += " " + f.words()
		}
		d.inform(ctx, notice{noticeLink, "Share link copied", text})
		return
	}
	d.app.log.Warn("link not copied", "err", copyErr)
	if err := showLink(ctx, link, openURL); err != nil && ctx.Err() == nil {
		d.app.log.Warn("link not shown", "err", err)
		d.tell(ctx, "Share link not copied", copyErr.Error()+". In a terminal, earshot link prints one.")
	}
}

// mayBeFirewall tells whether to speak of a firewall of which nobody knows whether
// it is in the way: once, unless somebody comes through just now.
func (d *desktop) mayBeFirewall() bool {
	for _, l := range d.app.hub.Listeners() {
		if from, err := netip.ParseAddr(l.Address); err == nil && !isOurs(from) {
			return false
		}
	}
	return !d.firewall.Swap(true)
}

// words says where a link from the tray is good, for how long and for how many.
func (p place) words(valid time.Duration, listeners int) string {
	text := "It works anywhere, "
	switch p.reach {
	case network:
		text = "It works for devices on this network, "
	case computer:
		return "It works on this computer only, which has no network now."
	}
	switch {
	case valid == maxValidity:
		text += "until you withdraw it"
	case valid < 2*time.Hour:
		text += "for an hour"
	case valid > 2*24*time.Hour:
		text += "for a week"
	default:
		text += "for 24 hours"
	}
	if listeners == 1 {
		text += ", for one listener at a time"
	}
	return text + "."
}

func (d *desktop) withdrawAll(ctx context.Context) {
	if err := d.app.withdrawAll(); err != nil {
		d.app.log.Error("links not withdrawn", "err", err)
		d.tell(ctx, "Links not withdrawn", err.Error())
		return
	}
	d.tell(ctx, "All links withdrawn", "Whoever shall hear you again needs a new link.")
}

// remove ends a listener's connection and says so.
func (d *desktop) remove(ctx context.Context, id uint64, withdraw bool) {
	gone, err := d.app.kick(id, withdraw)
	if err != nil {
		d.tell(ctx, "Not removed", err.Error())
		return
	}
	title, text := gone.Name+" is removed", "The link is still good: they may come back."
	if gone.Withdrawn {
		text = "The link is withdrawn. Others who had the same one are removed, too."
	}
	d.tell(ctx, title, text)
}

func (d *desktop) toggleAutostart(ctx context.Context) {
	if d.autostart == nil {
		return
	}
	on, err := d.autostart.enabled()
	if err == nil {
		err = d.autostart.set(!on)
	}
	if err != nil {
		d.app.log.Warn("start on login not changed", "err", err)
		d.tell(ctx, "Start on login not changed", err.Error())
	}
	d.app.changed()
}

// toggleStart turns "Go live when started" on or off.
func (d *desktop) toggleStart(ctx context.Context) {
	on, _ := d.settings()
	on = !on
	d.choose(ctx, func(c *choices) { c.Start = &on })
}

// toggleNotice turns a kind of notification on or off.
func (d *desktop) toggleNotice(ctx context.Context, kind noticeKind) {
	_, shown := d.settings()
	kinds := slices.DeleteFunc(slices.Clone(noticeKinds), func(k noticeKind) bool {
		return slices.Contains(shown, k) == (k == kind)
	})
	d.choose(ctx, func(c *choices) { c.Notify = &kinds })
}

// choose keeps what the user chose in the menu.
func (d *desktop) choose(ctx context.Context, change func(*choices)) {
	if err := d.app.choices.set(change); err != nil {
		d.app.log.Warn("choice not kept", "err", err)
		d.tell(ctx, "Not changed", err.Error())
	}
	d.app.changed()
}

// settings are those of the menu, as they are now.
func (d *desktop) settings() (start bool, notify []noticeKind) {
	s := *d.app.settings
	s.use(d.app.choices.get())
	return s.Start, s.Notify
}

// inform shows a notification that the user may have switched off.
func (d *desktop) inform(ctx context.Context, n notice) {
	if _, shown := d.settings(); slices.Contains(shown, n.kind) {
		d.tell(ctx, n.title, n.text)
	}
}

// tell shows a notification.
func (d *desktop) tell(ctx context.Context, title, text string) {
	if err := d.notifier.notify(ctx, title, text); err != nil {
		d.app.log.Warn("notification not shown", "err", err, "title", title)
	}
}
