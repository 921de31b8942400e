// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"math"
	"slices"
)

// maxTreeNodes bounds the memory of one tree, about 30 bytes per node.
const maxTreeNodes = 16 << 20

// nodeSize is about what a node takes, with its places in lists made of the tree.
const nodeSize = 40

// tree is a tree of functions with sums, laid out in preorder: the children of a
// node follow it, each with all that is below it. Node 0 is the root.
type tree struct {
	parent   []uint32
	function []uint32
	self     []int64
	// total and size, the number of nodes from a node on down, are set by finish.
	total []int64
	size  []uint32
	// rest holds what belongs below a node but was too much for the tree, and
	// restLevels how many levels were not made for it.
	rest       map[uint32]int64
	restLevels int64
	watch      *watch // nil: none
}

// paths are the stacks of a question as functions, outermost first, and the
// order of the stacks by that.
type paths struct {
	flat    []uint32
	offsets []uint32
	// rank is the place of each stack in the order.
	rank  []uint32
	watch *watch // nil: none
}

func (p *paths) of(stack uint32) []uint32 { return p.flat[p.offsets[stack]:p.offsets[stack+1]] }

// paths lays the stacks out.
func (res *resolution) paths(levels *frameLevels) *paths {
	n := 0
	for _, s := range res.stacks {
		for _, f := range s {
			n += levels.count(f)
		}
	}
	p := &paths{offsets: make([]uint32, 1, len(res.stacks)+1), watch: res.watch}
	if p.watch.take(n, 4) && p.watch.take(len(res.stacks), 16) {
		p.flat = make([]uint32, 0, n)
	}
	for _, s := range res.stacks {
		if p.watch.ended() {
			break
		}
		for i := len(s) - 1; i >= 0; i-- {
			for _, f := range levels.of(s[i]) { // most often one, which is no work for a copy
				p.flat = append(p.flat, f)
			}
		}
		p.end()
	}
	p.sort()
	return p
}

// end ends a path at the end of flat.
func (p *paths) end() {
	p.offsets = append(p.offsets, uint32(len(p.flat))) //nolint:gosec // fewer than frames in memory
}

// sort puts the paths in order.
func (p *paths) sort() {
	order := make([]uint32, len(p.offsets)-1)
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // at most maxRows
	}
	p.order(order, 0)
	p.rank = make([]uint32, len(order))
	for i, s := range order {
		p.rank[s] = uint32(i) //nolint:gosec // at most maxRows
	}
}

// at returns the level of a path at a depth, from 1, or 0 where it has ended.
func (p *paths) at(stack uint32, depth int) uint64 {
	i := p.offsets[stack] + uint32(depth) //nolint:gosec // within the paths
	if i >= p.offsets[stack+1] {
		return 0
	}
	return uint64(p.flat[i]) + 1
}

// order sorts stacks whose paths are the same up to a depth, by parting them into
// those with a smaller, the same, and a larger level there: what paths share is
// looked at once. Equal paths stay in the order of their numbers.
func (p *paths) order(stacks []uint32, depth int) {
	for len(stacks) > 12 && !p.watch.ended() {
		pivot := median(p.at(stacks[0], depth), p.at(stacks[len(stacks)/2], depth), p.at(stacks[len(stacks)-1], depth))
		less, i, more := 0, 0, len(stacks)
		for i < more {
			switch level := p.at(stacks[i], depth); {
			case level < pivot:
				stacks[less], stacks[i] = stacks[i], stacks[less]
				less++
				i++
			case level > pivot:
				more--
				stacks[i], stacks[more] = stacks[more], stacks[i]
			default:
				i++
			}
		}
		p.order(stacks[:less], depth)
		p.order(stacks[more:], depth)
		stacks = stacks[less:more]
		if pivot == 0 { // all have ended here
			slices.Sort(stacks)
			return
		}
		depth++
	}
	slices.SortFunc(stacks, func(a, b uint32) int {
		if p.watch.ended() { // any order will do, the sooner the better
			return 0
		}
		return cmp.Or(slices.Compare(p.from(a, depth), p.from(b, depth)), cmp.Compare(a, b))
	})
}

// from returns what a path has from a depth on that it reaches.
func (p *paths) from(stack uint32, depth int) []uint32 { return p.of(stack)[depth:] }

func median(a, b, c uint64) uint64 { return max(min(a, b), min(max(a, b), c)) }

// buildTree folds rows, which it sorts, into a tree. Rows that share the most go
// next to each other, so that the tree grows at its end only and no node is ever
// looked for. The first levels are those of the row's group, which must be
// sorted. Where the tree would have more than maxNodes nodes, the rows with the
// smallest values end at their group.
func buildTree(root uint32, rows []sum, groups [][]uint32, p *paths, maxNodes int) *tree {
	return growTree(root, rows, groups, p, maxNodes, nil)
}

// growTree is [buildTree] that tells placed, unless it is nil, in which node each
// row ends and whether it belongs to the node's rest. When the question ends meanwhile the tree is its root.
func growTree(root uint32, rows []sum, groups [][]uint32, p *paths, maxNodes int, placed func(r *sum, node uint32, rest bool)) *tree {
	// A tree for which there is not the memory is cut, as is one that would be too large.
	maxNodes = p.watch.fit(maxNodes, nodeSize)
	if p.watch.ended() {
		rows = nil
	}
	countingSort(rows, len(p.rank), func(r *sum) uint32 { return p.rank[r.stack] })
	countingSort(rows, len(groups), func(r *sum) uint32 { return r.group })
	nodes, cut := 1, int64(math.MinInt64)
	levels := make([]uint32, 0, len(rows)) // that each path shares with the one before
	walk(rows, groups, p, cut, nil, func(_ *sum, path []uint32, shared int) {
		nodes += len(path) - shared
		levels = append(levels, uint32(shared)) //nolint:gosec // within a path
	})
	if nodes > maxNodes {
		nodes, cut, levels = maxNodes, cutValue(rows, p, maxNodes), nil
	}
	if !p.watch.take(nodes, nodeSize) {
		nodes, rows = 1, nil
	}
	t := &tree{
		parent:   make([]uint32, 1, nodes),
		function: append(make([]uint32, 0, nodes), root),
		self:     make([]int64, 1, nodes),
		rest:     make(map[uint32]int64),
		watch:    p.watch,
	}
	open := make([]uint32, 1, 64) // the node of each level of the path before
	walk(rows, groups, p, cut, levels, func(r *sum, path []uint32, shared int) {
		node := open[shared]
		if shared < len(path) {
			open = open[:shared+1]
			for _, f := range path[shared:] {
				t.parent = append(t.parent, node)
				node = uint32(len(t.function)) //nolint:gosec // bounded by maxNodes
				t.function = append(t.function, f)
				t.self = append(t.self, 0)
				open = append(open, node)
			}
		}
		if placed != nil {
			placed(r, node, r.value < cut)
		}
		if r.value < cut {
			t.rest[node] += r.value
			t.restLevels += int64(len(p.of(r.stack)))
		} else {
			t.self[node] += r.value
		}
	})
	t.finish()
	return t
}

// walk hands over the path of each row and how many of its levels it shares with
// the path before. A path that is the start of the one before leaves that in its
// place. Rows below the cut end at their group. levels are the numbers of shared
// levels from a walk before with the same cut, nil: they are counted.
func walk(rows []sum, groups [][]uint32, p *paths, cut int64, levels []uint32, yield func(r *sum, path []uint32, shared int)) {
	var before, path []uint32
	var rooms [2][]uint32
	held := 0 // the room that before may be in
	for i := range rows {
		if p.watch.ended() {
			return
		}
		r := &rows[i]
		switch group := groups[r.group]; {
		case r.value < cut:
			path = group
		case len(group) == 0:
			path = p.of(r.stack)
		default:
			free := 1 - held
			rooms[free] = append(append(rooms[free][:0], group...), p.of(r.stack)...)
			path = rooms[free]
		}
		shared := 0
		if i < len(levels) {
			shared = int(levels[i])
		} else {
			n := min(len(path), len(before))
			for shared < n && path[shared] == before[shared] {
				shared++
			}
		}
		yield(r, path, shared)
		if shared < len(path) {
			before = path
			if len(groups[r.group]) > 0 && r.value >= cut {
				held = 1 - held
			}
		}
	}
}

// cutValue returns a value such that the rows that reach it have at most
// maxNodes levels together.
func cutValue(rows []sum, p *paths, maxNodes int) int64 {
	order := slices.Clone(rows)
	slices.SortFunc(order, func(a, b sum) int { return cmp.Compare(b.value, a.value) })
	levels := 0
	for _, r := range order {
		if levels += len(p.of(r.stack)); levels > maxNodes {
			return r.value + 1
		}
	}
	return math.MinInt64
}

// countingSort sorts rows by a key below n and keeps the order of equal ones.
func countingSort(rows []sum, n int, key func(*sum) uint32) {
	if n < 2 {
		return
	}
	starts := make([]uint32, n+1)
	for i := range rows {
		starts[key(&rows[i])+1]++
	}
	for i := 1; i <= n; i++ {
		starts[i] += starts[i-1]
	}
	in := slices.Clone(rows)
	for i := range in {
		at := &starts[key(&in[i])]
		rows[*at] = in[i]
		*at++
	}
}

// finish computes totals and sizes.
func (t *tree) finish() {
	n := len(t.function)
	t.total = slices.Clone(t.self)
	for node, value := range t.rest {
		t.total[node] += value
	}
	t.size = make([]uint32, n)
	for i := n - 1; i > 0; i-- {
		p := t.parent[i]
		t.total[p] += t.total[i]
		t.size[i]++
		t.size[p] += t.size[i]
	}
	t.size[0]++
}

// children calls yield with each child of a node.
func (t *tree) children(node uint32, yield func(child uint32)) {
	for c, end := node+1, node+t.size[node]; c < end; c += t.size[c] {
		yield(c)
	}
}
