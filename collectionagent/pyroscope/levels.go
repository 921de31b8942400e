// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"cmp"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/proto/pyroscope/querier"
)

// Names of nodes that are not code, as Grafana knows them.
const (
	rootName  = "total"
	otherName = "other"
)

// graph is a tree of names. In Pyroscope's flame graphs nodes are nothing but names: functions that differ in
// something else are one here.
type graph struct {
	names  []string
	number map[string]uint32
	nodes  []graphNode // the first is the root; a node comes after its parent
	place  map[graphPlace]uint32
	claim  *memory.Claim
	err    error // no memory
}

// graphNode is a node with its values on the left, of a single flame graph the only ones, and on the right.
type graphNode struct {
	name, parent uint32
	depth        uint32
	self, total  [2]int64
}

// graphPlace is where a node is.
type graphPlace struct{ parent, name uint32 }

// graphNodeSize is about what a node takes, with its share of the map and the answer.
const graphNodeSize = 250

func newGraph(claim *memory.Claim) *graph {
	g := &graph{number: map[string]uint32{}, place: map[graphPlace]uint32{}, claim: claim}
	g.nodes = append(g.nodes, graphNode{name: g.name(rootName)})
	return g
}

// name returns the number of a name.
func (g *graph) name(text string) uint32 {
	n, ok := g.number[text]
	if !ok {
		n = uint32(len(g.names)) //nolint:gosec // at most as many as nodes
		g.number[text] = n
		g.names = append(g.names, text)
	}
	return n
}

// at returns the child of a node that has a name.
func (g *graph) at(parent uint32, name string) uint32 {
	p := graphPlace{parent, g.name(name)}
	node, ok := g.place[p]
	if !ok {
		node = uint32(len(g.nodes)) //nolint:gosec // at most max_nodes
		g.place[p] = node
		g.nodes = append(g.nodes, graphNode{name: p.name, parent: parent, depth: g.nodes[parent].depth + 1})
	}
	return node
}

// add adds a tree in preorder: the name and depth of each node, and its values.
func (g *graph) add(n int, node func(i int) (f *query.Function, depth uint32, self, total [2]int64)) {
	if g.err == nil {
		g.err = g.claim.Take(int64(n) * graphNodeSize)
	}
	if g.err != nil {
		return
	}
	path := make([]uint32, 1, 64)
	for i := range n {
		f, depth, self, total := node(i)
		at := uint32(0)
		if depth > 0 {
			name := f.Name
			if f.Kind == query.KindOther {
				name = otherName
			}
			at = g.at(path[depth-1], name)
			path = append(path[:depth], at)
		}
		for side := range self {
			g.nodes[at].self[side] += self[side]
			g.nodes[at].total[side] += total[side]
		}
	}
}

// addTree adds a flame graph.
func (g *graph) addTree(t *query.FlameTree) {
	g.add(len(t.Nodes), func(i int) (f *query.Function, depth uint32, self, total [2]int64) {
		n := &t.Nodes[i]
		return &t.Frames[n.Frame].Function, n.Depth, [2]int64{n.Self}, [2]int64{n.Total}
	})
}

// addDiff adds a comparison, the base on the left.
func (g *graph) addDiff(d *query.Diff) {
	g.add(len(d.Nodes), func(i int) (f *query.Function, depth uint32, self, total [2]int64) {
		n := &d.Nodes[i]
		return &d.Frames[n.Frame].Function, n.Depth, [2]int64{n.BaseSelf, n.Self}, [2]int64{n.BaseTotal, n.Total}
	})
}

// levels lays the nodes out, children in the order of their names, and returns the values of each level:
// for each side the distance from the end of the node before, the total and the self; then the number of the
// name. What a node has itself stands before its children. maxSelf is the largest self of any side.
func (g *graph) levels(sides int) (levels []*querier.Level, maxSelf int64) {
	children := make([][]uint32, len(g.nodes))
	for i := 1; i < len(g.nodes); i++ {
		p := g.nodes[i].parent
		children[p] = append(children[p], uint32(i)) //nolint:gosec // at most max_nodes
	}
	type placed struct {
		node  uint32
		start [2]int64
	}
	var ends [][2]int64 // of the last node of each level
	stack := []placed{{}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := &g.nodes[p.node]
		if int(n.depth) == len(levels) {
			levels, ends = append(levels, &querier.Level{}), append(ends, [2]int64{})
		}
		level, end := levels[n.depth], &ends[n.depth]
		next := p.start
		for side := range sides {
			level.Values = append(level.Values, p.start[side]-end[side], n.total[side], n.self[side])
			end[side] = p.start[side] + n.total[side]
			next[side] += n.self[side]
			maxSelf = max(maxSelf, n.self[side])
		}
		level.Values = append(level.Values, int64(n.name))
		below := children[p.node]
		slices.SortFunc(below, func(a, b uint32) int {
			return cmp.Or(g.order(a, b), strings.Compare(g.names[g.nodes[a].name], g.names[g.nodes[b].name]))
		})
		first := len(stack)
		for _, c := range below {
			// Without a width on any side there is nothing to show, and readers take widths for places.
			if g.nodes[c].total[0] <= 0 && g.nodes[c].total[1] <= 0 {
				continue
			}
			stack = append(stack, placed{c, next})
			for side := range sides {
				next[side] += g.nodes[c].total[side]
			}
		}
		slices.Reverse(stack[first:]) // the stack is worked off from its end
	}
	return levels, maxSelf
}

// order puts what stands for the rest behind.
func (g *graph) order(a, b uint32) int {
	last := func(n uint32) int {
		if g.names[g.nodes[n].name] == otherName {
			return 1
		}
		return 0
	}
	return cmp.Compare(last(a), last(b))
}

// flameGraph returns what was added in the form of an answer.
func (g *graph) flameGraph() (*querier.FlameGraph, error) {
	if g.err != nil {
		return nil, g.err
	}
	levels, maxSelf := g.levels(1)
	return &querier.FlameGraph{Names: g.names, Levels: levels, Total: g.nodes[0].total[0], MaxSelf: maxSelf}, nil
}

// flameGraphDiff returns a comparison in the form of an answer.
func (g *graph) flameGraphDiff() (*querier.FlameGraphDiff, error) {
	if g.err != nil {
		return nil, g.err
	}
	levels, maxSelf := g.levels(2)
	root := g.nodes[0].total
	return &querier.FlameGraphDiff{
		Names: g.names, Levels: levels, Total: root[0] + root[1], MaxSelf: maxSelf, LeftTicks: root[0], RightTicks: root[1],
	}, nil
}
