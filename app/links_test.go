package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// listen opens a WebSocket as a program does and returns it after its welcome;
// where it isn't let in, the status and the word of the refusal.
func (r *running) listen(tok string) (conn *websocket.Conn, status int, word string) {
	r.t.Helper()
	conn, resp, err := websocket.DefaultDialer.DialContext(r.t.Context(), "ws://"+r.address()+"/listen",
		http.Header{"Authorization": {"Bearer " + tok}})
	if err != nil {
		if resp == nil {
			r.t.Fatal(err)
		}
		var refused struct{ Error string }
		_ = json.NewDecoder(resp.Body).Decode(&refused)
		return nil, resp.StatusCode, refused.Error
	}
	r.t.Cleanup(func() { conn.Close() })
	if _, _, err := conn.ReadMessage(); err != nil {
		r.t.Fatal(err)
	}
	return conn, resp.StatusCode, ""
}

// closed waits until the server closes the connection and returns the code.
func closed(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	for {
		_, _, err := conn.ReadMessage()
		var end *websocket.CloseError
		if errors.As(err, &end) {
			return end.Code
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// made makes a link by the command line.
func (r *running) made(args ...string) madeLink {
	r.t.Helper()
	var l madeLink
	if err := json.Unmarshal([]byte(r.must(append([]string{"link", "--json"}, args...)...)), &l); err != nil {
		r.t.Fatal(err)
	}
	return l
}

// listed is what `earshot links --json` says.
func (r *running) listed() []listedLink {
	r.t.Helper()
	var list []listedLink
	if err := json.Unmarshal([]byte(r.must("links", "--json")), &list); err != nil {
		r.t.Fatal(err)
	}
	return list
}

// A link that is withdrawn ends who listens by it, and nobody else, and lets
// nobody in; for ever, not until the next start.
func TestRevoke(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	ann, bob := r.made("--name", "Ann", "--for", "forever"), r.made("--name", "Bob")
	annConn, _, _ := r.listen(ann.Token)
	bobConn, _, _ := r.listen(bob.Token)
	list := r.listed()
	if len(list) != 2 || list[0].ID != bob.ID || list[1].Name != "Ann" || len(list[1].Now) != 1 || list[1].Now[0].Name != "Ann" {
		t.Errorf("links: %+v", list)
	}
	for _, want := range []string{ann.ID[:8] + "  Ann", "when withdrawn", "1: Bob"} {
		if got := r.must("links"); !strings.Contains(got, want) {
			t.Errorf("links lack %q:\n%s", want, got)
		}
	}

	r.must("revoke", ann.ID[:8])
	if code := closed(t, annConn); code != 4401 {
		t.Errorf("close code %d", code)
	}
	if _, status, word := r.listen(ann.Token); status != 401 || word != "withdrawn" {
		t.Errorf("a withdrawn link gets %d %s", status, word)
	}
	if l := r.listed()[1]; !l.Withdrawn || len(l.Now) != 0 {
		t.Errorf("withdrawn: %+v", l)
	}
	for _, wrong := range [][]string{{"revoke"}, {"revoke", "--all", ann.ID}, {"revoke", "nobody"}, {"revoke", ""}, {"revoke", "nokey:x"},
		{"revoke", ann.Token}, {"revoke", ann.Share + "x"}, {"revoke", bob.Token[:60]}} {
		got := r.run(wrong...)
		if got.status == 0 || strings.Count(got.err, "\n") != 1 || strings.Contains(got.err, "eyJhbGci"+ann.Token[8:20]) {
			t.Errorf("%q: %+v", wrong, got)
		}
	}
	if r.must("revoke", r.made("--name", "Dora").Share); !r.listed()[0].Withdrawn {
		t.Error("a link by its own words is not withdrawn")
	}

	// All of them; what is made after that is good, even in the same second.
	r.must("revoke", "--all")
	carl := r.made("--name", "Carl")
	if code := closed(t, bobConn); code != 4401 {
		t.Errorf("close code %d", code)
	}
	if conn, _, _ := r.listen(carl.Token); conn == nil {
		t.Error("a new link is refused")
	}
	r.quit()
	r.start("--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	for _, old := range []madeLink{ann, bob} {
		if _, status, _ := r.listen(old.Token); status != 401 {
			t.Errorf("after a restart the link of %s gets %d", old.Name, status)
		}
	}
}

// Links can be made and withdrawn while no Earshot runs.
func TestRevokeOffline(t *testing.T) {
	r := &running{t: t, env: plainEnv(t.TempDir()), data: filepath.Join(t.TempDir(), "data"), log: &output{}}
	ann := r.made("--name", "Ann")
	bob := r.made("--name", "Bob")
	r.must("revoke", ann.ID)
	r.start("--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	if _, status, _ := r.listen(ann.Token); status != 401 {
		t.Errorf("the withdrawn link gets %d", status)
	}
	if conn, _, _ := r.listen(bob.Token); conn == nil {
		t.Error("the other link is refused")
	}
}

func TestKick(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	link := r.made("--name", "Ann")
	kick := func(args ...string) string {
		t.Helper()
		conn, _, _ := r.listen(link.Token)
		id, _, _ := strings.Cut(r.must("listeners"), " ")
		said := r.must(append([]string{"kick", id}, args...)...)
		if code := closed(t, conn); code != 4402 {
			t.Errorf("close code %d", code)
		}
		return said
	}
	if said := kick(); !strings.Contains(said, "Ann is removed") || !strings.Contains(said, "--withdraw") {
		t.Errorf("kick says %q", said)
	}
	if said := kick("--withdraw"); !strings.Contains(said, "withdrawn") {
		t.Errorf("kick says %q", said)
	}
	if _, status, word := r.listen(link.Token); status != 401 || word != "withdrawn" {
		t.Errorf("they come back: %d %s", status, word)
	}
	if got := r.run("kick", "99"); got.status != exitFailure || !strings.Contains(got.err, "nobody with the number 99") {
		t.Errorf("%+v", got)
	}
}

func TestLinkForOne(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	link := r.made("--listeners", "1")
	conn, _, _ := r.listen(link.Token)
	if _, status, word := r.listen(link.Token); status != 409 || word != "in-use" {
		t.Errorf("the second gets %d %s", status, word)
	}
	if status, _ := r.get("/api/session", link.Token); status != 409 {
		t.Errorf("its session gets %d", status)
	}
	conn.Close()
	waitFor(t, "the seat is free", func() bool {
		conn, _, _ := r.listen(link.Token)
		return conn != nil
	})
}

func TestLinkBefore(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone")
	link := r.made("--not-before", time.Now().Add(time.Hour).Format(time.RFC3339), "--for", "1h")
	if _, status, word := r.listen(link.Token); status != 401 || word != "not-yet-valid" {
		t.Errorf("an hour early: %d %s", status, word)
	}
	if left := time.Until(link.Ends); left < 119*time.Minute || left > 121*time.Minute {
		t.Errorf("it ends in %v", left)
	}
}

// A program with a token for it makes links, and those are in the owner's list.
func TestIssue(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	issuer := r.must("link", "--scope", "issue", "--name", "blog", "--for", "1h")
	post := func(tok, body string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+r.address()+"/api/links", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+tok)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		defer http.DefaultClient.CloseIdleConnections()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, answer
	}
	status, made := post(issuer, `{"name": "visitor", "for": "30m", "listeners": 1}`)
	if status != 201 || !strings.HasPrefix(made["link"].(string), "http://"+r.address()+"/#") {
		t.Fatalf("%d %v", status, made)
	}
	if conn, status, word := r.listen(made["token"].(string)); conn == nil {
		t.Errorf("its link gets %d %s", status, word)
	}
	if l := r.listed()[0]; l.ID != made["id"] || l.Name != "visitor" || l.Listeners != 1 || len(l.Now) != 1 {
		t.Errorf("in the list: %+v", l)
	}
	if status, answer := post(issuer, `{"for": "2h"}`); status != 403 {
		t.Errorf("for longer than the token itself: %d %v", status, answer)
	}
	if status, answer := post(r.must("link", "--token"), `{}`); status != 403 {
		t.Errorf("with a token for listening: %d %v", status, answer)
	}
	if _, status, word := r.listen(issuer); status != 403 || word != "scope" {
		t.Errorf("listening with a token for making links: %d %s", status, word)
	}
}

// Tokens that another program has made are in the list while somebody listens
// by them, and can be withdrawn.
func TestTokensOfOthers(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	home := t.TempDir()
	config := writeConfig(t, home, "[[key]]\nname = \"blog\"\nmethod = \"HS256\"\nsecret = \""+secret+"\"\n")
	r := launch(t, plainEnv(home), "--headless", "--source", "tone", "--start")
	tok, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"name": "Eve", "jti": "7", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	conn, status, word := r.listen(tok)
	if conn == nil {
		t.Fatalf("it gets %d %s", status, word)
	}
	if l := r.listed(); len(l) != 1 || l[0].ID != "blog:7" || l[0].Now[0].Name != "Eve" {
		t.Errorf("links: %+v", l)
	}
	if got := r.must("links"); !strings.Contains(got, "blog:7  Eve   by a program") {
		t.Errorf("links:\n%s", got)
	}
	r.must("revoke", "blog:7")
	if code := closed(t, conn); code != 4401 {
		t.Errorf("close code %d", code)
	}

	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := r.run("status"); got.status != exitUsage || !strings.Contains(got.err, "chmod 600") {
		t.Errorf("with a secret for all to read: %+v", got)
	}
}

func TestRotate(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	old := r.made("--for", "forever")
	r.must("key", "rotate", "--keep", "1h")
	fresh := r.made()
	for name, l := range map[string]madeLink{"old": old, "new": fresh} {
		if conn, status, word := r.listen(l.Token); conn == nil {
			t.Errorf("the %s key's link gets %d %s", name, status, word)
		}
	}
	r.must("key", "rotate", "--keep", "1s")
	waitFor(t, "the link of the retired key ends", func() bool {
		conn, status, _ := r.listen(fresh.Token)
		if conn != nil {
			conn.Close()
		}
		return status == 401
	})
}

// No token, link or secret is in anything that the program writes, but for the
// links that it is asked to print.
func TestNothingSecretIsWritten(t *testing.T) {
	home := t.TempDir()
	const secret = "correct horse battery staple, and more"
	writeConfig(t, home, "[[key]]\nname = \"blog\"\nmethod = \"HS256\"\nsecret = \""+secret+"\"\n")
	r := launch(t, plainEnv(home), "--headless", "--source", "tone", "--start", "--log-level", "debug")
	link := r.made("--name", "Ann")
	issuer := r.made("--scope", "issue")
	conn, _, _ := r.listen(link.Token)
	r.listen(link.Token[:len(link.Token)-4] + "AAAA") // a bad signature
	r.get("/api/session?token="+link.Token, "")
	r.get("/"+link.Token, link.Token)
	r.get("/api/session", issuer.Token)
	said := r.must("listeners", "--json") + r.must("links", "--json") + r.must("status", "--json")
	said += r.run("doctor", "--json").out + r.run("doctor").out
	r.must("revoke", link.ID)
	closed(t, conn)
	r.quit()

	wrote := map[string]string{"log": r.log.String(), "answers": said}
	err := filepath.WalkDir(r.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		wrote[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(wrote) < 5 || !strings.Contains(wrote[filepath.Join(r.data, "earshot.log")], "listener joined") ||
		!strings.Contains(said, "earshot.log") || !strings.Contains(wrote["log"], "listener joined") || !strings.Contains(wrote["log"], "refused") {
		t.Fatalf("nothing was looked at: %v", wrote)
	}
	for _, tok := range []string{link.Token, issuer.Token} {
		parts := strings.Split(tok, ".")
		for place, text := range wrote {
			// Claims and signature; the header is the same in every token.
			for _, part := range append(parts[1:], secret) {
				if bytes.Contains([]byte(text), []byte(part)) {
					t.Errorf("%s holds a secret:\n%s", place, text)
				}
			}
		}
	}
}
