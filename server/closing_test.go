//go:build !windows

package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// The closing handshake (RFC 6455 section 5.5.1) while sound runs: who sends a
// close frame gets one back with the code that it sent, at once, and nothing after
// it; the connection is then closed by the server, and nobody else hears a gap.
func TestRFC6455CloseWhileSoundRuns(t *testing.T) {
	t.Parallel()
	r := start(t)
	clock := r.streamEvery(500*time.Microsecond, 240) // so that some is sent just when the close frame comes
	w := watch(t, r.join("/listen"), clock)
	for _, query := range []string{"", "?lane=balanced", "?buffer=2000"} {
		for _, tt := range []struct {
			name string
			send []byte
			want []byte // the answer's payload
		}{
			{"with a code", masked(ending, "\x03\xe8bye"), []byte{0x03, 0xe8}},
			{"without one", masked(ending, ""), nil},
			{"and frames after it", append(masked(ending, "\x03\xe8"), bytes.Repeat(masked(fin|text, "{}"), 20)...), []byte{0x03, 0xe8}},
		} {
			for range 20 {
				tcp, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Fatal(err)
				}
				_ = tcp.SetDeadline(time.Now().Add(deadline))
				_, err = io.WriteString(tcp, "GET /listen"+query+" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nToken: "+r.token(time.Hour)+"\r\n\r\n")
				if err != nil {
					t.Fatal(err)
				}
				in := bufio.NewReader(tcp)
				if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("%+v, %v", answer, err)
				}
				for sound := 0; sound < 3; { // it runs
					if head, _ := serverFrame(t, in); head == fin|binry {
						sound++
					}
				}
				sent := time.Now()
				if _, err := tcp.Write(tt.send); err != nil {
					t.Fatal(err)
				}
				for {
					head, payload := serverFrame(t, in)
					if head != ending {
						continue
					}
					if len(payload) < len(tt.want) || !bytes.Equal(payload[:min(2, len(payload))], tt.want) {
						t.Errorf("%s: answered with %q, want %q", tt.name, payload, tt.want)
					}
					break
				}
				if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
					t.Errorf("%s: after the close frame come %d bytes, %v", tt.name, len(rest), err)
				}
				if took := time.Since(sent); took > closeTimeout/2 {
					t.Errorf("%s: it takes %v", tt.name, took)
				}
				_ = tcp.Close()
			}
		}
	}
	waitFor(t, "they are gone", func() bool { return len(r.hub.Listeners()) == 1 })
	w.check()
}

// serverFrame reads a frame of a server's (RFC 6455 section 5.2), which must not
// be masked.
func serverFrame(t *testing.T, in *bufio.Reader) (head byte, payload []byte) {
	t.Helper()
	var start [2]byte
	if _, err := io.ReadFull(in, start[:]); err != nil {
		t.Fatal(err)
	}
	n := uint64(start[1])
	var long [8]byte
	switch n {
	case 126:
		if _, err := io.ReadFull(in, long[6:]); err != nil {
			t.Fatal(err)
		}
		n = binary.BigEndian.Uint64(long[:])
	case 127:
		if _, err := io.ReadFull(in, long[:]); err != nil {
			t.Fatal(err)
		}
		n = binary.BigEndian.Uint64(long[:])
	}
	if n > 1<<20 {
		t.Fatalf("a frame of %d bytes, or one that is masked", n)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(in, payload); err != nil {
		t.Fatal(err)
	}
	return start[0], payload
}
