// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

const (
	defaultTracks = 50
	maxTracks     = 1000
	// defaultTrackNodes is enough for the stacks of some hundred threads.
	defaultTrackNodes = 1 << 16
)

// tracksAnswer is samples in the order of time, in columns.
type tracksAnswer struct {
	*summary
	By       string      `json:"by"`
	StepMs   int64       `json:"step_ms"`
	StartMs  int64       `json:"start_ms"`
	Steps    int64       `json:"steps"`
	PeriodNs int64       `json:"period_ns,omitempty"`
	Labels   []string    `json:"labels"`
	Strings  []string    `json:"strings"`
	Frames   frames      `json:"frames"`
	Stacks   trackStacks `json:"stacks"`
	Tracks   []track     `json:"tracks"`
	Hidden   struct {
		Tracks int   `json:"tracks"`
		Value  int64 `json:"value"`
		Stacks int   `json:"stacks"`
	} `json:"hidden"`
}

type trackStacks struct {
	Frame  []uint32 `json:"frame"`
	Parent []uint32 `json:"parent"`
}

type track struct {
	Values  []string   `json:"values"`
	Total   int64      `json:"total"`
	Samples int64      `json:"samples"`
	Cells   trackCells `json:"cells"`
}

type trackCells struct {
	Step  []uint32 `json:"step"`
	Stack []uint32 `json:"stack"`
	Value []int64  `json:"value"`
	Part  []int64  `json:"part"`
}

func (s *server) tracks(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	o := &query.TracksOptions{
		By: p.values.Get("by"), Limit: p.integer("limit", defaultTracks, 1, maxTracks),
		MaxNodes: p.integer("max_nodes", min(defaultTrackNodes, s.config.MaxNodes), 1, s.config.MaxNodes, "-max-query-nodes"),
	}
	if o.By == "" {
		o.By = store.LabelTID
	}
	o.Step = p.trackStep(selection, o.Limit)
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	t, err := s.engine.Tracks(ctx, selection, o)
	if err != nil {
		return nil, err
	}
	room := newRoom(ctx)
	for i := range t.Tracks {
		if _, err := room.row(nil, t.Tracks[i].Labels...); err != nil {
			return nil, err
		}
	}
	return jsonAnswer(newTracksAnswer(t, o.By))
}

// trackStep reads the width of the steps of tracks.
func (p *parameters) trackStep(s *query.Selection, limit int) time.Duration {
	span := time.Duration(s.To - s.From)
	step := query.NiceTrackStep(span)
	if text := p.values.Get("step"); text != "" {
		var err error
		switch step, err = query.ParseDuration(text); {
		case err != nil:
			p.fail("step", err)
		case step > maxStep:
			p.fail("step", fmt.Errorf("longer than %s", "366d"))
		}
	}
	if p.err == nil {
		if most := min(query.MaxBuckets, query.MaxCells/limit); int64(span/step)+2 > int64(most) {
			p.fail("step", fmt.Errorf("makes more than %d steps of the range, which is the limit for %d tracks: expected at least %s",
				most-2, limit, query.NiceTrackStep(span)))
		}
	}
	return step
}

func newTracksAnswer(t *query.Tracks, by string) *tracksAnswer {
	a := &tracksAnswer{
		summary: newSummary(&t.Summary), By: by, StepMs: t.Step.Milliseconds(), StartMs: milliseconds(t.From),
		Steps: int64(t.To-t.From) / int64(t.Step), PeriodNs: t.Period, Labels: t.Labels, Tracks: make([]track, len(t.Tracks)),
	}
	a.Hidden.Tracks, a.Hidden.Value, a.Hidden.Stacks = t.HiddenTracks, t.HiddenValue, t.CutStacks
	var texts textTable
	a.Frames.fill(t.Frames, &texts)
	a.Strings = texts.texts
	a.Stacks.Frame, a.Stacks.Parent = make([]uint32, len(t.Stacks)), make([]uint32, len(t.Stacks))
	for i, n := range t.Stacks {
		a.Stacks.Frame[i], a.Stacks.Parent[i] = n.Frame, n.Parent
	}
	for i := range t.Tracks {
		from, to := &t.Tracks[i], &a.Tracks[i]
		to.Values, to.Total, to.Samples = from.Labels, from.Value, from.Samples
		n, c := len(from.Cells), &to.Cells
		c.Step, c.Stack, c.Value, c.Part = make([]uint32, n), make([]uint32, n), make([]int64, n), make([]int64, n)
		for j, cell := range from.Cells {
			c.Step[j], c.Stack[j], c.Value[j], c.Part[j] = cell.At, cell.Stack, cell.Value, cell.Part
		}
	}
	return a
}
