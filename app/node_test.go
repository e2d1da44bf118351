package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"earshot/audio"
)

// A program of Node with the plain ws module can listen, as the first Earshot's
// could: the token is a header of the handshake.
func TestNodeListens(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	tok := app.must("link", "--name", "Node", "--token")
	tests := []struct {
		name, path string
		headers    map[string]string
		want       string // the error; "" is let in
	}{
		{"header token", "/", map[string]string{"token": tok}, ""},
		{"Authorization", "/listen", map[string]string{"Authorization": "Bearer " + tok}, ""},
		{"without a token", "/", map[string]string{}, "missing"},
		{"a token that is none", "/", map[string]string{"token": "x"}, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers, err := json.Marshal(tt.headers)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "node", "plain-client.mjs")
			cmd.Dir = "../assets/player/test"
			cmd.Env = append(plainEnv(t.TempDir()), "URL=ws://"+app.address()+tt.path, "HEADERS="+string(headers))
			out, err := cmd.Output()
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				t.Fatalf("%v (has build/test installed node and ws?)\n%s", err, failed.Stderr)
			} else if err != nil {
				t.Fatal(err)
			}
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
