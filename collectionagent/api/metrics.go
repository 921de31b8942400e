// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
	running  prometheus.Gauge
	waiting  prometheus.GaugeFunc
	repeated prometheus.Counter
}

func newMetrics(t *turns) *metrics {
	return &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "strobe_collectionagent_query_duration_seconds",
			Help:    "Time from a request to the end of its answer, by endpoint.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"endpoint"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_collectionagent_query_errors_total",
			Help: "Requests that were not answered, by reason: bad_request, not_found, method, too_large, busy, project_busy, nobody, timeout, canceled, write, panic, internal.",
		}, []string{"reason"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "strobe_collectionagent_queries_running",
			Help: "Questions that are being worked on.",
		}),
		waiting: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strobe_collectionagent_queries_waiting",
			Help: "Questions that wait for their turn.",
		}, func() float64 { return float64(t.waiting()) }),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strobe_collectionagent_query_repeats_total",
			Help: "Times that a question was begun again because others had the memory that it needed.",
		}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.errors, m.running, m.waiting, m.repeated}
}
