// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
)

// openSite returns a site that needs no token.
func openSite(t *testing.T) *site {
	t.Helper()
	guard, err := auth.New(auth.Config{Path: filepath.Join(t.TempDir(), "auth.json")})
	if err != nil {
		t.Fatal(err)
	}
	return &site{guard: guard}
}

// TestSite follows the site through the life of the process.
func TestSite(t *testing.T) {
	t.Parallel()
	s := openSite(t)
	h := s.handler(prometheus.NewRegistry(), false)
	f := func(path string, status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		if w.Code != status || (body != "" && w.Body.String() != body+"\n") {
			t.Errorf("%s: %d %q, want %d %q", path, w.Code, w.Body, status, body)
		}
	}
	f("/-/ready", http.StatusServiceUnavailable, "starting")
	f("/api/v1/top", http.StatusServiceUnavailable, "starting")
	f("/", http.StatusServiceUnavailable, "starting")
	f("/-/healthy", http.StatusOK, "healthy")
	f("/metrics", http.StatusOK, "")
	reason := ""
	s.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "app") }), func() string { return reason }, func() string { return "" })
	f("/-/ready", http.StatusOK, "ready")
	f("/api/v1/top", http.StatusOK, "app")
	f("/api/v1/none", http.StatusOK, "app")
	f("/", http.StatusOK, "app")
	f("/debug/pprof/", http.StatusNotFound, "") // not profiling
	f("/none", http.StatusNotFound, "")
	reason = "disk full"
	f("/-/ready", http.StatusServiceUnavailable, "read-only: disk full")
	reason = ""
	s.draining.Store(true)
	f("/ready", http.StatusServiceUnavailable, "draining")
}

// TestLocked looks at a server that other machines reach and that has no token.
func TestLocked(t *testing.T) {
	t.Parallel()
	guard, err := auth.New(auth.Config{Path: filepath.Join(t.TempDir(), "auth.json"), Reachable: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{guard: guard}
	h := s.handler(prometheus.NewRegistry(), true)
	s.open(http.NotFoundHandler(), func() string { return "" }, func() string { return "" })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if status, body := get("/-/ready"); status != http.StatusOK || !strings.Contains(body, "nobody has access") || !strings.Contains(body, createToken) {
		t.Errorf("/-/ready: %d %q", status, body)
	}
	for _, path := range []string{"/metrics", "/api/v1/status", "/debug/pprof/"} {
		if status, _ := get(path); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, body := get("/login"); status != http.StatusOK || !strings.Contains(body, "No token exists yet") {
		t.Errorf("/login: %d %q", status, body)
	}
}
