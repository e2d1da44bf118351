package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The opening handshake (RFC 6455 sections 4 and 11.3): what is none is
// answered as HTTP, and there is no WebSocket.
func TestRFC6455Handshake(t *testing.T) {
	t.Parallel()
	r := start(t)
	const key = "dGhlIHNhbXBsZSBub25jZQ==" // section 1.3, with the answer to it
	lines := func(change ...string) []string {
		all := []string{"Host: radio.example", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + key, "Sec-WebSocket-Version: 13"}
		for _, c := range change {
			name, value, _ := strings.Cut(c, ": ")
			all = slices.DeleteFunc(all, func(l string) bool { return strings.HasPrefix(l, name+":") })
			if value != "" {
				all = append(all, c)
			}
		}
		return all
	}
	for _, tt := range []struct {
		section, name, request string
		lines                  []string
		status                 int
		header, want           string // of the answer
	}{
		{"4.2.2", "as it should be", "GET /listen HTTP/1.1", lines(), 101, "Sec-Websocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"4.2.1", "tokens in any case, among others", "GET /listen HTTP/1.1", lines("Upgrade: h2c, WebSocket", "Connection: keep-alive, uPGRADE"), 101, "Upgrade", "websocket"},
		{"4.2.2", "an unknown subprotocol is not agreed to", "GET /listen HTTP/1.1", lines("Sec-WebSocket-Protocol: chat"), 101, "Sec-Websocket-Protocol", ""},
		{"4.2.2", "of several subprotocols the known one", "GET /listen HTTP/1.1", lines("Sec-WebSocket-Protocol: chat, earshot.v1"), 101, "Sec-Websocket-Protocol", "earshot.v1"},
		{"9.1", "no extension is agreed to", "GET /listen HTTP/1.1", lines("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x"), 101, "Sec-Websocket-Extensions", ""},
		{"4.2.1", "another method", "POST /listen HTTP/1.1", lines(), 405, "", ""},
		{"4.2.1", "no Host", "GET /listen HTTP/1.1", lines("Host: "), 400, "", ""},
		{"4.2.1", "no Upgrade", "GET /listen HTTP/1.1", lines("Upgrade: "), 400, "", ""},
		{"4.2.1", "another Upgrade", "GET /listen HTTP/1.1", lines("Upgrade: h2c"), 400, "", ""},
		{"4.2.1", "no Connection", "GET /listen HTTP/1.1", lines("Connection: close"), 400, "", ""},
		{"4.2.1", "no key", "GET /listen HTTP/1.1", lines("Sec-WebSocket-Key: "), 400, "", ""},
		{"4.2.1", "a key of another length", "GET /listen HTTP/1.1", lines("Sec-WebSocket-Key: c2hvcnQ="), 400, "", ""},
		{"4.4", "another version", "GET /listen HTTP/1.1", lines("Sec-WebSocket-Version: 8"), 400, "Sec-Websocket-Version", "13"},
	} {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			text := tt.request + "\r\nToken: " + r.token(time.Hour) + "\r\n"
			for _, l := range tt.lines {
				text += l + "\r\n"
			}
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(deadline))
			if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != tt.status || tt.header != "" && answer.Header.Get(tt.header) != tt.want {
				t.Errorf("%s %v", answer.Status, answer.Header)
			}
		})
	}
}

// masked is a frame of RFC 6455 section 5.2, masked with zeros: head is the first
// byte, with the bits FIN and RSV and the opcode.
func masked(head byte, payload string) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// Heads of frames.
const (
	fin    = 0x80
	more   = 0 // continuation
	text   = 1
	binry  = 2
	ending = fin | 8
	pinged = fin | 9
	ponged = fin | 10
)

// Frames that a client sends (RFC 6455 sections 5 to 8): those that are wrong end
// the connection with the code that is said there, and nothing else does.
func TestRFC6455Frames(t *testing.T) {
	t.Parallel()
	r := start(t)
	const goesOn = -1
	const protocol = websocket.CloseProtocolError
	closing := func(code int, reason string) []byte {
		return masked(ending, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
	}
	ping := `{"type":"ping","t":7}`
	type row struct {
		section, name string
		send          []byte
		want          int // the close code of the answer
	}
	rows := []row{
		{"5.1", "not masked", []byte{fin | text, 2, '{', '}'}, protocol},
		{"5.2", "reserved bit 1, as if compressed", masked(fin|0x40|text, "\xaa\x56\x2a\xa9\x2c\x48\x55\xb2\x52\x50\xca"), protocol},
		{"5.2", "reserved bit 2", masked(fin|0x20|text, "{}"), protocol},
		{"5.2", "reserved bit 3", masked(fin|0x10|text, "{}"), protocol},
		{"5.2", "a length of 64 bits with the highest set", []byte{fin | text, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'x'}, websocket.CloseAbnormalClosure},
		{"5.2", "an empty message", masked(fin|text, ""), goesOn},
		{"5.4", "a message in three frames", bytes.Join([][]byte{masked(text, ping[:5]), masked(more, ping[5:9]), masked(fin|more, ping[9:])}, nil), goesOn},
		{"5.4", "a ping between its frames", bytes.Join([][]byte{masked(text, ping[:5]), masked(pinged, "x"), masked(fin|more, ping[5:])}, nil), goesOn},
		{"5.4", "the rest of no message", masked(fin|more, "x"), protocol},
		{"5.4", "a message inside another", append(masked(text, "x"), masked(fin|text, "y")...), protocol},
		{"5.5", "a ping in frames", masked(9, "x"), protocol},
		{"5.5", "a ping of 126 bytes", masked(pinged, strings.Repeat("x", 126)), protocol},
		{"5.5", "a close of 126 bytes", closing(1000, strings.Repeat("x", 124)), protocol},
		{"5.5.1", "close", closing(1000, "bye"), 1000},
		{"5.5.1", "close without a code", masked(ending, ""), websocket.CloseNoStatusReceived},
		{"5.5.1", "close with half a code", masked(ending, "x"), websocket.CloseNoStatusReceived},
		{"5.5.2", "ping", masked(pinged, strings.Repeat("x", 125)), goesOn},
		{"5.5.3", "pong that nobody asked for", masked(ponged, "x"), goesOn},
		{"5.6", "a binary message", masked(fin|binry, "\x00\xff"), goesOn},
		{"7.4.1", "close that may come back", closing(1001, ""), 1001},
		{"7.4.2", "close of an application", closing(4999, ""), 4999},
		{"8.1", "a text that is not UTF-8", masked(fin|text, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), websocket.CloseInvalidFramePayloadData},
		{"8.1", "a character over two frames", append(masked(text, "\xc3"), masked(fin|more, "\xa9")...), goesOn},
		{"8.1", "close with a reason that is not UTF-8", closing(1000, "\xff"), protocol}, // gorilla's; 1007 would be as good
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		rows = append(rows, row{"5.2", fmt.Sprintf("reserved opcode %d", opcode), masked(fin|opcode, ""), protocol})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000} {
		rows = append(rows, row{"7.4", fmt.Sprintf("close with %d", code), closing(code, ""), protocol})
	}
	for _, tt := range rows {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			conn := r.join("/listen")
			defer conn.Close()
			conn.SetPongHandler(func(data string) error {
				if data == "last" { // section 5.5.2: a pong has what its ping had
					r.publish(1, 3)
				}
				return nil
			})
			conn.SetCloseHandler(func(int, string) error { return nil }) // who answers is the server
			if _, err := conn.NetConn().Write(tt.send); err != nil {
				t.Fatal(err)
			}
			if tt.want == goesOn {
				if _, err := conn.NetConn().Write(append(masked(fin|text, ping), masked(pinged, "last")...)); err != nil {
					t.Fatal(err)
				}
			}
			for answered, heard := false, false; !answered || !heard; {
				kind, message, err := conn.ReadMessage()
				var closed *websocket.CloseError
				switch {
				case errors.As(err, &closed):
					if closed.Code != tt.want {
						t.Errorf("closed with %d, want %d", closed.Code, tt.want)
					}
					// Section 7.1.1: the server is the first to close the connection.
					if n, err := conn.NetConn().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("after the close frame: %d bytes, %v", n, err)
					}
					return
				case err != nil:
					t.Fatal(err)
				}
				heard = heard || kind == websocket.BinaryMessage
				answered = answered || strings.Contains(string(message), `"pong"`)
			}
		})
	}
}
