// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"
)

// maxMatches is how many functions that a pattern matches are listed.
const maxMatches = 100

// Matches are the functions that a pattern matches. A sample counts for them once,
// however often they are on its stack.
type Matches struct {
	// Self is the value of the samples in which one of the functions was running,
	// Value that of the samples whose stack one of them is on.
	Self, Value int64
	// Functions are sorted by name; Inlined is never set. Hidden is how many more
	// there are.
	Functions []Function
	Hidden    int
}

// Sandwich is what is around a function: who calls it, and what it calls. Where it
// is on a stack more than once, it is the outermost call that counts.
type Sandwich struct {
	Summary
	Matches
	// Callers has the function at its root and its callers as children; Callees has
	// what it calls. The roots of both have the total of the function.
	Callers, Callees FlameTree
}

// functionMatcher finds the functions that a pattern matches.
type functionMatcher struct {
	matched []bool // by number of the function
	Matches
}

func matchFunctions(w *watch, t *functionTable, pattern FramePattern) *functionMatcher {
	m := &functionMatcher{matched: make([]bool, len(t.functions))}
	seen := map[Function]struct{}{}
	for i, f := range t.functions {
		if w.look() {
			break
		}
		v := f.Value()
		v.Inlined = false
		if m.matched[i] = v.Kind != KindLabel && pattern.matches(&v); !m.matched[i] {
			continue
		}
		if _, ok := seen[v]; !ok {
			seen[v] = struct{}{}
			m.Functions = append(m.Functions, v)
		}
	}
	slices.SortFunc(m.Functions, func(a, b Function) int { return a.compare(&b) })
	return m
}

// root returns the number of what stands for the functions at the root of a tree.
func (m *functionMatcher) root(t *functionTable) uint32 {
	if len(m.Functions) != 1 {
		return t.label(fmt.Sprintf("(%d functions)", len(m.Functions)), KindLabel)
	}
	for i, is := range m.matched {
		if is && (!t.functions[i].Value().Inlined || !slices.Contains(m.matched[i+1:], true)) {
			return uint32(i) //nolint:gosec // it is the index of a uint32
		}
	}
	return 0 // cannot be: one matched
}

// limit cuts the list of functions.
func (m *functionMatcher) limit() {
	if len(m.Functions) > maxMatches {
		m.Functions, m.Hidden = m.Functions[:maxMatches], len(m.Functions)-maxMatches
	}
}

// Sandwich returns the callers and callees of the functions that a pattern matches,
// each tree with at most maxNodes nodes.
func (e *Engine) Sandwich(ctx context.Context, s *Selection, pattern FramePattern, maxNodes int) (*Sandwich, error) {
	sums, err := e.sums(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	functions := newFunctionTable(len(sums.names))
	levels := sums.levels(functions, s.FoldInterpreters, nil)
	out := &Sandwich{Summary: sums.summary(s, levels)}
	m := matchFunctions(sums.watch, functions, pattern)
	root := m.root(functions)
	callers := &paths{offsets: make([]uint32, 1, len(sums.stacks)+1), watch: sums.watch}
	callees := &paths{offsets: make([]uint32, 1, len(sums.stacks)+1), watch: sums.watch}
	on, at := make([]bool, len(sums.stacks)), make([]bool, len(sums.stacks))
	var path []uint32
	for i, stack := range sums.stacks {
		if sums.watch.ended() {
			return nil, ctx.Err()
		}
		path = path[:0]
		for _, f := range slices.Backward(stack) {
			path = append(path, levels.of(f)...)
		}
		if first := slices.IndexFunc(path, func(f uint32) bool { return m.matched[f] }); first >= 0 {
			on[i], at[i] = true, m.matched[path[len(path)-1]]
			callees.flat = append(callees.flat, path[first+1:]...)
			for j := first - 1; j >= 0; j-- {
				callers.flat = append(callers.flat, path[j])
			}
		}
		callers.end()
		callees.end()
	}
	rows := slices.DeleteFunc(sums.rows, func(r sum) bool { return !on[r.stack] })
	for _, r := range rows {
		m.Value += r.value
		if at[r.stack] {
			m.Self += r.value
		}
	}
	callers.sort(sums.order, functions)
	callees.sort(sums.order, functions)
	in := newTreeRows(functions, rows, nil, [][]string{nil})
	out.Callers.lay(buildTree(root, in, callers, maxTreeNodes, nil), functions, maxNodes)
	out.Callees.lay(buildTree(root, in, callees, maxTreeNodes, nil), functions, maxNodes)
	m.limit()
	out.Matches = m.Matches
	return out, ctx.Err()
}
