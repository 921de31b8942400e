// SPDX-License-Identifier: Apache-2.0

package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

func TestPageAndItsFiles(t *testing.T) {
	t.Parallel()
	page := get(t, http.MethodGet, "/")
	body, err := io.ReadAll(page.Body)
	if err != nil || page.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", page.StatusCode, err)
	}
	if ct := page.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/html") {
		t.Errorf("content type is %q", ct)
	}
	if !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("the page has no content security policy")
	}
	if page.Header.Get("Cache-Control") != "no-cache" {
		t.Error("the page may be cached, so an update would not be seen")
	}
	refs := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(body), -1)
	if len(refs) < 3 {
		t.Fatalf("the page refers to %d files", len(refs))
	}
	for _, ref := range refs {
		if !strings.HasPrefix(ref[1], "./") {
			t.Errorf("%q is not relative: it breaks behind a prefix", ref[1])
			continue
		}
		file := get(t, http.MethodGet, strings.TrimPrefix(ref[1], "."))
		if file.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", ref[1], file.StatusCode)
		}
		if strings.Contains(ref[1], "assets/") && !strings.Contains(file.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s is not cached", ref[1])
		}
	}
}

func TestOthers(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]int{"/none": 404, "/assets/": 404, "/../web.go": 404, "/assets": 404} {
		if got := get(t, http.MethodGet, target).StatusCode; got != want {
			t.Errorf("GET %s: status %d, want %d", target, got, want)
		}
	}
	if got := get(t, http.MethodPost, "/").StatusCode; got != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", got)
	}
}

// TestNoOtherHost looks for addresses that a browser would load from.
func TestNoOtherHost(t *testing.T) {
	t.Parallel()
	entries, err := dist.ReadDir("dist/assets")
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`https?://[^"'\s)]+`)
	for _, e := range entries {
		b, err := dist.ReadFile("dist/assets/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range address.FindAllString(string(b), -1) {
			// Names of XML and of a format of files, not loaded.
			if !strings.HasPrefix(a, "http://www.w3.org/") && !strings.HasPrefix(a, "https://www.speedscope.app/file-format-schema.json") {
				t.Errorf("%s mentions %s", e.Name(), a)
			}
		}
	}
}
