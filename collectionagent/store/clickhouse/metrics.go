// SPDX-License-Identifier: Apache-2.0

package clickhouse

import "github.com/prometheus/client_golang/prometheus"

// metrics are the engine's own.
type metrics struct {
	all []prometheus.Collector

	inserts       *prometheus.CounterVec
	insertSeconds prometheus.Histogram
	groupBatches  prometheus.Histogram
	rows          prometheus.Counter
	duplicates    *prometheus.CounterVec
	contended     prometheus.Counter
	rejected      *prometheus.CounterVec
	dropped       prometheus.Counter
	sealed        *prometheus.CounterVec
	maintain      *prometheus.CounterVec
	selectSeconds prometheus.Histogram
}

const metricsPrefix = "strobe_collectionagent_store_"

// newMetrics makes the metrics; the gauges read the store when scraped.
func newMetrics(s *Store) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, []string{label})
		m.all = append(m.all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: metricsPrefix + name, Help: help, Buckets: buckets})
		m.all = append(m.all, h)
		return h
	}
	gauge := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, f))
	}
	seconds := prometheus.ExponentialBuckets(0.001, 4, 8)
	m.inserts = counters("inserts_total", "Groups of batches sent to ClickHouse.", "result")
	m.insertSeconds = histogram("insert_seconds", "Time from the start of an insert to its commit.", seconds)
	m.groupBatches = histogram("insert_batches", "Batches per insert.", prometheus.ExponentialBuckets(1, 2, 11))
	m.rows = counter("inserted_rows_total", "Samples that were acknowledged.")
	m.duplicates = counters("duplicates_total", "Batches that had been stored before.", "kind")
	m.contended = counter("contended_total", "Batches that another insert, unfinished, also had.")
	m.rejected = counters("rejected_total", "Writes that were refused.", "reason")
	m.dropped = counter("dropped_inserts_total", "Unfinished inserts of crashed collection agents whose rows were removed.")
	m.sealed = counters("sealed_hours_total", "Hours whose roll-ups were compared with the samples.", "result")
	m.maintain = counters("upkeep_total", "Rounds of upkeep.", "result")
	m.selectSeconds = histogram("select_seconds", "Time of a query in the store.", seconds)
	gauge("pending_batches", "Batches that wait for an insert.", func() float64 { n, _ := s.queue.waiting(); return float64(n) })
	gauge("pending_bytes", "Memory of the batches that wait for an insert or are in one.", func() float64 {
		_, n := s.queue.waiting()
		return float64(n)
	})
	gauge("read_only", "1 while writes are refused.", func() float64 {
		if s.ReadOnly() != "" {
			return 1
		}
		return 0
	})
	return m
}

// register registers all metrics.
func (m *metrics) register(reg prometheus.Registerer) error {
	for _, c := range m.all {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
