// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/push"
	"github.com/strobe-profiler/strobe/collectionagent/pyroscope"
	"github.com/strobe-profiler/strobe/collectionagent/web"
)

// site is what is served over HTTP. The parts that need the store answer 503
// until it is open.
type site struct {
	guard *auth.Guard
	// app serves the API and the page, nil while starting.
	app atomic.Pointer[http.Handler]
	// ingest takes profiles, nil while starting.
	ingest atomic.Pointer[ingest.Server]
	// starting says what the start waits for, "" when that is nothing special.
	starting atomic.Pointer[string]
	// draining is set when the process ends.
	draining atomic.Bool
	// readOnly says why the store does not take writes, "" when it does.
	readOnly atomic.Pointer[func() string]
	// replaying says how far the store has read its log, "" when it takes writes.
	replaying atomic.Pointer[func() string]
}

// handler returns the handler of all routes. Each asks the guard first.
func (s *site) handler(gatherer prometheus.Gatherer, profiling bool) http.Handler {
	return s.guard.Handler(s.routes(gatherer, profiling))
}

// routes lists all that is served; profiling of this process is part of it on
// request. Who may use a route is in [auth.DefaultPolicy].
func (s *site) routes(gatherer prometheus.Gatherer, profiling bool) []auth.Route {
	healthy := func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "healthy") }
	routes := []auth.Route{
		{Pattern: "GET /metrics", Handler: promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})},
		{Pattern: "GET /-/healthy", Handler: http.HandlerFunc(healthy)},
		{Pattern: "GET /healthz", Handler: http.HandlerFunc(healthy)},
		{Pattern: "GET /-/ready", Handler: http.HandlerFunc(s.ready)},
		{Pattern: "GET /ready", Handler: http.HandlerFunc(s.ready)},
	}
	if profiling {
		routes = append(routes,
			auth.Route{Pattern: "/debug/pprof/", Handler: http.HandlerFunc(pprof.Index)},
			auth.Route{Pattern: "/debug/pprof/cmdline", Handler: http.HandlerFunc(pprof.Cmdline)},
			auth.Route{Pattern: "/debug/pprof/profile", Handler: http.HandlerFunc(pprof.Profile)},
			auth.Route{Pattern: "/debug/pprof/symbol", Handler: http.HandlerFunc(pprof.Symbol)},
			auth.Route{Pattern: "/debug/pprof/trace", Handler: http.HandlerFunc(pprof.Trace)},
		)
	}
	routes = append(routes, auth.Route{Pattern: "POST /v1development/profiles", Handler: http.HandlerFunc(s.serveProfiles)})
	for _, pattern := range slices.Concat(api.Patterns(), web.Patterns(), push.Patterns(), pyroscope.Patterns()) {
		routes = append(routes, auth.Route{Pattern: pattern, Handler: http.HandlerFunc(s.serveApp)})
	}
	return append(routes, s.guard.Routes()...)
}

// serveApp serves what needs the store.
func (s *site) serveApp(w http.ResponseWriter, r *http.Request) {
	if app := s.app.Load(); app != nil {
		(*app).ServeHTTP(w, r)
		return
	}
	say(w, http.StatusServiceUnavailable, s.whyStarting())
}

// serveProfiles takes profiles of OTLP.
func (s *site) serveProfiles(w http.ResponseWriter, r *http.Request) {
	if in := s.ingest.Load(); in != nil {
		in.ServeProfiles(w, r)
		return
	}
	ingest.RefuseProfiles(w, r, ingest.NotYet(s.whyStarting()))
}

// setStarting says what the start waits for.
func (s *site) setStarting(reason string) { s.starting.Store(&reason) }

// whyStarting returns what to say while the store is not open.
func (s *site) whyStarting() string {
	if reason := s.starting.Load(); reason != nil && *reason != "" {
		return "starting: " + *reason
	}
	return "starting"
}

// open makes the rest of the site available.
func (s *site) open(app http.Handler, readOnly, replaying func() string) {
	s.readOnly.Store(&readOnly)
	s.replaying.Store(&replaying)
	s.app.Store(&app)
}

// ready answers whether the process should get traffic.
func (s *site) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.draining.Load():
		say(w, http.StatusServiceUnavailable, "draining")
	case s.app.Load() == nil:
		say(w, http.StatusServiceUnavailable, s.whyStarting())
	default:
		if reason := (*s.readOnly.Load())(); reason != "" {
			say(w, http.StatusServiceUnavailable, "read-only: "+reason)
			return
		}
		if progress := (*s.replaying.Load())(); progress != "" {
			say(w, http.StatusServiceUnavailable, "starting: "+progress+"; queries are answered from what is read so far")
			return
		}
		if s.guard.Locked() {
			say(w, http.StatusOK, "ready, but nobody has access: there is no token yet; create one on this machine with: "+createToken)
			return
		}
		say(w, http.StatusOK, "ready")
	}
}

// createToken is what makes the first token.
var createToken = program + " token create -project default -role ingest"

// say answers with one line.
func say(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, line+"\n")
}
