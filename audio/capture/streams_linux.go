package capture

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"earshot/audio"
)

// The recording of single streams: for one program alone, or for all that plays
// on an output that is muted, whose monitor is silent, too. Both PulseAudio and
// PipeWire hand over a stream's sound as it is before the output's volume.
//
// PulseAudio ends such a recording when the stream ends or moves to another
// output. PipeWire ends it with the stream if it is told not to reconnect, and
// would else go on with what all programs play; when the stream moves, so does
// the recording.

// tap is the recording of one stream.
type tap struct {
	stream  stream
	channel uint32 // in which its sound comes
	index   uint32 // the server's of the recording
	name    string
}

// record begins to record one stream, in blocks of so many samples per channel. The error is errNoStream when that is
// gone, or one of request's.
func (s *server) record(of stream, block int) (*tap, error) {
	t := &tap{stream: of, name: fmt.Sprintf("what %s plays (%08x)", of.program.Title, rand.Uint32())}
	fragment := uint32(4 * audio.Channels * block)
	reply, err := s.request(commandRecord, message(nil).
		format().channels().number(none).noText().                   // from no source in particular
		number(none).bool(false).number(fragment).                   // no longest buffer; not paused
		bool(false).bool(false).bool(false).bool(false).bool(false). // remap, remix, convert
		bool(true).bool(false).                                      // don't move it; the rate is fixed
		bool(false).bool(true).                                      // no peaks; low latency
		properties(
			"media.name", t.name,
			"node.dont-reconnect", "true",
			"node.dont-fallback", "true").
		number(of.index).
		bool(false).bool(false).bool(false). // early requests, suspending
		byte(0).volumes().bool(false).bool(false).bool(false).bool(false).bool(false))
	if err != nil {
		return nil, missing(err, errNoStream)
	}
	t.channel, t.index = reply.number(0), reply.number(1)
	return t, nil
}

// check tells whether the sound server still gives a tap its stream's sound.
// The error is errNoStream when it ended, or one of request's.
func (s *server) check(t *tap, playing output) error {
	source, err := s.recording(t.index, t.name)
	if err != nil {
		return err
	}
	wanted := playing.monitorIndex
	if s.pipewire { // where a source would be one with what all programs play
		wanted = none
	}
	if source != wanted {
		return errNoStream
	}
	return nil
}

// end ends a recording.
func (s *server) end(t *tap) {
	s.mixer.remove(t.channel)
	// It may have ended by itself.
	_, _ = s.request(commandDeleteRecording, message(nil).number(t.channel))
}

// tapStreams records just those of streams that wanted accepts. playing are the
// outputs that streams play on, by index. The mixer's ask was called before the
// server was asked for both.
func (c *capturing) tapStreams(streams []stream, playing map[uint32]output, wanted func(stream) bool) error {
	fresh := map[uint32]stream{}
	for _, s := range streams {
		if wanted(s) {
			fresh[s.index] = s
		}
	}
	// First end what must not be heard.
	var kept []*tap
	for _, t := range c.taps {
		s, there := fresh[t.stream.index]
		if !there {
			c.server.end(t)
			continue
		}
		kept = append(kept, t)
		t.stream = s
	}
	c.taps = kept
	hold := time.Duration(0)
	// What is recorded because its output is muted is shared for that output's sake.
	if c.server.pipewire && (len(c.choice.Never) > 0 || c.choice.Program == "") {
		hold = lookBack
	}
	c.server.mixer.start(c.Config, c.ring, c.seq, hold)
	for _, t := range slices.Clone(c.taps) {
		switch err := c.server.check(t, playing[t.stream.output]); {
		case errors.Is(err, errNoStream):
			c.server.end(t)
			c.taps = slices.DeleteFunc(c.taps, func(o *tap) bool { return o == t })
		case err != nil:
			return err
		default:
			delete(fresh, t.stream.index)
		}
	}
	for _, s := range fresh {
		t, err := c.server.record(s, c.block())
		if err == nil {
			if err = c.server.check(t, playing[s.output]); err != nil {
				c.server.end(t)
			}
		}
		switch {
		case err == nil:
			c.keep(t)
		case !errors.Is(err, errNoStream): // which is as fine: it has just ended
			return err
		}
	}
	c.server.mixer.known()
	return nil
}

// keep lets the sound of a tap that has just begun in.
func (c *capturing) keep(t *tap) {
	// The server gives the number of a channel again once a recording has ended.
	// Who had it before must not end this one.
	c.taps = slices.DeleteFunc(c.taps, func(o *tap) bool { return o.channel == t.channel })
	c.server.mixer.open(t.channel, t.stream.index)
	c.taps = append(c.taps, t)
}

// untap ends all recordings of streams.
func (c *capturing) untap() {
	if c.server == nil {
		c.taps = nil
		return
	}
	c.server.mixer.stop()
	for _, t := range c.taps {
		c.server.end(t)
	}
	c.taps = nil
}

// followProgram sees that what the chosen program plays is recorded, and that
// alone.
func (c *capturing) followProgram(choice Choice, listened bool) error {
	c.server.mixer.ask()
	outputs, err := c.server.outputs()
	if err != nil {
		return err
	}
	streams, err := c.server.streams()
	if err != nil {
		return err
	}
	playing := map[uint32]output{}
	for _, o := range outputs {
		playing[o.index] = o
	}
	status := Status{Output: choice.called()}
	there, private := map[uint32]output{}, "" // the outputs on which it is heard
	wanted := func(s stream) bool {
		out, known := playing[s.output]
		if !known || !choice.plays(s.program) {
			return false
		}
		if choice.never(out.name, out.title) {
			private = out.title
			return false
		}
		there[s.output] = out
		return true
	}
	for _, s := range streams {
		wanted(s)
	}
	switch {
	case len(there) > 0:
		if choice.Mute {
			c.mute(slices.Collect(maps.Values(there))...)
		}
	case private != "":
		status.Waiting = fmt.Sprintf("%s plays on %s, which is never shared", choice.called(), private)
	default:
		status.Waiting = fmt.Sprintf("waiting for %s to play", choice.called())
	}
	// Between two pieces of music what was muted stays so.
	status.Muted = len(c.muted) > 0
	if !listened {
		c.untap()
	} else if err := c.tapStreams(streams, playing, wanted); err != nil {
		return err
	}
	c.settled(status)
	return nil
}

// plays tells whether p is the chosen program. A choice may also name the file
// that runs, for all that it plays.
func (c Choice) plays(p Program) bool {
	return p.Name == c.Program || p.binary != "" && p.binary == c.Program
}

// followMuted sees that all that plays on out is recorded.
func (c *capturing) followMuted(out output) error {
	c.server.mixer.ask()
	streams, err := c.server.streams()
	if err != nil {
		return err
	}
	err = c.tapStreams(streams, map[uint32]output{out.index: out}, func(s stream) bool { return s.output == out.index })
	if err != nil {
		return err
	}
	c.settled(Status{Output: out.title, Muted: c.isMuted(out)})
	return nil
}
