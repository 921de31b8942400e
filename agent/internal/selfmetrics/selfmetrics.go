// SPDX-License-Identifier: Apache-2.0

// Package selfmetrics picks the agent's most important metrics out of all that
// it exposes to Prometheus and gives them the numbers under which they travel to
// the collection agent, so that an operator who scrapes nothing still sees what
// the agents of a fleet cost and lose. docs/agent.md lists the numbers.
package selfmetrics

import (
	"fmt"
	"math"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Metric is a number that travels.
type Metric struct {
	// ID is never used again for anything else.
	ID uint32
	// Name and Unit are for people.
	Name, Unit string
	// Counter says that the value is the increase since the report before; of
	// other metrics it is the current value.
	Counter bool
	// Help says what is measured.
	Help string

	// family is the metric's name in Prometheus. The values of all its series
	// whose labels have the value label are summed, of all for "".
	family, label string
	// scale turns the exposed unit into Unit; 0 is 1.
	scale float64
}

// Metrics lists all metrics by ID.
var Metrics = []Metric{
	{1, "agent_cpu", "milliseconds", true, "CPU time of the agent in user space and in its system calls", "process_cpu_seconds_total", "", 1000},
	{2, "agent_resident_memory", "bytes", false, "resident memory of the agent", "process_resident_memory_bytes", "", 0},
	{3, "agent_heap", "bytes", false, "heap of the agent", "go_memstats_heap_alloc_bytes", "", 0},
	{4, "agent_goroutines", "count", false, "goroutines of the agent", "go_goroutines", "", 0},
	{5, "agent_open_files", "count", false, "open file descriptors of the agent", "process_open_fds", "", 0},

	{100, "samples", "count", true, "samples handed on by the tracer", "strobe_agent_samples_total", "", 0},
	{101, "samples_lost_in_ring", "count", true, "samples lost because user space did not read in time", "strobe_agent_kernel_events_total", "ring_full", 0},
	{102, "samples_lost_stacks", "count", true, "samples lost because their stack was no longer held", "strobe_agent_lost_stacks_total", "", 0},
	{103, "incomplete_stacks", "count", true, "distinct stacks cut short before the root", "strobe_agent_incomplete_stacks_total", "", 0},
	{104, "samples_filtered", "count", true, "samples left out by filters", "strobe_agent_kernel_events_total", "filtered", 0},
	{110, "unwind_table_memory", "bytes", false, "kernel memory of unwind tables", "strobe_agent_unwind_table_bytes", "", 0},
	{111, "unwind_table_loads", "count", true, "pages of unwind tables loaded", "strobe_agent_unwind_table_loads_total", "", 0},
	{112, "unwind_table_evictions", "count", true, "pages of unwind tables evicted", "strobe_agent_unwind_table_evictions_total", "", 0},
	{113, "unwind_table_misses", "count", true, "pages of unwind tables that were needed and not loaded", "strobe_agent_unwind_table_misses_total", "", 0},

	{200, "reporter_captured", "count", true, "samples taken over by the reporter", "strobe_agent_reporter_captured_samples_total", "", 0},
	{201, "reporter_stored", "count", true, "samples that the collection agent acknowledged", "strobe_agent_reporter_stored_samples_total", "", 0},
	{202, "reporter_dropped", "count", true, "samples lost by the reporter, for any reason", "strobe_agent_reporter_dropped_samples_total", "", 0},
	{203, "reporter_queued", "count", false, "samples waiting for delivery", "strobe_agent_reporter_queued_samples", "", 0},
	{204, "reporter_failed_rpcs", "count", true, "attempts at delivery that failed", "strobe_agent_reporter_failed_rpcs_total", "", 0},
	{205, "reporter_wire_out", "bytes", true, "compressed bytes sent", "strobe_agent_reporter_wire_bytes_total", "out", 0},
	{206, "reporter_spooled", "count", false, "samples waiting for delivery on disk", "strobe_agent_reporter_spooled_samples", "", 0},
	{207, "reporter_recovered", "count", true, "samples that earlier runs had left on disk", "strobe_agent_reporter_recovered_samples_total", "", 0},
	{208, "spool_size", "bytes", false, "size of the spool on disk", "strobe_agent_spool_bytes", "", 0},

	{300, "identity_gone", "count", true, "processes that ended before they could be identified", "strobe_agent_identity_lookups_total", "gone", 0},
	{301, "identity_errors", "count", true, "facts about processes that could not be read", "strobe_agent_identity_errors_total", "", 0},
}

// Collector turns what a registry holds into reports. It is for one goroutine.
type Collector struct {
	gatherer prometheus.Gatherer
	last     map[uint32]float64
}

// NewCollector returns a collector whose first report counts from the start of
// the process.
func NewCollector(g prometheus.Gatherer) *Collector {
	return &Collector{gatherer: g, last: map[uint32]float64{}}
}

// Collect returns the IDs and values of all metrics that the registry has. An
// error does not mean that there are none.
func (c *Collector) Collect() (ids []uint32, values []int64, err error) {
	families, err := c.gatherer.Gather()
	if err != nil {
		err = fmt.Errorf("gather metrics: %w", err)
	}
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[f.GetName()] = f
	}
	for i := range Metrics {
		m := &Metrics[i]
		value, ok := m.read(byName[m.family])
		if !ok {
			continue
		}
		if m.Counter {
			value, c.last[m.ID] = value-c.last[m.ID], value
		}
		ids = append(ids, m.ID)
		values = append(values, int64(math.Round(value)))
	}
	return ids, values, err
}

// read sums the series of a family that the metric wants.
func (m *Metric) read(f *dto.MetricFamily) (sum float64, ok bool) {
	for _, series := range f.GetMetric() {
		if !m.wants(series) {
			continue
		}
		ok = true
		switch {
		case series.Counter != nil:
			sum += series.GetCounter().GetValue()
		case series.Gauge != nil:
			sum += series.GetGauge().GetValue()
		}
	}
	if m.scale != 0 {
		sum *= m.scale
	}
	return sum, ok
}

func (m *Metric) wants(series *dto.Metric) bool {
	if m.label == "" {
		return true
	}
	for _, l := range series.GetLabel() {
		if l.GetValue() == m.label {
			return true
		}
	}
	return false
}

// Table is the documentation of Metrics, in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| ID | name | unit | value | what |\n| ---: | --- | --- | --- | --- |\n")
	for i := range Metrics {
		m := &Metrics[i]
		value := "current"
		if m.Counter {
			value = "increase"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", m.ID, m.Name, m.Unit, value, m.Help)
	}
	return b.String()
}
