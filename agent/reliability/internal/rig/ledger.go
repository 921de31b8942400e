// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Ledger is what an agent says became of the samples of its run, by weight.
type Ledger struct {
	Captured, Recovered, Stored, Queued, Spooled uint64
	Dropped                                      map[string]uint64
}

// Waiting is what is neither stored nor lost.
func (l Ledger) Waiting() uint64 { return l.Queued + l.Spooled }

// DroppedTotal is the sum over the reasons.
func (l Ledger) DroppedTotal() (n uint64) {
	for _, v := range l.Dropped {
		n += v
	}
	return n
}

// Balance returns an error unless captured = stored + queued + spooled + dropped.
func (l Ledger) Balance() error {
	if sum := l.Stored + l.Queued + l.Spooled + l.DroppedTotal(); sum != l.Captured {
		return fmt.Errorf("captured %d, but stored %d + queued %d + spooled %d + dropped %d = %d",
			l.Captured, l.Stored, l.Queued, l.Spooled, l.DroppedTotal(), sum)
	}
	return nil
}

// String shows all that is not 0.
func (l Ledger) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "captured %d", l.Captured)
	for _, part := range []struct {
		name string
		n    uint64
	}{{"recovered", l.Recovered}, {"stored", l.Stored}, {"queued", l.Queued}, {"spooled", l.Spooled}} {
		if part.n != 0 {
			fmt.Fprintf(&b, ", %s %d", part.name, part.n)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(l.Dropped)) {
		if l.Dropped[reason] != 0 {
			fmt.Fprintf(&b, ", dropped as %s %d", reason, l.Dropped[reason])
		}
	}
	return b.String()
}

// Metrics is one scrape, by name.
type Metrics map[string]*dto.MetricFamily

func parseMetrics(text []byte) (Metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// value is that of the kinds of metrics that have one.
func value(m *dto.Metric) uint64 {
	return uint64(m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue())
}

// Get returns the value of a metric without labels, or 0.
func (m Metrics) Get(name string) uint64 {
	for _, series := range m[name].GetMetric() {
		if len(series.GetLabel()) == 0 {
			return value(series)
		}
	}
	return 0
}

// By returns the values of a metric by one of its labels, summed over the others.
func (m Metrics) By(name, label string) map[string]uint64 {
	out := map[string]uint64{}
	for _, series := range m[name].GetMetric() {
		for _, l := range series.GetLabel() {
			if l.GetName() == label {
				out[l.GetValue()] += value(series)
			}
		}
	}
	return out
}

const reporterPrefix = "strobe_agent_reporter_"

// AgentLedger reads the ledger from a scrape of an agent.
func (m Metrics) AgentLedger() Ledger {
	return Ledger{
		Captured:  m.Get(reporterPrefix + "captured_samples_total"),
		Recovered: m.Get(reporterPrefix + "recovered_samples_total"),
		Stored:    m.Get(reporterPrefix + "stored_samples_total"),
		Queued:    m.Get(reporterPrefix + "queued_samples"),
		Spooled:   m.Get(reporterPrefix + "spooled_samples"),
		Dropped:   m.By(reporterPrefix+"dropped_samples_total", "reason"),
	}
}

// ServerLedger is what a collection agent says of the samples that it received
// since it started, by weight.
type ServerLedger struct {
	Received, Stored, Duplicate, Refused uint64
}

// Balance returns an error unless received = stored + duplicate + refused.
func (l ServerLedger) Balance() error {
	if l.Received != l.Stored+l.Duplicate+l.Refused {
		return fmt.Errorf("received %d, but stored %d + duplicate %d + refused %d", l.Received, l.Stored, l.Duplicate, l.Refused)
	}
	return nil
}

// ServerLedger reads the ledger from a scrape of a collection agent. ok is false
// when there is none.
func (m Metrics) ServerLedger() (l ServerLedger, ok bool) {
	by := m.By("strobe_collectionagent_ledger_samples_total", "outcome")
	_, ok = by["received"]
	return ServerLedger{by["received"], by["stored"], by["duplicate"], by["refused"]}, ok
}
