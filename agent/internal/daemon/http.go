// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/status"
	"github.com/strobe-profiler/strobe/internal/containers"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/sampling"
)

// httpServer serves the agent's pages. A nil one serves nothing.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{}
}

// serveHTTP starts to serve. It returns nil for the address "off".
func serveHTTP(address string, s *state, page *statusPage, g prometheus.Gatherer, log *slog.Logger) (*httpServer, error) {
	if address == config.HTTPOff {
		return nil, nil //nolint:nilnil // documented
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	h := &httpServer{
		listener: listener,
		server: &http.Server{
			Handler:           handler(s, page, g, config.IsLoopback(address)),
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		served: make(chan struct{}),
	}
	go func() {
		defer close(h.served)
		if err := h.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "err", err)
		}
	}()
	log.Info("serving metrics", "address", "http://"+h.address()+"/metrics")
	return h, nil
}

func (h *httpServer) address() string {
	if h == nil {
		return ""
	}
	return h.listener.Addr().String()
}

// httpStopTimeout is how long answers that were begun may take at the end.
const httpStopTimeout = 200 * time.Millisecond

func (h *httpServer) stop() {
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpStopTimeout)
	defer cancel()
	if h.server.Shutdown(ctx) != nil {
		_ = h.server.Close() // nobody is left to tell
	}
	<-h.served
}

const indexPage = `strobe agent

/metrics      metrics for Prometheus
/-/healthy    200 while the agent runs
/-/ready      200 while it profiles
/status       what it does, as JSON
`

func handler(s *state, page *statusPage, g prometheus.Gatherer, loopback bool) http.Handler {
	mux := http.NewServeMux()
	text := func(pattern string, answer func() (int, string)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			code, body := answer()
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body) // the client may be gone
		})
	}
	text("GET /{$}", func() (int, string) { return http.StatusOK, indexPage })
	healthy := func() (int, string) { return http.StatusOK, "healthy\n" }
	isReady := func() (int, string) {
		if now := s.get(); now != status.Ready {
			return http.StatusServiceUnavailable, now + "\n"
		}
		return http.StatusOK, "ready\n"
	}
	for _, pattern := range []string{"GET /-/healthy", "GET /healthz"} {
		text(pattern, healthy)
	}
	for _, pattern := range []string{"GET /-/ready", "GET /ready"} {
		text(pattern, isReady)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.Handle("GET /status", page)
	if loopback {
		// These show memory contents and take CPU: for people on this host only,
		// and not for pages in their browsers that have another name for it.
		for pattern, f := range map[string]http.HandlerFunc{
			"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile,
			"/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
		} {
			mux.Handle(pattern, localNamesOnly(f))
		}
	}
	return mux
}

// localNamesOnly answers only requests that were made to a loopback address by
// a name that cannot be made to point elsewhere.
func localNamesOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "0")
		}
		if !config.IsLoopback(host) {
			http.Error(w, "ask by the name localhost or by address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// statusPage tells what the agent does.
type statusPage struct {
	version          string
	start            time.Time
	host             hostinfo.Host
	samplesPerSecond int
	state            *state
	limits           *sampling.Limits
	containers       func() []containers.Status

	mu         sync.Mutex
	tracer     sampling.Tracer
	reporter   Reporter
	privileges []string
}

func (p *statusPage) set(t sampling.Tracer, r Reporter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracer, p.reporter = t, r
}

func (p *statusPage) setPrivileges(kept []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.privileges = kept
}

// ServeHTTP implements http.Handler.
func (p *statusPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = p.report().WriteJSON(w) // the client may be gone
}

func (p *statusPage) report() *status.Report {
	p.mu.Lock()
	tracer, reporter, privileges := p.tracer, p.reporter, p.privileges
	p.mu.Unlock()
	r := &status.Report{
		State: p.state.get(), Version: p.version, Host: p.host.Name, HostID: p.host.ID,
		StartTime: p.start, UptimeSeconds: int64(time.Since(p.start).Seconds()),
		SamplesPerSecond: p.samplesPerSecond, Privileges: privileges,
	}
	if r.State == status.Starting {
		// The start must not take longer because somebody watches it.
		r.Limits = p.limits.Known()
	} else {
		r.Limits = p.limits.Ask()
	}
	if p.containers != nil {
		r.Containers = p.containers()
	}
	if tracer != nil && r.State == status.Ready {
		if s, err := tracer.Stats(); err == nil {
			r.Sampling = &s
		}
	}
	if reporter != nil {
		d := reporter.Delivery()
		r.Delivery = &d
	}
	return r
}
