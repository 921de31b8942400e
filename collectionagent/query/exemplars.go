// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// ExemplarOrder is how exemplars are chosen.
type ExemplarOrder uint8

// Ways to choose exemplars.
const (
	// ExemplarsLargest are the samples with the largest values.
	ExemplarsLargest ExemplarOrder = iota
	// ExemplarsSpread are the largest of each of as many parts of the range.
	ExemplarsSpread
)

// Exemplars are samples that belong to spans of distributed traces.
type Exemplars struct {
	Summary
	// Rows are sorted by value, or by time where they are spread.
	Rows []Exemplar
	// Hidden is how many more samples with a span were found.
	Hidden int64
}

// Exemplar is a sample that belongs to a span.
type Exemplar struct {
	store.Sample
	Origin store.Series
	// Leaf is the function that was running or waiting, in what is shown of the stack.
	Leaf Function
}

// compareExemplars puts the largest value first. Of equal ones the order does not
// depend on that in which they were found.
func compareExemplars(a, b *store.Sample) int {
	return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Time, b.Time),
		bytes.Compare(a.TraceID[:], b.TraceID[:]), bytes.Compare(a.SpanID[:], b.SpanID[:]), a.Stack.Compare(b.Stack.Hash128))
}

// Exemplars returns at most limit samples of a selection that belong to spans. They
// are found among samples alone: from what has expired there is none.
func (e *Engine) Exemplars(ctx context.Context, s *Selection, order ExemplarOrder, limit int) (*Exemplars, error) {
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	out := &Exemplars{Summary: k.summary(s)}
	found := int64(0)
	var choose interface {
		offer(*store.Sample, *store.Series)
		rows() []Exemplar
	} = &largest{limit: limit}
	if order == ExemplarsSpread {
		width := max(1, (s.To-s.From)/libpf.UnixTimeNs(limit)+1)
		choose = &spread{from: s.From, width: width, parts: map[int64]Exemplar{}}
	}
	err = e.samples(ctx, s, k, &out.Summary, func(sample *store.Sample, series *store.Series) {
		if sample.TraceID != [16]byte{} || sample.SpanID != [8]byte{} {
			found++
			choose.offer(sample, series)
		}
	})
	if err != nil {
		return nil, err
	}
	out.Rows = choose.rows()
	out.Hidden = found - int64(len(out.Rows))
	return out, e.nameLeaves(ctx, s, out.Rows)
}

// largest keeps the samples with the largest values.
type largest struct {
	limit int
	kept  []Exemplar
	full  bool // the last of kept is the least that counts
}

func (l *largest) offer(sample *store.Sample, series *store.Series) {
	if l.full && compareExemplars(&l.kept[l.limit-1].Sample, sample) <= 0 {
		return
	}
	l.kept = append(l.kept, Exemplar{Sample: *sample, Origin: series.Clone()})
	if len(l.kept) >= 2*l.limit+16 {
		l.rows()
	}
}

func (l *largest) rows() []Exemplar {
	slices.SortFunc(l.kept, func(a, b Exemplar) int { return compareExemplars(&a.Sample, &b.Sample) })
	if len(l.kept) >= l.limit {
		l.kept, l.full = l.kept[:l.limit], true
	}
	return l.kept
}

// spread keeps the largest sample of each part of the range.
type spread struct {
	from, width libpf.UnixTimeNs
	parts       map[int64]Exemplar
}

func (p *spread) offer(sample *store.Sample, series *store.Series) {
	part := int64((sample.Time - p.from) / p.width)
	if old, ok := p.parts[part]; !ok || compareExemplars(sample, &old.Sample) < 0 {
		p.parts[part] = Exemplar{Sample: *sample, Origin: series.Clone()}
	}
}

func (p *spread) rows() []Exemplar {
	rows := make([]Exemplar, 0, len(p.parts))
	for _, e := range p.parts {
		rows = append(rows, e)
	}
	slices.SortFunc(rows, func(a, b Exemplar) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), compareExemplars(&a.Sample, &b.Sample))
	})
	return rows
}

// nameLeaves finds the leaf functions of exemplars.
func (e *Engine) nameLeaves(ctx context.Context, s *Selection, rows []Exemplar) error {
	leaves := &sums{}
	numbers := map[libpf.TraceHash]uint32{}
	for _, r := range rows {
		if _, ok := numbers[r.Stack]; !ok {
			numbers[r.Stack] = uint32(len(leaves.hashes)) //nolint:gosec // at most the limit
			leaves.hashes = append(leaves.hashes, r.Stack)
		}
	}
	if err := e.resolve(ctx, newWatch(ctx), leaves, s); err != nil {
		return err
	}
	names := map[libpf.TraceHash]Function{}
	for i, stack := range leaves.stacks {
		for _, f := range stack {
			levels := leaves.names[f].levels
			at := len(levels) - 1
			for at >= 0 && s.FoldInterpreters && levels[at].function.Value().Kind == KindInterpreter {
				at--
			}
			if at >= 0 {
				names[leaves.hashes[i]] = levels[at].function.Value()
				break
			}
		}
	}
	for i := range rows {
		rows[i].Leaf = names[rows[i].Stack]
	}
	return nil
}
