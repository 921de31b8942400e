// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"slices"
	"unique"
)

// TopOrder is what the rows of a table are sorted by.
type TopOrder uint8

// Orders, the largest first.
const (
	TopBySelf TopOrder = iota
	TopByTotal
)

// Top is a table of functions.
type Top struct {
	Summary
	Rows []TopRow
	// Hidden is how many rows are left out.
	Hidden int
}

// TopRow is what a function used. Inlined calls of a function count for it like
// any other.
type TopRow struct {
	Function // Inlined is never set
	// Self is the value of the samples in which the function was running.
	Self int64
	// Total is the value of the samples whose stack the function is on, each
	// counted once however often it is on the stack.
	Total int64
}

// Top returns the table of the functions of a selection, at most limit rows.
func (e *Engine) Top(ctx context.Context, s *Selection, order TopOrder, limit int) (*Top, error) {
	return e.top(ctx, s, order, limit, asCalled())
}

// TopByName is Top where functions of the same name in the same binary are one, whatever their files: rows have nothing
// but those. On a stack with several of them a sample counts once.
func (e *Engine) TopByName(ctx context.Context, s *Selection, order TopOrder, limit int) (*Top, error) {
	return e.top(ctx, s, order, limit, func(f function) function {
		v := f.Value()
		return unique.Make(Function{Name: v.Name, Binary: v.Binary})
	})
}

func (e *Engine) top(ctx context.Context, s *Selection, order TopOrder, limit int, identity func(function) function) (*Top, error) {
	sums, err := e.sums(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	functions := newFunctionTable(len(sums.names))
	levels := sums.levels(functions, s.FoldInterpreters, identity)
	rows := make([]TopRow, len(functions.functions))
	for i := range rows {
		rows[i].Function = functions.functions[i].Value()
	}
	// seen holds the last row that a function was counted for, from 1.
	seen := make([]int, len(rows))
	for i, r := range sums.rows {
		if sums.watch.ended() {
			break
		}
		frames := sums.stacks[r.stack]
		for _, frame := range frames {
			for _, f := range levels.of(frame) {
				if seen[f] != i+1 {
					seen[f] = i + 1
					rows[f].Total += r.value
				}
			}
		}
		for _, frame := range frames { // the innermost that is not folded
			if leaf := levels.of(frame); len(leaf) > 0 {
				rows[leaf[len(leaf)-1]].Self += r.value
				break
			}
		}
	}
	slices.SortFunc(rows, func(a, b TopRow) int {
		if sums.watch.ended() {
			return 0
		}
		bySelf, byTotal := cmp.Compare(b.Self, a.Self), cmp.Compare(b.Total, a.Total)
		if order == TopByTotal {
			bySelf, byTotal = byTotal, bySelf
		}
		return cmp.Or(bySelf, byTotal, a.Function.compare(&b.Function))
	})
	top := &Top{Summary: sums.summary(s, levels), Rows: rows}
	if len(rows) > limit {
		top.Rows, top.Hidden = rows[:limit], len(rows)-limit
	}
	return top, ctx.Err()
}

// asCalled returns the identity of functions by which inlined calls of a function
// are calls of it like any other.
func asCalled() func(function) function {
	calls := map[function]function{}
	return func(f function) function {
		if call, ok := calls[f]; ok {
			return call
		}
		v := f.Value()
		v.Inlined = false
		call := unique.Make(v)
		calls[f] = call
		return call
	}
}
