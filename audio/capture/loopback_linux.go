package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"earshot/audio"
)

// lookEvery is how often the sound server is asked without a reason: it would do
// to listen to it, if no server ever forgot to tell.
const lookEvery = 2 * time.Second

// When outputs come and go quickly, PipeWire may tell a connection of an old
// default output for ever; a new connection knows better, and is asked once
// nothing has changed for quietFor, or after confirmEvery while much does.
const (
	quietFor     = time.Second
	confirmEvery = 5 * time.Second
)

// Loopback captures what the speakers play: the monitor of an output of
// PulseAudio or PipeWire, the default one unless another is chosen, or the
// streams of one program. It follows the default output, and waits for an output
// and for the sound server when there is none.
type Loopback struct {
	config Config
}

// NewLoopback returns a Loopback.
func NewLoopback(c Config) *Loopback { return &Loopback{c} }

// Run captures into ring until ctx ends, and never returns an error. After that
// it takes some milliseconds to return, but up to 30 s when the sound server
// hangs just then, since there is no way to close a device earlier: wait for it
// where no person waits for you.
func (l *Loopback) Run(ctx context.Context, ring *audio.Ring) error {
	c := &capturing{
		reporter: reporter{Config: l.config},
		ring:     ring,
		sounded:  -silence,
		redial:   backoff{first: 250 * time.Millisecond, most: 2 * time.Second},
		reopen:   backoff{first: 250 * time.Millisecond, most: 30 * time.Second},
	}
	defer c.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var changed, closed chan struct{}
		if c.server != nil {
			changed, closed = c.server.changed, c.server.closed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			c.look, c.changed = time.Time{}, time.Now()
		case <-c.changes():
			c.look = time.Time{}
		case <-closed:
			c.disconnect()
		case <-timer.C:
		}
		wait := min(c.step(ctx), c.tell())
		if c.server != nil {
			wait = min(wait, c.server.mixer.fill())
		}
		timer.Reset(max(wait, time.Millisecond))
	}
}

// capturing is one Run of a Loopback. Its goroutine alone uses it, and
// miniaudio by one call at a time.
type capturing struct {
	reporter
	ring   *audio.Ring
	redial backoff
	reopen backoff
	failed output    // what reopen is about
	look   time.Time // when to ask the server again

	undecided time.Time // since when the server doesn't know the default output
	usual     string    // the last default output that it knew
	changed   time.Time // when the server last told of a change
	confirmed time.Time // when a new connection was last asked for the default output

	choice   Choice
	seq      uint64            // of the choice
	listened bool              // somebody listens
	titles   map[string]string // of outputs that were there, by name

	muting
	pending string        // trouble that is not reported yet
	sounded time.Duration // when samples last came, before the open device; by the clock

	server *server // nil when there is no connection
	device *device // nil when none is open
	taps   []*tap  // recordings of streams
	calm   bool    // all is as it shall be, without a device

	// Of the open device:
	feed      *feed
	output    output
	recording uint32        // the server's index of our stream
	stream    string        // its name
	started   time.Duration // when, by the clock
}

// step brings the capture closer to what the sound server says that it should
// be, and returns when to do the next step at the latest.
func (c *capturing) step(ctx context.Context) time.Duration {
	if fine := c.device != nil && c.quiet() < c.patience() || c.device == nil && c.calm; fine && c.server != nil && time.Now().Before(c.look) {
		return c.next()
	}
	if c.server == nil {
		if wait := c.redial.left(); wait > 0 {
			return wait
		}
		if err := c.connect(ctx); err != nil {
			c.redial.failed()
			return c.redial.left()
		}
	}
	c.look = time.Now().Add(lookEvery)
	c.calm = false
	switch err := c.follow(ctx); {
	case err == nil:
		return c.next()
	case ctx.Err() != nil, errors.Is(err, errNoServer):
		// The connection has ended; Run sees that, and the next step what it means.
	case errors.Is(err, errNoAnswer):
		// The device stays: closing it would hang, and it may well go on.
		c.complain(err.Error())
	default:
		c.rest()
		c.mute()
		c.complain(err.Error())
	}
	if wait := c.reopen.left(); wait > 0 {
		return wait
	}
	return answer
}

// connect connects to the sound server.
func (c *capturing) connect(ctx context.Context) error {
	server, err := dial(ctx)
	if err == nil {
		c.server = server
		for name := range c.muted {
			c.muted[name] = false
		}
		c.redial.reset()
		c.reopen.reset()
		if c.device == nil {
			return nil
		}
		// Another server than before knows nothing of our recording.
		if _, err := server.recording(c.recording, c.stream); errors.Is(err, errNoStream) {
			c.closeDevice()
		}
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, errNoServer) && c.device != nil && c.quiet() >= silence {
		c.closeDevice() // returns at once: the other end of its connection is gone
	}
	c.complain(err.Error())
	return err
}

// complain makes tell report why there is no sound.
func (c *capturing) complain(trouble string) { c.pending = trouble }

// tell reports what was complained of, once no sound has come for longer than
// it takes to change over to another output, and returns when to call it again.
func (c *capturing) tell() time.Duration {
	if c.pending == "" {
		return lookEvery
	}
	sounded := c.sounded
	if c.server != nil {
		if last := c.server.mixer.heard(); last != 0 {
			sounded = max(sounded, last)
		}
	}
	if c.device != nil {
		if last, ok := c.feed.heard(); ok {
			sounded = last
		}
	}
	if left := silence - (c.Clock() - sounded); left > 0 {
		return left
	}
	c.trouble(c.pending)
	c.pending = ""
	return lookEvery
}

// follow sees that what was chosen is what is captured.
func (c *capturing) follow(ctx context.Context) error {
	choice, listened, seq := c.want()
	if seq != c.seq {
		c.unwanted = nil
	}
	c.choice, c.listened, c.seq = choice, listened, seq
	if choice.Program != "" {
		c.closeDevice()
		if !choice.Mute {
			c.mute()
		}
		return c.followProgram(choice, listened)
	}
	out, err := c.target(ctx)
	if err != nil {
		return err
	}
	private := choice.never(out.name, out.title)
	if choice.Mute && !private {
		c.mute(out)
	} else {
		c.mute()
	}
	switch {
	case private:
		c.rest()
		c.settled(Status{Output: out.title, Held: out.title + " is never shared"})
		return nil
	case !listened:
		c.rest()
		c.settled(Status{Output: out.title, Muted: c.isMuted(out)})
		return nil
	case choice.Mute:
		c.closeDevice()
		return c.followMuted(out)
	}
	c.untap()
	return c.followMonitor(ctx, out)
}

// settled reports that all is as it shall be, and that there is no device to
// look after.
func (c *capturing) settled(s Status) {
	c.pending = ""
	c.calm = true
	c.set(s)
}

// rest captures nothing.
func (c *capturing) rest() {
	c.closeDevice()
	c.untap()
}

// target returns the output that was chosen.
func (c *capturing) target(ctx context.Context) (output, error) {
	name := c.choice.Output
	if name == "" {
		var err error
		if name, err = c.defaultOutput(ctx); err != nil {
			return output{}, err
		}
	}
	out, err := c.server.output(name)
	if c.choice.Output != "" && errors.Is(err, errNoOutput) {
		title := c.titles[name]
		if title == "" {
			title = c.choice.called()
		}
		return output{}, fmt.Errorf("waiting for the output %s, which is not connected", title)
	}
	if err == nil {
		if c.titles == nil {
			c.titles = map[string]string{}
		}
		c.titles[name] = out.title
	}
	return out, err
}

// defaultOutput returns the name of the default output: the last one that the
// server knew, while it knows none.
func (c *capturing) defaultOutput(ctx context.Context) (string, error) {
	name, err := c.server.defaultOutput()
	switch {
	case err == nil && c.outdated(ctx, name):
		c.Log.Debug("connecting to the sound server again", "because", name+" is the default output no more")
		c.disconnect()
		return "", errNoServer
	case err == nil:
		c.usual = name
	case !errors.Is(err, errUndecided):
	case c.undecided.IsZero():
		c.undecided = time.Now()
	case time.Since(c.undecided) > answer:
		c.Log.Debug("connecting to the sound server again", "because", err)
		c.undecided = time.Time{}
		c.disconnect()
		return "", errNoServer
	}
	if !errors.Is(err, errUndecided) {
		c.undecided = time.Time{}
		return name, err
	}
	c.look = time.Now().Add(answer)
	if c.usual == "" {
		return "", errNoOutput
	}
	return c.usual, nil // stay while it lasts
}

// outdated tells whether name, by this connection the default output, is not by a
// new one.
func (c *capturing) outdated(ctx context.Context, name string) bool {
	now := time.Now()
	if !c.server.pipewire || c.changed.Before(c.confirmed) || now.Sub(c.changed) < quietFor && now.Sub(c.confirmed) < confirmEvery {
		return false
	}
	c.confirmed = now
	fresh, err := dial(ctx)
	if err != nil {
		return false
	}
	defer fresh.close()
	other, err := fresh.defaultOutput()
	return err == nil && other != name
}

// disconnect leaves the sound server alone, and with it what is recorded over
// that connection.
func (c *capturing) disconnect() {
	if last := c.server.mixer.heard(); last != 0 {
		c.sounded = max(c.sounded, last)
	}
	c.server.mixer.stop()
	c.server.close()
	c.server, c.taps = nil, nil
}

// end closes all.
func (c *capturing) end() {
	c.rest()
	if c.server != nil {
		c.disconnect()
	}
	if len(c.muted) == 0 {
		return
	}
	// The connection has ended with the context.
	ctx, cancel := context.WithTimeout(context.Background(), answer)
	defer cancel()
	var err error
	if c.server, err = dial(ctx); err != nil {
		for name := range c.muted {
			c.Log.Warn("not unmuted yet", "output", name, "err", err)
			c.Mutes.release(name)
		}
		return
	}
	c.mute()
	c.disconnect()
}
