// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/pprof"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// site is what is served over HTTP. The parts that need the store answer 503
// until it is open.
type site struct {
	mux *http.ServeMux
	// app serves the API and the page, nil while starting.
	app atomic.Pointer[http.Handler]
	// draining is set when the process ends.
	draining atomic.Bool
	// readOnly says why the store does not take writes, "" when it does.
	readOnly atomic.Pointer[func() string]
}

// newSite returns the site; profiling of this process is part of it on request.
func newSite(gatherer prometheus.Gatherer, profiling bool) *site {
	s := &site{mux: http.NewServeMux()}
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	for _, path := range []string{"/-/healthy", "/healthz"} {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "healthy") })
	}
	for _, path := range []string{"/-/ready", "/ready"} {
		s.mux.HandleFunc("GET "+path, s.ready)
	}
	if profiling {
		s.mux.HandleFunc("/debug/pprof/", pprof.Index)
		s.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		s.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		s.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		s.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if app := s.app.Load(); app != nil {
			(*app).ServeHTTP(w, r)
			return
		}
		say(w, http.StatusServiceUnavailable, "starting")
	})
	return s
}

// open makes the rest of the site available.
func (s *site) open(app http.Handler, readOnly func() string) {
	s.readOnly.Store(&readOnly)
	s.app.Store(&app)
}

// ready answers whether the process should get traffic.
func (s *site) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.draining.Load():
		say(w, http.StatusServiceUnavailable, "draining")
	case s.app.Load() == nil:
		say(w, http.StatusServiceUnavailable, "starting")
	default:
		if reason := (*s.readOnly.Load())(); reason != "" {
			say(w, http.StatusServiceUnavailable, "read-only: "+reason)
			return
		}
		say(w, http.StatusOK, "ready")
	}
}

// say answers with one line.
func say(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, line+"\n")
}
