package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Packet is one Opus packet (RFC 6716) with its place in the stream.
type Packet struct {
	// Seq counts the packets of one publisher and wraps; a gap means that
	// packets were lost on the way. Compare with int32(a - b).
	Seq uint32
	// At is when the first sample that decodes from it was captured, on the
	// publisher's [Clock]; a gap here without one in Seq means that nothing was captured.
	At time.Duration
	// Data is the Opus packet. Nobody writes to it once it is published.
	Data []byte
}

// Wire form of packets, version 1: one binary WebSocket message holds one byte
// that says what follows, then one or more packets, oldest first, each with a
// header, all integers big-endian:
//
//	offset  size  field
//	     0     4  Seq
//	     4     8  At in microseconds
//	    12     2  length of Data, 1 to MaxPacketSize
//	    14     …  Data
//
// testdata/packets.json has messages and what is in them, for the tests of
// this package and of the web player.
const (
	kindPackets      = 1
	packetHeaderSize = 14

	// MaxPacketSize is the greatest number of bytes in Packet.Data: 60 ms as
	// three frames of at most 1275 bytes with their lengths (RFC 6716
	// section 3.2.5).
	MaxPacketSize = 3*1275 + 7
)

// MessageOverhead is what a message of one packet is longer than its Opus data.
const MessageOverhead = 1 + packetHeaderSize

// ErrMessage says that a binary message is not of the wire form.
var ErrMessage = errors.New("malformed packet message")

// AppendMessage appends the wire form of one message with packets to b.
func AppendMessage(b []byte, packets ...Packet) []byte {
	b = append(b, kindPackets)
	for _, p := range packets {
		b = AppendPacket(b, p)
	}
	return b
}

// AppendPacket appends one more packet to a message that [AppendMessage] began.
func AppendPacket(b []byte, p Packet) []byte {
	b = binary.BigEndian.AppendUint32(b, p.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(p.At/time.Microsecond))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Data)))
	return append(b, p.Data...)
}

// ParseMessage returns the packets of one message; their Data points into msg.
// The error wraps [ErrMessage].
func ParseMessage(msg []byte) ([]Packet, error) {
	if len(msg) == 0 || msg[0] != kindPackets {
		return nil, fmt.Errorf("%w: unknown kind", ErrMessage)
	}
	var packets []Packet
	for rest := msg[1:]; len(rest) > 0; {
		if len(rest) < packetHeaderSize {
			return nil, fmt.Errorf("%w: truncated header", ErrMessage)
		}
		at := binary.BigEndian.Uint64(rest[4:])
		n := int(binary.BigEndian.Uint16(rest[12:]))
		switch {
		case at > 1<<53: // more than a JavaScript number holds exactly
			return nil, fmt.Errorf("%w: time stamp out of range", ErrMessage)
		case n == 0 || n > MaxPacketSize:
			return nil, fmt.Errorf("%w: packet of %d bytes", ErrMessage, n)
		case len(rest) < packetHeaderSize+n:
			return nil, fmt.Errorf("%w: truncated packet", ErrMessage)
		}
		packets = append(packets, Packet{
			Seq:  binary.BigEndian.Uint32(rest),
			At:   time.Duration(at) * time.Microsecond,
			Data: rest[packetHeaderSize : packetHeaderSize+n : packetHeaderSize+n],
		})
		rest = rest[packetHeaderSize+n:]
	}
	if packets == nil {
		return nil, fmt.Errorf("%w: no packet", ErrMessage)
	}
	return packets, nil
}
