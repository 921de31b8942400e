// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestUnsampledCPUs: a CPU that comes and cannot be sampled is told of once and counted
// for as long as it is there.
func TestUnsampledCPUs(t *testing.T) {
	t.Parallel()
	const missing = 1 << 16 // more than any kernel has, so that it is refused with all privileges too
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	c := &cpuEvents{hz: 1, fds: map[int]int{}, refused: map[int]bool{}, unsampled: newMetrics().unsampledCPUs}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c.unsampled)
	for _, step := range []struct {
		online   []int
		gauge    float64
		warnings int
	}{
		{[]int{missing}, 1, 1},
		{[]int{missing}, 1, 1},
		{[]int{missing, missing + 1}, 2, 2},
		{nil, 0, 2},
		{[]int{missing}, 1, 3},
	} {
		c.update(step.online, log)
		families, err := registry.Gather()
		if err != nil || len(families) != 1 {
			t.Fatalf("%v, %v", families, err)
		}
		if got := families[0].GetMetric()[0].GetGauge().GetValue(); got != step.gauge {
			t.Errorf("%v online: %v are not sampled, want %v", step.online, got, step.gauge)
		}
		if n := strings.Count(out.String(), "is not sampled"); n != step.warnings {
			t.Errorf("%v online: %d warnings, want %d:\n%s", step.online, n, step.warnings, out.String())
		}
	}
}
