package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"earshot/server/token"
)

// A request with a good token that opens no WebSocket is refused before it takes
// the stream over from the same publisher's connection.
func TestNoClaimWithoutWebSocket(t *testing.T) {
	r := startRelay(t)
	listener := r.listen(token.Grant{})
	p := r.publisher(0)
	raw := r.tok(0, token.Grant{Scope: token.ScopePublish})
	good := map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	}
	for _, wrong := range []struct{ name, value string }{
		{"Connection", "keep-alive"}, {"Upgrade", "h2c"}, {"Sec-WebSocket-Version", "8"},
		{"Sec-WebSocket-Key", ""}, {"Sec-WebSocket-Key", "AAAA"}, {"Sec-WebSocket-Key", "!"},
	} {
		t.Run(fmt.Sprintf("%s: %s", wrong.name, wrong.value), func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.addr+"/radio/publish", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range good {
				req.Header.Set(name, value)
			}
			req.Header.Set(wrong.name, wrong.value)
			req.Header.Set("Token", raw)
			answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s", answer.Status)
			}
			if err := p.sound(1); err != nil {
				t.Fatal(err)
			}
			if got := heard(t, listener, nil); got.Data[1] != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
	if n := len(r.hub().Listeners()); n != 1 {
		t.Errorf("%d listen", n)
	}
}

// One address can't take all seats of a public stream; a page that has a seat
// keeps it, and who has a link, or comes from elsewhere, gets one.
func TestCrowd(t *testing.T) {
	r := startRelay(t, func(c *Config) {
		c.Streams[0].Public = true
		c.Streams[0].MaxListeners = 9 // 5 for an address
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	join := func(from, query, tok string) (leave func(), status int, why string) {
		t.Helper()
		header := http.Header{"X-Forwarded-For": {from}}
		if tok != "" {
			header.Set("Token", tok)
		}
		conn, answer, err := r.dial("/radio/listen"+query, header)
		if err == nil {
			return func() { _ = conn.Close() }, 101, ""
		}
		body := make([]byte, 1000)
		n, _ := answer.Body.Read(body)
		return nil, answer.StatusCode, word(string(body[:n]))
	}
	one, status, _ := join("2001:db8:0:1::1", "?page=page0000", "")
	for n := range 4 {
		if _, status, _ = join(fmt.Sprintf("2001:db8:0:1::%d", n+2), "", ""); status != 101 {
			t.Fatalf("number %d: %d", n+2, status)
		}
	}
	if _, status, why := join("2001:db8:0:1::9", "", ""); status != 503 || why != crowded {
		t.Errorf("one too many: %d %s", status, why)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.addr+"/radio/api/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "2001:db8:0:1::9")
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the session of one too many: %d", answer.StatusCode)
	}
	again, status, why := join("2001:db8:0:1::1", "?page=page0000&attempt=2", "")
	if status != 101 {
		t.Errorf("a page again: %d %s", status, why)
	}
	if _, status, why := join("2001:db8:0:1::9", "", r.tok(0, token.Grant{Scope: token.ScopeListen})); status != 101 {
		t.Errorf("with a link: %d %s", status, why)
	}
	if _, status, why := join("192.0.2.1", "", ""); status != 101 {
		t.Errorf("from elsewhere: %d %s", status, why)
	}
	one()
	again()
	waitFor(t, "a seat that is free", func() bool {
		_, status, _ := join("2001:db8:0:1::9", "", "")
		return status == 101
	})
}

func TestCrowdMost(t *testing.T) {
	for seats, want := range map[int]int{1: 1, 2: 1, 9: 5, 40: 20, 100: 20, 1000: 100} {
		if got := crowdMost(seats); got != want {
			t.Errorf("of %d: %d, want %d", seats, got, want)
		}
	}
}
