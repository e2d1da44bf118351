package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gen2brain/malgo"

	"earshot/audio"
)

const (
	// silence is how long callbacks may stay away until something is wrong;
	// they come every 10 ms.
	silence = 300 * time.Millisecond
	// warmUp is how long the first callback may take: some outputs hand over
	// what they hold in blocks of seconds until they have adapted.
	warmUp = 3 * time.Second
	// lookEvery is how often the sound server is asked without a reason: it
	// would do to listen to it, if no server ever forgot to tell.
	lookEvery = 2 * time.Second
)

// Loopback captures what the speakers play: the monitor of the default output
// of PulseAudio or PipeWire. It follows the default output, and waits for an
// output and for the sound server when there is none.
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
			c.look = time.Time{}
		case <-closed:
			c.server.close()
			c.server = nil
		case <-timer.C:
		}
		wait := c.step(ctx)
		timer.Reset(max(min(wait, c.tell()), time.Millisecond))
	}
}

// capturing is one Run of a Loopback. Its goroutine alone uses it and
// miniaudio.
type capturing struct {
	reporter
	ring   *audio.Ring
	redial backoff
	reopen backoff
	failed output    // what reopen is about
	look   time.Time // when to ask the server again

	undecided time.Time // since when the server doesn't know the default output

	pending string        // trouble that is not reported yet
	sounded time.Duration // when samples last came, before the open device; by the clock

	server *server // nil when there is no connection
	device *device // nil when none is open

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
	if c.server != nil && c.device != nil && c.quiet() < c.patience() && time.Now().Before(c.look) {
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
	switch err := c.follow(ctx); {
	case err == nil:
		return c.next()
	case ctx.Err() != nil, errors.Is(err, errNoServer):
		// The connection has ended; Run sees that, and the next step what it means.
	case errors.Is(err, errNoAnswer):
		// The device stays: closing it would hang, and it may well go on.
		c.complain(err.Error())
	default:
		c.closeDevice()
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

// follow sees that the monitor of the default output is what is open.
func (c *capturing) follow(ctx context.Context) error {
	out, err := c.server.output()
	switch {
	case !errors.Is(err, errUndecided):
		c.undecided = time.Time{}
	case c.undecided.IsZero():
		c.undecided = time.Now()
	case time.Since(c.undecided) > answer:
		// When outputs came and went quickly, PipeWire may never tell a
		// connection of the new default; a new connection knows it.
		c.Log.Debug("connecting to the sound server again", "because", err)
		c.undecided = time.Time{}
		c.server.close()
		return errNoServer
	}
	if errors.Is(err, errUndecided) {
		c.look = time.Now().Add(answer)
		if c.device == nil {
			return errNoOutput
		}
		out, err = c.output, nil // stay while it lasts
	}
	if err != nil {
		return err
	}
	if c.device != nil {
		fault, err := c.check(out)
		switch {
		case err != nil:
			return err
		case !out.same(c.output):
			c.closeDevice()
		case fault != "":
			c.Log.Debug("closing the capture device", "output", out.name, "because", fault)
			if _, ok := c.feed.heard(); ok && c.Clock()-c.started > time.Second {
				c.reopen.reset()
			} else { // it would soon break again
				c.fail(out)
			}
			c.closeDevice()
		}
	}
	if !out.same(c.failed) {
		c.reopen.reset()
	}
	switch {
	case c.device == nil && c.reopen.left() > 0:
		c.complain("no sound comes from " + out.title)
		return nil
	case c.device == nil:
		if err := c.open(ctx, out); err != nil {
			c.fail(out)
			return err
		}
	case out.suspended && c.quiet() >= silence:
		c.complain(out.title + " is suspended")
		return nil
	}
	c.pending = ""
	c.set(Status{Output: out.title})
	return nil
}

// fail puts off the next attempt to open out.
func (c *capturing) fail(out output) {
	c.failed = out
	c.reopen.failed()
}

// check tells what is wrong with the open device, "" for nothing.
func (c *capturing) check(out output) (fault string, err error) {
	source, err := c.server.recording(c.recording, c.stream)
	switch {
	case errors.Is(err, errNoStream):
		return "the sound server ended it", nil
	case err != nil:
		return "", err
	case source != c.output.monitorIndex:
		return "the sound server moved it elsewhere", nil
	case c.quiet() >= c.patience() && !out.suspended:
		return "it went silent", nil
	}
	return "", nil
}

// open opens the monitor of out and lets it run once the sound server has
// confirmed that it is what was opened.
func (c *capturing) open(ctx context.Context, out output) error {
	if out.same(c.failed) {
		// Each open that fails leaks a file in miniaudio: first see whether the
		// server takes a connection at all.
		probe, err := dial(ctx)
		if err != nil {
			return err
		}
		probe.close()
	}
	c.server.fresh.take()
	stream := fmt.Sprintf("what the speakers play (%08x)", rand.Uint32())
	f := &feed{clock: c.Clock, ring: c.ring}
	d, err := open(opening{
		backend: malgo.BackendPulseaudio,
		kind:    malgo.Capture,
		id:      out.monitor,
		server:  c.server.address.String(),
		stream:  stream,
		feed:    f,
		log:     c.Log,
	})
	switch {
	case errors.Is(err, malgo.ErrNoBackend) && !hasLibrary():
		return errors.New("the library libpulse is missing (package libpulse0 or pulseaudio-libs)")
	case err != nil:
		return fmt.Errorf("cannot capture from %s: %w", out.title, err)
	}
	c.device, c.feed, c.output, c.stream = d, f, out, stream
	if c.recording, err = c.verify(out); err != nil {
		c.closeDevice()
		return err
	}
	c.started = c.Clock()
	if err := d.start(); err != nil {
		c.closeDevice()
		return fmt.Errorf("cannot capture from %s: %w", out.title, err)
	}
	return nil
}

// verify asks the sound server what the device that was just opened records
// from, and returns the recording's index when it is the monitor of out.
func (c *capturing) verify(out output) (uint32, error) {
	index, err := c.server.find(c.stream)
	if err != nil {
		return 0, err
	}
	source, err := c.server.recording(index, c.stream)
	if err != nil {
		return 0, err
	}
	if source != out.monitorIndex {
		return 0, fmt.Errorf("the sound server does not give what %s plays", out.title)
	}
	return index, nil
}

// quiet returns for how long no samples have come.
func (c *capturing) quiet() time.Duration {
	last, ok := c.feed.heard()
	if !ok {
		last = c.started
	}
	return c.Clock() - last
}

// patience returns for how long no samples may come.
func (c *capturing) patience() time.Duration {
	if _, ok := c.feed.heard(); !ok {
		return warmUp
	}
	return silence
}

// next returns when to look at a device that runs.
func (c *capturing) next() time.Duration {
	if c.device == nil {
		return max(c.reopen.left(), time.Millisecond)
	}
	if left := c.patience() - c.quiet(); left > 0 {
		return min(left, time.Until(c.look))
	}
	return silence
}

// closeDevice closes the device if one is open.
func (c *capturing) closeDevice() {
	if c.device == nil {
		return
	}
	c.device.close()
	if last, ok := c.feed.heard(); ok {
		c.sounded = last
	}
	c.device, c.feed = nil, nil
}

// end closes all.
func (c *capturing) end() {
	c.closeDevice()
	if c.server != nil {
		c.server.close()
	}
}
