package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gen2brain/malgo"
)

const (
	// silence is how long callbacks may stay away until something is wrong;
	// they come every 10 or 20 ms.
	silence = 300 * time.Millisecond
	// warmUp is how long the first callback may take: some outputs hand over
	// what they hold in blocks of seconds until they have adapted.
	warmUp = 3 * time.Second
)

// The recording of what a whole output plays, by miniaudio, from its monitor.

// followMonitor sees that the monitor of out is what is open.
func (c *capturing) followMonitor(ctx context.Context, out output) error {
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
		default:
			c.feed.seq.Store(c.seq) // it may go on
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
			// Nobody is told when another output is open soon.
			c.Log.Info("not capturing", "output", out.name, "err", err)
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
	f := &feed{config: c.Config, ring: c.ring}
	f.seq.Store(c.seq)
	var d *device
	var err error
	c.slowly(func() {
		d, err = open(opening{
			backend: malgo.BackendPulseaudio,
			kind:    malgo.Capture,
			id:      out.monitor,
			server:  c.server.address.String(),
			stream:  stream,
			feed:    f,
			log:     c.Log,
			// To connect takes time, in which outputs go.
			there: func() error {
				now, err := c.server.output(out.name)
				if err == nil && !now.same(out) {
					err = errNoOutput
				}
				return err
			},
		})
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
	if c.slowly(func() { err = d.start() }); err != nil {
		c.closeDevice()
		return fmt.Errorf("cannot capture from %s: %w", out.title, err)
	}
	return nil
}

// slowly does what hangs while the sound server does, and says so then.
func (c *capturing) slowly(call func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(answer):
		c.trouble(errNoAnswer.Error())
		<-done
	}
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
		if c.calm {
			return time.Until(c.look)
		}
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
	c.slowly(c.device.close)
	if last, ok := c.feed.heard(); ok {
		c.sounded = last
	}
	c.device, c.feed = nil, nil
}
