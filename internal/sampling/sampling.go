// SPDX-License-Identifier: Apache-2.0

// Package sampling is what the agent asks of the package that takes samples. It
// is small, so that everything above the kernel can run, and be tested, on hosts
// that do not let anybody sample.
package sampling

import (
	"context"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
)

// Sink takes samples and the executables they refer to. Its methods are called
// from one goroutine and must not block for long.
type Sink interface {
	ReportSample(*libpf.Sample)
	ReportExecutable(*libpf.Executable)
}

// Filter selects processes. Without any Include every process is selected, and
// an Exclude beats an Include.
type Filter struct {
	IncludePIDs, ExcludePIDs []libpf.PID
	// FollowChildren extends the PIDs to all descendants.
	FollowChildren bool
	// Globs as in path.Match.
	IncludeExecutables, ExcludeExecutables []string
	IncludeCgroups, ExcludeCgroups         []string
}

// Config says how to sample.
type Config struct {
	// SamplesPerSecond is per busy CPU.
	SamplesPerSecond int
	// UnwindTableBytes bounds kernel memory for unwind tables.
	UnwindTableBytes int64
	// SymbolBytes bounds the memory of symbol tables; 0: as symbol.Config.MaxBytes.
	SymbolBytes int64
	Filter      Filter
	// Identify says who a process is; see identity.Resolver.
	Identify   func(pid libpf.PID, comm string) *libpf.Process
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Stats sums up a run so far.
type Stats struct {
	// Samples were taken after filters, and Lost of them did not arrive.
	Samples uint64 `json:"samples"`
	Lost    uint64 `json:"lost"`
	// Stacks were unwound in user code, and Complete of them to the root.
	Stacks   uint64 `json:"stacks"`
	Complete uint64 `json:"complete_stacks"`
}

// Tracer takes samples, once.
type Tracer interface {
	// Run samples until ctx ends, hands over the rest and returns.
	Run(ctx context.Context, sink Sink) error
	// Started is closed when sampling has begun.
	Started() <-chan struct{}
	// Stats may be called while Run runs.
	Stats() (Stats, error)
	// Close releases a tracer that was never run.
	Close() error
}

// New makes a tracer. Errors name what is missing and how to get it.
type New func(Config) (Tracer, error)

// Capability is something that the host allows or does not allow.
type Capability struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Required is set when nothing can be sampled without it.
	Required bool `json:"required"`
	// Detail is what was found; Effect what is off without it; Fix how to get it.
	Detail string `json:"detail,omitempty"`
	Effect string `json:"effect,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// Limits reports whether something that is not required is missing and its lack
// has an effect.
func (c *Capability) Limits() bool {
	return !c.OK && !c.Required && c.Effect != "" && !strings.HasPrefix(c.Effect, "nothing")
}
