// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Fleet is what agents say of themselves.
type Fleet interface {
	// Agents returns the newest reports of a project's hosts.
	Agents(project string) []fleet.Agent
}

// Receipts is what became of the samples that the server received.
type Receipts interface {
	// Receipts returns the sums of a project since the server started.
	Receipts(project string) fleet.Receipts
}

// stateUnknown is that of hosts whose agent never reported: one of an older
// version, or of another make.
const stateUnknown = "unknown"

// silentAfter is how long an agent may be silent before it needs attention. It
// reports about every 10 s.
const silentAfter = time.Minute

// hostView is what is known of a host: by its agent, by the store, or by both.
type hostView struct {
	id, name string
	agent    *fleet.Agent // nil: never reported
	known    *store.Host  // nil: never described
	// stored is the weight of the samples that the store holds of the agent's
	// run; of all runs when the agent never reported.
	stored      uint64
	unaccounted uint64
}

// state returns the state that the agent reported, or that there is none.
func (h *hostView) state() string {
	if h.agent == nil || h.agent.State == "" {
		return stateUnknown
	}
	return h.agent.State
}

// attention orders hosts: those that somebody should look at come first.
func (h *hostView) attention(now time.Time) int {
	state := h.state()
	switch {
	case h.agent != nil && (!h.agent.Ledger.AddsUp() || h.unaccounted > 0):
		return 0
	case state == "refused", state == "disconnected", state == "overloaded",
		h.agent != nil && state != "stopped" && now.Sub(h.agent.Received) >= silentAfter:
		return 1
	case h.agent != nil && h.agent.Ledger.DroppedSum() > 0:
		return 2
	}
	return 3
}

// hostViews returns all hosts of the project, those that need attention first.
func (s *server) hostViews(ctx context.Context, project string, now time.Time) ([]*hostView, error) {
	views := map[string]*hostView{}
	view := func(id string) *hostView {
		h := views[id]
		if h == nil {
			h = &hostView{id: id, name: id}
			views[id] = h
		}
		return h
	}
	known, err := s.config.Store.Hosts(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	for i := range known {
		h := view(known[i].ID)
		h.known, h.name = &known[i], cmp.Or(known[i].Name, h.name)
	}
	if s.config.Fleet != nil {
		agents := s.config.Fleet.Agents(project)
		for i := range agents {
			h := view(agents[i].HostID)
			h.agent, h.name = &agents[i], cmp.Or(agents[i].HostName, h.name)
		}
	}
	runs, err := s.config.Store.RunLedgers(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("list what is stored of each run: %w", err)
	}
	for i := range runs {
		h := view(runs[i].HostID)
		if h.agent == nil || h.agent.RunID == runs[i].RunID {
			h.stored += runs[i].Stored
		}
	}
	for _, h := range views {
		if h.agent == nil {
			continue
		}
		// What a run recovered is stored under the name of the run that captured it.
		if held := h.stored + h.agent.Ledger.Recovered; h.agent.Ledger.Stored > held {
			h.unaccounted = h.agent.Ledger.Stored - held
		}
	}
	return slices.SortedFunc(maps.Values(views), func(a, b *hostView) int {
		return cmp.Or(cmp.Compare(a.attention(now), b.attention(now)), cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
	}), nil
}

// limited cuts a list off and returns how much of it is hidden.
func limited[T any](list []T, limit int) ([]T, int) {
	if len(list) <= limit {
		return list, 0
	}
	return list[:limit], len(list) - limit
}

// millisecondsOf returns a time in milliseconds, 0 for none.
func millisecondsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// runText writes the ID of a run.
func runText(id [16]byte) string { return hex.EncodeToString(id[:]) }

type hostsAnswer struct {
	NowMs  int64       `json:"now_ms"`
	Hosts  []agentHost `json:"hosts"`
	Hidden int         `json:"hidden"`
}

type agentHost struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Kernel     string            `json:"kernel"`
	Metadata   map[string]string `json:"metadata"`
	LastSeenMs int64             `json:"last_seen_ms"`
	// The rest is what the agent reported.
	ReportedMs    int64        `json:"reported_ms"`
	RunID         string       `json:"run_id"`
	StartedMs     int64        `json:"started_ms"`
	ClockOffsetMs int64        `json:"clock_offset_ms"`
	State         string       `json:"state"`
	LastError     string       `json:"last_error"`
	Limitations   []limitation `json:"limitations"`
	Queued        uint64       `json:"queued"`
	Spooled       uint64       `json:"spooled"`
	Dropped       uint64       `json:"dropped"`
	Spool         *spoolStatus `json:"spool"`
}

type limitation struct {
	Name   string `json:"name"`
	Effect string `json:"effect"`
	Fix    string `json:"fix"`
}

type spoolStatus struct {
	State    string `json:"state"`
	Bytes    uint64 `json:"bytes"`
	MaxBytes uint64 `json:"max_bytes"`
	Batches  uint64 `json:"batches"`
}

// newSpoolStatus returns the spool of an agent, nil for one that never reported.
func newSpoolStatus(a *fleet.Agent) *spoolStatus {
	if a == nil {
		return nil
	}
	s := spoolStatus(a.Spool)
	return &s
}

func (s *server) hosts(ctx context.Context, p *parameters) (*answer, error) {
	limit := p.integer("limit", defaultHosts, 0, maxHosts)
	if p.err != nil {
		return nil, p.err
	}
	views, err := s.hostViews(ctx, p.who.Project, p.now)
	if err != nil {
		return nil, err
	}
	views, hidden := limited(views, limit)
	a := hostsAnswer{NowMs: p.now.UnixMilli(), Hosts: make([]agentHost, len(views)), Hidden: hidden}
	for i, v := range views {
		a.Hosts[i] = newAgentHost(v)
	}
	return jsonAnswer(a)
}

// agentVersion returns the version of the agent of a host as it describes itself, or as
// resources of OpenTelemetry do.
func agentVersion(metadata map[string]string) string {
	return cmp.Or(metadata["agent.version"], metadata["telemetry.distro.version"])
}

func newAgentHost(v *hostView) agentHost {
	h := agentHost{
		ID: v.id, Name: v.name, State: v.state(), Metadata: map[string]string{}, Limitations: []limitation{}, Spool: newSpoolStatus(v.agent),
	}
	if v.known != nil {
		h.LastSeenMs = milliseconds(v.known.LastSeen)
		if v.known.Metadata != nil {
			h.Metadata = v.known.Metadata
		}
		h.Kernel, h.Version = h.Metadata["kernel.release"], agentVersion(h.Metadata)
	}
	if a := v.agent; a != nil {
		h.Version = cmp.Or(a.AgentVersion, h.Version)
		h.ReportedMs = a.Received.UnixMilli()
		h.LastSeenMs = max(h.LastSeenMs, h.ReportedMs)
		h.RunID, h.StartedMs = runText(a.RunID), milliseconds(a.Start)
		if a.Time > 0 { // an agent that knows no time says 0
			h.ClockOffsetMs = milliseconds(a.Time) - h.ReportedMs
		}
		h.LastError = a.LastError
		h.Queued, h.Spooled, h.Dropped = a.Ledger.Queued, a.Ledger.Spooled, a.Ledger.DroppedSum()
		for _, l := range a.Limitations {
			h.Limitations = append(h.Limitations, limitation(l))
		}
	}
	return h
}
