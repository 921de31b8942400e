// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/libpf"
)

const (
	defaultNodes = 8192
	maxNodes     = 1_000_000
	defaultRows  = 1000
	maxRows      = 100_000
	// defaultSeries is how many colours people tell apart.
	defaultSeries = 10
	maxSeries     = 1000
	defaultValues = 1000
	maxValues     = 100_000
)

// pprofLabels are what samples of a pprof profile are labelled with. The IDs of
// processes and threads are left to be asked for, because with them every
// short-lived process makes samples of its own.
const pprofLabels = "service,process,comm"

func (s *server) flamegraph(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	nodes := p.integer("max_nodes", min(defaultNodes, s.config.MaxNodes), 1, s.config.MaxNodes, "-max-query-nodes")
	groupBy := p.list("group_by", "")
	p.fold(selection)
	if p.err != nil {
		return nil, p.err
	}
	g, err := s.engine.FlameGraph(ctx, selection, groupBy, nodes)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(newFlameGraph(g))
}

type topAnswer struct {
	Unit    string   `json:"unit"`
	Total   int64    `json:"total"`
	Samples int64    `json:"samples"`
	Rows    []topRow `json:"rows"`
	Hidden  int      `json:"hidden"`
}

type topRow struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Binary string `json:"binary"`
	Kind   string `json:"kind"`
	Self   int64  `json:"self"`
	Total  int64  `json:"total"`
}

func (s *server) top(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	limit := p.integer("limit", defaultRows, 1, maxRows)
	p.fold(selection)
	order := query.TopBySelf
	switch sort := p.values.Get("sort"); sort {
	case "", "self":
	case "total":
		order = query.TopByTotal
	default:
		p.fail("sort", fmt.Errorf("unknown order %q: expected self or total", sort))
	}
	if p.err != nil {
		return nil, p.err
	}
	top, err := s.engine.Top(ctx, selection, order, limit)
	if err != nil {
		return nil, err
	}
	a := topAnswer{
		Unit: selection.Type.Unit(), Total: top.Total, Samples: top.Samples, Rows: make([]topRow, len(top.Rows)),
		Hidden: top.Hidden,
	}
	for i, r := range top.Rows {
		a.Rows[i] = topRow{r.Name, r.File, r.Binary, r.Kind, r.Self, r.Total}
	}
	return jsonAnswer(a)
}

func (s *server) folded(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	groupBy := p.list("group_by", "")
	if p.err != nil {
		return nil, p.err
	}
	var out bytes.Buffer
	if err := s.engine.WriteFolded(ctx, selection, groupBy, &out); err != nil {
		return nil, err
	}
	return &answer{contentType: "text/plain; charset=utf-8", body: out.Bytes()}, nil
}

func (s *server) pprof(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	groupBy := p.list("group_by", pprofLabels)
	if p.err != nil {
		return nil, p.err
	}
	var out bytes.Buffer
	if err := s.engine.WritePprof(ctx, selection, groupBy, &out); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("strobe-%s-%s.pb.gz", selection.Type, selection.From.Time().Format("20060102T150405Z"))
	return &answer{contentType: "application/octet-stream", fileName: name, body: out.Bytes(), packed: true}, nil
}

type timelineAnswer struct {
	Unit   string           `json:"unit"`
	StepMs int64            `json:"step_ms"`
	FromMs int64            `json:"from_ms"`
	ToMs   int64            `json:"to_ms"`
	By     string           `json:"by"`
	Series []timelineSeries `json:"series"`
}

type timelineSeries struct {
	Name   string  `json:"name"`
	Values []int64 `json:"values"`
}

func (s *server) timeline(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	step := p.step(selection)
	by := p.values.Get("by")
	limit := p.integer("limit", defaultSeries, 1, maxSeries)
	if p.err != nil {
		return nil, p.err
	}
	t, err := s.engine.Timeline(ctx, selection, by, step, limit)
	if err != nil {
		return nil, err
	}
	a := timelineAnswer{
		Unit: selection.Type.Unit(), StepMs: t.Step.Milliseconds(), FromMs: milliseconds(t.From),
		ToMs: milliseconds(t.To), By: by, Series: make([]timelineSeries, len(t.Series)),
	}
	for i, series := range t.Series {
		a.Series[i] = timelineSeries(series)
	}
	return jsonAnswer(a)
}

func milliseconds(t libpf.UnixTimeNs) int64 { return int64(t) / int64(time.Millisecond) }

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
	limit := p.integer("limit", defaultValues, 1, maxValues)
	if p.err != nil {
		return nil, p.err
	}
	values, hidden, err := s.engine.LabelValues(ctx, p.path("name"), selection, limit)
	if err != nil {
		return nil, err
	}
	a := valuesAnswer{Values: make([]labelValue, len(values)), Hidden: hidden}
	for i, v := range values {
		a.Values[i] = labelValue{v.Value, v.Count, v.Sum}
	}
	return jsonAnswer(a)
}
