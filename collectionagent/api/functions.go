// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/query"
)

// functionName says which function a row is about.
type functionName struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Binary string `json:"binary"`
	Kind   string `json:"kind"`
}

func newFunctionName(f *query.Function) functionName {
	return functionName{f.Name, f.File, f.Binary, f.Kind}
}

// matches are the functions that a pattern matched.
type matches struct {
	Self            int64          `json:"self"`
	Value           int64          `json:"value"`
	Functions       []functionName `json:"functions"`
	HiddenFunctions int            `json:"hidden_functions"`
}

func newMatches(m *query.Matches) matches {
	out := matches{Self: m.Self, Value: m.Value, Functions: make([]functionName, len(m.Functions)), HiddenFunctions: m.Hidden}
	for i := range m.Functions {
		out.Functions[i] = newFunctionName(&m.Functions[i])
	}
	return out
}

type sandwichAnswer struct {
	*summary
	Function matches   `json:"function"`
	Strings  []string  `json:"strings"`
	Callers  flameTree `json:"callers"`
	Callees  flameTree `json:"callees"`
}

func (s *server) sandwich(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	pattern := p.function()
	nodes := p.nodes(s)
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	sandwich, err := s.engine.Sandwich(ctx, selection, pattern, nodes)
	if err != nil {
		return nil, err
	}
	a := &sandwichAnswer{summary: newSummary(&sandwich.Summary), Function: newMatches(&sandwich.Matches)}
	var texts textTable
	a.Callers.fill(&sandwich.Callers, &texts)
	a.Callees.fill(&sandwich.Callees, &texts)
	a.Strings = texts.texts
	return jsonAnswer(a)
}

type linesAnswer struct {
	*summary
	Function matches   `json:"function"`
	Lines    []lineRow `json:"lines"`
	Hidden   int       `json:"hidden"`
}

type lineRow struct {
	functionName
	Line  uint64 `json:"line"`
	Self  int64  `json:"self"`
	Total int64  `json:"total"`
}

func (s *server) lines(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	pattern := p.function()
	limit := p.integer("limit", defaultRows, 1, maxRows)
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	lines, err := s.engine.Lines(ctx, selection, pattern, limit)
	if err != nil {
		return nil, err
	}
	a := linesAnswer{
		summary: newSummary(&lines.Summary), Function: newMatches(&lines.Matches),
		Lines: make([]lineRow, len(lines.Rows)), Hidden: lines.HiddenRows,
	}
	for i := range lines.Rows {
		r := &lines.Rows[i]
		a.Lines[i] = lineRow{newFunctionName(&r.Function), uint64(r.Line), r.Self, r.Total}
	}
	return jsonAnswer(a)
}

type diffAnswer struct {
	*summary
	Base    *summary `json:"base"`
	GroupBy []string `json:"group_by"`
	Scale   float64  `json:"scale"`
	Strings []string `json:"strings"`
	Frames  frames   `json:"frames"`
	Nodes   struct {
		Frame     []uint32 `json:"frame"`
		Depth     []uint32 `json:"depth"`
		Self      []int64  `json:"self"`
		Total     []int64  `json:"total"`
		BaseSelf  []int64  `json:"base_self"`
		BaseTotal []int64  `json:"base_total"`
	} `json:"nodes"`
	Rows   []diffRow `json:"rows"`
	Hidden struct {
		Nodes int64 `json:"nodes"`
		Rows  int   `json:"rows"`
	} `json:"hidden"`
}

// columns implements columnar.
func (a *diffAnswer) columns() (rest any, appendColumns func([]byte) []byte, err error) {
	type plain struct {
		*summary
		Base    *summary `json:"base"`
		GroupBy []string `json:"group_by"`
		Scale   float64  `json:"scale"`
		Strings []string `json:"strings"`
	}
	rows, err := encode(a.Rows)
	if err != nil {
		return nil, nil, err
	}
	return plain{a.summary, a.Base, a.GroupBy, a.Scale, a.Strings}, func(b []byte) []byte {
		b = appendObject(b, "frames", a.Frames.appendColumns)
		b = appendObject(b, "nodes", func(b []byte) []byte {
			n := &a.Nodes
			b = appendNumbers(b, "frame", n.Frame)
			b = appendNumbers(b, "depth", n.Depth)
			b = appendNumbers(b, "self", n.Self)
			b = appendNumbers(b, "total", n.Total)
			b = appendNumbers(b, "base_self", n.BaseSelf)
			return appendNumbers(b, "base_total", n.BaseTotal)
		})
		return fmt.Appendf(b, `,"rows":%s,"hidden":{"nodes":%d,"rows":%d}`, bytes.TrimSpace(rows), a.Hidden.Nodes, a.Hidden.Rows)
	}, nil
}

type diffRow struct {
	functionName
	Self      int64 `json:"self"`
	Total     int64 `json:"total"`
	BaseSelf  int64 `json:"base_self"`
	BaseTotal int64 `json:"base_total"`
	Growth    int64 `json:"growth"`
}

func (s *server) diff(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	options := &query.DiffOptions{
		GroupBy: p.list("group_by", ""), Normalize: p.boolean("normalize"), Order: p.order(),
		MaxNodes: p.nodes(s), Limit: p.integer("limit", defaultRows, 0, maxRows),
	}
	p.stacks(selection)
	p.level(selection)
	base := p.base(selection)
	if p.err != nil {
		return nil, p.err
	}
	d, err := s.engine.Diff(ctx, base, selection, options)
	if err != nil {
		return nil, err
	}
	a := &diffAnswer{
		summary: newSummary(&d.Summary), Base: newSummary(&d.Base), GroupBy: append([]string{}, d.GroupBy...), Scale: d.Scale,
		Rows: make([]diffRow, len(d.Rows)),
	}
	a.Hidden.Nodes, a.Hidden.Rows = d.HiddenNodes, d.HiddenRows
	var texts textTable
	a.Frames.fill(d.Frames, &texts)
	a.Strings = texts.texts
	n := &a.Nodes
	for _, column := range []*[]int64{&n.Self, &n.Total, &n.BaseSelf, &n.BaseTotal} {
		*column = make([]int64, len(d.Nodes))
	}
	n.Frame, n.Depth = make([]uint32, len(d.Nodes)), make([]uint32, len(d.Nodes))
	for i, node := range d.Nodes {
		n.Frame[i], n.Depth[i], n.Self[i], n.Total[i] = node.Frame, node.Depth, node.Self, node.Total
		n.BaseSelf[i], n.BaseTotal[i] = node.BaseSelf, node.BaseTotal
	}
	for i := range d.Rows {
		r := &d.Rows[i]
		a.Rows[i] = diffRow{newFunctionName(&r.Function), r.Self, r.Total, r.BaseSelf, r.BaseTotal, r.Growth}
	}
	return jsonAnswer(a)
}

// numbers implements columnar.
func (a *diffAnswer) numbers() int {
	return 6*len(a.Nodes.Frame) + 7*len(a.Frames.Name) + 12*len(a.Rows)
}
