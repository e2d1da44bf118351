//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"earshot/tray/traytest"

	"github.com/chromedp/chromedp"
)

const testLink = "http://192.0.2.1:3277/#header.claims-_</textarea>&signature"

// visit fetches url as a browser does, naming host if that is not "".
func visit(t *testing.T, method, url, host string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestShowLinkOnce(t *testing.T) {
	var address string
	err := showLink(t.Context(), testLink, func(_ context.Context, u string) error {
		address = u
		if code, _, _ := visit(t, "GET", u+"x", ""); code != http.StatusNotFound {
			t.Errorf("another path: %d", code)
		}
		if code, _, _ := visit(t, "GET", u, "rebound.example:80"); code != http.StatusNotFound {
			t.Errorf("another host: %d", code)
		}
		if code, _, _ := visit(t, "HEAD", u, ""); code != http.StatusMethodNotAllowed {
			t.Errorf("HEAD: %d", code)
		}
		code, header, body := visit(t, "GET", u, "")
		if code != http.StatusOK || !strings.Contains(body, "#header.claims-_&lt;/textarea&gt;&amp;signature</textarea>") {
			t.Errorf("the page: %d %s", code, body)
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") ||
			header.Get("Cache-Control") != "no-store" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("headers are %v", header)
		}
		// The server may be gone already, and then there is no answer.
		if code, _, body := visit(t, "GET", u, ""); code == http.StatusOK || strings.Contains(body, "signature") {
			t.Errorf("a second visit: %d %s", code, body)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(address, "header") || !strings.HasPrefix(address, "http://127.0.0.1:") || len(address) < 40 {
		t.Errorf("the browser was given %s", address)
	}
	if code, _, _ := visit(t, "GET", address, ""); code != 0 {
		t.Errorf("the server is still there: %d", code)
	}
}

func TestShowLinkGivesUp(t *testing.T) {
	broken := errors.New("no browser")
	if err := showLink(t.Context(), testLink, func(context.Context, string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("without a browser: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := showLink(ctx, testLink, func(context.Context, string) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is to end: %v", err)
	}
}

func TestOpenURL(t *testing.T) {
	dir := t.TempDir()
	_, said := program(t, dir, "xdg-open")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if err := openURL(t.Context(), "http://127.0.0.1:1/x"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(said); err != nil || string(got) != "http://127.0.0.1:1/x\n" {
		t.Errorf("xdg-open was given %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := openURL(t.Context(), "http://127.0.0.1:1/x"); err == nil {
		t.Error("no error from xdg-open that failed")
	}
	t.Setenv("PATH", t.TempDir())
	if err := openURL(t.Context(), "http://127.0.0.1:1/x"); err == nil || !strings.Contains(err.Error(), "xdg-utils") {
		t.Errorf("without xdg-open: %v", err)
	}
}

// Another user of the computer, who sees the page's address, doesn't get it, nor
// keeps who asked for it from seeing it.
func TestAsRootLinkPageIsOneUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("to be another user takes root: run the test as root, as ./build/test does")
	}
	err := showLink(t.Context(), testLink, func(_ context.Context, u string) error {
		page, err := url.Parse(u)
		if err != nil {
			return err
		}
		other := exec.Command("bash", "-c", `exec 3<>"/dev/tcp/127.0.0.1/$1"; printf 'GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' "$2" "$3" >&3; cat <&3`,
			"bash", page.Port(), page.Path, page.Host)
		other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := other.CombinedOutput()
		if err != nil || !strings.Contains(string(out), " 403 ") || strings.Contains(string(out), "signature") {
			t.Errorf("another user gets %s, %v", out, err)
		}
		if code, _, body := visit(t, "GET", u, ""); code != http.StatusOK || !strings.Contains(body, "signature") {
			t.Errorf("who asked for it gets %d %s", code, body)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// In a real browser the link is there, selected, and the button copies it.
func TestShowLinkInABrowser(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	defer closeBrowser()
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()
	err := showLink(ctx, testLink, func(_ context.Context, url string) error {
		return chromedp.Do(ctx, chromedp.Navigate(url))
	})
	if err != nil {
		t.Fatalf("show the page (Debian package chromium): %v", err)
	}
	selected, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.getElementById('link'))`))
	if err != nil || selected != testLink {
		t.Errorf("selected is %q, %v", selected, err)
	}
	if err := chromedp.Do(ctx, chromedp.Click("#copy", chromedp.NodeVisible)); err != nil {
		t.Fatal(err)
	}
	traytest.Until(t, "the page to say that it copied the link", func() bool {
		said, err := chromedp.Run(ctx, chromedp.TextContent("#said", chromedp.NodeReady))
		return err == nil && said == "Copied."
	})
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	picture(t, "link.png", shot)
}
