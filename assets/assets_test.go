package assets

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPlayer(t *testing.T) {
	player := Player()
	if err := fstest.TestFS(player, "index.html"); err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(player, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	if !Built() {
		t.Fatal("the player is not built: run npm ci && npm run build in assets/player, or ./build/test")
	}
	for _, at := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(page, -1) {
		name := string(at[1])
		if !strings.HasPrefix(name, "/static/") {
			t.Errorf("the page refers to %s, which is not under /static/", name)
			continue
		}
		for _, ending := range []string{"", ".br", ".gz"} {
			if _, err := fs.Stat(player, strings.TrimPrefix(name, "/")+ending); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestUnbuilt(t *testing.T) {
	page, err := fs.ReadFile(sub(unbuilt, "player/unbuilt"), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "./build/run") {
		t.Error("the page does not say how to build the player")
	}
}
