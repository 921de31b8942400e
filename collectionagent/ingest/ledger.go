// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// ledger counts what became of samples, by weight. Requests that were refused
// before they were read are not in it: nobody knows their weight. At every
// scrape received = stored + duplicate + the sum of refused. It is safe for
// concurrent use.
type ledger struct {
	desc *prometheus.Desc

	mu                          sync.Mutex
	received, stored, duplicate uint64
	refused                     map[string]uint64
}

var _ prometheus.Collector = (*ledger)(nil)

func newLedger() *ledger {
	return &ledger{
		desc: prometheus.NewDesc("strobe_collectionagent_ledger_samples_total",
			"Samples that were received, by weight, and what became of them: received = stored + duplicate + refused.",
			[]string{"outcome", "reason"}, nil),
		refused: make(map[string]uint64),
	}
}

// store counts samples that were stored, or had been before.
func (l *ledger) store(weight uint64, duplicate bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received += weight
	if duplicate {
		l.duplicate += weight
	} else {
		l.stored += weight
	}
}

// refuse counts samples that were refused.
func (l *ledger) refuse(reason string, weight uint64) {
	if weight == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received += weight
	l.refused[reason] += weight
}

// Describe implements [prometheus.Collector].
func (l *ledger) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

// Collect implements [prometheus.Collector].
func (l *ledger) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	received, stored, duplicate, refused := l.received, l.stored, l.duplicate, maps.Clone(l.refused)
	l.mu.Unlock()
	emit := func(outcome, reason string, n uint64) {
		ch <- prometheus.MustNewConstMetric(l.desc, prometheus.CounterValue, float64(n), outcome, reason)
	}
	emit("received", "", received)
	emit("stored", "", stored)
	emit("duplicate", "", duplicate)
	for reason, n := range refused {
		emit("refused", reason, n)
	}
}

// weightOf returns the weight of the samples of a request that was not checked yet.
func weightOf(r *pb.AddCountsForTracesRequest) uint64 {
	if len(r.Counts) == 0 {
		return uint64(len(r.TimeDeltas))
	}
	var n uint64
	for _, c := range r.Counts {
		n += uint64(c)
	}
	return n
}
