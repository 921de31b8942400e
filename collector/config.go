// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/internal/settings"
	"github.com/strobe-profiler/strobe/libpf"
)

// Config is the configuration of the receiver. What it has in common with the agent
// has the names and the defaults of the agent's flags, with underscores:
// samples_per_second, include_executable. See docs/collector.md for all of them.
type Config struct {
	settings.Profiling `mapstructure:",squash"`

	// Tags are labels of everything from this host.
	Tags map[string]string `mapstructure:"tags"`
	// QueueBytes bounds the memory of the samples that wait for the pipeline.
	QueueBytes settings.Bytes `mapstructure:"queue_bytes"`
}

// Bounds of QueueBytes.
const (
	minQueueBytes = 1 << 20
	maxQueueBytes = 1 << 30
)

func defaultConfig() *Config {
	return &Config{Profiling: settings.Default(), QueueBytes: 64 << 20}
}

// Validate reports everything that is wrong, each with the name of the setting and
// what it accepts. The Collector calls it.
func (c *Config) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		name = strings.ReplaceAll(name, "-", "_")
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{name}, args...)...))
	}
	c.Check(report)
	if c.QueueBytes < minQueueBytes || c.QueueBytes > maxQueueBytes {
		report("queue_bytes", "is %v, must be %v to %v", c.QueueBytes, settings.Bytes(minQueueBytes), settings.Bytes(maxQueueBytes))
	}
	for key, value := range c.Tags {
		if strings.TrimSpace(key) == "" || strings.TrimSpace(value) == "" {
			report("tags", "%q: %q is not a key with a value", key, value)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// labels returns the tags, sorted by key.
func (c *Config) labels() []libpf.Label {
	out := make([]libpf.Label, 0, len(c.Tags))
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		out = append(out, libpf.Label{Key: key, Value: c.Tags[key]})
	}
	return out
}
