// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/identity"
)

// The pause before sampling is tried again doubles from the first to the second.
const (
	minPause = 10 * time.Second
	maxPause = 5 * time.Minute
)

// sample keeps a tracer running until ctx ends.
func (p *profiler) sample(ctx context.Context) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := p.profile(ctx)
		if ctx.Err() != nil {
			if err != nil {
				p.log.Warn("the end of sampling", "err", err)
			}
			return
		}
		err = fmt.Errorf("cannot profile this host: %w", err)
		if fixes := p.missing(); len(fixes) > 0 {
			p.tell(componentstatus.NewPermanentErrorEvent(errors.Join(append([]error{err}, fixes...)...)))
			p.log.Error("nothing is profiled until the Collector is started again", "err", err)
			return
		}
		p.tell(componentstatus.NewRecoverableErrorEvent(err))
		p.log.Error("nothing is profiled for now", "err", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (p *profiler) tell(e *componentstatus.Event) { componentstatus.ReportStatus(p.component, e) }

// missing says what this host lacks without which nothing can be sampled.
func (p *profiler) missing() []error {
	var out []error
	for _, c := range p.options.probe() {
		if c.Required && !c.OK {
			out = append(out, fmt.Errorf("%s: %s: %s", c.Name, c.Detail, c.Fix))
		}
	}
	return out
}

// profile runs one tracer. It returns nil only when ctx has ended.
func (p *profiler) profile(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	resolver, err := identity.New(identity.Options{
		EnvVars: p.cfg.EnvVars, CommandLines: p.cfg.CommandLines, Labels: p.cfg.labels(), Logger: p.log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	tracer, err := p.options.newTracer(sampling.Config{
		SamplesPerSecond: p.cfg.SamplesPerSecond,
		UnwindTableBytes: int64(p.cfg.UnwindTableBytes),
		Filter:           p.cfg.Filter(),
		Identify:         p.identify(resolver.Process),
		Logger:           p.log,
		Registerer:       registry,
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return tracer.Close()
	}
	defer p.meters.use(nil)
	var sink sampling.Sink = p.batches
	if p.cfg.LabelCPUs {
		sink = sampling.LabelCPUs(sink)
	}
	ran := make(chan error, 1)
	go func() { ran <- tracer.Run(ctx, sink) }()
	select {
	case <-tracer.Started():
		p.meters.use(registry)
		p.tell(componentstatus.NewEvent(componentstatus.StatusOK))
		p.log.Info("profiling", "host", p.host.Name, "host_id", p.host.ID, "samples_per_second", p.cfg.SamplesPerSecond)
		err = <-ran
	case err = <-ran:
	}
	if err == nil && ctx.Err() == nil {
		err = errors.New("the tracer stopped by itself")
	}
	return err
}

// identify lets the embedder change what is known of a process.
func (p *profiler) identify(known func(libpf.PID, string) *libpf.Process) func(libpf.PID, string) *libpf.Process {
	if p.options.process == nil {
		return known
	}
	return func(pid libpf.PID, comm string) *libpf.Process {
		process := *known(pid, comm) // which others may hold
		process.Labels = slices.Clone(process.Labels)
		p.options.process(&process)
		slices.SortStableFunc(process.Labels, func(a, b libpf.Label) int { return cmp.Compare(a.Key, b.Key) })
		return &process
	}
}
