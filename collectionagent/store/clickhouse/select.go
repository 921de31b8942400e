// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Select implements [store.Store].
func (s *Store) Select(ctx context.Context, query *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	defer func(start time.Time) { s.metrics.selectSeconds.Observe(time.Since(start).Seconds()) }(time.Now())
	p, err := s.plan(ctx, query)
	if err != nil {
		return store.Coverage{}, err
	}
	covered := store.Coverage{Resolution: p.resolution(), Horizon: p.horizon}
	if len(p.pieces) == 0 {
		return covered, nil
	}
	var first, last int64
	row := store.Row{Group: make([]string, len(query.GroupBy))}
	var stack string
	var bucket int64
	dest := make([]any, 0, len(query.GroupBy)+6)
	for i := range row.Group {
		dest = append(dest, &row.Group[i])
	}
	dest = append(dest, &bucket, &stack, &row.Count, &row.Value, &first, &last)
	from, to := int64(0), int64(0)
	err = s.each(ctx, string(p.sums(query, s.layout.groupOf(query.GroupBy))), s.querySettings(), func(r Rows) error {
		if err := r.Scan(dest...); err != nil {
			return err
		}
		if to == 0 || first < from {
			from = first
		}
		to = max(to, last+1)
		row.Bucket, row.Stack = libpf.UnixTimeNs(bucket), libpf.TraceHash{}
		if query.ByStack {
			row.Stack.Hash128 = hash(stack)
		}
		if !yield(&row) {
			return errStop
		}
		return nil
	})
	if err != nil {
		return store.Coverage{}, err
	}
	if to > 0 {
		covered.From, covered.To = max(fromMs(from), query.From), min(fromMs(to), query.To)
	}
	return covered, nil
}

// piece is a range of time in ms that is read from one table.
type piece struct {
	table    string
	from, to int64
}

// plan says what a query is answered from.
type plan struct {
	layout  *layout
	view    *view
	pieces  []piece
	horizon libpf.UnixTimeNs
}

// plan decides what to answer a query from.
func (s *Store) plan(ctx context.Context, query *store.Query) (*plan, error) {
	v, err := s.readView(ctx)
	if err != nil {
		return nil, err
	}
	p := &plan{layout: &s.layout, view: v, horizon: fromMs(max(v.expired, 0))}
	from, to := v.bounds(query.From, query.To)
	if from >= to {
		return p, nil
	}
	table := tableSamples
	switch query.RollUp() {
	case store.RollUpHour:
		table = tableHours
	case store.RollUpMinute:
		table = tableMinutes
	}
	if old := s.horizon(query, table); old > 0 {
		p.horizon = max(p.horizon, fromMs(old))
	}
	p.pieces, err = s.pieces(ctx, query, table, from, to)
	return p, err
}

// resolution returns the width of the coarsest roll-up that is used.
func (p *plan) resolution() time.Duration {
	coarsest := store.Resolution
	for _, piece := range p.pieces {
		coarsest = max(coarsest, widthOf(piece.table))
	}
	return coarsest
}

// widthOf returns how precise the times in a table are.
func widthOf(table string) time.Duration {
	switch table {
	case tableMinutes:
		return store.RollUpMinute
	case tableHours:
		return store.RollUpHour
	}
	return store.Resolution
}

// groupOf returns the expressions of the labels that a query groups by.
func (l *layout) groupOf(names []string) []text {
	groups := make([]text, len(names))
	for i, name := range names {
		var q statement
		groups[i] = l.label(&q, name).done()
	}
	return groups
}

// sums returns the statement that answers a query: its columns are g0, g1 and so
// on for the groups, then the bucket in ns, the stack, both sums, and the first and
// the last ms that there is something of.
func (p *plan) sums(query *store.Query, groups []text) text {
	var names statement
	for i := range groups {
		names.add("g").int(int64(i)).add(", ")
	}
	var q statement
	q.add("SELECT ", names.done(), "b, s, sum(c) AS total, sum(v) AS weight, min(t0) AS t_min, max(t1) AS t_max FROM (")
	for i, piece := range p.pieces {
		if i > 0 {
			q.add(" UNION ALL ")
		}
		p.piece(&q, query, groups, piece)
		// Without the condition there is one row of nothing when all keys are constant.
		q.add(" GROUP BY ", names.done(), "b, s HAVING count() > 0")
	}
	return q.add(") GROUP BY ", names.done(), "b, s HAVING count() > 0").done()
}

// piece writes the part of the statement that reads one table.
func (p *plan) piece(q *statement, query *store.Query, groups []text, piece piece) {
	ms := p.layout.msOf(piece.table)
	q.add("SELECT ")
	for i, expression := range groups {
		q.add(expression, " AS g").int(int64(i)).add(", ")
	}
	if query.Step > 0 {
		q.add("intDiv(", ms, " * 1000000, ").int(int64(query.Step)).add(") * ").int(int64(query.Step))
	} else {
		q.add("toInt64(0)")
	}
	q.add(" AS b, ")
	if query.ByStack {
		q.add("stack")
	} else {
		q.add("toFixedString('', 16)")
	}
	last := int64(widthOf(piece.table)/store.Resolution) - 1
	q.add(" AS s, sum(count) AS c, sum(value) AS v, min(", ms, ") AS t0, max(", ms, ") + ").int(last).add(" AS t1 FROM ", p.layout.table(piece.table))
	p.layout.scope(q, piece.table, query.Project, typesOf(query), piece.from, piece.to, query.Matchers)
	if piece.table == tableSamples {
		traces(q, query)
		p.view.hide(q, piece.from, piece.to)
	}
}

// Samples implements [store.Store].
func (s *Store) Samples(ctx context.Context, query *store.Query, yield func(*store.Sample, *store.Series) bool) error {
	v, err := s.readView(ctx)
	if err != nil {
		return err
	}
	from, to := v.bounds(query.From, query.To)
	if from >= to {
		return nil
	}
	var q statement
	q.add("SELECT project, type, pid, process_start, tid, stack, count, value, trace_id, span_id, ", s.layout.msOf(tableSamples))
	for _, name := range textColumns {
		q.add(", ").ident(name)
	}
	if s.layout.legacy {
		q.add(", label_names, label_values")
	} else {
		q.add(", mapKeys(labels), mapValues(labels)")
	}
	q.add(" FROM ", s.layout.table(tableSamples))
	s.layout.scope(&q, tableSamples, query.Project, typesOf(query), from, to, query.Matchers)
	traces(&q, query)
	v.hide(&q, from, to)
	return s.each(ctx, q.String(), s.querySettings(), func(r Rows) error {
		var sample store.Sample
		var series store.Series
		var typ uint8
		var pid, tid uint32
		var ms int64
		var stack, trace, span string
		var names, values []string
		dest := []any{
			&series.Project, &typ, &pid, &series.ProcessStart, &tid, &stack, &sample.Count, &sample.Value, &trace, &span, &ms,
		}
		for _, field := range textOf(&series) {
			dest = append(dest, field)
		}
		if err := r.Scan(append(dest, &names, &values)...); err != nil {
			return err
		}
		series.Type, series.PID, series.TID = libpf.SampleType(typ), libpf.PID(pid), libpf.TID(tid)
		sample.Time, sample.Stack.Hash128 = fromMs(ms), hash(stack)
		copy(sample.TraceID[:], trace)
		copy(sample.SpanID[:], span)
		for i := range min(len(names), len(values)) {
			series.Labels = append(series.Labels, libpf.Label{Key: names[i], Value: values[i]})
		}
		slices.SortFunc(series.Labels, func(a, b libpf.Label) int { return cmp.Compare(a.Key, b.Key) })
		if !yield(&sample, &series) {
			return errStop
		}
		return nil
	})
}
