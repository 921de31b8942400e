// SPDX-License-Identifier: Apache-2.0

package query

// maxTreeNodes bounds the memory of one tree, about 40 bytes per node.
const maxTreeNodes = 16 << 20

// tree is a tree of functions with sums. A node is an index; node 0 is the
// root, and a node has a higher index than its parent.
type tree struct {
	parent   []uint32
	function []uint32
	self     []int64
	// total and children are set by finish.
	total       []int64
	childOffset []uint32
	children    []uint32

	edges    *pairTable
	maxNodes int
	// rest holds what belongs below a node but had no room in the tree, and
	// restLevels how many levels were not made for it.
	rest       map[uint32]int64
	restLevels int64
}

func newTree(root uint32, maxNodes int) *tree {
	return &tree{
		parent: []uint32{0}, function: []uint32{root}, self: []int64{0},
		edges: newPairTable(1 << 14), maxNodes: maxNodes, rest: make(map[uint32]int64),
	}
}

// child returns the child of a node for a function, or false when it is new and
// the tree is full.
func (t *tree) child(node, function uint32) (uint32, bool) {
	key := (uint64(node)+1)<<32 | uint64(function)
	if len(t.parent) >= t.maxNodes {
		return t.edges.find(key)
	}
	n, added := t.edges.index(key, uint32(len(t.parent))) //nolint:gosec // at most maxNodes
	if added {
		t.parent = append(t.parent, node)
		t.function = append(t.function, function)
		t.self = append(t.self, 0)
	}
	return n, true
}

// noNode stands for a node that had no room.
const noNode = ^uint32(0)

// path returns the node at the end of a path of functions, noNode when the tree
// is full.
func (t *tree) path(functions []uint32) (node uint32) {
	for _, f := range functions {
		next, ok := t.child(node, f)
		if !ok {
			return noNode
		}
		node = next
	}
	return node
}

// add adds a value at the end of a path below a node: the levels of the frames
// from the last, which is the root of the stack, to the first.
func (t *tree) add(node uint32, frames []uint32, levels *frameLevels, value int64) {
	for i := len(frames) - 1; i >= 0; i-- {
		for _, f := range levels.of(frames[i]) {
			next, ok := t.child(node, f)
			if !ok {
				t.rest[node] += value
				t.restLevels += int64(i + 1)
				return
			}
			node = next
		}
	}
	t.self[node] += value
}

// finish computes totals and lists of children.
func (t *tree) finish() {
	t.edges = nil
	n := len(t.parent)
	t.total = make([]int64, n)
	copy(t.total, t.self)
	for node, value := range t.rest {
		t.total[node] += value
	}
	t.childOffset = make([]uint32, n+2)
	for i := n - 1; i > 0; i-- {
		p := t.parent[i]
		t.total[p] += t.total[i]
		t.childOffset[p+2]++
	}
	for i := 2; i < len(t.childOffset); i++ {
		t.childOffset[i] += t.childOffset[i-1]
	}
	t.children = make([]uint32, n-1)
	for i := 1; i < n; i++ {
		at := &t.childOffset[t.parent[i]+1]
		t.children[*at] = uint32(i) //nolint:gosec // at most maxNodes
		*at++
	}
}

// childrenOf returns the children of a node.
func (t *tree) childrenOf(node uint32) []uint32 {
	return t.children[t.childOffset[node]:t.childOffset[node+1]]
}
