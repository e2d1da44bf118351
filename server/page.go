package server

import (
	"io/fs"
	"net/http"
	"strings"
)

// contentPolicy allows the player's own files and its WASM decoder, and no
// other host (Content Security Policy Level 3).
const contentPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; " +
	"img-src 'self' data:; connect-src 'self'; worker-src 'self'; media-src 'self' blob:; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// secure sets the headers that every answer has.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// playerHandler serves index.html, which is asked for anew each time, and
// static/, where a file's name changes with its content.
func playerHandler(player fs.FS) http.Handler {
	files := http.FileServerFS(player)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			w.Header().Set("Cache-Control", "no-cache")
		case strings.HasSuffix(r.URL.Path, "/"):
			http.NotFound(w, r) // no listing of folders
			return
		default:
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		files.ServeHTTP(w, r)
	})
}
