// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

type statusAnswer struct {
	Version string `json:"version"`
	NowMs   int64  `json:"now_ms"`
	Project string `json:"project"`
	// StartedMs is not there when it is not known.
	StartedMs int64            `json:"started_ms,omitempty"`
	Retention *retentionStatus `json:"retention,omitempty"`
	Ingest    *ingestStatus    `json:"ingest,omitempty"`
	// Store, Memory and Queries are about all projects, and so only there for those who may know of all.
	Store   *storeStatus            `json:"store,omitempty"`
	Memory  map[string]memoryStatus `json:"memory,omitempty"`
	Queries *queriesStatus          `json:"queries,omitempty"`
	Hosts   []hostStatus            `json:"hosts"`
	Types   []typeStatus            `json:"types"`
	// Incomplete says why answers do not hold all that is stored yet.
	Incomplete string `json:"incomplete,omitempty"`
}

type storeStatus struct {
	Engine      string           `json:"engine"`
	Samples     int64            `json:"samples"`
	Bytes       map[string]int64 `json:"bytes"`
	LimitBytes  int64            `json:"limit_bytes,omitempty"`
	OldestMs    int64            `json:"oldest_ms"`
	NewestMs    int64            `json:"newest_ms"`
	Stacks      int64            `json:"stacks"`
	Symbols     int64            `json:"symbols"`
	Executables int64            `json:"executables"`
	Hosts       int64            `json:"hosts"`
	// What follows is there when the engine knows.
	*healthStatus
}

type healthStatus struct {
	ReadOnly    string `json:"read_only"`
	FreeBytes   *int64 `json:"free_bytes,omitempty"`
	BacklogRows int64  `json:"backlog_rows"`
	Strained    bool   `json:"strained"`
}

type hostStatus struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	LastSeenMs int64             `json:"last_seen_ms"`
	Metadata   map[string]string `json:"metadata"`
}

type typeStatus struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	// Snapshot says that values are a level at a time.
	Snapshot bool `json:"snapshot,omitempty"`
}

func (s *server) status(ctx context.Context, p *parameters) (*answer, error) {
	hosts, err := s.config.Store.Hosts(ctx, p.who.Project)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	a := statusAnswer{
		Version: s.config.Version, NowMs: p.now.UnixMilli(), Project: p.who.Project, Hosts: make([]hostStatus, len(hosts)),
	}
	a.Incomplete = s.incomplete()
	if !s.config.Started.IsZero() {
		a.StartedMs = s.config.Started.UnixMilli()
	}
	a.Retention = newRetentionStatus(s.config.Retention, p.who)
	a.Ingest = newIngestStatus(s.config.Receipts, p.who.Project)
	if p.who.ServerWide() {
		a.Memory, a.Queries = s.memoryStatus(), s.turns.status()
		if a.Store, err = s.storeStatus(ctx); err != nil {
			return nil, err
		}
	}
	for i, h := range hosts {
		if h.Metadata == nil {
			h.Metadata = map[string]string{}
		}
		a.Hosts[i] = hostStatus{h.ID, h.Name, milliseconds(h.LastSeen), h.Metadata}
	}
	for _, t := range libpf.SampleTypes() {
		a.Types = append(a.Types, typeStatus{t.String(), t.Unit(), t.Snapshot()})
	}
	return jsonAnswer(a)
}

// storeStatus returns the numbers of all projects together.
func (s *server) storeStatus(ctx context.Context) (*storeStatus, error) {
	stats, err := s.config.Store.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("read statistics of the store: %w", err)
	}
	a := &storeStatus{
		Engine: stats.Engine, Samples: stats.Samples, Bytes: stats.Bytes, LimitBytes: stats.Limit,
		OldestMs: milliseconds(stats.Oldest), NewestMs: milliseconds(stats.Newest),
		Stacks: stats.Stacks, Symbols: stats.Symbols, Executables: stats.Executables, Hosts: stats.Hosts,
	}
	if a.Bytes == nil {
		a.Bytes = map[string]int64{}
	}
	if h, ok := s.config.Store.(store.Healthy); ok {
		health := h.Health()
		a.healthStatus = &healthStatus{ReadOnly: health.ReadOnly, BacklogRows: health.BacklogRows, Strained: health.Strained}
		if health.FreeBytes >= 0 {
			a.FreeBytes = &health.FreeBytes
		}
	}
	return a, nil
}
