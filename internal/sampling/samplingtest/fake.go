// SPDX-License-Identifier: Apache-2.0

// Package samplingtest stands in for the package that takes samples in tests.
package samplingtest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/libpf"
)

// Fake is a tracer that reports what it is told to. New may be called once.
type Fake struct {
	// Samples are reported as soon as it runs, Last when it is stopped.
	Samples, Last []*libpf.Sample
	// Executables are reported before Samples.
	Executables []*libpf.Executable
	// NewErr and RunErr are returned by New and, at once, by Run.
	NewErr, RunErr error
	// FinalStats is what Stats returns while it runs.
	FinalStats sampling.Stats
	// Config is what New was called with.
	Config sampling.Config

	started chan struct{}
	ended   atomic.Bool
	closed  atomic.Bool
}

// New makes the tracer. It is a sampling.New.
func (f *Fake) New(cfg sampling.Config) (sampling.Tracer, error) {
	if f.NewErr != nil {
		return nil, f.NewErr
	}
	f.Config = cfg
	f.started = make(chan struct{})
	return f, nil
}

// Run implements sampling.Tracer.
func (f *Fake) Run(ctx context.Context, sink sampling.Sink) error {
	if f.RunErr != nil {
		return f.RunErr
	}
	for _, e := range f.Executables {
		sink.ReportExecutable(e)
	}
	for _, s := range f.Samples {
		sink.ReportSample(s)
	}
	close(f.started)
	<-ctx.Done()
	for _, s := range f.Last {
		sink.ReportSample(s)
	}
	f.ended.Store(true)
	return nil
}

// Started implements sampling.Tracer.
func (f *Fake) Started() <-chan struct{} { return f.started }

// Stats implements sampling.Tracer. As with a real one, there are none when it has ended.
func (f *Fake) Stats() (sampling.Stats, error) {
	if f.ended.Load() {
		return sampling.Stats{}, errors.New("the tracer has ended")
	}
	return f.FinalStats, nil
}

// Close implements sampling.Tracer.
func (f *Fake) Close() error {
	f.closed.Store(true)
	return nil
}

// Sample makes a sample of a stack of native functions, leaf first.
func Sample(pid libpf.PID, comm string, functions ...string) *libpf.Sample {
	frames := make([]libpf.Frame, len(functions))
	for i, name := range functions {
		frames[i] = libpf.Frame{
			Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: address(name),
			Lines: []libpf.SourceLine{{Function: name}},
		}
	}
	return &libpf.Sample{
		Time: 1_700_000_000_000_000_000, Type: libpf.SampleOnCPU, Count: 1, Value: 10_000_000,
		Trace: libpf.NewTrace(frames), TID: libpf.TID(pid), Comm: comm,
		Process: &libpf.Process{PID: pid, Name: comm, Service: comm},
	}
}

// address gives every name an address of its own.
func address(name string) libpf.AddressOrLineno {
	var a libpf.AddressOrLineno
	for _, c := range []byte(name) {
		a = a*257 + libpf.AddressOrLineno(c)
	}
	return a
}
