package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/server/token"
)

// issuing makes a server take requests for links, and fail to make them.
func issuing(err error) func(*Config) {
	return func(c *Config) {
		c.Issue = func(token.Grant) (string, string, token.Link, error) { return "", "", token.Link{}, err }
	}
}

// withStore starts a server that issues links into a store.
func withStore(t testing.TB) *rig {
	t.Helper()
	r, _ := withStoreAt(t, filepath.Join(t.TempDir(), "links.json"))
	return r
}

// withStoreAt is withStore with the store's file.
func withStoreAt(t testing.TB, path string) (*rig, *token.Store) {
	t.Helper()
	var r *rig
	var store *token.Store
	r = start(t, issuing(nil), func(c *Config) {
		var err error
		if store, err = token.OpenStore(path, time.Now); err != nil {
			t.Fatal(err)
		}
		c.Issue = func(g token.Grant) (string, string, token.Link, error) {
			g.Audience = token.AudienceDesktop
			raw, l, err := store.Issue(r.key, g)
			return "http://radio.example", raw, l, err
		}
	})
	r.tokens.Revoked = store.Revoked
	return r, store
}

func TestLinks(t *testing.T) {
	r := withStore(t)
	now := time.Now()
	later := now.Add(2 * time.Hour).Truncate(time.Second)
	plain, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: 240 * time.Hour})
	narrow, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour, Listeners: 2})
	for _, tt := range []struct {
		tok, body string
		want      string // ends after, listeners, name; or the word of the refusal
	}{
		{plain, "", "24h 0 "},
		{plain, "{}", "24h 0 "},
		{plain, ` { "name" : null, "for" : null, "listeners": null, "notBefore": null } `, "24h 0 "},
		{plain, `{"name":"Ann","for":3600,"listeners":1}`, "1h 1 Ann"},
		{plain, `{"name":" Ann\n\u202eLee ","for":"90s"}`, "90s 0 Ann Lee"},
		{plain, `{"name":"` + strings.Repeat("ä", 100) + `"}`, "24h 0 " + strings.Repeat("ä", 59) + "…"},
		{plain, `{"for":"7d","listeners":0}`, "168h 0 "},
		{plain, `{"for":"1w"}`, "168h 0 "},
		{plain, fmt.Sprintf(`{"for":"30m","notBefore":%q}`, later.Format(time.RFC3339)), "2h30m 0 "},
		{plain, `{"for":60,"notBefore":"1999-12-31T00:00:00Z"}`, "1m 0 "},
		{narrow, "", "1h 2 "},
		{narrow, `{"listeners":1}`, "1h 1 "},

		{plain, `{"for":"2w"}`, "for"},
		{narrow, `{"for":3700}`, "for"},
		{narrow, fmt.Sprintf(`{"notBefore":%q}`, later.Format(time.RFC3339)), "for"},
		{narrow, `{"notBefore":"9999-12-31T23:59:59Z"}`, "for"},
		{narrow, `{"listeners":3}`, "listeners"},
		{narrow, `{"listeners":0}`, "listeners"},
	} {
		resp, body := r.ask("POST", "/api/links", tt.tok, tt.body)
		if !strings.Contains(tt.want, " ") {
			if resp.StatusCode != http.StatusForbidden || word(body) != tt.want {
				t.Errorf("%s: %d %s, want %s", tt.body, resp.StatusCode, body, tt.want)
			}
			continue
		}
		var got issuedLink
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != http.StatusCreated {
			t.Errorf("%s: %d %s", tt.body, resp.StatusCode, body)
			continue
		}
		want := strings.SplitN(tt.want, " ", 3)
		valid, _ := time.ParseDuration(want[0])
		if off := got.Ends.Sub(now.Add(valid)); off < -2*time.Second || off > 3*time.Second ||
			fmt.Sprint(got.Listeners) != want[1] || got.Name != want[2] {
			t.Errorf("%s: %+v, want %s", tt.body, got, tt.want)
		}
		claims, err := r.tokens.Verify(got.Token, token.ScopeListen)
		var refused *token.Error
		if err != nil && !(errors.As(err, &refused) && refused.Reason == token.NotYetValid && got.NotBefore.Equal(later)) {
			t.Errorf("%s: %v", tt.body, err)
		}
		if err == nil && (claims.ID != got.ID || claims.Listeners != got.Listeners || !claims.Expires.Equal(got.Ends)) {
			t.Errorf("%s: claims %+v, answer %+v", tt.body, claims, got)
		}
		if got.Link != "http://radio.example/#"+got.Token || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: link %s, %v", tt.body, got.Link, resp.Header)
		}
		if _, err := r.tokens.Verify(got.Token, token.ScopeIssue); err == nil {
			t.Error("a link can make links")
		}
	}
}

func TestLinksRefused(t *testing.T) {
	r := withStore(t)
	issuer, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour})
	for _, tt := range []struct {
		tok, body string
		status    int
		word      string
	}{
		{"", "", 401, "missing"},
		{"x", "", 401, "malformed"},
		{r.token(time.Hour), "", 403, "scope"},
		{issuer, "x", 400, "body"},
		{issuer, "null", 400, "body"},
		{issuer, "[]", 400, "body"},
		{issuer, "{}{}", 400, "body"},
		{issuer, `{"name":"a"`, 400, "body"},
		{issuer, `{"scope":"issue","Name":"a","name":"b"}`, 400, "unknown"},
		{issuer, `{"name":1}`, 400, "name"},
		{issuer, `{"for":0}`, 400, "for"},
		{issuer, `{"for":-1}`, 400, "for"},
		{issuer, `{"for":1.5}`, 400, "for"},
		{issuer, `{"for":1e999}`, 400, "for"},
		{issuer, `{"for":1e300}`, 400, "for"},
		{issuer, `{"for":""}`, 400, "for"},
		{issuer, `{"for":"1"}`, 400, "for"},
		{issuer, `{"for":"h"}`, 400, "for"},
		{issuer, `{"for":"-1h"}`, 400, "for"},
		{issuer, `{"for":"1h30m"}`, 400, "for"},
		{issuer, `{"for":"11000d"}`, 400, "for"},
		{issuer, `{"for":[1]}`, 400, "for"},
		{issuer, `{"listeners":-1}`, 400, "listeners"},
		{issuer, `{"listeners":1.5}`, 400, "listeners"},
		{issuer, `{"listeners":3000000000}`, 400, "listeners"},
		{issuer, `{"listeners":"1"}`, 400, "listeners"},
		{issuer, `{"notBefore":1}`, 400, "notBefore"},
		{issuer, `{"notBefore":"tomorrow"}`, 400, "notBefore"},
		{issuer, `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 413, tooBig},
	} {
		resp, body := r.ask("POST", "/api/links", tt.tok, tt.body)
		if resp.StatusCode != tt.status || word(body) != tt.word {
			t.Errorf("%.40s: %d %s, want %d %s", tt.body, resp.StatusCode, body, tt.status, tt.word)
		}
		if tt.word == "unknown" && (!strings.Contains(body, `\"Name\", \"scope\"`) || !strings.Contains(body, "notBefore")) {
			t.Errorf("it doesn't say what is unknown: %s", body)
		}
	}

	// Only the header Authorization is looked at.
	req, _ := http.NewRequest("POST", "http://"+r.addr+"/api/links", nil)
	req.Header.Set("Token", issuer)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("another header: %d", resp.StatusCode)
	}

	r = start(t, issuing(errors.New("disk full")))
	issuer, _ = r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour})
	if resp, body := r.ask("POST", "/api/links", issuer, ""); resp.StatusCode != http.StatusServiceUnavailable ||
		word(body) != notMade || strings.Contains(body, "disk") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a full disk: %d %s", resp.StatusCode, body)
	}
}

// Who asks with a token that is withdrawn before the whole request is there, or
// that another program has withdrawn and this one doesn't know of yet, gets no
// link.
func TestWithdrawnWhileAsking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links.json")
	r, store := withStoreAt(t, path)
	refused := func(what string, resp *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || word(string(body)) != "withdrawn" || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s, %v", what, resp.StatusCode, body, err)
		}
	}

	issuer, _ := r.issue(token.Grant{Scope: token.ScopeIssue, For: time.Hour})
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(deadline))
	if _, err := io.WriteString(conn, "POST /api/links HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+issuer+"\r\nContent-Length: 2\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // it is being served
	if err := store.WithdrawAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "}"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	refused("all withdrawn before the body's end", resp, err)

	elsewhere, err := token.OpenStore(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	g := token.Grant{Audience: token.AudienceDesktop, Scope: token.ScopeIssue, For: time.Hour}
	issuer, l, err := store.Issue(r.key, g)
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := r.ask("POST", "/api/links", issuer, ""); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if err := elsewhere.Withdraw(l.ID); err != nil {
		t.Fatal(err)
	}
	resp, body := r.ask("POST", "/api/links", issuer, "")
	if resp.StatusCode != http.StatusUnauthorized || word(body) != "withdrawn" || r.srv.Refused()["withdrawn"] != 2 {
		t.Errorf("withdrawn elsewhere: %d %s, counted %v", resp.StatusCode, body, r.srv.Refused())
	}
	if n := len(elsewhere.Links()); n != 2 {
		t.Errorf("%d links, want the issuer's and one", n)
	}
}
