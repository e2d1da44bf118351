package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"earshot/audio/capture"
	"earshot/server/atomicfile"
	"earshot/server/line"
	"earshot/tray"
)

// sound is which sound the owner shares: what the settings say, and what was
// chosen in the tray, which a file in the data folder keeps. An output or a
// program that the settings name is what every start begins with, and outputs
// that they never share are so whatever the tray says. Any goroutine may use it.
type sound struct {
	path    string // of the file
	demand  *capture.Demand
	fixed   []string // never shared, by the settings
	named   *chosen  // what the file says where the settings name an output or a program; else nil
	changed func()   // called after a change; returns at once
	log     *slog.Logger

	mu     sync.Mutex
	chosen chosen
	mute   bool // until Earshot ends: nobody wants silent speakers after the next login
	there  capture.Sounds
	seen   bool // there was an output
}

// chosen is what the file holds.
type chosen struct {
	Output  string   `json:"output,omitempty"`
	Program string   `json:"program,omitempty"`
	Title   string   `json:"title,omitempty"` // of that output or program
	Never   []marked `json:"never,omitempty"`
}

// marked is an output that is never shared.
type marked struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// openSound reads the file at path, which need not exist. demand follows what
// is chosen from then on.
func openSound(s *settings, path string, demand *capture.Demand, changed func(), log *slog.Logger) (*sound, error) {
	o := &sound{path: path, demand: demand, fixed: s.NeverShare, changed: changed, log: log}
	text, err := atomicfile.Read(path)
	if err == nil {
		err = json.Unmarshal(text, &o.chosen)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// To share what is never to be shared would be worse than not to start.
		return nil, fmt.Errorf("read which sound is shared: %s: %w: remove it, and choose again what is never shared", path, err)
	}
	if s.Output != "" || s.Program != "" {
		file := o.chosen
		o.named = &file
		o.chosen.Output, o.chosen.Program, o.chosen.Title = s.Output, s.Program, ""
	}
	o.demand.Choose(o.choice())
	return o, nil
}

// choice is what to capture. o.mu is held, or nobody else has o yet.
func (o *sound) choice() capture.Choice {
	c := capture.Choice{Output: o.chosen.Output, Program: o.chosen.Program, Title: o.chosen.Title, Mute: o.mute, Never: slices.Clone(o.fixed)}
	for _, m := range o.chosen.Never {
		c.Never = append(c.Never, m.Name)
	}
	return c
}

// set changes what is chosen, at once, and keeps it in the file.
func (o *sound) set(change func()) error {
	defer o.changed()
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	o.demand.Choose(o.choice())
	keep := o.chosen
	if o.named != nil { // the settings begin every start; when they no longer do, the file does
		keep.Output, keep.Program, keep.Title = o.named.Output, o.named.Program, o.named.Title
	}
	text, err := json.MarshalIndent(keep, "", "  ")
	if err == nil {
		err = atomicfile.Replace(o.path, append(text, '\n'), 0o600, nil)
	}
	if err != nil {
		return fmt.Errorf("it is so until Earshot ends, and not after: keep which sound is shared: %w", err)
	}
	return nil
}

// share shares what plays on the default output, or one output or program only.
func (o *sound) share(output, program string) error {
	return o.set(func() {
		o.chosen.Output, o.chosen.Program = output, program
		o.chosen.Title = ""
		for _, a := range o.there.Outputs {
			if a.Name == output {
				o.chosen.Title = a.Title
			}
		}
		for _, a := range o.there.Programs {
			if a.Name == program {
				o.chosen.Title = a.Title
			}
		}
	})
}

// toggleNever marks an output as one that is never shared, or unmarks it.
func (o *sound) toggleNever(output string) error {
	return o.set(func() {
		one := capture.Output{Name: output}
		for _, a := range o.there.Outputs {
			if a.Name == output {
				one = a
			}
		}
		is := func(m marked) bool { return capture.Covers(m.Name, one) }
		if slices.ContainsFunc(o.chosen.Never, is) {
			o.chosen.Never = slices.DeleteFunc(slices.Clone(o.chosen.Never), is)
			return
		}
		o.chosen.Never = append(slices.Clone(o.chosen.Never), marked{output, one.Title})
	})
}

// setMute makes the output silent here, or ends that.
func (o *sound) setMute(mute bool) {
	defer o.changed()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mute = mute
	o.demand.Choose(o.choice())
}

// saw takes what can be captured just now.
func (o *sound) saw(s capture.Sounds) {
	o.mu.Lock()
	o.there = s
	first := !o.seen && len(s.Outputs) > 0
	o.seen = o.seen || first
	o.mu.Unlock()
	if first {
		for _, name := range capture.Unmatched(o.fixed, s.Outputs) {
			o.log.Warn("no output that is there now has the name or title that never-share says: see earshot outputs", "never-share", name)
		}
	}
	o.changed()
}

// menu is all that as the tray shows it; e is what the engine does.
func (o *sound) menu(e engineStatus) tray.Sound {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := tray.Sound{
		Known:   capture.CanChoose && len(o.there.Outputs) > 0,
		Default: o.chosen.Output == "" && o.chosen.Program == "",
		CanMute: capture.CanMute,
		// Somebody may have unmuted it by a key.
		Mute: o.mute && (!e.on || e.muted || e.trouble != "" || e.note != ""),
	}
	output := func(name, title string, gone bool) {
		if slices.ContainsFunc(s.Outputs, func(a tray.Sharable) bool { return a.Name == name }) {
			return
		}
		one := capture.Output{Name: name, Title: title}
		fixed := slices.ContainsFunc(o.fixed, func(name string) bool { return capture.Covers(name, one) })
		s.Outputs = append(s.Outputs, tray.Sharable{
			Name: name, Title: title, Gone: gone, Chosen: o.chosen.Program == "" && name == o.chosen.Output, Fixed: fixed,
			Never: fixed || slices.ContainsFunc(o.chosen.Never, func(m marked) bool { return capture.Covers(m.Name, one) }),
		})
	}
	for _, a := range o.there.Outputs {
		output(a.Name, a.Title, false)
	}
	tellApart(s.Outputs)
	if name := o.chosen.Output; name != "" && o.chosen.Program == "" {
		output(name, cmp.Or(o.chosen.Title, name), true)
	}
	for _, m := range o.chosen.Never {
		if len(capture.Unmatched([]string{m.Name}, o.there.Outputs)) > 0 {
			output(m.Name, cmp.Or(m.Title, m.Name), true)
		}
	}
	for _, name := range capture.Unmatched(o.fixed, o.there.Outputs) {
		output(name, name, true)
	}
	chosen := o.chosen.Program == ""
	for _, p := range o.there.Programs {
		title := p.Title
		if slices.ContainsFunc(o.there.Programs, func(other capture.Program) bool { return other.Title == p.Title && other.Name != p.Name }) {
			title = p.Name
		}
		s.Programs = append(s.Programs, tray.Sharable{Name: p.Name, Title: title, Chosen: p.Name == o.chosen.Program})
		chosen = chosen || p.Name == o.chosen.Program
	}
	if !chosen {
		s.Programs = append(s.Programs, tray.Sharable{Name: o.chosen.Program, Title: cmp.Or(o.chosen.Title, o.chosen.Program), Chosen: true, Gone: true})
	}
	return s
}

// tellApart gives outputs that share a title what tells their names apart.
func tellApart(outputs []tray.Sharable) {
	names := map[string][]string{} // by title
	for _, a := range outputs {
		names[a.Title] = append(names[a.Title], a.Name)
	}
	for i, a := range outputs {
		if all := names[a.Title]; len(all) > 1 {
			outputs[i].Title = fmt.Sprintf("%s (%s)", line.Clean(a.Title, 18), line.Clean(a.Name[shared(all):], 19))
		}
	}
}

// shared returns the length of what names begin with alike, up to where a part
// begins in which they differ.
func shared(names []string) int {
	first, last := slices.Min(names), slices.Max(names)
	n := 0
	for n < len(first) && first[n] == last[n] {
		n++
	}
	return strings.LastIndexAny(first[:n], ".-_{") + 1
}

// chooseSound does what was chosen in the menu.
func (d *desktop) chooseSound(ctx context.Context, a tray.Action) {
	o := d.app.sound
	var err error
	switch a.What {
	case tray.ShareDefault:
		err = o.share("", "")
	case tray.ShareOutput:
		err = o.share(a.Name, "")
	case tray.ShareProgram:
		err = o.share("", a.Name)
	case tray.ToggleNever:
		err = o.toggleNever(a.Name)
	case tray.ToggleMute:
		o.setMute(!o.menu(d.app.engine.status()).Mute)
	}
	if err != nil {
		d.app.log.Warn("which sound is shared is not kept", "err", err)
		d.tell(ctx, "Choice of sound", err.Error())
	}
}

type outputsCommand struct {
	JSON bool `help:"As JSON."`
}

func (o *outputsCommand) Run(s *settings, c *console) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	all, err := capture.List(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		if all.Outputs == nil {
			all.Outputs = []capture.Output{}
		}
		if all.Programs == nil {
			all.Programs = []capture.Program{}
		}
		return printJSON(c.out, all)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if len(all.Outputs) == 0 {
		fmt.Fprintln(w, "There is no sound output.")
	}
	for _, a := range all.Outputs {
		what := ""
		if a.Default {
			what = "the default"
		}
		fmt.Fprintf(w, "output\t%q\t%s\t%s\n", a.Name, line.Clean(a.Title, 60), what)
	}
	for _, p := range all.Programs {
		fmt.Fprintf(w, "program\t%q\t%s\tplays now\n", p.Name, line.Clean(p.Title, 60))
	}
	return w.Flush()
}
