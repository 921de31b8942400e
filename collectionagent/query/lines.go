// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"slices"

	"github.com/strobe-profiler/strobe/libpf"
)

// Lines says what each source line of a function used. Where the function is on a
// stack more than once, it is the innermost call that counts, so that the lines add
// up to the function.
type Lines struct {
	Summary
	Matches
	Rows []LineRow // by function and line
	// HiddenRows is how many rows are left out, those with the smallest totals.
	HiddenRows int
}

// LineRow is what a line used.
type LineRow struct {
	Function // Inlined is never set
	// Line is 0 where it is not known.
	Line libpf.SourceLineno
	// Self is the value of the samples in which the line was running, Total adds
	// those in which it called something.
	Self, Total int64
}

// Lines returns the source lines of the functions that a pattern matches, at most
// limit.
func (e *Engine) Lines(ctx context.Context, s *Selection, pattern FramePattern, limit int) (*Lines, error) {
	sums, err := e.sums(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	functions := newFunctionTable(len(sums.names))
	called := asCalled()
	levels := sums.levels(functions, s.FoldInterpreters, called)
	out := &Lines{Summary: sums.summary(s, levels)}
	m := matchFunctions(sums.watch, functions, pattern)

	// What each frame has of the functions: the row of its innermost such level, from
	// 1, and whether that is its innermost level of all.
	type frameRow struct {
		row  uint32
		leaf bool
	}
	type key struct {
		function function
		line     libpf.SourceLineno
	}
	of := make([]frameRow, len(sums.names))
	numbers := map[key]uint32{}
	var rows []LineRow
	for i, names := range sums.names {
		if sums.watch.ended() {
			return nil, ctx.Err()
		}
		leaf := true
		for j := len(names.levels) - 1; j >= 0; j-- {
			l := &names.levels[j]
			if s.FoldInterpreters && l.function.Value().Kind == KindInterpreter {
				continue
			}
			k := key{called(l.function), l.line}
			if !m.matched[functions.number(k.function)] {
				leaf = false
				continue
			}
			n, ok := numbers[k]
			if !ok {
				rows = append(rows, LineRow{Function: k.function.Value(), Line: l.line})
				n = uint32(len(rows)) //nolint:gosec // fewer than frames in memory
				numbers[k] = n
			}
			of[i] = frameRow{n, leaf}
			break
		}
	}
	for _, r := range sums.rows {
		if sums.watch.ended() {
			return nil, ctx.Err()
		}
		inner := true
		for _, f := range sums.stacks[r.stack] {
			if at := of[f]; at.row > 0 {
				m.Value += r.value
				rows[at.row-1].Total += r.value
				if inner && at.leaf {
					m.Self += r.value
					rows[at.row-1].Self += r.value
				}
				break
			}
			inner = inner && levels.count(f) == 0
		}
	}
	slices.SortFunc(rows, func(a, b LineRow) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(b.Self, a.Self), compareLines(&a, &b))
	})
	if len(rows) > limit {
		rows, out.HiddenRows = rows[:limit], len(rows)-limit
	}
	slices.SortFunc(rows, func(a, b LineRow) int { return compareLines(&a, &b) })
	m.limit()
	out.Rows, out.Matches = rows, m.Matches
	return out, ctx.Err()
}

func compareLines(a, b *LineRow) int {
	return cmp.Or(a.Function.compare(&b.Function), cmp.Compare(a.Line, b.Line))
}
