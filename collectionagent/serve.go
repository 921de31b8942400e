// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/push"
	"github.com/strobe-profiler/strobe/collectionagent/pyroscope"
	"github.com/strobe-profiler/strobe/collectionagent/web"
	"github.com/strobe-profiler/strobe/internal/buildinfo"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// serve runs the server until the context ends, and then drains it. It prints
// one line with the address to open once everything is ready.
func serve(ctx context.Context, c *Config, logger *slog.Logger, stdout io.Writer) (err error) {
	registry := newRegistry()
	security, err := newSecurity(c, logger, registry)
	if err != nil {
		return err
	}
	guard, err := newGuard(c, logger, registry)
	if err != nil {
		return err
	}
	renewal, stopRenewal := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { security.run(renewal) })
	defer renewing.Wait()
	defer stopRenewal()
	httpListener, err := net.Listen("tcp", c.HTTPAddress)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	defer func() { _ = httpListener.Close() }() // closed by its server, if it got that far
	grpcListener, err := net.Listen("tcp", c.GRPCAddress)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	defer func() { _ = grpcListener.Close() }()

	manager, started := tellStarting(ctx, logger)
	defer started()

	// HTTP first: replaying a long log takes time, in which /-/ready says so.
	s := &site{guard: guard}
	said := &httpLog{logger, newHandshakeCounter()}
	if security.http != nil {
		if err := registry.Register(said.handshakes); err != nil {
			return fmt.Errorf("register metrics of TLS: %w", err)
		}
	}
	pages := &http.Server{
		Handler:   s.handler(registry, isLoopback(httpListener.Addr().String()) || c.Auth != auth.ModeOff),
		TLSConfig: security.http, IdleTimeout: 2 * time.Minute,
		// Anybody may send the form of the login, and never end it.
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: c.Limits.RequestTimeout,
		MaxHeaderBytes: 64 << 10, ErrorLog: said.standard(),
	}
	failed := make(chan error, 2)
	// More than that wait in the kernel, which bounds them as well.
	go serveHTTP(pages, netutil.LimitListener(httpListener, c.Limits.MaxConnections), failed)
	defer func() { _ = pages.Close() }()

	began := time.Now()
	plan, err := c.memoryPlan()
	if err != nil {
		return err
	}
	queries := memory.NewBudget("-query-memory, a part of -memory", plan.Bytes[memory.Queries], queryPatience)
	for _, m := range append(plan.Collectors(), queries.Collectors()...) {
		if err := registry.Register(m); err != nil {
			return fmt.Errorf("register metrics of memory: %w", err)
		}
	}
	db, err := openStore(ctx, c, plan, queries, logger, registry, s.setStarting)
	if err != nil || db == nil { // none when the process ends before
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	closeControl, err := serveControl(ctx, c, db, logger)
	if err != nil {
		return err
	}
	defer closeControl()
	agents, err := fleet.New(fleet.Options{Registerer: registry})
	if err != nil {
		return err
	}
	single := c.Limits.single()
	if kept := c.Retention.longest(); kept > 0 && kept < single.MaxSampleAge {
		logger.Warn("samples that would expire at once are refused", "max_sample_age", single.MaxSampleAge, "retention", kept)
		single.MaxSampleAge = kept
	}
	in, err := ingest.New(ingest.Config{
		Store: db, Fleet: agents, Version: buildinfo.Version(), MaxRequestBytes: int(c.MaxRequestBytes), MaxConcurrent: c.MaxConcurrent,
		KnownStacks: int(plan.Total / bytesPerKnownStack),
		MemoryBytes: plan.Bytes[memory.Ingest], RequestTimeout: c.Limits.RequestTimeout, IdleTimeout: c.Limits.IdleTimeout,
		MaxConnections: c.Limits.MaxConnections, Limits: single, Rates: c.Limits.rates(),
		Logger: logger, Registerer: registry,
	})
	if err != nil {
		return err
	}
	scraped, err := newScraping(c, in, logger, registry)
	if err != nil {
		return err
	}
	defer scraped.end() // before the store is closed
	exporter, err := newProfileMetrics(c, db, plan, queries, logger, registry)
	if err != nil {
		return err
	}
	options := guard.ServerOptions()
	if security.grpc != nil {
		options = append(options, grpc.Creds(security.grpc))
	}
	rpc, healthServer := in.NewGRPCServer(options...)
	pushed, err := push.New(push.Config{Ingest: in, Registerer: registry})
	if err != nil {
		return err
	}
	pushed.RegisterGRPC(rpc)
	stillReplaying := func() string { return "" }
	if r, ok := db.(replaying); ok {
		stillReplaying = r.Replaying
		healthServer.SetServingStatus(pb.CollectionAgent_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_NOT_SERVING)
	}
	var strained func() bool
	if e, ok := db.(straining); ok {
		strained = e.Strained
	}
	defer rpc.Stop()
	go func() {
		if err := rpc.Serve(in.Limit(grpcListener)); err != nil {
			failed <- fmt.Errorf("serve gRPC: %w", err)
		}
	}()
	s.ingest.Store(in)
	keep := c.Retention.engine()
	s.open(app(api.Config{
		Started: began, Retention: &keep,
		Store: db, Fleet: agents, Receipts: in, Targets: scraped.targets(), Version: buildinfo.Version(), Logger: logger, Registerer: registry,
		Incomplete:    stillReplaying,
		Strained:      strained,
		MaxConcurrent: c.Limits.MaxQueries, ProjectConcurrent: c.Limits.ProjectQueries,
		Memory: queries, CacheBytes: plan.Bytes[memory.Definitions],
		QueryTimeout: c.Limits.QueryTimeout, MaxRows: c.Limits.QueryRows, MaxNodes: c.Limits.QueryNodes,
	}, pushed.Register), db.ReadOnly, stillReplaying)
	if r, ok := db.(replaying); ok {
		if err := awaitReplay(ctx, r, failed); err != nil {
			return err
		}
		healthServer.SetServingStatus(pb.CollectionAgent_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	}
	scraped.start(ctx)
	defer exporter.start(ctx)()
	if ctx.Err() == nil {
		logger.Info("ready", "http", httpListener.Addr().String(), "grpc", grpcListener.Addr().String(),
			"data_dir", c.DataDir, "tls_http", security.http != nil, "tls_grpc", security.grpc != nil, "auth", guard.Required(), "version", buildinfo.Version(), "took", time.Since(began))
		_, _ = fmt.Fprintf(stdout, "Strobe collection agent is ready: open %s (agents send to %s, data in %s)\n",
			pageURL(httpListener.Addr(), security.http != nil), grpcListener.Addr(), c.DataDir)
		started()
		defer manager.live()()
	}

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.draining.Store(true)
	manager.tellStopping()
	drain(c.ShutdownTimeout, pages, rpc, healthServer, logger)
	return err
}

// awaitReplay waits until an engine takes writes. It returns no error when the process
// ends before.
func awaitReplay(ctx context.Context, r replaying, failed <-chan error) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- r.WaitReplayed(waiting) }()
	select {
	case err := <-done:
		if ctx.Err() != nil {
			return nil
		}
		return err
	case err := <-failed:
		return err
	}
}

// newRegistry returns a registry with the metrics of the process itself.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "strobe_collectionagent_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: buildInfo().Labels(),
	})
	build.Set(1)
	registry.MustRegister( // cannot fail: the registry is new
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// serveHTTP serves until the server is closed.
func serveHTTP(server *http.Server, l net.Listener, failed chan<- error) {
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serve HTTP: %w", err)
	}
}

// drain lets requests in flight finish, and cuts them off after the timeout.
func drain(timeout time.Duration, web *http.Server, rpc *grpc.Server, h *health.Server, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	h.Shutdown()
	done := make(chan struct{})
	go func() {
		rpc.GracefulStop()
		close(done)
	}()
	if err := web.Shutdown(ctx); err != nil {
		logger.Warn("cutting off HTTP requests", "err", err)
		_ = web.Close() // ends the contexts of the requests
	}
	select {
	case <-done:
	case <-ctx.Done():
		logger.Warn("cutting off gRPC requests", "err", ctx.Err())
		rpc.Stop()
		<-done
	}
}

// pageURL returns the address to open in a browser.
func pageURL(a net.Addr, encrypted bool) string {
	scheme := "http"
	if encrypted {
		scheme = "https"
	}
	host := a.String()
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return scheme + "://" + host + "/"
}

// app returns the handler of everything that needs the store: the API, in the words of
// Pyroscope too, the page, and more.
func app(c api.Config, more ...func(*http.ServeMux)) http.Handler {
	mux := http.NewServeMux()
	for _, register := range more {
		register(mux)
	}
	answers := api.New(c)
	mux.Handle("/api/v1/", answers)
	pyroscope.New(answers).Register(mux)
	mux.Handle("/", web.Handler())
	return mux
}
