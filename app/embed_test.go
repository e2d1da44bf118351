package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The element of embed.js takes a relay's address and nothing else: what a blog
// lets others write into its attributes runs no script.
func TestEmbedAddress(t *testing.T) {
	relay := launchRelay(t, "", "secret = \"0123456789abcdef0123456789abcdef\"\npublic = true")
	_, port, _ := strings.Cut(relay.addr, ":")
	const script = "javascript:document.title='taken'//"
	blog := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Blog</title>
			<earshot-player stream="radio" id="own"></earshot-player>
			<earshot-player stream="radio" id="other" relay="HTTP://LOCALHOST:%[3]s/x?y"></earshot-player>
			<earshot-player stream="radio" id="script" relay="%[2]s"></earshot-player>
			<earshot-player stream="radio" id="none" relay="radio.example.org"></earshot-player>
			<earshot-player stream="../x" id="name"></earshot-player>
			<script src="http://%[1]s/embed.js" data-stream="radio" data-relay="%[2]s" data-id="placed"></script>`, relay.addr, script, port)
	}))
	t.Cleanup(blog.Close)
	c := openChromium(t, plainEnv(t.TempDir())).tab.(*chromium)
	c.navigate(blog.URL)
	for id, want := range map[string]string{
		"own":    relay.url(),
		"other":  "http://localhost:" + port + "/radio",
		"script": "", "none": "", "name": "", "placed": "",
	} {
		var got struct{ Src, Text string }
		c.evaluate(fmt.Sprintf(`(() => { const e = document.getElementById(%q); return {Src: e.querySelector("iframe")?.src ?? "", Text: e.textContent} })()`, id), &got)
		if got.Src != want || (want == "") != strings.HasPrefix(got.Text, "Earshot: ") {
			t.Errorf("%s: a frame with %q, want %q; and the text %q", id, got.Src, want, got.Text)
		}
	}
	var title string
	if c.evaluate("document.title", &title); title != "Blog" {
		t.Errorf("the page is called %s", title)
	}
}
