package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// feed hands the tray the state after each change.
func (d *desktop) feed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.app.changes:
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
	s := tray.State{Output: e.output, Trouble: e.trouble}
	switch {
	case e.on && e.trouble != "":
		s.Mode = tray.Trouble
	case e.on:
		s.Mode = tray.Live
	}
	for _, l := range d.app.hub.Listeners() {
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
		case tray.ToggleAutostart:
			d.toggleAutostart(ctx)
		case tray.Quit:
			quit()
		}
	}
}

// copyLink puts a new share link on the clipboard, or where there is no
// clipboard on a page, and says so.
func (d *desktop) copyLink(ctx context.Context, valid time.Duration, listeners int) {
	where, err := d.app.place()
	if err != nil {
		d.tell(ctx, "No share link", err.Error())
		return
	}
	tok, _, err := d.app.access.issue(token.Grant{Scope: token.ScopeListen, For: valid, Listeners: listeners})
	if err != nil {
		d.tell(ctx, "No share link", err.Error())
		return
	}
	link := where.link(tok)
	copyErr := copyText(link)
	if copyErr == nil {
		d.tell(ctx, "Share link copied", where.words(valid, listeners))
		return
	}
	d.app.log.Warn("link not copied", "err", copyErr)
	if err := showLink(ctx, link, openURL); err != nil && ctx.Err() == nil {
		d.app.log.Warn("link not shown", "err", err)
		d.tell(ctx, "Share link not copied", copyErr.Error()+". In a terminal, earshot link prints one.")
	}
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

// tell shows a notification.
func (d *desktop) tell(ctx context.Context, title, text string) {
	if err := d.notifier.notify(ctx, title, text); err != nil {
		d.app.log.Warn("notification not shown", "err", err, "title", title)
	}
}
