// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/libpf"
)

const (
	defaultHosts = 1000
	maxHosts     = 100_000
)

type ledgerAnswer struct {
	NowMs  int64          `json:"now_ms"`
	Server serverReceipts `json:"server"`
	Agents agentLedger    `json:"agents"`
	// Unaccounted and Inconsistent sum over all hosts, also those that are hidden.
	Unaccounted  uint64       `json:"unaccounted"`
	Inconsistent int          `json:"inconsistent"`
	Lost         lostSamples  `json:"lost"`
	Hosts        []hostLedger `json:"hosts"`
	Hidden       int          `json:"hidden"`
}

type serverReceipts struct {
	Received  uint64            `json:"received"`
	Stored    uint64            `json:"stored"`
	Duplicate uint64            `json:"duplicate"`
	Refused   map[string]uint64 `json:"refused"`
}

type agentLedger struct {
	Captured  uint64            `json:"captured"`
	Recovered uint64            `json:"recovered"`
	Stored    uint64            `json:"stored"`
	Queued    uint64            `json:"queued"`
	Spooled   uint64            `json:"spooled"`
	Dropped   map[string]uint64 `json:"dropped"`
}

// lostSamples bounds how many samples of a range of time were dropped.
type lostSamples struct {
	FromMs  int64  `json:"from_ms"`
	ToMs    int64  `json:"to_ms"`
	Samples uint64 `json:"samples"`
	Hosts   int    `json:"hosts"`
}

type hostLedger struct {
	HostID       string       `json:"host_id"`
	Host         string       `json:"host"`
	RunID        string       `json:"run_id"`
	AgentVersion string       `json:"agent_version"`
	State        string       `json:"state"`
	LastError    string       `json:"last_error"`
	ReportedMs   int64        `json:"reported_ms"`
	DroppedMs    int64        `json:"dropped_ms"`
	Agent        *agentLedger `json:"agent"`
	Spool        *spoolStatus `json:"spool"`
	ServerStored uint64       `json:"server_stored"`
	Unaccounted  uint64       `json:"unaccounted"`
	Consistent   bool         `json:"consistent"`
}

func newAgentLedger(l *fleet.Ledger) *agentLedger {
	a := agentLedger(*l)
	if a.Dropped == nil {
		a.Dropped = map[string]uint64{}
	}
	return &a
}

func (s *server) ledger(ctx context.Context, p *parameters) (*answer, error) {
	from, to := p.time("from", "now-15m"), p.time("to", "now")
	if p.err == nil && from >= to {
		p.fail("from", fmt.Errorf("%s is not before to, which is %s", from, to))
	}
	limit := p.integer("limit", defaultHosts, 0, maxHosts)
	if p.err != nil {
		return nil, p.err
	}
	views, err := s.hostViews(ctx, p.who.Project, p.now)
	if err != nil {
		return nil, err
	}
	a := ledgerAnswer{
		NowMs: p.now.UnixMilli(), Server: serverReceipts{Refused: map[string]uint64{}},
		Lost: lostSamples{FromMs: milliseconds(from), ToMs: milliseconds(to)},
	}
	if s.config.Receipts != nil {
		a.Server = serverReceipts(s.config.Receipts.Receipts(p.who.Project))
	}
	var sum fleet.Ledger
	for _, v := range views {
		if v.agent == nil {
			continue
		}
		sum.Add(&v.agent.Ledger)
		a.Unaccounted += v.unaccounted
		if !v.agent.Ledger.AddsUp() {
			a.Inconsistent++
		}
		if lostWithin(v.agent, from, to) {
			a.Lost.Samples += v.agent.Ledger.DroppedSum()
			a.Lost.Hosts++
		}
	}
	a.Agents = *newAgentLedger(&sum)
	views, a.Hidden = limited(views, limit)
	a.Hosts = make([]hostLedger, len(views))
	for i, v := range views {
		a.Hosts[i] = newHostLedger(v)
	}
	return jsonAnswer(a)
}

// lostWithin reports whether samples that an agent dropped may have been
// captured in a range of time: between the start of its run and the last time
// that the count of them grew. What a run took over may be older.
func lostWithin(a *fleet.Agent, from, to libpf.UnixTimeNs) bool {
	if a.LastDrop.IsZero() || libpf.UnixTimeNs(a.LastDrop.UnixNano()) < from {
		return false
	}
	return a.Start < to || a.Ledger.Recovered > 0
}

func newHostLedger(v *hostView) hostLedger {
	h := hostLedger{
		HostID: v.id, Host: v.name, State: v.state(), ServerStored: v.stored, Unaccounted: v.unaccounted,
		Consistent: true, Spool: newSpoolStatus(v.agent),
	}
	if v.known != nil {
		h.AgentVersion = agentVersion(v.known.Metadata)
	}
	if a := v.agent; a != nil {
		h.RunID, h.AgentVersion, h.LastError = runText(a.RunID), a.AgentVersion, a.LastError
		h.ReportedMs, h.DroppedMs = a.Received.UnixMilli(), millisecondsOf(a.LastDrop)
		h.Agent, h.Consistent = newAgentLedger(&a.Ledger), a.Ledger.AddsUp()
	}
	return h
}
