// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/stats"
)

// metrics of the package.
type metrics struct {
	batches      *prometheus.CounterVec
	samples      prometheus.Counter
	observations prometheus.Counter
	definitions  *prometheus.CounterVec
	lookups      *prometheus.CounterVec
	rejected     *prometheus.CounterVec
	bytes        *prometheus.CounterVec
	seconds      *prometheus.HistogramVec
	active       prometheus.Gauge
	reports      *prometheus.CounterVec
	panics       prometheus.Counter
	connections  prometheus.Gauge
	cutOff       prometheus.Counter
	limited      *prometheus.CounterVec
}

const metricsPrefix = "strobe_collectionagent_ingest_"

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "batches_total", Help: "Batches received, by type and by what became of them.",
		}, []string{"type", "result"}),
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "samples_total", Help: "Samples stored: rows, those of repeated batches once.",
		}),
		observations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "observations_total", Help: "Observations stored: the sum of the counts of the samples.",
		}),
		definitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "definitions_total", Help: "Definitions stored, by kind.",
		}, []string{"kind"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "store_lookups_total",
			Help: "Definitions that requests refer to and that had to be looked up in the store, as it was not or no longer remembered that they are there, by kind.",
		}, []string{"kind"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "rejected_total", Help: "Batches that were refused for ever, by the field that is wrong.",
		}, []string{"field"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "bytes_total", Help: "Bytes of requests: as they came over the wire, and uncompressed.",
		}, []string{"form"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricsPrefix + "seconds", Help: "Time from a decoded request to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}, []string{"type"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: metricsPrefix + "active_requests", Help: "Requests being worked on.",
		}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "status_reports_total",
			Help: "Reports of agents on themselves, by what became of them: kept, inconsistent (kept, but its ledger does not add up), invalid.",
		}, []string{"result"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "panics_total", Help: "Faults in the handling of requests that did not end the process.",
		}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: metricsPrefix + "connections", Help: "Connections of agents that are open.",
		}),
		cutOff: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "connections_refused_total", Help: "Connections that were closed at once because there are too many.",
		}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "limited_total", Help: "Batches that were refused for now because a project or host sends too much, by limit and by whose it is.",
		}, []string{"limit", "scope"}),
	}
	for _, c := range []prometheus.Collector{
		m.batches, m.samples, m.observations, m.definitions, m.lookups, m.rejected, m.bytes, m.seconds, m.active, m.panics, m.limited,
		m.connections, m.cutOff, m.reports,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// byteCounter counts the bytes of requests.
type byteCounter struct{ wire, decoded prometheus.Counter }

var _ stats.Handler = byteCounter{}

// TagRPC implements [stats.Handler].
func (byteCounter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements [stats.Handler].
func (byteCounter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (byteCounter) HandleConn(context.Context, stats.ConnStats) {}

// HandleRPC implements [stats.Handler].
func (c byteCounter) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		c.wire.Add(float64(in.WireLength))
		c.decoded.Add(float64(in.Length))
	}
}
