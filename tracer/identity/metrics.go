// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts answers and what could not be read for them.
type metrics struct {
	lookups              *prometheus.CounterVec
	hits, resolved, gone prometheus.Counter
	errors               *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_agent_identity_lookups_total",
			Help: "Questions who a process is, by result: known, resolved (read anew), gone (ended before it could be read).",
		}, []string{"result"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_agent_identity_errors_total",
			Help: "Facts about processes that could not be read, by file, or by reason: timeout, busy.",
		}, []string{"reason"}),
	}
	m.hits = m.lookups.WithLabelValues("known")
	m.resolved = m.lookups.WithLabelValues("resolved")
	m.gone = m.lookups.WithLabelValues("gone")
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	return errors.Join(r.Register(m.lookups), r.Register(m.errors))
}
