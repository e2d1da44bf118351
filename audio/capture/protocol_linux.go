package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"earshot/audio"
)

// The part of PulseAudio's native protocol that is needed to know which outputs
// there are and what plays on them, to record single streams, and to mute. It is not documented but by PulseAudio's sources
// (src/pulsecore/native-common.h, tagstruct.c, protocol-native.c); pipewire-pulse
// speaks it too.
//
// A message is a frame's payload: a command, a tag by which an answer is told,
// and the command's values, each with a byte before it that says its type. All
// integers are big-endian.

// protocolVersion is what we say that we speak; the server speaks the lower of
// its own and this. Newer ones only add values at the end.
const protocolVersion = 32

// Commands.
const (
	commandError           = 0
	commandReply           = 2
	commandRecord          = 5
	commandDeleteRecording = 6
	commandAuth            = 8
	commandSetClientName   = 9
	commandServerInfo      = 20
	commandSinkInfo        = 21
	commandSinks           = 22
	commandSourceInfo      = 23
	commandStreams         = 30 // "sink inputs"
	commandRecordingInfo   = 31 // of a "source output"
	commandSubscribe       = 35
	commandMuteSink        = 39
	commandEvent           = 66 // from the server
)

// What to subscribe to.
const (
	maskSinks      = 0x01
	maskSources    = 0x02
	maskStreams    = 0x04
	maskRecordings = 0x08
	maskServer     = 0x80
)

// newRecording is the kind of event that tells of a new recording: facility 3 in
// the lower four bits, type "new", 0, in the next two.
const newRecording = 3

// An event of this kind is about a stream.
const (
	kindOf      = 0x0f
	streamEvent = 2
	typeOf      = 0x30
	removed     = 0x20
)

// none stands for no index.
const none = 0xFFFFFFFF

// refusal is an error that the server answers with.
type refusal uint32

const noEntity refusal = 5

func (r refusal) Error() string {
	return fmt.Sprintf("the sound server refuses with error %d", uint32(r))
}

// message is a message that is being made.
type message []byte

func (m message) number(n uint32) message {
	return binary.BigEndian.AppendUint32(append(m, 'L'), n)
}

func (m message) text(s string) message {
	return append(append(append(m, 't'), s...), 0)
}

// noText is the text that isn't there.
func (m message) noText() message { return append(m, 'N') }

func (m message) bytes(b []byte) message {
	return append(binary.BigEndian.AppendUint32(append(m, 'x'), uint32(len(b))), b...)
}

func (m message) bool(b bool) message {
	if b {
		return append(m, '1')
	}
	return append(m, '0')
}

// byte appends an integer of eight bits.
func (m message) byte(b byte) message { return append(m, 'B', b) }

// format appends Earshot's one sample format: 32 bits float, little-endian.
func (m message) format() message {
	return binary.BigEndian.AppendUint32(append(m, 'a', 5, audio.Channels), audio.SampleRate)
}

// channels appends how channels are laid out: left, right.
func (m message) channels() message { return append(m, 'm', audio.Channels, 1, 2) }

// volumes appends a volume for each channel that changes nothing.
func (m message) volumes() message {
	m = append(m, 'v', audio.Channels)
	for range audio.Channels {
		m = binary.BigEndian.AppendUint32(m, 0x10000)
	}
	return m
}

// properties appends pairs of key and value.
func (m message) properties(pairs ...string) message {
	m = append(m, 'P')
	for i := 0; i < len(pairs); i += 2 {
		value := append([]byte(pairs[i+1]), 0)
		m = m.text(pairs[i]).number(uint32(len(value))).bytes(value)
	}
	return m.noText()
}

// values are the values of a message: string, uint32 (also those of eight bits),
// bool, properties, and nil for those of types that nobody here reads.
type values []any

// properties tell of an object. Those that are no text are left out.
type properties map[string]string

var errMessage = errors.New("the sound server sent a malformed message")

// number returns an integer, and none where there is none.
func (v values) number(i int) uint32 {
	if i < len(v) {
		if n, ok := v[i].(uint32); ok {
			return n
		}
	}
	return none
}

// text returns a text, and "" where there is none.
func (v values) text(i int) string {
	if i < len(v) {
		if s, ok := v[i].(string); ok {
			return s
		}
	}
	return ""
}

// yes returns a boolean, and false where there is none.
func (v values) yes(i int) bool {
	if i < len(v) {
		b, _ := v[i].(bool)
		return b
	}
	return false
}

// properties returns properties, and none where there are none.
func (v values) properties(i int) properties {
	if i < len(v) {
		p, _ := v[i].(properties)
		return p
	}
	return nil
}

// parseValues parses a message. A type that is unknown ends it.
func parseValues(b []byte) (values, error) {
	var v values
	for len(b) > 0 {
		value, rest, err := parseValue(b)
		if err != nil {
			return nil, err
		}
		if rest == nil {
			break
		}
		v, b = append(v, value), rest
	}
	return v, nil
}

// parseValue parses one value and returns what follows; nil after an unknown type.
func parseValue(b []byte) (value any, rest []byte, err error) {
	kind, b := b[0], b[1:]
	skip := 0
	switch kind {
	case 't':
		s, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return nil, nil, errMessage
		}
		return string(s), rest, nil
	case 'N':
		return "", b, nil
	case '0', '1':
		return kind == '1', b, nil
	case 'L', 'V':
		if len(b) < 4 {
			return nil, nil, errMessage
		}
		return binary.BigEndian.Uint32(b), b[4:], nil
	case 'B':
		if len(b) < 1 {
			return nil, nil, errMessage
		}
		return uint32(b[0]), b[1:], nil
	case 'a': // sample format
		skip = 6
	case 'R', 'r', 'U', 'T': // 64 bits, time
		skip = 8
	case 'x', 'm', 'v': // bytes, channel map, volumes
		var n int
		if n, b, err = length(kind, b); err != nil {
			return nil, nil, err
		}
		skip = n
	case 'f': // format: a byte and properties, with their types
		if len(b) < 3 || b[0] != 'B' || b[2] != 'P' {
			return nil, nil, errMessage
		}
		return parseValue(b[2:])
	case 'P': // keys, lengths and values, until there is no key
		all := properties{}
		for {
			key, rest, err := parseProperty(b, 't', 'N')
			if err != nil {
				return nil, nil, err
			}
			if key == nil {
				return all, rest, nil
			}
			if _, rest, err = parseProperty(rest, 'L'); err != nil {
				return nil, nil, err
			}
			value, rest, err := parseProperty(rest, 'x')
			if err != nil {
				return nil, nil, err
			}
			if n := len(value) - 1; n >= 0 && value[n] == 0 && utf8.Valid(value[:n]) {
				all[string(key)] = string(value[:n])
			}
			b = rest
		}
	default:
		return nil, nil, nil
	}
	if len(b) < skip {
		return nil, nil, errMessage
	}
	return nil, b[skip:], nil
}

// parseProperty parses a part of properties, which must be of one of these
// types, and returns the bytes in it: nil for no text.
func parseProperty(b []byte, kinds ...byte) (value, rest []byte, err error) {
	if len(b) == 0 || !slices.Contains(kinds, b[0]) {
		return nil, nil, errMessage
	}
	kind, b := b[0], b[1:]
	switch kind {
	case 'N':
		return nil, b, nil
	case 't':
		n := bytes.IndexByte(b, 0)
		if n < 0 {
			return nil, nil, errMessage
		}
		return b[:n:n], b[n+1:], nil
	}
	n := 4
	if kind == 'x' {
		if n, b, err = length(kind, b); err != nil {
			return nil, nil, err
		}
	}
	if n > len(b) {
		return nil, nil, errMessage
	}
	return b[:n:n], b[n:], nil
}

// length reads how many bytes a value of this type has.
func length(kind byte, b []byte) (n int, rest []byte, err error) {
	switch {
	case kind == 'x' && len(b) >= 4:
		return int(binary.BigEndian.Uint32(b)), b[4:], nil
	case kind == 'm' && len(b) >= 1:
		return int(b[0]), b[1:], nil
	case kind == 'v' && len(b) >= 1:
		return 4 * int(b[0]), b[1:], nil
	}
	return 0, nil, errMessage
}
