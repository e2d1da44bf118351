package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// linkPageLimit is how long a page with a link waits to be fetched.
const linkPageLimit = time.Minute

// linkPage shows a link where nothing can copy it. It asks nothing of anybody:
// by the time it is seen its server is gone.
var linkPage = template.Must(template.New("link").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Earshot · share link</title>
<link rel="icon" href="data:,">
<style nonce="{{.Nonce}}">
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
  textarea { font: 1rem/1.4 ui-monospace, monospace; box-sizing: border-box; width: 100%; padding: .6rem; word-break: break-all }
  button { font: inherit; margin: .8rem .8rem 0 0; padding: .5rem 1.2rem }
</style>
<h1>Your share link</h1>
<p><label for="link">Whoever opens it hears what this computer plays. This page shows it once.</label></p>
<textarea id="link" rows="6" readonly autofocus spellcheck="false">{{.Link}}</textarea>
<button type="button" id="copy">Copy</button><span id="said" role="status"></span>
<script nonce="{{.Nonce}}">
  const link = document.getElementById('link'), said = document.getElementById('said')
  link.addEventListener('focus', () => link.select())
  link.select()
  document.getElementById('copy').addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(link.value)
      said.textContent = 'Copied.'
    } catch {
      link.focus()
      link.select()
      said.textContent = document.execCommand('copy') ? 'Copied.' : 'Press Ctrl+C to copy.'
    }
  })
</script>
`))

// showLink shows link on a page in the user's browser. The page is on this
// computer, at an address that can't be guessed, and is there for one visit of
// this user's within linkPageLimit: the link itself would be seen by every user
// of the computer if it were given to the browser as an argument.
//
// open makes a browser open an address. It need not wait for the browser, and
// may once its context ends. showLink returns when the page was fetched, or the
// error is that of open or says that nobody came, or that ctx ended first.
func showLink(ctx context.Context, link string, open func(ctx context.Context, url string) error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("show link: %w", err)
	}
	host, path := ln.Addr().String(), "/"+rand.Text()
	var visits atomic.Int32
	waiting, fetched := context.WithTimeout(ctx, linkPageLimit)
	defer fetched()
	page := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		// Other users of this computer see the address, as an argument of the
		// browser, and could be here before it.
		if own, err := connectedByUs(r); err != nil || !own {
			http.Error(w, "This page is for another user of this computer.", http.StatusForbidden)
			return
		}
		// Another host name here would be a page elsewhere that had its name
		// lead to this computer.
		if r.Host != host || subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(path)) == 0 {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet {
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		if visits.Add(1) > 1 {
			http.Error(w, "This page was already shown. Ask for a new link.", http.StatusGone)
			return
		}
		defer fetched()
		nonce := rand.Text()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+
			"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_ = linkPage.Execute(w, struct{ Nonce, Link string }{nonce, link}) // a browser that left
	}
	srv := &http.Server{
		Handler:        http.HandlerFunc(page),
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   5 * time.Second,
		MaxHeaderBytes: 32 << 10,
	}
	srv.SetKeepAlivesEnabled(false)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()

	err = open(waiting, "http://"+host+path)
	if err == nil {
		<-waiting.Done()
		err = ctx.Err()
	}
	switch {
	case visits.Load() > 0:
		err = nil
	case err == nil:
		err = errors.New("no browser opened the page")
	}
	// The answer may still be on its way.
	ending, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if srv.Shutdown(ending) != nil {
		_ = srv.Close()
	}
	<-served
	if err != nil {
		return fmt.Errorf("show link: %w", err)
	}
	return nil
}

// connectedByUs tells whether a program of this user's sent r.
func connectedByUs(r *http.Request) (bool, error) {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false, err
	}
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addr == nil {
		return false, errors.New("no local address")
	}
	server, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false, err
	}
	return ownPeer(client, server)
}
