// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestSite follows the site through the life of the process.
func TestSite(t *testing.T) {
	t.Parallel()
	s := newSite(prometheus.NewRegistry(), false)
	f := func(path string, status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != status || (body != "" && w.Body.String() != body+"\n") {
			t.Errorf("%s: %d %q, want %d %q", path, w.Code, w.Body, status, body)
		}
	}
	f("/-/ready", http.StatusServiceUnavailable, "starting")
	f("/api/v1/top", http.StatusServiceUnavailable, "starting")
	f("/-/healthy", http.StatusOK, "healthy")
	f("/metrics", http.StatusOK, "")
	reason := ""
	s.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "app") }), func() string { return reason })
	f("/-/ready", http.StatusOK, "ready")
	f("/api/v1/top", http.StatusOK, "app")
	f("/", http.StatusOK, "app")
	f("/debug/pprof/", http.StatusOK, "app") // not profiling: it is not on loopback
	reason = "disk full"
	f("/-/ready", http.StatusServiceUnavailable, "read-only: disk full")
	reason = ""
	s.draining.Store(true)
	f("/ready", http.StatusServiceUnavailable, "draining")
}
