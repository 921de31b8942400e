// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/query"
)

// summary says what an answer was made from.
type summary struct {
	Type     string   `json:"type"`
	Unit     string   `json:"unit"`
	Snapshot bool     `json:"snapshot,omitempty"`
	FromMs   int64    `json:"from_ms"`
	ToMs     int64    `json:"to_ms"`
	Total    int64    `json:"total"`
	Samples  int64    `json:"samples"`
	Excluded int64    `json:"excluded"`
	Coverage coverage `json:"coverage"`
	// The rest is there when stacks were looked at.
	Symbolized    *float64 `json:"symbolized,omitempty"`
	UnknownStacks *int64   `json:"unknown_stacks,omitempty"`
}

// coverage is a store.Coverage.
type coverage struct {
	ResolutionMs int64 `json:"resolution_ms"`
	FromMs       int64 `json:"from_ms"`
	ToMs         int64 `json:"to_ms"`
	HorizonMs    int64 `json:"horizon_ms"`
}

func newSummary(s *query.Summary) *summary {
	out := &summary{
		Type: s.Type.String(), Unit: s.Type.Unit(), Snapshot: s.Type.Snapshot(), FromMs: milliseconds(s.From), ToMs: milliseconds(s.To),
		Total: s.Total, Samples: s.Samples, Excluded: s.Excluded,
		Coverage: coverage{
			s.Coverage.Resolution.Milliseconds(), milliseconds(s.Coverage.From), milliseconds(s.Coverage.To),
			milliseconds(s.Coverage.Horizon),
		},
	}
	if s.ByStack {
		out.Symbolized, out.UnknownStacks = &s.Symbolized, &s.UnknownStacks
	}
	return out
}

// summaryHeader carries the summary of answers that have no room for it.
const summaryHeader = "Strobe-Summary"

// summarised adds the summary to an answer that is not JSON.
func summarised(a *answer, s *query.Summary) (*answer, error) {
	text, err := json.Marshal(newSummary(s))
	if err != nil {
		return nil, fmt.Errorf("encode summary: %w", err)
	}
	a.summary = string(text)
	return a, nil
}
