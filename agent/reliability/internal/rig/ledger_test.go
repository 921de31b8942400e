// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLedgers(t *testing.T) {
	t.Parallel()
	m, err := parseMetrics([]byte(`# HELP strobe_agent_reporter_captured_samples_total All.
# TYPE strobe_agent_reporter_captured_samples_total counter
# TYPE strobe_agent_reporter_queued_samples gauge
strobe_agent_reporter_captured_samples_total 1.2e+01
strobe_agent_reporter_stored_samples_total 5
strobe_agent_reporter_queued_samples 3
strobe_agent_reporter_spooled_samples 1
strobe_agent_reporter_dropped_samples_total{reason="overflow"} 2
strobe_agent_reporter_dropped_samples_total{reason="too_old"} 1
strobe_collectionagent_ledger_samples_total{outcome="received",reason=""} 9
strobe_collectionagent_ledger_samples_total{outcome="refused",reason="a"} 2
strobe_collectionagent_ledger_samples_total{outcome="refused",reason="b"} 3
strobe_collectionagent_ledger_samples_total{outcome="stored",reason=""} 4
`))
	if err != nil {
		t.Fatal(err)
	}
	l := m.AgentLedger()
	want := Ledger{Captured: 12, Stored: 5, Queued: 3, Spooled: 1, Dropped: map[string]uint64{"overflow": 2, "too_old": 1}}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Error(diff)
	}
	if err := l.Balance(); err != nil {
		t.Error(err)
	}
	if got := l.String(); got != "captured 12, stored 5, queued 3, spooled 1, dropped as overflow 2, dropped as too_old 1" {
		t.Error(got)
	}
	if l.Queued++; l.Balance() == nil {
		t.Error("a wrong ledger adds up")
	}
	s, ok := m.ServerLedger()
	if want := (ServerLedger{9, 4, 0, 5}); !ok || s != want || s.Balance() != nil {
		t.Errorf("%+v, %v", s, ok)
	}
	if s.Stored++; s.Balance() == nil {
		t.Error("a wrong ledger of the server adds up")
	}
}
