// SPDX-License-Identifier: Apache-2.0

// Package settings holds the settings that say what is profiled, how, and as what.
// The agent and the receiver for the OpenTelemetry Collector have them in common;
// where they read them from is their own matter.
package settings

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/libpf"
)

// Profiling are the settings. Their names are those of the agent's flags, with
// underscores where the Collector reads them.
type Profiling struct {
	// SamplesPerSecond is per busy CPU.
	SamplesPerSecond int `mapstructure:"samples_per_second"`
	// UnwindTableBytes bounds kernel memory for unwind tables.
	UnwindTableBytes Bytes `mapstructure:"unwind_table_bytes"`

	// ReporterInterval is how often samples are handed on, and ReporterJitter the part
	// of itself by which it varies at random.
	ReporterInterval time.Duration `mapstructure:"reporter_interval"`
	ReporterJitter   float64       `mapstructure:"reporter_jitter"`

	// Which processes to sample; see sampling.Filter.
	IncludePIDs        []libpf.PID `mapstructure:"include_pid"`
	ExcludePIDs        []libpf.PID `mapstructure:"exclude_pid"`
	IncludeExecutables []string    `mapstructure:"include_executable"`
	ExcludeExecutables []string    `mapstructure:"exclude_executable"`
	IncludeCgroups     []string    `mapstructure:"include_cgroup"`
	ExcludeCgroups     []string    `mapstructure:"exclude_cgroup"`

	// HostName and HostID are found out if empty.
	HostName string `mapstructure:"host_name"`
	HostID   string `mapstructure:"host_id"`
	// EnvVars are variables of processes to send as labels.
	EnvVars []string `mapstructure:"env_vars"`
	// LabelCPUs asks for the CPU of each sample as the label "cpu", which makes more series.
	LabelCPUs bool `mapstructure:"label_cpus"`
	// CommandLines asks for the command lines of processes, which may hold secrets.
	CommandLines bool `mapstructure:"command_lines"`
}

// Bounds of settings.
const (
	MinUnwindTableBytes = 1 << 20
	MaxUnwindTableBytes = 1 << 30
	minInterval         = 100 * time.Millisecond
	maxInterval         = time.Hour
	maxSamples          = 1000
	maxHostNameSize     = 255
	maxHostIDSize       = 128
)

// Default returns the settings that hold when nobody says anything.
func Default() Profiling {
	return Profiling{
		SamplesPerSecond: 20,
		UnwindTableBytes: 64 << 20,
		ReporterInterval: 5 * time.Second,
		ReporterJitter:   0.2,
	}
}

// Check reports everything that is wrong: the name of the setting, as the agent
// writes it without dashes before it, and what it accepts, for fmt.Errorf.
func (p *Profiling) Check(report func(name, format string, args ...any)) {
	if p.SamplesPerSecond < 1 || p.SamplesPerSecond > maxSamples {
		report("samples-per-second", "is %d, must be 1 to %d", p.SamplesPerSecond, maxSamples)
	}
	if p.UnwindTableBytes < MinUnwindTableBytes || p.UnwindTableBytes > MaxUnwindTableBytes {
		report("unwind-table-bytes", "is %v, must be %v to %v", p.UnwindTableBytes, Bytes(MinUnwindTableBytes), Bytes(MaxUnwindTableBytes))
	}
	if p.ReporterInterval < minInterval || p.ReporterInterval > maxInterval {
		report("reporter-interval", "is %v, must be %v to %v", p.ReporterInterval, minInterval, maxInterval)
	}
	if !(p.ReporterJitter >= 0 && p.ReporterJitter <= 1) { // catches NaN as well
		report("reporter-jitter", "is %v, must be 0 to 1", p.ReporterJitter)
	}
	for name, pids := range map[string][]libpf.PID{"include-pid": p.IncludePIDs, "exclude-pid": p.ExcludePIDs} {
		if slices.Contains(pids, 0) {
			report(name, "0 is not the ID of a process")
		}
	}
	for name, globs := range map[string][]string{
		"include-executable": p.IncludeExecutables, "exclude-executable": p.ExcludeExecutables,
		"include-cgroup": p.IncludeCgroups, "exclude-cgroup": p.ExcludeCgroups,
	} {
		for _, glob := range globs {
			if _, err := path.Match(glob, ""); err != nil {
				report(name, "%q is not a pattern: use * ? [a-z] and \\ before any of them", glob)
			}
		}
	}
	for _, name := range p.EnvVars {
		if strings.ContainsAny(name, "= \x00") {
			report("env-vars", "%q is not the name of a variable", name)
		}
	}
	if len(p.HostName) > maxHostNameSize {
		report("host-name", "has %d bytes, may have %d", len(p.HostName), maxHostNameSize)
	}
	if len(p.HostID) > maxHostIDSize || strings.ContainsFunc(p.HostID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		report("host-id", "must be at most %d printable ASCII characters without spaces", maxHostIDSize)
	}
}

// Filter returns which processes to sample.
func (p *Profiling) Filter() sampling.Filter {
	return sampling.Filter{
		IncludePIDs: p.IncludePIDs, ExcludePIDs: p.ExcludePIDs,
		IncludeExecutables: p.IncludeExecutables, ExcludeExecutables: p.ExcludeExecutables,
		IncludeCgroups: p.IncludeCgroups, ExcludeCgroups: p.ExcludeCgroups,
	}
}
