// SPDX-License-Identifier: Apache-2.0

// Package web serves the page of the collection agent. Its sources are in ui/,
// what is built from them is in dist/ and embedded, so that the binary needs
// no other file and the page asks no other host.
package web

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load its own files and ask its own server, nothing else.
// Styles of single elements are set by scripts, which the policy permits.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Patterns lists the patterns of [http.ServeMux] that [Handler] serves.
func Patterns() []string {
	patterns := []string{"GET /{$}"}
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	for _, e := range entries {
		pattern := "GET /" + e.Name()
		if e.IsDir() {
			pattern += "/"
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

// Handler serves the page at / and its files below. It knows no other path, so
// that a mistyped one is a 404. It works behind a prefix that a proxy strips,
// as the page refers to everything relative to itself. It is safe for
// concurrent use.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if strings.HasPrefix(name, "assets/") {
			h.Set("Cache-Control", "public, max-age=31536000, immutable") // named by their content
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
