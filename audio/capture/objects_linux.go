package capture

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// output is an output (a "sink") of the sound server and its monitor: the
// source that brings what the output plays.
type output struct {
	index        uint32
	name         string
	title        string // for people
	monitor      string
	monitorIndex uint32
	suspended    bool // the monitor is
	muted        bool
}

// same tells whether o is the very same output as p, not one by the same name.
func (o output) same(p output) bool {
	return o.index == p.index && o.name == p.name &&
		o.monitor == p.monitor && o.monitorIndex == p.monitorIndex
}

// parseOutput parses what the server tells of one output, and returns what
// follows.
func parseOutput(v values) (o output, rest values, err error) {
	ports := v.number(19) // each has four values, since version 24, and others follow
	if len(v) < 22 || ports > uint32(len(v)) || len(v) < 22+4*int(ports) {
		return output{}, nil, errMessage
	}
	o = output{index: v.number(0), name: v.text(1), title: v.text(2), muted: v.yes(7), monitorIndex: v.number(8), monitor: v.text(9)}
	after := 20 + 4*int(ports)
	if v.number(after+1) > uint32(len(v)) || len(v) < after+2+int(v.number(after+1)) {
		return output{}, nil, errMessage
	}
	return o, v[after+2+int(v.number(after+1)):], nil // the active port, formats
}

// defaultOutput returns the name of the default output. The error is errNoOutput
// when there is none, errUndecided when the server itself doesn't know yet, or
// one of request's.
func (s *server) defaultOutput() (string, error) {
	info, err := s.request(commandServerInfo, nil)
	switch name := info.text(5); {
	case err != nil:
		return "", err
	case name == "":
		return "", errNoOutput
	case name == "@DEFAULT_SINK@":
		return "", errUndecided
	default:
		return name, nil
	}
}

// output returns the output of that name, sure to have a monitor. The error is
// errNoOutput when there is none, or one of request's.
func (s *server) output(name string) (output, error) {
	info, err := s.request(commandSinkInfo, message(nil).number(none).text(name))
	if err != nil {
		return output{}, missing(err, errNoOutput)
	}
	out, _, err := parseOutput(info)
	if err != nil {
		return output{}, err
	}
	source, err := s.request(commandSourceInfo, message(nil).number(none).text(out.monitor))
	if err != nil {
		return output{}, missing(err, errNoOutput)
	}
	// The source is opened by its name: be sure that it is this output's.
	if out.index == none || out.monitor == "" || source.number(0) != out.monitorIndex ||
		source.text(1) != out.monitor || source.number(8) != out.index {
		return output{}, fmt.Errorf("the output %s has no monitor", out.title)
	}
	out.suspended = source.number(16) == 2
	return out, nil
}

// outputs returns all outputs.
func (s *server) outputs() ([]output, error) {
	v, err := s.request(commandSinks, nil)
	if err != nil {
		return nil, err
	}
	var all []output
	for len(v) > 0 {
		var o output
		if o, v, err = parseOutput(v); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// mute mutes or unmutes an output.
func (s *server) mute(output string, muted bool) error {
	_, err := s.request(commandMuteSink, message(nil).number(none).text(output).bool(muted))
	return missing(err, errNoOutput)
}

// stream is what one program plays (a "sink input").
type stream struct {
	index   uint32
	output  uint32 // index of the output that it plays on; none on its way to another
	name    string
	program Program
}

// streamValues is how many values the server tells of a stream, since version 21.
const streamValues = 18

// streams returns all streams.
func (s *server) streams() ([]stream, error) {
	v, err := s.request(commandStreams, nil)
	if err != nil {
		return nil, err
	}
	if len(v)%streamValues != 0 {
		return nil, errMessage
	}
	var all []stream
	for one := range slices.Chunk(v, streamValues) {
		all = append(all, stream{index: one.number(0), output: one.number(4), name: one.text(1), program: programOf(one.properties(13))})
	}
	return all, nil
}

// programOf returns whose stream has these properties; no name where they tell
// nothing. Programs that are built alike share an application's name ("Chromium"),
// others the file that runs ("java"): only both together tell one from another.
func programOf(p properties) Program {
	title, binary := p["application.name"], p["application.process.binary"]
	switch {
	case title == "" || strings.EqualFold(title, binary):
		return Program{binary, cmp.Or(title, binary), binary}
	case binary == "":
		return Program{title, title, ""}
	}
	return Program{title + " (" + binary + ")", title, binary}
}

// programs returns the programs of streams, each once, by title.
func programs(streams []stream) []Program {
	var all []Program
	for _, s := range streams {
		if s.program.Name != "" {
			all = append(all, s.program)
		}
	}
	slices.SortFunc(all, func(a, b Program) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), strings.Compare(a.Name, b.Name))
	})
	return slices.Compact(all)
}

// missing returns what when err says that something does not exist, else err.
func missing(err, what error) error {
	if errors.Is(err, noEntity) {
		return what
	}
	return err
}
