package capture

import "slices"

// muting is what a Loopback has muted: the outputs' own mute, as by the mute key,
// which whoever sits there can undo by that key. The streams on the output are
// recorded before it. (Another output that plays nowhere would do, too, but take
// the volume keys along, and leave everything there after a crash.)
type muting struct {
	muted    map[string]bool // by name of the output; true: the server has told that it is
	unwanted map[string]bool // names of outputs that somebody unmuted since it was asked for
}

// mute mutes outs, and no other, unless somebody here wants to hear one.
func (c *capturing) mute(outs ...output) {
	for name := range c.muted {
		if !slices.ContainsFunc(outs, func(o output) bool { return o.name == name }) {
			c.unmute(name)
		}
	}
	for _, out := range outs {
		c.muteOne(out)
	}
}

func (c *capturing) muteOne(out output) {
	seen, ours := c.muted[out.name]
	switch {
	case c.Mutes == nil || c.unwanted[out.name]:
	case ours && out.muted:
		c.muted[out.name] = true
	case ours && seen:
		if c.unwanted == nil {
			c.unwanted = map[string]bool{}
		}
		c.unwanted[out.name] = true
		delete(c.muted, out.name)
		if err := c.Mutes.done(out.name); err != nil {
			c.Log.Warn("what is muted is not written down", "err", err)
		}
	case out.muted && !c.Mutes.has(out.name): // by somebody else, who unmutes it
	default:
		if err := c.Mutes.hold(out.name); err != nil {
			c.Log.Error("not muted", "output", out.name, "err", err)
			return
		}
		if err := c.server.mute(out.name, true); err != nil {
			c.Log.Warn("not muted", "output", out.name, "err", err)
			c.Mutes.release(out.name)
			return
		}
		if c.muted == nil {
			c.muted = map[string]bool{}
		}
		c.muted[out.name] = false
	}
}

// unmute undoes mute of one output; what it can't, Watch does.
func (c *capturing) unmute(name string) {
	delete(c.muted, name)
	c.Mutes.release(name)
	if c.server == nil {
		return
	}
	if err := c.Mutes.undo(name, func() error { return c.server.mute(name, false) }); err != nil {
		c.Log.Warn("not unmuted yet", "output", name, "err", err)
	}
}

// isMuted tells whether we have muted out.
func (c *capturing) isMuted(out output) bool {
	_, muted := c.muted[out.name]
	return muted
}
