// SPDX-License-Identifier: Apache-2.0

package profilemetrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("strobe_profile_"+name, help, append([]string{"rule", "project", "type"}, labels...), nil)
}

var (
	descRate = describe("rate", "What a selection took per second, in the unit of its type; of times in seconds, so 1 is a CPU. "+
		"Not there for snapshots.", "unit", "group")
	descSum    = describe("sum", "What the snapshots of a selection within an interval add up to, in the unit of their type.", "unit", "group")
	descSelf   = describe("function_self_ratio", "Share of a function's own value in that of its group, 0 to 1.", "group", "function", "binary")
	descTotal  = describe("function_total_ratio", "Share of a function and all that it calls in its group, 0 to 1.", "group", "function", "binary")
	descRest   = describe("function_rest_ratio", "Share of the own value of all functions that are not exported, 0 to 1.", "group")
	descHidden = describe("hidden_groups", "Groups that are not exported, because there are more than the rule allows.")
	descEnd    = describe("rule_end_timestamp_seconds", "End of the interval that a rule was last worked on for, since 1970.")
	descTook   = describe("rule_seconds", "How long the last work on a rule took.")
)

// stale is how many intervals what a rule came to is exported for: what is not known any more is
// better gone than repeated.
const stale = 3

// Describe implements [prometheus.Collector].
func (e *Exporter) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRate, descSum, descSelf, descTotal, descRest, descHidden, descEnd, descTook} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (e *Exporter) Collect(out chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.config.rules {
		latest, ok := e.latest[r]
		if !ok {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{r.name, r.project, r.kind.String()}, labels...)...)
		}
		gauge(descEnd, float64(latest.end.UnixMilli())/1e3)
		gauge(descTook, latest.took.Seconds())
		if e.options.Now().Sub(latest.end) > stale*e.config.interval+e.config.delay {
			continue
		}
		gauge(descHidden, float64(latest.tables.hidden))
		for i := range latest.tables.groups {
			e.collectGroup(r, &latest.tables.groups[i], gauge)
		}
	}
}

func (e *Exporter) collectGroup(r *rule, g *groupTable, gauge func(*prometheus.Desc, float64, ...string)) {
	unit, value, name := r.kind.Unit(), g.total, g.name
	if unit == "nanoseconds" {
		unit, value = "seconds", value/float64(time.Second)
	}
	if r.kind.Snapshot() {
		gauge(descSum, value, unit, name)
	} else {
		gauge(descRate, value/e.config.interval.Seconds(), unit, name)
	}
	for i := range g.functions {
		f := &g.functions[i]
		gauge(descSelf, f.self, name, f.function, f.binary)
		gauge(descTotal, f.total, name, f.function, f.binary)
	}
	if len(g.functions) > 0 {
		gauge(descRest, g.rest, name)
	}
}
