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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/confine"
	"github.com/strobe-profiler/strobe/agent/internal/daemon"
	"github.com/strobe-profiler/strobe/agent/internal/doctor"
	"github.com/strobe-profiler/strobe/agent/internal/record"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/hostmemory"
	engine "github.com/strobe-profiler/strobe/internal/record"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/live"
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
		return printVersion(stdout)
	case cfg.PrintConfig:
		return cfg.WriteFile(stdout)
	case cfg.CheckConfig:
		_, err := fmt.Fprintln(stdout, "the configuration is valid")
		return err
	}
	log := newLogger(stderr, cfg.LogFormat, levelIf(cfg.Verbose, slog.LevelDebug, slog.LevelInfo))
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	makeSpoolDir(cfg.Spool())
	if err := confine.Early(); err != nil {
		log.Warn("some protections of the agent are off", "err", err)
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
	return daemon.Run(ctx, &cfg.Config, daemon.Dependencies{
		NewTracer: live.New,
		NewReporter: func(host hostinfo.Host, limits func() []sampling.Capability) (daemon.Reporter, error) {
			return to.newReporter(host, log, registry, limits)
		},
		Confine:      confinement(&cfg.Config),
		Identify:     resolver.Process,
		Probe:        live.Probe,
		Registry:     registry,
		Logger:       log,
		Version:      buildInfo().version,
		Host:         hostinfo.Options{Name: cfg.HostName, ID: cfg.HostID, Tags: cfg.Tags},
		NotifySocket: os.Getenv("NOTIFY_SOCKET"),
	})
}

// runRecord profiles into a file.
func runRecord(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	o, err := record.Parse(args)
	if err != nil {
		return 0, recordUsage(err)
	}
	log := newLogger(stderr, "text", levelIf(o.Verbose, slog.LevelDebug, slog.LevelWarn))
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
	_, err := io.WriteString(w, `agent doctor says what this host allows the agent to do, what will be off, and
how to get it. It changes nothing.

Usage:
  agent doctor [-o text|json]

Exit status: 0 if this host can be profiled, 1 if not, 2 wrong usage.
`)
	return err
}

// runDoctor says what the host allows.
func runDoctor(args []string, stdout io.Writer) (int, error) {
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
	d := config.Default()
	found := append(live.Probe(), probeMemory(hostmemory.Grant{Limit: d.MemoryLimit, Tables: d.UnwindTableBytes}), probeFiles())
	report := doctor.New(buildInfo().version, append(found, live.ProbeRuntimes()...))
	if err := report.Write(stdout, *format); err != nil {
		return 0, err
	}
	if !report.CanProfile {
		return exitError, nil
	}
	return exitOK, nil
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

func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
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
	b := buildInfo()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "strobe_agent_build_info", Help: "1, with a description of the binary.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision, "goversion": runtime.Version(), "goarch": runtime.GOARCH},
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
