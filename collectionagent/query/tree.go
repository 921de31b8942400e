// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"math"
	"slices"
)

// maxTreeNodes bounds the memory of one tree.
const maxTreeNodes = 16 << 20

// nodeSize is about what a node takes, with its places in lists made of the tree.
const nodeSize = 64

// tree is a tree of functions with sums. Levels without a branch between them, and
// without samples that end there, are one node: a run of levels that all have the same
// total. So there are at most two nodes for each stack, however deep stacks are. Nodes
// are laid out in preorder: the children of a node follow it, in the order of their
// functions, each with all that is below it. Node 0 is the root.
type tree struct {
	root     uint32 // function
	labels   []uint32
	flat     []uint32
	parent   []uint32
	from, to []uint32 // levels of a node in flat, or in labels where labelled is set
	labelled []bool
	self     []int64 // of the last level of the run
	total    []int64
	size     []uint32 // nodes from a node on down
	// levels is how many levels all runs have.
	levels int64
	// rest holds what belongs below a node but was too much for the tree, and
	// restLevels how many levels were not made for it.
	rest       map[uint32]int64
	restLevels int64
	// cut is the value that rows reach that are no rest.
	cut   int64
	watch *watch // nil: none
}

// run returns the functions of the levels of a node.
func (t *tree) run(node uint32) []uint32 {
	switch {
	case node == 0:
		return []uint32{t.root}
	case t.labelled[node]:
		return t.labels[t.from[node]:t.to[node]]
	}
	return t.flat[t.from[node]:t.to[node]]
}

// length returns how many levels a node has.
func (t *tree) length(node uint32) uint32 {
	if node == 0 {
		return 1
	}
	return t.to[node] - t.from[node]
}

// paths are the stacks of a question as functions, outermost first, and the
// order of the stacks by that.
type paths struct {
	flat    []uint32
	offsets []uint32
	// rank is the place of each stack in the order.
	rank []uint32
	// place is that of each function in the order of functions.
	place []uint32
	watch *watch // nil: none
}

func (p *paths) of(stack uint32) []uint32 { return p.flat[p.offsets[stack]:p.offsets[stack+1]] }

// paths lays the stacks out.
func (res *resolution) paths(functions *functionTable, levels *frameLevels) *paths {
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
		for _, leaf := range slices.Backward(s) {
			for _, f := range levels.of(leaf) { //nolint:staticcheck // most often one, which is no work for a copy
				p.flat = append(p.flat, f)
			}
		}
		if functions.level.merges() {
			start := p.offsets[len(p.offsets)-1]
			p.flat = p.flat[:int(start)+len(slices.Compact(p.flat[start:]))]
		}
		p.end()
	}
	p.sort(res.order, functions)
	return p
}

// end ends a path at the end of flat.
func (p *paths) end() {
	p.offsets = append(p.offsets, uint32(len(p.flat))) //nolint:gosec // fewer than frames in memory
}

// sort puts the paths in order.
func (p *paths) sort(names *functionOrder, functions *functionTable) {
	p.place = names.places(functions, p.watch)
	if functions.level == LevelLine {
		functions.orderLines(p.place)
	}
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
	return uint64(p.place[p.flat[i]]) + 1
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
		return cmp.Or(p.compare(p.of(a)[depth:], p.of(b)[depth:]), cmp.Compare(a, b))
	})
}

// compare compares two paths.
func (p *paths) compare(a, b []uint32) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return cmp.Compare(p.place[a[i]], p.place[b[i]])
		}
	}
	return cmp.Compare(len(a), len(b))
}

func median(a, b, c uint64) uint64 { return max(min(a, b), min(max(a, b), c)) }

// treeRows are what a tree is made of.
type treeRows struct {
	rows []sum // in any order; they are sorted
	// groups are the functions of the first levels of each group, all as many, and
	// order is the place of each group in the order of these; groups that read alike share one.
	groups [][]uint32
	order  []uint32
}

// vertex is a place on the path at hand where it branches or where samples end. All
// that is below it is a node already.
type vertex struct {
	depth       int // levels down to it, with those of the group
	row         int // a row whose path leads through it
	number      uint32
	self, total int64
	rest        int64
	restLevels  int64
	nodes       int // made before what is below it
}

// buildTree folds rows into a tree. Rows that share the most go next to each other, so
// that what is open is one path only and no node is ever looked for. Where the tree might have
// more than maxNodes nodes, the rows with the smallest values end at their group.
// at, unless it is nil, becomes the node that each row of the sorted rows ends in. When
// the question ends meanwhile the tree is its root.
func buildTree(root uint32, in treeRows, p *paths, maxNodes int, at *[]uint32) *tree {
	rows := in.rows
	if p.watch.ended() {
		rows = nil
	}
	// A tree for which there is not the memory is cut, as is one that would be too large.
	maxNodes = p.watch.fit(maxNodes, nodeSize)
	countingSort(rows, len(p.rank), func(r *sum) uint32 { return p.rank[r.stack] })
	countingSort(rows, len(in.groups), func(r *sum) uint32 { return in.order[r.group] })
	labels := 0
	if len(in.groups) > 0 {
		labels = len(in.groups[0])
	}
	atGroups, cut := 1, int64(math.MinInt64)
	if labels > 0 {
		atGroups += len(in.groups) * labels
	}
	if atGroups+2*len(rows) > maxNodes {
		cut = cutValue(rows, max(0, maxNodes-atGroups)/2)
	}
	b := &treeBuilder{
		treeRows: in, paths: p, labels: labels, at: at,
		tree: &tree{root: root, flat: p.flat, rest: make(map[uint32]int64), watch: p.watch},
	}
	b.treeRows.rows = rows
	if at != nil {
		*at = make([]uint32, len(rows))
	}
	b.tree.reserve(min(atGroups+2*len(rows), maxNodes))
	b.tree.labels = make([]uint32, 0, len(in.groups)*labels)
	for _, g := range in.groups {
		b.tree.labels = append(b.tree.labels, g...)
	}
	b.build(cut)
	b.tree.cut = cut
	return b.tree
}

// reserve makes room for nodes.
func (t *tree) reserve(n int) {
	if !t.watch.take(n, nodeSize) {
		n = 1
	}
	t.from, t.to = make([]uint32, 0, n), make([]uint32, 0, n)
	t.labelled, t.size = make([]bool, 0, n), make([]uint32, 0, n)
	t.self, t.total = make([]int64, 0, n), make([]int64, 0, n)
}

// treeBuilder makes the nodes of a tree, the last one first: a node can be made when
// all below it is known, and rows are looked at from the last to the first.
type treeBuilder struct {
	treeRows
	paths  *paths
	labels int // levels of a group
	tree   *tree
	open   []vertex
	// at holds the number of the vertex that each row ends in, and made the node of
	// each vertex, counted from the last; nil when nobody asks.
	at   *[]uint32
	made []uint32
	// numbers is how many vertices there were.
	numbers uint32
}

func (b *treeBuilder) build(cut int64) {
	t := b.tree
	b.push(vertex{row: -1})
	var before []uint32 // path
	for i := len(b.rows) - 1; i >= 0; i-- {
		if b.paths.watch.ended() {
			if b.at != nil {
				*b.at, b.at = nil, nil
			}
			b.open = b.open[:1]
			b.open[0] = vertex{row: -1}
			*t = tree{root: t.root, rest: t.rest, watch: t.watch}
			break
		}
		r := &b.rows[i]
		if i == len(b.rows)-1 || b.rows[i+1].group != r.group {
			shared := 0
			if i < len(b.rows)-1 {
				shared = sharedLevels(b.groups[r.group], b.groups[b.rows[i+1].group])
			}
			if i == len(b.rows)-1 || shared < b.labels { // else both read alike
				b.close(shared)
				before = nil
			}
			if depth := b.open[len(b.open)-1].depth; depth < b.labels {
				b.push(vertex{depth: b.labels, row: i})
			}
		}
		if r.value < cut {
			j := len(b.open) - 1
			for b.open[j].depth > b.labels {
				j--
			}
			v := &b.open[j]
			v.rest += r.value
			v.total += r.value
			v.restLevels += int64(len(b.paths.of(r.stack)))
			b.note(i, v)
			continue
		}
		path := b.paths.of(r.stack)
		b.close(b.labels + sharedLevels(path, before))
		if depth := b.labels + len(path); depth > b.open[len(b.open)-1].depth {
			b.push(vertex{depth: depth, row: i})
		}
		v := &b.open[len(b.open)-1]
		v.self += r.value
		v.total += r.value
		b.note(i, v)
		before = path
	}
	b.close(0)
	b.finish()
}

// sharedLevels returns how many levels two paths share.
func sharedLevels(a, b []uint32) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// note notes where a row ends.
func (b *treeBuilder) note(row int, v *vertex) {
	if b.at != nil {
		(*b.at)[row] = v.number
	}
}

func (b *treeBuilder) push(v vertex) {
	v.nodes, v.number = len(b.tree.total), b.numbers
	b.numbers++
	if b.at != nil {
		b.made = append(b.made, 0)
	}
	b.open = append(b.open, v)
}

// close makes nodes of all open vertices that are deeper than so many levels. Then
// the last one that is open is as deep as that.
func (b *treeBuilder) close(depth int) {
	for {
		v := b.open[len(b.open)-1]
		if v.depth <= depth {
			return
		}
		b.open = b.open[:len(b.open)-1]
		if up := b.open[len(b.open)-1].depth; up < depth {
			b.push(vertex{depth: depth, row: v.row})
			b.open[len(b.open)-1].nodes = v.nodes
		}
		up := &b.open[len(b.open)-1]
		up.total += v.total
		b.emit(&v, up.depth)
	}
}

// emit makes a node of the levels of a vertex from a depth on.
func (b *treeBuilder) emit(v *vertex, depth int) {
	t := b.tree
	if b.at != nil {
		b.made[v.number] = uint32(len(t.total)) //nolint:gosec // bounded by maxTreeNodes
	}
	if v.restLevels > 0 {
		t.rest[uint32(len(t.total))] = v.rest //nolint:gosec // as above
		t.restLevels += v.restLevels
	}
	var first int
	labelled := v.depth <= b.labels && v.row >= 0
	switch {
	case v.row < 0: // the root
		first, depth = -v.depth, v.depth
	case labelled:
		first = int(b.rows[v.row].group) * b.labels
	default:
		first = int(b.paths.offsets[b.rows[v.row].stack]) - b.labels
	}
	t.from = append(t.from, uint32(first+depth)) //nolint:gosec // as they were
	t.to = append(t.to, uint32(first+v.depth))   //nolint:gosec // as they were
	t.labelled = append(t.labelled, labelled)
	t.self = append(t.self, v.self)
	t.total = append(t.total, v.total)
	t.size = append(t.size, uint32(len(t.size)-v.nodes+1)) //nolint:gosec // as above
	t.levels += int64(v.depth - depth)
}

// finish makes the root, and puts nodes into their order.
func (b *treeBuilder) finish() {
	t := b.tree
	b.emit(&b.open[0], 0)
	t.levels++
	n := uint32(len(t.total)) //nolint:gosec // as above
	slices.Reverse(t.from)
	slices.Reverse(t.to)
	slices.Reverse(t.labelled)
	slices.Reverse(t.self)
	slices.Reverse(t.total)
	slices.Reverse(t.size)
	if len(t.rest) > 0 {
		rest := make(map[uint32]int64, len(t.rest))
		for node, value := range t.rest {
			rest[n-1-node] = value
		}
		t.rest = rest
	}
	if b.at != nil {
		for i, number := range *b.at {
			(*b.at)[i] = n - 1 - b.made[number]
		}
	}
	t.parent = make([]uint32, n)
	for node := range n {
		t.children(node, func(c uint32) { t.parent[c] = node })
	}
}

// cutValue returns a value that at most so many rows reach.
func cutValue(rows []sum, most int) int64 {
	if len(rows) <= most {
		return math.MinInt64
	}
	values := make([]int64, len(rows))
	for i := range rows {
		values[i] = rows[i].value
	}
	slices.Sort(values)
	return values[len(values)-1-most] + 1
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

// children calls yield with each child of a node.
func (t *tree) children(node uint32, yield func(child uint32)) {
	for c, end := node+1, node+t.size[node]; c < end; c += t.size[c] {
		yield(c)
	}
}
