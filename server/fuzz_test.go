package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"earshot/server/token"
)

// visitors returns an address of another network each time, so that limits hide
// nothing of what is behind them.
func visitors() func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprintf("[2001:db8:%x:%x::1]:80", n>>16&0xffff, n&0xffff)
	}
}

// isRefusal tells whether an answer is a refusal in the form that it must have.
func isRefusal(rec *httptest.ResponseRecorder) bool {
	var r refusal
	return rec.Code >= 400 && json.Unmarshal(rec.Body.Bytes(), &r) == nil && r.Error != "" && r.Message != ""
}

// Whatever a request for a session or a WebSocket holds: without the token it
// is refused, and no answer holds the token or leaves a seat taken.
func FuzzListen(f *testing.F) {
	r := start(f, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")} })
	good, visitor := r.tokenFor(1), visitors()
	f.Add("Bearer TOKEN", "", "", "", "", "page=12345678&buffer=60")
	f.Add("", "TOKEN", "", "https://blog.example", "192.0.2.1, 192.0.2.2", "page=x")
	f.Add("", "", "earshot.v1, earshot.bearer.TOKEN", "http://radio.example", "2001:db8::2,[::1]:1", "buffer=%zz;")
	f.Fuzz(func(t *testing.T, authorization, header, protocols, origin, forwarded, query string) {
		all := []string{authorization, header, protocols, origin, forwarded, query}
		known := false // to who asks
		for i := range all {
			known = known || i < 3 && strings.Contains(all[i], "TOKEN")
			all[i] = strings.ReplaceAll(all[i], "TOKEN", good)
		}
		for _, path := range []string{"/api/session", "/listen", "/"} {
			req := &http.Request{
				Method:     "GET",
				URL:        &url.URL{Path: path, RawQuery: all[5]},
				Host:       "radio.example",
				RemoteAddr: visitor(),
				Header: http.Header{
					"Connection":            {"Upgrade"},
					"Upgrade":               {"websocket"},
					"Sec-Websocket-Version": {"13"},
					"Sec-Websocket-Key":     {"dGhlIHNhbXBsZSBub25jZQ=="},
				},
			}
			for i, name := range []string{"Authorization", "Token", "Sec-Websocket-Protocol", "Origin", "X-Forwarded-For"} {
				if all[i] != "" {
					req.Header.Set(name, all[i])
				}
			}
			rec := httptest.NewRecorder()
			r.srv.ServeHTTP(rec, req)
			// The recorder is nothing that can be upgraded: 500 is as far as
			// one gets who is let in.
			admitted := rec.Code == http.StatusOK || rec.Code == http.StatusInternalServerError
			if admitted && !known || rec.Code != http.StatusOK && !isRefusal(rec) {
				t.Errorf("%s, %q: %d %s", path, all, rec.Code, rec.Body)
			}
			if strings.Contains(rec.Body.String()+fmt.Sprint(rec.Header()), good) {
				t.Errorf("%s, %q: the token is in the answer", path, all)
			}
			if len(r.hub.listeners) > 0 {
				t.Fatalf("%s, %q: a seat stays taken", path, all)
			}
		}
	})
}

// Whatever a listener sends, the owner can be shown.
func FuzzReport(f *testing.F) {
	hub := start(f).hub
	f.Add([]byte(`{"type":"ping","t":12.5}`))
	f.Add([]byte(`{"type":"stats","profile":"live","latency":74.5,"underruns":2,"new":{}}`))
	f.Add([]byte(`{"type":"stats","profile":"\u202e\n\ud800","latency":1e308,"late":18446744073709551615}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l := newListener(hub, token.Claims{}, "", "", "")
		l.take(text)
		got, err := json.Marshal(l.snapshot())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		stats := l.snapshot().Stats
		if stats != nil && (utf8.RuneCountInString(stats.Profile) > 20 || strings.ContainsAny(stats.Profile, "\n\x1b\u202e")) || len(got) > readLimit {
			t.Errorf("%q: the owner sees %s", text, got)
		}
		select {
		case ping := <-l.pings:
			if _, err := json.Marshal(pong{T: ping}); err != nil {
				t.Errorf("%q: no answer: %v", text, err)
			}
		default:
		}
	})
}

// Whatever a program asks for, what it gets is no more than its token allows.
func FuzzLinks(f *testing.F) {
	r := start(f, issuing(nil), func(c *Config) {
		c.Issue = func(g token.Grant) (string, string, token.Link, error) {
			start := time.Now()
			if g.NotBefore.After(start) {
				start = g.NotBefore
			}
			return "", "", token.Link{Name: g.Name, Ends: start.Add(g.For), Listeners: g.Listeners}, nil
		}
	})
	issuer, claims := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour, Listeners: 3})
	visitor := visitors()
	f.Add(``)
	f.Add(`{"name":"Ann","for":3600,"listeners":1,"notBefore":"2026-11-24T20:00:00Z"}`)
	f.Add(`{"for":"59m","listeners":null}`)
	f.Add(`{"for":1e3,"\u0066or":2,"scope":"issue"}`)
	f.Fuzz(func(t *testing.T, body string) {
		req := httptest.NewRequest("POST", "/api/links", strings.NewReader(body))
		req.RemoteAddr = visitor()
		req.Header.Set("Authorization", "Bearer "+issuer)
		rec := httptest.NewRecorder()
		r.srv.ServeHTTP(rec, req)
		if rec.Code != http.StatusCreated {
			if rec.Code >= 500 || !isRefusal(rec) {
				t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
			}
			return
		}
		var got issuedLink
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Ends.After(claims.Expires.Add(time.Second)) ||
			got.Listeners < 1 || got.Listeners > 3 || utf8.RuneCountInString(got.Name) > maxName {
			t.Errorf("%q: %s, %v", body, rec.Body, err)
		}
	})
}
