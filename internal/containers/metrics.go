// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts questions and what came of them.
type metrics struct {
	lookups        *prometheus.CounterVec
	known, evicted prometheus.Collector
}

func newMetrics(d *Directory) *metrics {
	return &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_agent_container_lookups_total",
			Help: "Questions to runtimes and the kubelet, by source (docker, cri, kubelet) and result. By container: found, unknown (asked for five times and not there), queue_full (not asked: too many wait), left_out (told of without a question, after 4,096 others of the same answer). By question: absent (no socket), denied, timeout, unsupported, error.",
		}, []string{"source", "result"}),
		known: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strobe_agent_containers_known",
			Help: "Containers of which a runtime or the kubelet has told.",
		}, func() float64 { return float64(d.Known()) }),
		evicted: prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "strobe_agent_containers_evicted_total",
			Help: "Containers that were forgotten to make room for others.",
		}, func() float64 { return float64(d.evicted()) }),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	if err := errors.Join(r.Register(m.lookups), r.Register(m.known), r.Register(m.evicted)); err != nil {
		return fmt.Errorf("register metrics of containers: %w", err)
	}
	return nil
}
