// SPDX-License-Identifier: Apache-2.0

package query

// heapNode is a level of a node of a tree that may be shown.
type heapNode struct {
	total int64
	node  uint32
	level uint32
}

// before reports whether n is to be shown before o: the larger one, and of equal ones
// the first. No two levels of a node are in the heap.
func (n heapNode) before(o heapNode) bool {
	return n.total > o.total || n.total == o.total && n.node < o.node
}

// nodeHeap is a heap with the largest total, and of equal ones the first node,
// on top. It does what container/heap does without boxing its elements.
type nodeHeap []heapNode

func (h *nodeHeap) push(n heapNode) {
	*h = append(*h, n)
	s := *h
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !n.before(s[parent]) {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	s[i] = n
}

// pop removes the top. The heap is not empty.
func (h *nodeHeap) pop() heapNode {
	s := *h
	top, last := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(s) {
			break
		}
		if c+1 < len(s) && s[c+1].before(s[c]) {
			c++
		}
		if !s[c].before(last) {
			break
		}
		s[i] = s[c]
		i = c
	}
	s[i] = last
	return top
}
