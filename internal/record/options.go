// SPDX-License-Identifier: Apache-2.0

// Package record profiles a process, a command or the whole host for a while and writes
// a file. It needs no collection agent: it is agent record and strobectl record.
package record

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strobe-profiler/strobe/internal/settings"
	"github.com/strobe-profiler/strobe/libpf"
)

// Options say what to record.
type Options struct {
	// PIDs are profiled with their descendants. Exactly one of PIDs, All and
	// Command is set.
	PIDs    []libpf.PID
	All     bool
	Command []string
	// Duration is how long; 0 is until the target ends or ctx does.
	Duration time.Duration
	// SamplesPerSecond is per busy CPU.
	SamplesPerSecond int
	// Format is [Folded] or [Pprof].
	Format string
	// Convert, if not nil, is given a profile as pprof, which Format must be, and writes
	// what goes to Output in its place.
	Convert func(w io.Writer, pprof []byte) error
	// Output is a path, or "-" for standard output.
	Output string
	// UnwindTableBytes is the kernel's memory for unwind tables, MemoryLimit that of
	// all together.
	UnwindTableBytes, MemoryLimit settings.Bytes
	Verbose                       bool
}

// The formats of the output.
const (
	Folded = "folded"
	Pprof  = "pprof"
)

const (
	// DefaultSamplesPerSecond is not in step with anything that happens every 10 ms.
	DefaultSamplesPerSecond = 99
	maxSamplesPerSecond     = 1000
)

// Check returns what is wrong with the target and the rate, by the names of the flags.
func (o *Options) Check() error {
	var errs []error
	targets := 0
	for _, given := range []bool{len(o.PIDs) > 0, o.All, len(o.Command) > 0} {
		if given {
			targets++
		}
	}
	if targets != 1 {
		errs = append(errs, errors.New("say what to profile, one of: -p PID, -a for the whole host, -- COMMAND"))
	}
	if o.SamplesPerSecond < 1 || o.SamplesPerSecond > maxSamplesPerSecond {
		errs = append(errs, fmt.Errorf("-F: is %d, must be 1 to %d", o.SamplesPerSecond, maxSamplesPerSecond))
	}
	return errors.Join(errs...)
}
