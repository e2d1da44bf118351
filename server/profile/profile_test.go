package profile

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:6060":   true,
		"127.9.9.9:1":      true,
		"[::1]:6060":       true,
		"localhost:0":      true,
		":6060":            false,
		"0.0.0.0:6060":     false,
		"[::]:6060":        false,
		"192.168.1.2:6060": false,
		"127.0.0.1":        false,
		"localhost.evil:1": false,
		"":                 false,
	} {
		if got := Loopback(addr); got != want {
			t.Errorf("%q: %v", addr, got)
		}
		if want {
			continue
		}
		if ln, err := Listen(Address(addr)); err == nil || !strings.Contains(err.Error(), "127.0.0.1:PORT") {
			t.Errorf("%q: it listens, %v", addr, err)
			_ = ln.Close()
		}
	}
}

// Profiles come, to this machine's own names only.
func TestServe(t *testing.T) {
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln) }()
	for _, tt := range []struct {
		path, host string
		status     int
		want       string
	}{
		{"/debug/pprof/", "", 200, "goroutine"},
		{"/debug/pprof/goroutine?debug=1", "", 200, "profile.Serve"},
		{"/debug/pprof/heap", "", 200, ""},
		{"/debug/pprof/profile?seconds=1", "", 200, ""},
		{"/debug/pprof/heap", "radio.example:6060", 403, "this machine alone"},
		{"/", "", 404, ""},
	} {
		req, err := http.NewRequest("GET", "http://"+ln.Addr().String()+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s of %q: %s, %v\n%.300s", tt.path, tt.host, answer.Status, err, body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("it listens still")
	}
}
