// SPDX-License-Identifier: Apache-2.0

package query

import "github.com/prometheus/client_golang/prometheus"

// metrics are the engine's own.
type metrics struct {
	cache *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{cache: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strobe_collectionagent_query_cache_lookups_total",
		Help: "Look-ups of definitions by queries, by cache (stack, frame) and result (hit, miss).",
	}, []string{"cache", "result"})}
}

func (m *metrics) lookups(cache string, hits, misses int) {
	m.cache.WithLabelValues(cache, "hit").Add(float64(hits))
	m.cache.WithLabelValues(cache, "miss").Add(float64(misses))
}
