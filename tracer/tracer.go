// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/all"
	"github.com/strobe-profiler/strobe/tracer/symbol"
)

// Sink takes what a tracer produces. Its methods are called from one goroutine
// and must not block for long: while they do, samples wait in the kernel's ring.
type Sink interface {
	// ReportSample is handed each sample. The sample and what it points to must
	// not be changed; the sample itself may be kept.
	ReportSample(*libpf.Sample)
	// ReportExecutable is handed each executable before the first sample that has
	// a frame in it.
	ReportExecutable(*libpf.Executable)
}

// Limits of Config.SamplesPerSecond.
const (
	MinSamplesPerSecond = 1
	MaxSamplesPerSecond = 1000
)

// DefaultUnwindTableBytes is the default budget of the unwind tables of all
// executables together. A busy build host keeps about 2 MB of hot pages per
// compiler, so 64 MiB serve some thirty large programs at once.
const DefaultUnwindTableBytes = 64 << 20

// Config configures a [Tracer].
type Config struct {
	// SamplesPerSecond is how often each busy CPU is sampled, 1 to 1,000; 0 means 20.
	SamplesPerSecond int
	// UnwindTableBytes is the most that unwind tables may take in kernel memory;
	// 0 means [DefaultUnwindTableBytes], the least is 1 MiB.
	UnwindTableBytes int64
	// Filter selects what is sampled; the zero value is everything.
	Filter Filter
	// Identify describes a process. It is called once per process from the
	// goroutine that reads samples; nil identifies by PID and name only.
	Identify func(pid libpf.PID, comm string) *libpf.Process
	// Symbols names native frames; nil makes the tracer have its own.
	Symbols *symbol.Symbolizer
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Registerer takes the tracer's metrics; nil registers none.
	Registerer prometheus.Registerer

	// Runtimes are the interpreters and compilers at run time whose frames are
	// shown; nil means all that are known, an empty list none.
	Runtimes []interpreter.Runtime

	// withoutPrograms makes tests run as on a kernel that has no hook for them.
	withoutPrograms []string
	// pids says what the numbers of processes mean.
	pids pidNamespace
}

func (c *Config) withDefaults() (Config, error) {
	d := *c
	if d.SamplesPerSecond == 0 {
		d.SamplesPerSecond = 20
	}
	if d.SamplesPerSecond < MinSamplesPerSecond || d.SamplesPerSecond > MaxSamplesPerSecond {
		return d, fmt.Errorf("samples per second is %d: use %d to %d", d.SamplesPerSecond,
			MinSamplesPerSecond, MaxSamplesPerSecond)
	}
	if d.UnwindTableBytes == 0 {
		d.UnwindTableBytes = DefaultUnwindTableBytes
	}
	if d.UnwindTableBytes < segmentBytes || d.UnwindTableBytes > maxSegments*segmentBytes {
		return d, fmt.Errorf("unwind table budget is %d bytes: use 1 MiB to 1 GiB", d.UnwindTableBytes)
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.Identify == nil {
		d.Identify = func(pid libpf.PID, comm string) *libpf.Process {
			return &libpf.Process{PID: pid, Name: comm, Service: comm}
		}
	}
	return d, nil
}

func (c *Config) runtimes() []interpreter.Runtime {
	if c.Runtimes == nil {
		return all.Runtimes()
	}
	return c.Runtimes
}

// Tracer samples a host.
type Tracer struct {
	cfg      Config
	log      *slog.Logger
	kernel   *kernelSide
	files    *fileTable
	tables   *tableStore
	runtimes *runtimeManager
	reader   *sampleReader
	metrics  *metrics

	started chan struct{}
	once    sync.Once
}

// New loads the eBPF programs. Its errors say which capability or kernel
// feature is missing and how to get it. The caller must call [Tracer.Run] or
// [Tracer.Close].
func New(cfg Config) (*Tracer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.Filter.validate(); err != nil {
		return nil, err
	}
	if cfg.pids, err = readPIDNamespace(); err != nil {
		return nil, err
	}
	if err := cfg.pids.check(&cfg.Filter); err != nil {
		return nil, err
	}
	k, err := loadKernelSide(&cfg)
	if err != nil {
		return nil, err
	}
	t := &Tracer{cfg: cfg, log: cfg.Logger, kernel: k, metrics: newMetrics(), started: make(chan struct{})}
	t.files = newFileTable(k, &cfg, t.metrics)
	t.runtimes = newRuntimeManager(k, t.files, &cfg, t.metrics)
	if t.tables, err = newTableStore(k, t.files, t.runtimes, cfg.UnwindTableBytes, t.metrics); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	if t.reader, err = newSampleReader(k, t.files, t.runtimes, &cfg, t.metrics); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	if cfg.Registerer != nil {
		if err := t.metrics.register(cfg.Registerer, t); err != nil {
			return nil, errors.Join(fmt.Errorf("register metrics: %w", err), k.Close())
		}
	}
	return t, nil
}

// Close releases what New allocated. It is only needed when Run is not called.
func (t *Tracer) Close() error {
	t.runtimes.close()
	return t.kernel.Close()
}

// Started is closed when sampling has begun.
func (t *Tracer) Started() <-chan struct{} { return t.started }

// Run samples until ctx ends, then hands over what the kernel still holds and
// returns nil. It returns early with an error when sampling cannot begin.
func (t *Tracer) Run(ctx context.Context, sink Sink) error {
	defer t.kernel.Close() //nolint:errcheck // nothing can be done about it
	defer t.runtimes.close()

	served := make(chan struct{})
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer func() { <-served }()
	defer stopServing()

	// Follow processes first, so that none is missed between reading those that
	// exist and hearing of new ones.
	if err := t.kernel.follow(); err != nil {
		close(served)
		return err
	}
	events := &eventLoop{t: t, filter: newFilterState(t.kernel, &t.cfg)}
	if err := events.prepare(); err != nil {
		close(served)
		return err
	}
	go func() {
		defer close(served)
		events.run(serveCtx)
	}()

	cpus, err := t.kernel.sample(t.cfg.SamplesPerSecond, t.metrics.unsampledCPUs)
	if err != nil {
		return err
	}
	t.once.Do(func() { close(t.started) })
	t.log.Info("sampling", "cpus", cpus.Len(), "event", cpus.Kind(), "samples_per_second", t.cfg.SamplesPerSecond,
		"process_discovery", t.kernel.discovery())
	if !t.cfg.pids.isInitial() {
		t.log.Warn("processes outside of the agent's PID namespace are known by the names of their threads only",
			"visible_processes", t.cfg.pids.visible(), "fix", "start the agent in the host's PID namespace (docker run --pid=host, Kubernetes: hostPID: true)")
	}

	hotplug := make(chan struct{})
	go func() {
		defer close(hotplug)
		cpus.followHotplug(serveCtx, t.log)
	}()
	t.reader.run(ctx, sink)

	stopServing()
	<-hotplug
	cpus.Close()
	t.reader.drain(sink)
	return nil
}

// readInterval is how often the ring of samples is emptied. Waking up is what
// costs user space; see facts on ring buffers: a wake-up is 15 µs of CPU, so ten
// per second are 0.015 % of one.
const readInterval = 100 * time.Millisecond
