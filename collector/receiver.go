// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"

	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/live"
	"github.com/strobe-profiler/strobe/reporter"
)

const (
	// shutdownTimeout bounds how long Shutdown hands on what is left, and graceTimeout
	// how long it then waits for what was told to end at once: the kernel checks a
	// program that is being loaded to the end, which takes seconds on a busy host.
	shutdownTimeout = 5 * time.Second
	graceTimeout    = 10 * time.Second
	// sampledTimeout is how long the tracer may take to hand over what it has. It reads
	// a ring in memory, but may have just begun to load its programs.
	sampledTimeout = 2 * time.Second
)

func newOptions() options {
	return options{newTracer: live.New, probe: live.Probe, sampled: &thisHost}
}

// create is a xreceiver.CreateProfilesFunc.
func (o *options) create(_ context.Context, set receiver.Settings, cfg component.Config, next xconsumer.Profiles) (xreceiver.Profiles, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("configuration of receiver %s is a %T, want a *collector.Config", set.ID, cfg)
	}
	log := newLogger(set.Logger)
	return &profiler{
		cfg: c, set: set, next: next, options: *o, log: log,
		limits: sampling.NewLimits(o.probe, log), drain: make(chan struct{}),
	}, nil
}

// profiler is the receiver. It is started at most once.
type profiler struct {
	cfg     *Config
	set     receiver.Settings
	next    xconsumer.Profiles
	options options
	log     *slog.Logger
	limits  *sampling.Limits

	mu      sync.Mutex
	started bool
	ended   bool
	stop    func(context.Context) error

	// Set by Start, before there are goroutines.
	component component.Host
	host      hostinfo.Host
	batches   *reporter.Batcher
	meters    *meters
	// drain is closed when no more samples come.
	drain chan struct{}
}

// hostOptions says where to look for the identity of the host.
func (p *profiler) hostOptions() hostinfo.Options {
	return hostinfo.Options{Name: p.cfg.HostName, ID: p.cfg.HostID, Tags: p.cfg.labels()}
}

// Start implements component.Component. The context is that of the start alone.
func (p *profiler) Start(_ context.Context, host component.Host) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.ended {
		return fmt.Errorf("receiver %s was started or shut down before", p.set.ID)
	}
	if err := p.options.sampled.take(p.set.ID.String()); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		p.options.sampled.release()
		return fmt.Errorf("start receiver %s: %w", p.set.ID, err)
	}
	p.component, p.started = host, true

	sampleCtx, stopSampling := context.WithCancel(context.Background())
	deliverCtx, stopDelivering := context.WithCancel(context.Background())
	sampled, delivered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		defer p.options.sampled.release()
		p.sample(sampleCtx)
	}()
	go func() {
		defer close(delivered)
		p.deliver(deliverCtx)
	}()
	p.stop = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
		defer cancel()
		stopSampling()
		within(ctx, sampledTimeout, sampled)
		p.batches.Close()
		close(p.drain)
		within(ctx, shutdownTimeout, delivered)
		stopDelivering()
		grace, cancelGrace := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
		defer cancelGrace()
		var errs []error
		if !within(grace, graceTimeout, delivered) {
			errs = append(errs, errors.New("the next component of the pipeline has not returned"))
		}
		if !within(grace, graceTimeout, sampled) {
			errs = append(errs, errors.New("the sampling of the host has not ended"))
		}
		p.meters.close()
		p.report()
		return errors.Join(errs...)
	}
	return nil
}

// prepare makes what the goroutines use.
func (p *profiler) prepare() (err error) {
	p.host = hostinfo.Identify(p.hostOptions())
	p.batches, err = reporter.NewBatcher(&reporter.Options{
		HostID: p.host.ID, HostName: p.host.Name, AgentVersion: p.set.BuildInfo.Version,
		MaxQueueBytes: int(p.cfg.QueueBytes), Logger: p.log,
	})
	if err != nil {
		return err
	}
	p.describeHost()
	p.meters, err = newMeters(p.set, p.batches)
	return err
}

func (p *profiler) describeHost() {
	metadata := hostinfo.Metadata(p.hostOptions(), p.host, p.set.BuildInfo.Version)
	p.batches.ReportHostMetadata(hostinfo.Resource(metadata))
}

// within waits for done, until ctx ends or the time is up, and says whether it came.
func within(ctx context.Context, limit time.Duration, done <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Shutdown implements component.Component. It may be called at any time, repeatedly
// and concurrently; every caller waits for the end.
func (p *profiler) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started || p.ended {
		p.ended = true
		return nil
	}
	p.ended = true
	if err := p.stop(ctx); err != nil {
		return fmt.Errorf("shut down receiver %s: %w", p.set.ID, err)
	}
	return nil
}

// report tells what became of all samples: nobody can ask any more.
func (p *profiler) report() {
	l := p.batches.Ledger()
	p.log.Info("stopped", "captured", l.Captured, "delivered", l.Stored, "dropped", l.Dropped)
}
