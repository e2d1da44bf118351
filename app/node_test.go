package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"earshot/audio"
)

// node runs a program of Node in a folder of the player, where its modules are,
// and returns what it prints.
func node(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	return nodeWhile(t, func() {}, dir, env, args...)
}

// nodeWhile is node for a program that goes on until its standard input ends,
// which is after during has.
func nodeWhile(t *testing.T, during func(), dir string, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = filepath.Join("../assets/player", dir)
	cmd.Env = append(plainEnv(t.TempDir()), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { during(); _ = in.Close(); close(done) }()
	out, err := cmd.Output()
	<-done
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		t.Fatalf("%v (has build/test installed node and the player's modules?)\n%s", err, failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return out
}

// A program of Node with the plain ws module can listen, as the first Earshot's
// could: the token is a header of the handshake, and made by another program,
// with no more in it than a name, where the owner has configured that.
func TestNodeListens(t *testing.T) {
	const secret = "not a long secret"
	home := t.TempDir()
	writeConfig(t, home, `
[[key]]
name = "blog"
method = "HS256"
secret = "`+secret+`"
allow-weak-secret = true
require-expiry = false
`)
	app := launch(t, plainEnv(home), "--headless", "--source", "tone", "--start")
	strict := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	tok := app.must("link", "--name", "Node", "--token")
	foreign := string(bytes.TrimSpace(node(t, "", []string{"SECRET=" + secret}, "-e",
		`console.log(require("jsonwebtoken").sign({ name: "Node" }, process.env.SECRET, { noTimestamp: true }))`)))
	tests := []struct {
		name    string
		app     *running
		path    string
		headers map[string]string
		want    string // the error; "" is let in
	}{
		{"header token", app, "/", map[string]string{"token": tok}, ""},
		{"Authorization", app, "/listen", map[string]string{"Authorization": "Bearer " + tok}, ""},
		{"another program's token", app, "/", map[string]string{"token": foreign}, ""},
		{"another program's token, not configured", strict, "/", map[string]string{"token": foreign}, "signature"},
		{"another Earshot's token", strict, "/", map[string]string{"token": tok}, "signature"},
		{"without a token", app, "/", map[string]string{}, "missing"},
		{"a token that is none", app, "/", map[string]string{"token": "x"}, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers, err := json.Marshal(tt.headers)
			if err != nil {
				t.Fatal(err)
			}
			out := node(t, "test", []string{"URL=ws://" + tt.app.address() + tt.path, "HEADERS=" + string(headers)}, "plain-client.mjs")
			var got struct {
				Status  int
				Error   string
				Welcome struct{ Type, Name string }
				Packet  string
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if tt.want != "" {
				if got.Status != 401 || got.Error != tt.want {
					t.Errorf("got %s, want 401 and %s", out, tt.want)
				}
				return
			}
			msg, err := hex.DecodeString(got.Packet)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := audio.ParseMessage(msg); err != nil || got.Welcome.Type != "welcome" || got.Welcome.Name != "Node" {
				t.Errorf("got %s, %v", out, err)
			}
		})
	}
}
