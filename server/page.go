package server

import (
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// contentPolicy allows the player's own files and its WASM decoder, no other
// host, and to be shown in a frame by none but the given sites (Content Security
// Policy Level 3).
func contentPolicy(embed []string) string {
	if len(embed) == 0 {
		embed = []string{"'none'"}
	}
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; " +
		"img-src 'self' data:; connect-src 'self'; worker-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors " + strings.Join(embed, " ")
}

// secure sets the headers that every answer has. A stream's page may be shown
// in frames of other sites by a policy of its own.
func (s *Server) secure(next http.Handler) http.Handler {
	policy := contentPolicy(s.config.Embed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=()")
		// Browsers complain of it on pages that aren't secure, and ignore it.
		if r.TLS != nil || s.config.PublicURL != nil && s.config.PublicURL.Scheme == "https" {
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
		}
		next.ServeHTTP(w, r)
	})
}

// embedScript is what pages of other sites load to show a stream's page.
const embedScript = "embed.js"

// playerHandler serves index.html, at any path but static/, which is asked for
// anew each time, and static/, where a file's name changes with its content. A file that has a
// compressed form beside it goes out in that to whoever takes it.
func playerHandler(player fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, cache := strings.TrimPrefix(r.URL.Path, "/"), "public, max-age=31536000, immutable"
		switch {
		case name == embedScript:
			cache = "public, max-age=3600" // its address stays when it changes
		case !strings.HasPrefix(name, "static/"):
			name, cache = "index.html", "no-cache"
		}
		info, err := fs.Stat(player, name)
		if err != nil || info.IsDir() {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", cache)
		h.Set("Vary", "Accept-Encoding")
		h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
		for _, form := range []struct{ coding, ending string }{{"br", ".br"}, {"gzip", ".gz"}} {
			if _, err := fs.Stat(player, name+form.ending); err == nil && accepts(r, form.coding) {
				h.Set("Content-Encoding", form.coding)
				name += form.ending
				break
			}
		}
		http.ServeFileFS(w, r, player, name)
	})
}

// accepts tells whether the client takes a content coding (RFC 9110 section
// 12.5.3).
func accepts(r *http.Request, coding string) bool {
	for entry := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(entry, ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			_, q, _ := strings.Cut(weight, "=")
			q = strings.TrimSpace(q)
			return strings.Trim(q, "0.") != "" || q == ""
		}
	}
	return false
}
