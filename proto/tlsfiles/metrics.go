// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// descriptions are those of the metrics.
type descriptions struct{ reloads, expiry, handshakes *prometheus.Desc }

func describe(prefix string) descriptions {
	return descriptions{
		reloads: prometheus.NewDesc(prefix+"_tls_reloads_total",
			"Times that changed TLS files were taken over (changed), or could not be used (failed).", []string{"kind", "result"}, nil),
		expiry: prometheus.NewDesc(prefix+"_tls_certificate_expiry_seconds",
			"When the certificate in use, or the last of the authorities, expires, in seconds since 1970.", []string{"kind"}, nil),
		handshakes: prometheus.NewDesc(prefix+"_tls_failed_handshakes_total",
			"gRPC connections on which TLS could not be agreed.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (f *Files) Describe(ch chan<- *prometheus.Desc) {
	ch <- f.descs.reloads
	ch <- f.descs.expiry
	ch <- f.descs.handshakes
}

// Collect implements prometheus.Collector.
func (f *Files) Collect(ch chan<- prometheus.Metric) {
	f.Check()
	count := func(d *prometheus.Desc, n *atomic.Uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.Load()), labels...)
	}
	for _, u := range f.units() {
		count(f.descs.reloads, &u.reloads, u.kind, "changed")
		count(f.descs.reloads, &u.refused, u.kind, "failed")
		ch <- prometheus.MustNewConstMetric(f.descs.expiry, prometheus.GaugeValue, float64(u.now.Load().notAfter.Unix()), u.kind)
	}
	count(f.descs.handshakes, &f.handshakesFailed)
}
