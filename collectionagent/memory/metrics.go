// SPDX-License-Identifier: Apache-2.0

package memory

import "github.com/prometheus/client_golang/prometheus"

// Used returns the metric of how much a part takes now; of one process, each part
// has at most one.
func Used(part Part, bytes func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "strobe_collectionagent_memory_used_bytes", Help: "Memory in use by part, by and large.",
		ConstLabels: prometheus.Labels{"part": string(part)},
	}, func() float64 { return float64(bytes()) })
}

// Collectors returns the metrics of the plan.
func (p *Plan) Collectors() []prometheus.Collector {
	budget := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "strobe_collectionagent_memory_budget_bytes", Help: "Memory that each part may take; total: -memory.",
	}, []string{"part"})
	for part, n := range p.Bytes {
		budget.WithLabelValues(string(part)).Set(float64(n))
	}
	budget.WithLabelValues("total").Set(float64(p.Total))
	return []prometheus.Collector{budget}
}

// Collectors returns the metrics of the budget of questions.
func (b *Budget) Collectors() []prometheus.Collector {
	refused := func(reason string, n func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "strobe_collectionagent_query_memory_refused_total", Help: "Times that a query got no more memory.",
			ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(n()) })
	}
	return []prometheus.Collector{
		Used(Queries, b.Used),
		refused("busy", func() int64 { n, _ := b.Refused(); return n }),
		refused("too_large", func() int64 { _, n := b.Refused(); return n }),
	}
}
