// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"

	"github.com/strobe-profiler/strobe/libpf"
)

// Names of nodes that are not code.
const (
	rootName  = "all"
	otherName = "(other)"
)

// FlameGraph is a tree of functions with the root of the stacks at its root.
type FlameGraph struct {
	Summary
	// Period is the value of each single observation, 0 when they differ or the
	// type has none.
	Period  int64
	GroupBy []string
	FlameTree
}

// FlameTree is what is shown of a tree of functions.
type FlameTree struct {
	// Frames are the functions that nodes are of; the first is the root's.
	Frames []FlameFrame
	// Nodes are in preorder, children sorted by name.
	Nodes []FlameNode
	// HiddenNodes is how many nodes of the full tree are not in Nodes, and
	// HiddenValue the sum of the "(other)" nodes that stand for them.
	HiddenNodes, HiddenValue int64
}

// FlameFrame is a function and the line that stands for it: where it starts,
// else the first that was seen running, 0 when unknown.
type FlameFrame struct {
	Function
	Line libpf.SourceLineno
}

// FlameNode is a node of a flame graph.
type FlameNode struct {
	Frame       uint32 // index into Frames
	Depth       uint32 // 0 for the root
	Self, Total int64
}

// FlameGraph returns the flame graph of a selection with at most maxNodes nodes,
// at least 1. The values of the labels in groupBy make up the first levels. Of
// a tree that is larger the nodes with the largest totals are kept, and what is
// hidden below a node is summed in a child called "(other)".
func (e *Engine) FlameGraph(ctx context.Context, s *Selection, groupBy []string, maxNodes int) (*FlameGraph, error) {
	sums, err := e.sums(ctx, s, groupBy)
	if err != nil {
		return nil, err
	}
	functions := newFunctionTable(len(sums.names))
	levels := sums.levels(functions, s.FoldInterpreters, nil)
	g := &FlameGraph{Summary: sums.summary(s, levels), Period: sums.period, GroupBy: groupBy}
	t := sums.tree(functions, levels, groupBy)
	g.lay(t, functions, maxNodes)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return g, nil
}

// tree folds the sums into a tree.
func (s *sums) tree(functions *functionTable, levels *frameLevels, groupBy []string) *tree {
	root := functions.label(rootName, KindLabel)
	return buildTree(root, s.rows, groupLevels(functions, groupBy, s.groups), s.paths(levels), maxTreeNodes)
}

// groupLevels returns the levels that groups make up.
func groupLevels(functions *functionTable, groupBy []string, values [][]string) [][]uint32 {
	groups := make([][]uint32, len(values))
	for i, group := range values {
		groups[i] = make([]uint32, len(group))
		for j, value := range group {
			groups[i][j] = functions.label(LabelText(groupBy[j], value), KindLabel)
		}
	}
	return groups
}

// shownSize is about what a node takes that is shown, and its text in the answer.
const shownSize = 200

// lay picks the nodes to show and puts them in order. It returns the node of the
// tree that each of them shows, that of its parent for an "(other)".
func (g *FlameTree) lay(t *tree, functions *functionTable, maxNodes int) (from []uint32) {
	other := functions.label(otherName, KindOther)
	t.watch.take(min(len(t.parent), maxNodes), shownSize)
	shown, hidden := t.pick(max(1, maxNodes))
	g.HiddenNodes = hidden + t.restLevels

	frameOf := make([]int32, len(functions.functions))
	for i := range frameOf {
		frameOf[i] = -1
	}
	frame := func(function uint32) uint32 {
		if frameOf[function] < 0 {
			frameOf[function] = int32(len(g.Frames)) //nolint:gosec // fewer than frames in memory
			g.Frames = append(g.Frames, FlameFrame{*functions.value(function), functions.lines[function].best()})
		}
		return uint32(frameOf[function]) //nolint:gosec // not negative
	}

	// A pending node is one of the tree or what is hidden below one.
	type pending struct {
		node     uint32
		hidden   bool
		function uint32
		depth    uint32
		value    int64
	}
	stack := []pending{{function: t.function[0]}}
	for len(stack) > 0 && !t.watch.ended() {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		from = append(from, p.node)
		if p.hidden {
			g.Nodes = append(g.Nodes, FlameNode{Frame: frame(p.function), Depth: p.depth, Self: p.value, Total: p.value})
			g.HiddenValue += p.value
			continue
		}
		self := t.self[p.node]
		rest, hides := t.rest[p.node]
		first := len(stack)
		t.children(p.node, func(c uint32) {
			if shown[c] {
				stack = append(stack, pending{node: c, function: t.function[c], depth: p.depth + 1})
			} else {
				rest, hides = rest+t.total[c], true
			}
		})
		switch {
		case hides && maxNodes > 1:
			stack = append(stack, pending{node: p.node, hidden: true, function: other, depth: p.depth + 1, value: rest})
		case hides:
			// There is room for the root alone.
			self += rest
			g.HiddenValue += rest
		}
		// Last first, because the stack is worked off from its end.
		if len(stack) > first+1 {
			slices.SortFunc(stack[first:], func(a, b pending) int { return functions.value(b.function).compare(functions.value(a.function)) })
		}
		g.Nodes = append(g.Nodes, FlameNode{
			Frame: frame(p.function), Depth: p.depth, Self: self, Total: t.total[p.node],
		})
	}
	return from
}

// pick chooses which nodes to show so that they and one node for what is hidden
// below each of them are at most limit. It returns how many are not shown.
func (t *tree) pick(limit int) (shown []bool, hidden int64) {
	n := len(t.parent)
	shown = make([]bool, n)
	shown[0] = true
	if n+len(t.rest) <= limit {
		for i := range shown {
			shown[i] = true
		}
		return shown, 0
	}
	// left is how many children of a shown node are not shown, with one for its rest.
	left := make([]uint32, n)
	var queue nodeHeap
	// expand makes the children of a node that is shown candidates, and returns
	// the cost of one node for what is hidden below it.
	expand := func(node uint32) int {
		l := uint32(0)
		t.children(node, func(c uint32) {
			queue.push(heapNode{c, t.total[c]})
			l++
		})
		if _, ok := t.rest[node]; ok {
			l++
		}
		left[node] = l
		return int(min(l, 1))
	}
	count := 1 + expand(0)
	picked := 1
	for len(queue) > 0 && !t.watch.ended() {
		c := queue.pop()
		parent := t.parent[c.node]
		cost := 1
		if left[parent] == 1 {
			cost-- // takes the place of the node for what is hidden
		}
		if _, more := t.rest[c.node]; more || t.size[c.node] > 1 {
			cost++
		}
		if count+cost > limit {
			continue
		}
		left[parent]--
		count += cost
		shown[c.node] = true
		picked++
		expand(c.node)
	}
	return shown, int64(n - picked)
}
