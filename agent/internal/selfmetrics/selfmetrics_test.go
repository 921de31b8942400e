// SPDX-License-Identifier: Apache-2.0

package selfmetrics

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	events := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strobe_agent_kernel_events_total"}, []string{"reason"})
	samples := prometheus.NewCounter(prometheus.CounterOpts{Name: "strobe_agent_samples_total"})
	memory := prometheus.NewGauge(prometheus.GaugeOpts{Name: "strobe_agent_unwind_table_bytes"})
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strobe_agent_reporter_dropped_samples_total"}, []string{"reason"})
	registry.MustRegister(events, samples, memory, dropped)
	events.WithLabelValues("ring_full").Add(3)
	events.WithLabelValues("other").Add(1000)
	samples.Add(10)
	memory.Set(4096)
	dropped.WithLabelValues("a").Add(1)
	dropped.WithLabelValues("b").Add(2)

	c := NewCollector(registry)
	check := func(want map[uint32]int64) {
		t.Helper()
		ids, values, err := c.Collect()
		if err != nil || len(ids) != len(want) || len(values) != len(ids) {
			t.Fatalf("ids %v, values %v, %v; want %v", ids, values, err, want)
		}
		for i, id := range ids {
			if v, ok := want[id]; !ok || v != values[i] {
				t.Errorf("metric %d = %d, want %d", id, values[i], v)
			}
		}
	}
	check(map[uint32]int64{100: 10, 101: 3, 110: 4096, 202: 3})
	samples.Add(5)
	memory.Set(1)
	check(map[uint32]int64{100: 5, 101: 0, 110: 1, 202: 0})
}

func TestCollectProcess(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ids, _, err := NewCollector(registry).Collect()
	if err != nil || !slices.Equal(ids, []uint32{1, 2, 3, 4, 5}) {
		t.Errorf("IDs %v, %v; want 1 to 5", ids, err)
	}
}

func TestTableIsDocumented(t *testing.T) {
	t.Parallel()
	seen := map[uint32]bool{}
	for i, m := range Metrics {
		if seen[m.ID] || i > 0 && m.ID < Metrics[i-1].ID {
			t.Errorf("metric %d is out of order or twice", m.ID)
		}
		seen[m.ID] = true
	}
	doc, err := os.ReadFile("../../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), Table()) {
		t.Errorf("docs/agent.md does not hold this table:\n%s", Table())
	}
}
