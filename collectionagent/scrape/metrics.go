// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

const metricsPrefix = "strobe_collectionagent_scrape_"

// metrics are the counters of a scraper.
type metrics struct {
	scrapes   *prometheus.CounterVec // result, reason
	skipped   *prometheus.CounterVec // reason
	seconds   *prometheus.HistogramVec
	bytes     prometheus.Counter
	restarts  *prometheus.CounterVec // profile
	reloads   *prometheus.CounterVec // result
	fileError prometheus.Counter
	leftOut   prometheus.Gauge
	kept      prometheus.GaugeFunc
}

func newMetrics(s *Scraper, registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		scrapes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_collectionagent_scrapes_total", Help: "Scrapes of a profile, by result (stored, partial, failed) and reason.",
		}, []string{"result", "reason"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "skipped_total",
			Help: "Turns of a profile that were left out: the one before had not ended (late), or too many were open (busy).",
		}, []string{"reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricsPrefix + "duration_seconds", Help: "Time from the request to the profile being stored.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100},
		}, []string{"profile"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "bytes_total", Help: "Size of the profiles that targets answered with, decompressed.",
		}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "restarts_total",
			Help: "Profiles whose values had become less since the scrape before, because the target had started again.",
		}, []string{"profile"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "config_reloads_total", Help: "Changes of the file of -scrape-config that were taken over (changed), or could not be used (failed).",
		}, []string{"result"}),
		fileError: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "sd_file_errors_total", Help: "Files of file_sd_configs that could not be used; their targets stayed as they were.",
		}),
		leftOut: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: metricsPrefix + "targets_left_out", Help: "Targets that are not scraped because they are wrong, or because there are too many.",
		}),
		kept: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: metricsPrefix + "kept_bytes", Help: "Memory for what was last said of values that count since the start of their targets.",
		}, func() float64 { return float64(s.kept.used.Load()) }),
	}
	for _, result := range []string{"changed", "failed"} {
		m.reloads.WithLabelValues(result)
	}
	for _, reason := range []string{"late", "busy"} {
		m.skipped.WithLabelValues(reason)
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.scrapes, m.skipped, m.seconds, m.bytes, m.restarts, m.reloads, m.fileError, m.leftOut, m.kept, targetsCollector{s},
	} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of scraping: %w", err)
		}
	}
	return m, nil
}

// targetsCollector counts targets by state.
type targetsCollector struct{ s *Scraper }

var targetsDesc = prometheus.NewDesc(metricsPrefix+"targets", "Profiles of targets that are scraped, by state: up, down, unknown.", []string{"job", "state"}, nil)

// Describe implements [prometheus.Collector].
func (targetsCollector) Describe(to chan<- *prometheus.Desc) { to <- targetsDesc }

// Collect implements [prometheus.Collector].
func (c targetsCollector) Collect(to chan<- prometheus.Metric) {
	type kind struct {
		job   string
		state State
	}
	numbers := map[kind]int{}
	c.s.mu.Lock()
	for _, e := range c.s.endpoints {
		numbers[kind{e.spec.configured, e.target().State}]++
	}
	c.s.mu.Unlock()
	for k, n := range numbers {
		to <- prometheus.MustNewConstMetric(targetsDesc, prometheus.GaugeValue, float64(n), k.job, string(k.state))
	}
}
