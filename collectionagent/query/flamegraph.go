// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"
	"strings"

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

// FlameFrame is a function, a line of it, a file or a binary, as the [Level] says.
type FlameFrame struct {
	Function
	// Line is the one that stands for a function: where it starts, else the first
	// that was seen running. Of a line it is the line, and 0 when it is unknown.
	Line libpf.SourceLineno
	// BuildID is that of the executable, "" when it is unknown, or when there is
	// more than one: another build is no other function.
	BuildID string
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
	functions.level = s.Level
	levels := sums.levels(functions, s.FoldInterpreters, s.Level.identity())
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
	p := s.paths(functions, levels) // before there are labels, which are in no path
	return buildTree(root, newTreeRows(functions, s.rows, groupBy, s.groups), p, maxTreeNodes, nil)
}

// newTreeRows returns rows with the levels of their groups.
func newTreeRows(functions *functionTable, rows []sum, groupBy []string, values [][]string) treeRows {
	out := treeRows{rows: rows, groups: groupLevels(functions, groupBy, values)}
	byName := make([]uint32, len(values))
	for i := range byName {
		byName[i] = uint32(i) //nolint:gosec // at most maxRows
	}
	compare := func(a, b uint32) int {
		for i := range groupBy {
			if c := strings.Compare(LabelText(groupBy[i], values[a][i]), LabelText(groupBy[i], values[b][i])); c != 0 {
				return c
			}
		}
		return 0
	}
	slices.SortFunc(byName, compare)
	out.order = make([]uint32, len(values))
	for i := 1; i < len(byName); i++ {
		out.order[byName[i]] = out.order[byName[i-1]]
		if compare(byName[i-1], byName[i]) != 0 {
			out.order[byName[i]]++
		}
	}
	return out
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

// shownLevel is the level of a tree that a node of an answer shows.
type shownLevel struct {
	node  uint32
	inner bool // not the last one of the node: no sample ends there
}

// lay picks the nodes to show and puts them in order. It returns what of the tree each
// of them shows, the level above for an "(other)".
func (g *FlameTree) lay(t *tree, functions *functionTable, maxNodes int) (from []shownLevel) {
	other := functions.label(otherName, KindOther)
	room := int(min(t.levels+int64(len(t.rest)), int64(max(1, maxNodes))))
	t.watch.take(room, shownSize)
	shown, hidden := t.pick(max(1, maxNodes))
	g.HiddenNodes = hidden + t.restLevels
	if t.watch.ended() {
		return nil
	}
	l := layout{FlameTree: g, tree: t, functions: functions, shown: shown, other: other, alone: maxNodes <= 1}
	l.frameOf = make([]int32, len(functions.functions))
	for i := range l.frameOf {
		l.frameOf[i] = -1
	}
	g.Nodes = make([]FlameNode, 0, room)
	l.from = make([]shownLevel, 0, room)
	l.work()
	return l.from
}

// layout puts the nodes that are shown in order.
type layout struct {
	*FlameTree
	tree      *tree
	functions *functionTable
	shown     []uint32 // levels, by node
	other     uint32   // function
	alone     bool     // there is room for the root alone
	frameOf   []int32  // by function, -1: none yet
	from      []shownLevel
	stack     []pending
}

// pending is a node of the tree, or what is hidden below one.
type pending struct {
	node   uint32
	depth  uint32
	hidden bool
	inner  bool
	value  int64 // of what is hidden
}

func (l *layout) frame(function uint32) uint32 {
	if l.frameOf[function] < 0 {
		l.frameOf[function] = int32(len(l.Frames)) //nolint:gosec // fewer than frames in memory
		lines := &l.functions.lines[function]
		l.Frames = append(l.Frames, FlameFrame{*l.functions.value(function), lines.best(), l.functions.builds[lines.build]})
	}
	return uint32(l.frameOf[function]) //nolint:gosec // not negative
}

// work goes down the tree.
func (l *layout) work() {
	l.stack = append(l.stack, pending{})
	for len(l.stack) > 0 && !l.tree.watch.ended() {
		p := l.stack[len(l.stack)-1]
		l.stack = l.stack[:len(l.stack)-1]
		if p.hidden {
			l.hide(&p)
		} else {
			l.show(&p)
		}
	}
}

// hide adds an "(other)".
func (l *layout) hide(p *pending) {
	l.from = append(l.from, shownLevel{p.node, p.inner})
	l.Nodes = append(l.Nodes, FlameNode{Frame: l.frame(l.other), Depth: p.depth, Self: p.value, Total: p.value})
	l.HiddenValue += p.value
}

// show adds the levels of a node that are shown, and leaves its children for later.
func (l *layout) show(p *pending) {
	t := l.tree
	run, n := t.run(p.node), l.shown[p.node]
	last := n == uint32(len(run)) //nolint:gosec // a run is within memory
	for i, function := range run[:n] {
		node := FlameNode{Frame: l.frame(function), Depth: p.depth + uint32(i), Total: t.total[p.node]} //nolint:gosec // as above
		if inner := i < len(run)-1; !inner {
			node.Self = t.self[p.node]
			l.from = append(l.from, shownLevel{p.node, false})
		} else {
			l.from = append(l.from, shownLevel{p.node, true})
		}
		l.Nodes = append(l.Nodes, node)
	}
	below := p.depth + n
	if !last {
		l.stack = append(l.stack, pending{node: p.node, depth: below, hidden: true, inner: true, value: t.total[p.node]})
		return
	}
	rest, hides := t.rest[p.node]
	first := len(l.stack)
	t.children(p.node, func(c uint32) {
		if l.shown[c] > 0 {
			l.stack = append(l.stack, pending{node: c, depth: below})
		} else {
			rest, hides = rest+t.total[c], true
		}
	})
	children := l.stack[first:]
	slices.Reverse(children) // the stack is worked off from its end
	switch {
	case hides && l.alone:
		l.Nodes[len(l.Nodes)-1].Self += rest
		l.HiddenValue += rest
	case hides:
		// It stands where its name belongs.
		at := first
		for at < len(l.stack) && l.functions.value(l.other).compare(l.functions.value(t.run(l.stack[at].node)[0])) < 0 {
			at++
		}
		l.stack = slices.Insert(l.stack, at, pending{node: p.node, depth: below, hidden: true, value: rest})
	}
}

// pick chooses which levels to show so that they and one node for what is hidden
// below each of them are at most limit. It returns how many levels of each node are shown,
// and how many of all are not.
func (t *tree) pick(limit int) (shown []uint32, hidden int64) {
	n := len(t.total)
	shown = make([]uint32, n)
	shown[0] = 1
	if t.levels+int64(len(t.rest)) <= int64(limit) {
		for i := range shown {
			shown[i] = t.length(uint32(i)) //nolint:gosec // bounded by maxTreeNodes
		}
		return shown, 0
	}
	p := picker{tree: t, shown: shown, left: make([]uint32, n), limit: limit}
	p.count = 1 + p.expand(0)
	picked := 1
	for len(p.queue) > 0 && p.count < limit && !t.watch.ended() {
		for c, more := p.queue.pop(), true; more; c.level++ {
			if more = p.offer(c); more {
				picked++
			}
			// The levels of a run follow one another unless something else comes first.
			if more = more && c.level+1 < t.length(c.node); more && len(p.queue) > 0 && p.queue[0].before(c) {
				c.level++
				p.queue.push(c)
				break
			}
		}
	}
	// What is left may take the place of a node for what is hidden.
	for _, c := range p.queue {
		if p.offer(c) {
			picked++
		}
	}
	return shown, t.levels - int64(picked)
}

// picker chooses levels.
type picker struct {
	*tree
	shown []uint32
	// left is how many children of a shown node are not shown, with one for its rest.
	left         []uint32
	queue        nodeHeap
	count, limit int
}

// expand makes what follows the last level of a node that is shown candidates, and
// returns the cost of one node for what is hidden below it.
func (p *picker) expand(node uint32) int {
	l := uint32(0)
	p.children(node, func(c uint32) {
		p.queue.push(heapNode{total: p.total[c], node: c})
		l++
	})
	if _, ok := p.rest[node]; ok {
		l++
	}
	p.left[node] = l
	return int(min(l, 1))
}

// offer shows a level if there is room. Levels of a run but the first have nothing beside them.
func (p *picker) offer(c heapNode) bool {
	parent := p.parent[c.node]
	cost := 1
	if c.level > 0 || p.left[parent] == 1 {
		cost-- // takes the place of the node for what is hidden
	}
	last := c.level+1 == p.length(c.node)
	if _, more := p.rest[c.node]; more || !last || p.size[c.node] > 1 {
		cost++
	}
	if p.count+cost > p.limit {
		return false
	}
	if c.level == 0 {
		p.left[parent]--
	}
	p.count += cost
	p.shown[c.node]++
	if last {
		p.expand(c.node)
	}
	return true
}
