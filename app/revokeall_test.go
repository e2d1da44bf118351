package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/uplink"
)

// Withdrawing all links leaves the laptop itself connected to its relay: the sound
// goes on for who comes with a new link.
func TestRevokeAllAtRelay(t *testing.T) {
	app := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, "", fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	app.must("relay", "add", relay.url())
	app.waitStatus("connected", func(s status) bool { return s.Relays[0].State == uplink.Connected })
	since := app.status().Relays[0].Since
	old := tokenOf(t, app.must("link", "--name", "Bob"))
	bob := relay.visit(old)
	bob.hear(t, 5)
	if out := app.must("revoke", "--all"); strings.Contains(out, "reached") {
		t.Errorf("revoke: %s", out)
	}
	if code := <-bob.closed; code != 4401 {
		t.Errorf("withdrawn with %d", code)
	}
	if _, answer, err := websocket.DefaultDialer.Dial("ws://"+relay.addr+"/radio/listen", http.Header{"Token": {old}}); err == nil || answer.StatusCode != 401 {
		t.Errorf("by the old link: %v", err)
	}
	carl := relay.visit(tokenOf(t, app.must("link", "--name", "Carl")))
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); { // the relay looks at tokens each second
		carl.hear(t, 10)
	}
	if s := app.status().Relays[0]; s.State != uplink.Connected || !s.Since.Equal(since) {
		t.Errorf("the laptop's connection: %+v, connected since %v before", s, since)
	}
}
