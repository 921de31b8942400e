// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/confine"
	"github.com/strobe-profiler/strobe/agent/internal/daemon"
	"github.com/strobe-profiler/strobe/agent/internal/doctor"
	"github.com/strobe-profiler/strobe/agent/internal/record"
	"github.com/strobe-profiler/strobe/internal/buildinfo"
	"github.com/strobe-profiler/strobe/internal/containers"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/hostmemory"
	engine "github.com/strobe-profiler/strobe/internal/record"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/live"
	"github.com/strobe-profiler/strobe/internal/systemd"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/identity"
)

// runDaemon profiles until ctx ends.
func runDaemon(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := config.Load(args, os.Environ())
	if err != nil {
		return daemonUsage(err)
	}
	to, err := newDestination(&cfg.Config, os.Getenv)
	if err != nil {
		return daemonUsage(err)
	}
	switch {
	case cfg.Version:
		return printVersion(nil, stdout)
	case cfg.PrintConfig:
		return cfg.WriteFile(stdout)
	case cfg.CheckConfig:
		_, err := fmt.Fprintln(stdout, "the configuration is valid")
		return err
	}
	log := systemd.NewLogger(stderr, cfg.LogFormat, levelIf(cfg.Verbose, slog.LevelDebug, slog.LevelInfo))
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	makeSpoolDir(cfg.Spool())
	if err := confine.Early(); err != nil {
		log.Warn("some protections of the agent are off", "err", err)
	}
	if err := fitThreads(log); err != nil {
		return fmt.Errorf("cannot profile this host: %w", err)
	}
	if err := fitMemory(&cfg.MemoryLimit, &cfg.UnwindTableBytes, log); err != nil {
		return fmt.Errorf("cannot profile this host: %w", err)
	}
	registry, err := newRegistry()
	if err != nil {
		return err
	}
	resolver, err := identity.New(identity.Options{
		EnvVars: cfg.EnvVars, CommandLines: cfg.CommandLines, Labels: cfg.Tags, Logger: log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	options := cfg.Containers()
	options.Logger, options.Registerer = log, registry
	known, err := containers.New(options)
	if err != nil {
		return daemonUsage(err)
	}
	known.Start()
	defer known.Close()
	to.describe = known.Describe
	return daemon.Run(ctx, &cfg.Config, daemon.Dependencies{
		NewTracer: live.New,
		NewReporter: func(host hostinfo.Host, limits func() []sampling.Capability) (daemon.Reporter, error) {
			return to.newReporter(host, log, registry, limits)
		},
		Confine: confinement(&cfg.Config),
		Identify: func(pid libpf.PID, comm string) *libpf.Process {
			p := resolver.Process(pid, comm)
			known.Want(p.ContainerID) // so that the answer is there when the samples leave
			return p
		},
		Containers: known.Status,
		Probe:      live.Probe,
		Registry:   registry,
		Logger:     log,
		Version:    buildinfo.Version(),
		Host:       hostinfo.Options{Name: cfg.HostName, ID: cfg.HostID, Tags: cfg.Tags},
		Systemd:    systemd.NewNotifier(os.Getenv, log),
	})
}

// runRecord profiles into a file.
func runRecord(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	o, err := record.Parse(args)
	if err != nil {
		return 0, recordUsage(err)
	}
	log := systemd.NewLogger(stderr, "text", levelIf(o.Verbose, slog.LevelDebug, slog.LevelWarn))
	if err := fitThreads(log); err != nil {
		return 0, fmt.Errorf("cannot profile this host: %w", err)
	}
	if err := fitMemory(&o.MemoryLimit, &o.UnwindTableBytes, log); err != nil {
		return 0, fmt.Errorf("cannot profile this host: %w", err)
	}
	resolver, err := identity.New(identity.Options{Logger: log})
	if err != nil {
		return 0, err
	}
	return o.Run(ctx, engine.Environment{
		New: live.New, Identify: resolver.Process, Stdout: stdout, Stderr: stderr, Terminal: isTerminal(stderr), Logger: log,
	})
}

func writeDoctorUsage(w io.Writer) error {
	_, err := io.WriteString(w, program+` doctor says what this host allows the agent to do, what will be off, and
how to get it. It changes nothing.

Usage:
  `+program+` doctor [-o text|json]

Exit status: 0 if this host can be profiled, 1 if not, 2 wrong usage.
`)
	return err
}

// runDoctor says what the host allows.
func runDoctor(ctx context.Context, args []string, stdout io.Writer) (int, error) {
	fs := flag.NewFlagSet("agent doctor", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	format := fs.String("o", doctor.Text, "")
	if err := fs.Parse(args); err != nil {
		return 0, doctorUsage(config.ExplainFlagError(err, fs))
	}
	if fs.NArg() > 0 {
		return 0, doctorUsage(fmt.Errorf("unexpected argument %q", fs.Arg(0)))
	}
	if *format != doctor.Text && *format != doctor.JSON {
		return 0, doctorUsage(fmt.Errorf("-o: is %q, must be text or json", *format))
	}
	report := doctor.New(buildinfo.Version(), probe(ctx))
	if err := report.Write(stdout, *format); err != nil {
		return 0, err
	}
	if !report.CanProfile {
		return exitError, nil
	}
	return exitOK, nil
}

// probe asks the host. Where there are too few threads it asks for nothing else, which takes some.
func probe(ctx context.Context) []sampling.Capability {
	enough := probeThreads()
	if enough.Required && !enough.OK {
		runtime.GOMAXPROCS(1)
		enough.Effect += "; nothing else was looked at"
		return []sampling.Capability{enough}
	}
	spareMemory()
	host := live.Probe()
	debug.FreeOSMemory() // the kernel's types, several megabytes, before the executables are read
	d := config.Default()
	return slices.Concat(host, []sampling.Capability{probeMemory(hostmemory.Grant{Limit: d.MemoryLimit, Tables: d.UnwindTableBytes}), probeFiles(), enough},
		live.ProbeRuntimes(), containers.Probe(ctx, containerOptions()))
}

// containerOptions says whom an agent would ask for containers that is started as this
// command was: by its environment.
func containerOptions() containers.Options {
	cfg, err := config.Load(nil, os.Environ())
	if err != nil {
		cfg = &config.Loaded{Config: config.Default()}
	}
	return cfg.Containers()
}

// confinement returns how the agent gives up what it does not need once it profiles,
// nil if it is to keep it.
func confinement(cfg *config.Config) func() ([]string, error) {
	if cfg.KeepCapabilities {
		return nil
	}
	return func() ([]string, error) {
		r, err := confine.Drop(confine.Needed)
		return r.Kept.Names(), err
	}
}

func levelIf(verbose bool, yes, no slog.Level) slog.Level {
	if verbose {
		return yes
	}
	return no
}

// newRegistry makes a registry with the metrics that every program has.
func newRegistry() (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "strobe_agent_build_info", Help: "1, with a description of the binary.",
		ConstLabels: buildInfo().Labels(),
	})
	info.Set(1)
	err := errors.Join(
		registry.Register(info),
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return registry, nil
}

// isTerminal reports whether w is a terminal that can rewrite a line.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS) //nolint:gosec // a descriptor
	return err == nil
}
