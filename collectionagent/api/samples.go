// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/query"
)

const (
	defaultExemplars = 20
	maxExemplars     = 10_000
	maxHeatmapRows   = 1000
)

type heatmapAnswer struct {
	*summary
	By       string  `json:"by"`
	ColumnMs int64   `json:"column_ms"`
	StartMs  int64   `json:"start_ms"`
	Columns  int     `json:"columns"`
	Rows     []int64 `json:"rows"`
	Cells    struct {
		Column  []int   `json:"column"`
		Row     []int   `json:"row"`
		Samples []int64 `json:"samples"`
		Value   []int64 `json:"value"`
	} `json:"cells"`
}

func (s *server) heatmap(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	by := p.values.Get("by")
	if by == "" {
		by = "time"
	}
	if by != "time" && by != "value" {
		p.fail("by", fmt.Errorf("unknown dimension %q: expected time or value", by))
	}
	column, rows := p.column(selection, by)
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	var h *query.Heatmap
	var err error
	if by == "time" {
		h, err = s.engine.HeatmapOfTime(ctx, selection, column, rows)
	} else {
		h, err = s.engine.HeatmapOfValues(ctx, selection, column)
	}
	if err != nil {
		return nil, err
	}
	a := heatmapAnswer{
		summary: newSummary(&h.Summary), By: by, ColumnMs: h.Column.Milliseconds(), StartMs: milliseconds(h.Start),
		Columns: h.Columns, Rows: append([]int64{}, h.Rows...),
	}
	c := &a.Cells
	c.Column, c.Row = make([]int, len(h.Cells)), make([]int, len(h.Cells))
	c.Samples, c.Value = make([]int64, len(h.Cells)), make([]int64, len(h.Cells))
	for i, cell := range h.Cells {
		c.Column[i], c.Row[i], c.Samples[i], c.Value[i] = cell.Column, cell.Row, cell.Samples, cell.Value
	}
	return jsonAnswer(a)
}

// column reads the shape of a heatmap.
func (p *parameters) column(s *query.Selection, by string) (column time.Duration, rows int) {
	span := time.Duration(s.To - s.From)
	column = query.NiceColumn(span)
	if by == "value" {
		column = query.NiceStep(span)
	}
	if text := p.values.Get("column"); text != "" {
		var err error
		if column, err = query.ParseDuration(text); err != nil {
			p.fail("column", err)
		} else if column > maxStep {
			p.fail("column", errors.New("longer than 366d"))
		}
	}
	if by == "value" {
		rows = query.ValueRows
		if p.values.Get("rows") != "" {
			p.fail("rows", errors.New("rows of values are powers of two: leave it out"))
		}
	} else {
		rows = p.integer("rows", query.NiceRows(column), 1, maxHeatmapRows)
	}
	columns := int64(0)
	if p.err == nil {
		columns = int64(span/column) + 2
	}
	switch {
	case p.err != nil:
	case by == "time" && column.Milliseconds()%int64(rows) != 0:
		p.fail("rows", fmt.Errorf("%d rows do not cut a column of %s into whole milliseconds", rows, column))
	case columns > query.MaxBuckets || columns > int64(query.MaxCells/rows):
		p.fail("column", fmt.Errorf("%s cuts the range into %d columns of %d rows: expected at most %d columns and %d cells",
			column, columns, rows, query.MaxBuckets, query.MaxCells))
	}
	return column, rows
}

type exemplarsAnswer struct {
	*summary
	Exemplars []exemplar `json:"exemplars"`
	Hidden    int64      `json:"hidden"`
}

type exemplar struct {
	TimeMs   int64             `json:"time_ms"`
	TraceID  string            `json:"trace_id"`
	SpanID   string            `json:"span_id"`
	Value    int64             `json:"value"`
	Samples  int64             `json:"samples"`
	Labels   map[string]string `json:"labels"`
	Function functionName      `json:"function"`
}

func (s *server) exemplars(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	limit := p.integer("limit", defaultExemplars, 1, maxExemplars)
	order := query.ExemplarsLargest
	switch text := p.values.Get("order"); text {
	case "", "largest":
	case "spread":
		order = query.ExemplarsSpread
	default:
		p.fail("order", fmt.Errorf("unknown order %q: expected largest or spread", text))
	}
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	found, err := s.engine.Exemplars(ctx, selection, order, limit)
	if err != nil {
		return nil, err
	}
	a := exemplarsAnswer{
		summary: newSummary(&found.Summary), Exemplars: make([]exemplar, len(found.Rows)), Hidden: found.Hidden,
	}
	room := newRoom(ctx)
	for i := range found.Rows {
		r := &found.Rows[i]
		labels, err := room.row(&r.Origin, r.Leaf.Name, r.Leaf.File, r.Leaf.Binary)
		if err != nil {
			return nil, err
		}
		a.Exemplars[i] = exemplar{
			TimeMs: milliseconds(r.Time), TraceID: hex.EncodeToString(r.TraceID[:]), SpanID: hex.EncodeToString(r.SpanID[:]),
			Value: r.Value, Samples: r.Count, Labels: labels, Function: newFunctionName(&r.Leaf),
		}
	}
	return jsonAnswer(a)
}
