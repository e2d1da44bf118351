package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// tab is a tab of some browser. One goroutine may use it.
type tab interface {
	navigate(url string)
	// evaluate puts into value what a JavaScript expression is as JSON.
	evaluate(js string, value any)
	// click clicks on an element as a person does.
	click(selector string)
}

// chromium is the tab of a browser of openBrowser.
type chromium struct{ *browser }

func (c chromium) navigate(url string) {
	c.t.Helper()
	do(c.browser, chromedp.Navigate(url))
}

func (c chromium) evaluate(js string, value any) {
	c.t.Helper()
	text := do(c.browser, chromedp.Evaluate[string]("JSON.stringify("+js+")"))
	if err := json.Unmarshal([]byte(text), value); err != nil {
		c.t.Fatalf("%s is %q: %v", js, text, err)
	}
}

// dataset is what the player says of itself: its root's data attributes.
func dataset(page tab) map[string]string {
	var got map[string]string
	page.evaluate("({...document.documentElement.dataset})", &got)
	return got
}

// waitTab waits until the player says that it is in a state.
func waitTab(t testing.TB, page tab, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		if got = dataset(page)["state"]; got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the page's state is %q, want %q", got, want)
		}
	}
}
