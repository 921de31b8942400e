// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"fmt"
	"time"

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
	nodes := p.nodes(s)
	groupBy := p.list("group_by", "")
	p.stacks(selection)
	p.level(selection)
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
	*summary
	Rows   []topRow `json:"rows"`
	Hidden int      `json:"hidden"`
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
	p.stacks(selection)
	order := p.order()
	if p.err != nil {
		return nil, p.err
	}
	top, err := s.engine.Top(ctx, selection, order, limit)
	if err != nil {
		return nil, err
	}
	a := topAnswer{summary: newSummary(&top.Summary), Rows: make([]topRow, len(top.Rows)), Hidden: top.Hidden}
	for i, r := range top.Rows {
		a.Rows[i] = topRow{r.Name, r.File, r.Binary, r.Kind, r.Self, r.Total}
	}
	return jsonAnswer(a)
}

func (s *server) folded(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	groupBy := p.list("group_by", "")
	p.stackFilter(selection)
	if p.err != nil {
		return nil, p.err
	}
	var out bytes.Buffer
	summary, err := s.engine.WriteFolded(ctx, selection, groupBy, &out)
	if err != nil {
		return nil, err
	}
	return summarised(&answer{contentType: "text/plain; charset=utf-8", body: out.Bytes()}, summary)
}

func (s *server) pprof(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	groupBy := p.list("group_by", pprofLabels)
	p.stackFilter(selection)
	if p.err != nil {
		return nil, p.err
	}
	var out bytes.Buffer
	summary, err := s.engine.WritePprof(ctx, selection, groupBy, &out)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("strobe-%s-%s.pb.gz", selection.Type, selection.From.Time().Format("20060102T150405Z"))
	return summarised(&answer{contentType: "application/octet-stream", fileName: name, body: out.Bytes(), packed: true}, summary)
}

type timelineAnswer struct {
	*summary
	StepMs int64            `json:"step_ms"`
	FromMs int64            `json:"from_ms"`
	ToMs   int64            `json:"to_ms"`
	By     string           `json:"by"`
	Series []timelineSeries `json:"series"`
	Hidden int              `json:"hidden"`
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
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	t, err := s.engine.Timeline(ctx, selection, by, step, limit)
	if err != nil {
		return nil, err
	}
	a := timelineAnswer{
		summary: newSummary(&t.Summary), StepMs: t.Step.Milliseconds(), FromMs: milliseconds(t.From),
		ToMs: milliseconds(t.To), By: by, Series: make([]timelineSeries, len(t.Series)), Hidden: t.Hidden,
	}
	for i, series := range t.Series {
		a.Series[i] = timelineSeries(series)
	}
	return jsonAnswer(a)
}

func milliseconds(t libpf.UnixTimeNs) int64 { return int64(t) / int64(time.Millisecond) }
