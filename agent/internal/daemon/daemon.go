// SPDX-License-Identifier: Apache-2.0

// Package daemon is the agent as it runs on a host for years: it connects a
// tracer to a reporter, tells about itself, and ends in order.
//
// Start and end have an order. The page of metrics comes first, so that a start
// that hangs can be looked at; then the reporter, which does not wait for its
// server; then the tracer. At the end the tracer stops, hands over what it
// holds, and only then the reporter sends what it has.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/selfmetrics"
	"github.com/strobe-profiler/strobe/agent/internal/status"
	"github.com/strobe-profiler/strobe/internal/containers"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/hostmemory"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/systemd"
	"github.com/strobe-profiler/strobe/libpf"
)

// Reporter delivers what the agent finds out. Its methods do not block for long,
// but for Stop, which takes up to the time it was made with.
type Reporter interface {
	sampling.Sink
	ReportMetrics(timestamp uint32, ids []uint32, values []int64)
	ReportHostMetadata(map[string]string)
	// Delivery describes how delivery goes, for people.
	Delivery() status.Delivery
	Stop()
}

// Dependencies are the parts that the daemon connects.
type Dependencies struct {
	NewTracer sampling.New
	// NewReporter is handed the identity of the host, and how to ask what is limited
	// on it: nothing until that is known, which takes a minute.
	NewReporter func(host hostinfo.Host, limits func() []sampling.Capability) (Reporter, error)
	Identify    func(pid libpf.PID, comm string) *libpf.Process
	// Containers, if not nil, says how it stands with those who know containers.
	Containers func() []containers.Status
	// Probe says what the host allows. It is asked when there is no tracer, to
	// explain why, and once while there is one, to say what is off.
	Probe    func() []sampling.Capability
	Registry *prometheus.Registry
	Logger   *slog.Logger
	Version  string
	// Confine, if not nil, gives up what is not needed once the agent profiles, and
	// says which privileges remain. The agent goes on after an error.
	Confine func() (kept []string, err error)
	// Host says where to look for the host's identity.
	Host hostinfo.Options
	// Systemd is told how far the agent is; nil for none.
	Systemd *systemd.Notifier
	// ListeningAt, if not nil, is called with the address of the HTTP server.
	ListeningAt func(address string)
}

const (
	// selfInterval is how often the agent reports on itself and looks whether
	// the host has changed.
	selfInterval = time.Minute
	// drainTimeout bounds how long a tracer may take to hand over what it has after it
	// was told to stop. It reads a ring in memory, so milliseconds do, but of a busy host
	// it gets few, and it may have to name functions of an executable for the first time.
	drainTimeout = 3 * time.Second
	// StopTimeout is how long the reporter may take to send what it has, so that together
	// the end takes less than the ten seconds after which systemd and containers kill.
	StopTimeout = 3500 * time.Millisecond
)

// state is how far the daemon is.
type state struct{ current atomic.Pointer[string] }

func (s *state) set(name string) { s.current.Store(&name) }
func (s *state) get() string     { return *s.current.Load() }

// Run profiles until ctx ends and returns nil then. Any other end is an error.
func Run(ctx context.Context, cfg *config.Config, deps Dependencies) (err error) {
	log := deps.Logger
	start := time.Now()
	s := &state{}
	s.set(status.Starting)
	host := hostinfo.Identify(deps.Host)
	log.Info("starting", "version", deps.Version, "host", host.Name, "host_id", host.ID, "host_id_from", host.IDSource)

	limits := sampling.NewLimits(deps.Probe, log)
	page := &statusPage{version: deps.Version, start: start, host: host, samplesPerSecond: cfg.SamplesPerSecond, state: s, limits: limits, containers: deps.Containers}
	server, err := serveHTTP(cfg.HTTPAddress, s, page, deps.Registry, log)
	if err != nil {
		// Losing the page is no reason to lose the profile.
		log.Error("no metrics are served", "flag", "-http-address", "err", err)
	} else if deps.ListeningAt != nil {
		deps.ListeningAt(server.address())
	}
	defer server.stop()

	tracer, err := deps.NewTracer(sampling.Config{
		SamplesPerSecond: cfg.SamplesPerSecond,
		UnwindTableBytes: int64(cfg.UnwindTableBytes),
		SymbolBytes:      hostmemory.Grant{Limit: cfg.MemoryLimit, Tables: cfg.UnwindTableBytes}.Symbols(),
		Filter:           cfg.Filter(),
		Identify:         deps.Identify,
		Logger:           log,
		Registerer:       deps.Registry,
	})
	if err != nil {
		limits.Ask()
		return fmt.Errorf("cannot profile this host: %w", err)
	}
	reporter, err := deps.NewReporter(host, limits.Known)
	if err != nil {
		return errors.Join(fmt.Errorf("start reporter: %w", err), tracer.Close())
	}
	defer stopReporter(reporter, log)
	page.set(tracer, reporter)

	d := &daemon{deps: deps, log: log, host: host, state: s, page: page, limits: limits, reporter: reporter, sink: reporter}
	if cfg.LabelCPUs {
		d.sink = sampling.LabelCPUs(reporter)
	}
	return d.profile(ctx, tracer)
}

// stopReporter sends what is left and tells what became of all samples: nobody can
// ask any more.
func stopReporter(r Reporter, log *slog.Logger) {
	r.Stop()
	d := r.Delivery()
	log.Info("stopped", "captured", d.CapturedTotal, "stored", d.StoredTotal, "spooled", d.SpooledSamples, "dropped", d.Dropped())
}

// daemon is what is needed while the tracer runs.
type daemon struct {
	deps     Dependencies
	log      *slog.Logger
	host     hostinfo.Host
	state    *state
	page     *statusPage
	limits   *sampling.Limits
	reporter Reporter
	sink     sampling.Sink // of the tracer
}

// profile runs the tracer until ctx ends.
func (d *daemon) profile(ctx context.Context, tracer sampling.Tracer) error {
	// Before the first sample: an exporter of OTLP puts it into everything it sends.
	described := d.reportHost(nil)
	ran := make(chan error, 1)
	go func() { ran <- tracer.Run(ctx, d.sink) }()

	var background sync.WaitGroup
	backgroundCtx, stopBackground := context.WithCancel(ctx)
	defer background.Wait()
	defer stopBackground()
	background.Go(func() { d.reportSelf(backgroundCtx, described) })
	background.Go(func() { d.deps.Systemd.Alive(backgroundCtx) })

	select {
	case err := <-ran:
		return ended(ctx, err)
	case <-tracer.Started():
		d.limits.Started()
		d.confine()
		d.state.set(status.Ready)
		d.deps.Systemd.Tell(systemd.Ready)
	}
	select {
	case err := <-ran:
		if err != nil || ctx.Err() == nil {
			return ended(ctx, err)
		}
		// It was asked to end and was quick: that is the same end, of which systemd is told.
		ran <- nil
	case <-ctx.Done():
	}
	d.log.Info("stopping: sending what is left")
	d.state.set(status.Stopping)
	d.deps.Systemd.Tell(systemd.Stopping)
	select {
	case err := <-ran:
		return err
	case <-time.After(drainTimeout):
		// It was asked to end, and it ends: that is no failure of the service.
		d.log.Warn("the tracer did not stop in time: the samples that it has not handed over yet are lost", "timeout", drainTimeout)
		return nil
	}
}

// ended says what the end of a tracer means: nothing when it was asked to.
func ended(ctx context.Context, err error) error {
	if err == nil && ctx.Err() == nil {
		err = errors.New("the tracer stopped by itself")
	}
	return err
}

// reportHost describes the host unless nothing has changed, and returns what is known now.
func (d *daemon) reportHost(known map[string]string) map[string]string {
	now := hostinfo.Metadata(d.deps.Host, d.host, d.deps.Version)
	if !hostinfo.Changed(known, now) {
		return known
	}
	d.reporter.ReportHostMetadata(now)
	return now
}

// reportSelf reports on the agent, and on the host when it changed, until ctx ends,
// and then once more on the agent.
func (d *daemon) reportSelf(ctx context.Context, described map[string]string) {
	metrics := selfmetrics.NewCollector(d.deps.Registry)
	tick := time.NewTicker(selfInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.reportMetrics(metrics)
			return
		case <-tick.C:
			d.reportMetrics(metrics)
			described = d.reportHost(described)
			// Asking the kernel for everything takes as long as the whole start, so
			// it waits until that is over.
			d.limits.Ask()
		}
	}
}

func (d *daemon) reportMetrics(c *selfmetrics.Collector) {
	ids, values, err := c.Collect()
	if err != nil {
		d.log.Debug("some metrics are missing", "err", err)
	}
	if len(ids) > 0 {
		d.reporter.ReportMetrics(libpf.NowAsUInt32(), ids, values)
	}
}

// confine gives up privileges.
func (d *daemon) confine() {
	if d.deps.Confine == nil {
		return
	}
	kept, err := d.deps.Confine()
	if err != nil {
		d.log.Warn("the agent has more privileges than it needs", "err", err, "kept", kept)
	} else {
		d.log.Info("privileges that are not needed any more are given up", "kept", kept)
	}
	d.page.setPrivileges(kept)
}
