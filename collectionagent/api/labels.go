// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

type labelsAnswer struct {
	Labels []labelName `json:"labels"`
}

type labelName struct {
	Name    string `json:"name"`
	Builtin bool   `json:"builtin"`
}

func (s *server) labels(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	if p.err != nil {
		return nil, p.err
	}
	labels, err := s.engine.Labels(ctx, selection)
	if err != nil {
		return nil, err
	}
	a := labelsAnswer{Labels: make([]labelName, len(labels))}
	for i, l := range labels {
		a.Labels[i] = labelName(l)
	}
	return jsonAnswer(a)
}

type valuesAnswer struct {
	Values []labelValue `json:"values"`
	Hidden int          `json:"hidden"`
}

type labelValue struct {
	Value   string `json:"value"`
	Samples int64  `json:"samples"`
	Sum     int64  `json:"sum"`
}

func (s *server) labelValues(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	search := store.LabelSearch{
		Name: p.path("name"), Prefix: p.values.Get("prefix"), Limit: p.integer("limit", defaultValues, 1, maxValues),
	}
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	found, err := s.engine.LabelValues(ctx, selection, search)
	if err != nil {
		return nil, err
	}
	a := valuesAnswer{Values: make([]labelValue, len(found.Values)), Hidden: found.Hidden}
	for i, v := range found.Values {
		a.Values[i] = labelValue{v.Value, v.Count, v.Sum}
	}
	return jsonAnswer(a)
}

type seriesAnswer struct {
	*summary
	Labels []string    `json:"labels"`
	Series []seriesRow `json:"series"`
	Hidden int         `json:"hidden"`
}

type seriesRow struct {
	Values  []string `json:"values"` // of the labels
	Samples int64    `json:"samples"`
	Sum     int64    `json:"sum"`
}

func (s *server) series(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	names := p.listOf("labels", "", maxSeriesLabels)
	limit := p.integer("limit", defaultValues, 1, maxValues)
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	sets, err := s.engine.Series(ctx, selection, names, limit)
	if err != nil {
		return nil, err
	}
	a := seriesAnswer{
		summary: newSummary(&sets.Summary), Labels: append([]string{}, sets.Names...),
		Series: make([]seriesRow, len(sets.Sets)), Hidden: sets.Hidden,
	}
	for i, set := range sets.Sets {
		a.Series[i] = seriesRow{append([]string{}, set.Values...), set.Samples, set.Value}
	}
	return jsonAnswer(a)
}

type typesAnswer struct {
	Types []typeRow `json:"types"`
}

type typeRow struct {
	Type    string `json:"type"`
	Unit    string `json:"unit"`
	Samples int64  `json:"samples"`
	Sum     int64  `json:"sum"`
}

func (s *server) types(ctx context.Context, p *parameters) (*answer, error) {
	selection := &query.Selection{Project: p.who.Project}
	p.times(selection)
	if p.err != nil {
		return nil, p.err
	}
	types, err := s.engine.Types(ctx, selection)
	if err != nil {
		return nil, err
	}
	a := typesAnswer{Types: make([]typeRow, len(types))}
	for i, t := range types {
		a.Types[i] = typeRow{t.Type.String(), t.Type.Unit(), t.Count, t.Sum}
	}
	return jsonAnswer(a)
}

func (s *server) totals(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	totals, err := s.engine.Totals(ctx, selection)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(newSummary(totals))
}
