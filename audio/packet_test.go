package audio

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"
)

// vector is an entry of testdata/packets.json, which the web player's tests
// read too.
type vector struct {
	Name    string
	Hex     string
	Error   bool
	Packets []struct {
		Seq  uint32
		At   int64
		Data string
	}
}

func vectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/packets.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Messages []vector }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Messages) == 0 {
		t.Fatal("no test vectors")
	}
	return file.Messages
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessageVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			msg := unhex(t, v.Hex)
			got, err := ParseMessage(msg)
			if v.Error {
				if !errors.Is(err, ErrMessage) {
					t.Fatalf("ParseMessage: %v, want ErrMessage", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(v.Packets) {
				t.Fatalf("%d packets, want %d", len(got), len(v.Packets))
			}
			for i, want := range v.Packets {
				if got[i].Seq != want.Seq || got[i].At != time.Duration(want.At)*time.Microsecond ||
					!bytes.Equal(got[i].Data, unhex(t, want.Data)) {
					t.Errorf("packet %d: %+v, want %+v", i, got[i], want)
				}
			}
			if again := AppendMessage(nil, got...); !bytes.Equal(again, msg) {
				t.Errorf("AppendMessage: %x, want %x", again, msg)
			}
		})
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(unhex(f, v.Hex))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		packets, err := ParseMessage(msg)
		if err != nil {
			return
		}
		if again := AppendMessage(nil, packets...); !bytes.Equal(again, msg) {
			t.Fatalf("%x became %x", msg, again)
		}
	})
}
