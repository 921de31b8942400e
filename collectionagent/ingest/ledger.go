// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// ledger counts what became of samples, by weight. Requests that were refused
// before they were read are not in it: nobody knows their weight. At every
// scrape received = stored + duplicate + the sum of refused. It is safe for
// concurrent use.
type ledger struct {
	desc *prometheus.Desc
	// projects are not told apart by the metrics.
	projects fleet.Counter
}

var _ prometheus.Collector = (*ledger)(nil)

func newLedger(now func() time.Time) *ledger {
	return &ledger{
		projects: fleet.Counter{Now: now},
		desc: prometheus.NewDesc("strobe_collectionagent_ledger_samples_total",
			"Samples that were received, by weight, and what became of them: received = stored + duplicate + refused.",
			[]string{"outcome", "reason"}, nil),
	}
}

// Describe implements [prometheus.Collector].
func (l *ledger) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

// Collect implements [prometheus.Collector].
func (l *ledger) Collect(ch chan<- prometheus.Metric) {
	all := l.projects.Sum()
	emit := func(outcome, reason string, n uint64) {
		ch <- prometheus.MustNewConstMetric(l.desc, prometheus.CounterValue, float64(n), outcome, reason)
	}
	emit("received", "", all.Received)
	emit("stored", "", all.Stored)
	emit("duplicate", "", all.Duplicate)
	for reason, n := range all.Refused {
		emit("refused", reason, n)
	}
}

// Receipts returns what became of the samples that a project sent since the
// server started. Each time that a batch came counts.
func (s *Server) Receipts(project string) fleet.Receipts { return s.ledger.projects.Receipts(project) }

// LastMinute returns what a project sent within about the last minute.
func (s *Server) LastMinute(project string) fleet.Minute {
	return s.ledger.projects.LastMinute(project)
}

// Memory returns how many bytes requests in flight take, and may take at most.
func (s *Server) Memory() (used, limit int64) { return s.budget.inUse(), s.budget.size }

// account counts what became of the samples of a request of a project.
func (s *Server) account(project string, weight uint64, ack *pb.Ack, r *refusal) {
	projects := &s.ledger.projects
	var late *rangeError
	switch {
	case ack != nil:
		projects.Store(project, weight, ack.Duplicate)
	case errors.As(r.cause, &late):
		// The rest comes again, in another batch.
		projects.Refuse(project, "too_old", late.tooOld)
		projects.Refuse(project, "in_future", late.inFuture)
	default:
		projects.Refuse(project, r.reason, weight)
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
