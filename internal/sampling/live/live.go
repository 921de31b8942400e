// SPDX-License-Identifier: Apache-2.0

// Package live takes the samples of package sampling from this host, with package tracer.
package live

import (
	"context"

	"github.com/strobe-profiler/strobe/internal/buildinfo"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/tracer"
	"github.com/strobe-profiler/strobe/tracer/symbol"
)

// adapter is a sampling.Tracer.
type adapter struct{ *tracer.Tracer }

// New loads the eBPF programs. It is a sampling.New.
func New(cfg sampling.Config) (sampling.Tracer, error) {
	t, err := tracer.New(tracer.Config{
		SamplesPerSecond: cfg.SamplesPerSecond,
		UnwindTableBytes: cfg.UnwindTableBytes,
		Filter:           tracer.Filter(cfg.Filter),
		Identify:         cfg.Identify,
		Symbols:          symbol.New(symbol.Config{MaxBytes: cfg.SymbolBytes, Logger: cfg.Logger, Registerer: cfg.Registerer}),
		Logger:           cfg.Logger,
		Registerer:       cfg.Registerer,
	})
	if err != nil {
		return nil, err
	}
	return adapter{t}, nil
}

// Run implements sampling.Tracer.
func (a adapter) Run(ctx context.Context, sink sampling.Sink) error {
	return a.Tracer.Run(ctx, sink)
}

// Stats implements sampling.Tracer.
func (a adapter) Stats() (sampling.Stats, error) {
	s, err := a.Tracer.Stats()
	return sampling.Stats{Samples: s.Samples, Lost: s.Lost, Stacks: s.Stacks, Complete: s.Complete}, err
}

// Objects describes the eBPF objects of the binary.
func Objects() []buildinfo.Object { return tracer.Objects() }

// Probe says what this host allows.
func Probe() []sampling.Capability { return capabilities(tracer.Probe()) }

// ProbeRuntimes says what the processes of this host run on.
func ProbeRuntimes() []sampling.Capability { return capabilities(tracer.ProbeRuntimes()) }

func capabilities(found []tracer.Capability) []sampling.Capability {
	out := make([]sampling.Capability, len(found))
	for i, c := range found {
		out[i] = sampling.Capability(c)
	}
	return out
}
