package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"earshot/audio/audiotest"
)

// answerOfAllTypes is a message with a value of every type between numbers.
func answerOfAllTypes() message {
	m := message(nil).number(1)
	m = append(m, "01"...)
	m = append(m, "a\x05\x02\x00\x00\xbb\x80"...)
	m = append(m, "m\x02\x01\x02"...)
	m = append(m, "v\x01\x00\x01\x00\x00"...)
	m = append(m, "V\x00\x01\x00\x00"...)
	m = append(m, "U\x00\x00\x00\x00\x00\x00\x00\x09"...)
	m = append(m, "f\x42\x01"...)
	m = m.properties("format.rate", "48000")
	m = m.properties()
	return append(m.text("speakers").noText().bytes([]byte{1, 2, 3}).number(2), '?', 1, 2)
}

func TestParseValues(t *testing.T) {
	got, err := parseValues(answerOfAllTypes())
	want := values{uint32(1), false, true, nil, nil, nil, uint32(0x10000), nil, properties{"format.rate": "48000"}, properties{},
		"speakers", "", nil, uint32(2)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got.number(13) != 2 || got.number(99) != none || got.number(10) != none {
		t.Error("number")
	}
	if got.text(10) != "speakers" || got.text(99) != "" || got.text(0) != "" {
		t.Error("text")
	}
	if got.yes(1) || !got.yes(2) || got.yes(0) || got.yes(99) {
		t.Error("yes")
	}
	if got.properties(8)["format.rate"] != "48000" || got.properties(0) != nil {
		t.Error("properties")
	}
}

func FuzzParseValues(f *testing.F) {
	all := answerOfAllTypes()
	f.Add([]byte(all))
	for i := range all {
		f.Add([]byte(all[:i]))
	}
	f.Add([]byte("x\xff\xff\xff\xff"))
	f.Add([]byte(strings.Repeat("f", 10_000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := parseValues(b); err == nil && len(v) > len(b) {
			t.Errorf("%d values from %d bytes", len(v), len(b))
		}
	})
}

// TestServerThatMakesNoSense talks to servers that no Loopback can work with.
func TestServerThatMakesNoSense(t *testing.T) {
	frame := func(body message) []byte {
		b := make([]byte, 20, 20+len(body))
		binary.BigEndian.PutUint32(b, uint32(len(body)))
		binary.BigEndian.PutUint32(b[4:], none)
		return append(b, body...)
	}
	tests := map[string]struct {
		says []byte
		want error
	}{
		"hangs up":        {nil, errRefused},
		"says hello":      {[]byte("220 mail.example.org ESMTP ready and waiting"), errRefused},
		"sends gigabytes": {[]byte("\x7f\xff\xff\xff\xff\xff\xff\xff000000000000"), errRefused},
		"sends nothing":   {frame(nil), errRefused},
		"denies access":   {frame(message(nil).number(commandError).number(1).number(1)), refusal(1)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "native")
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			t.Setenv("PULSE_SERVER", path)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if test.says != nil {
					io.ReadFull(conn, make([]byte, 1)) // an answer before the question would be lost
				}
				conn.Write(test.says)
				if test.says != nil {
					io.Copy(io.Discard, conn)
				}
			}()
			if _, err := dial(t.Context()); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			<-ended
		})
	}
}

// TestDialEndsWithContext: nobody waits for a server that does not answer.
func TestDialEndsWithContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "native")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("PULSE_SERVER", path)
	if _, err := dial(t.Context()); !errors.Is(err, errNoAnswer) {
		t.Errorf("error %v, want %v", err, errNoAnswer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := dial(ctx); err == nil {
		t.Error("no error")
	}
	if d := time.Since(begin); d >= answer {
		t.Errorf("took %v", d)
	}
}

// TestLongNames: browsers give their streams the titles of pages.
func TestLongNames(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.PlaySine("", 997)
		l := listen(t, loopback)
		l.hears(997)
		s.LoadSink("long", "device.description="+strings.Repeat("x", 5000))
		s.SetDefaultSink("long")
		audiotest.Poll(t, "the new output is not captured", func() bool { return len(l.status().Output) > 1000 })
		l.hears(997)
	})
}
