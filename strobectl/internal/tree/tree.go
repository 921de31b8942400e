// SPDX-License-Identifier: Apache-2.0

// Package tree holds the calls of a profile, whatever it came from: an answer of the
// server, or a file.
package tree

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
)

// Frame is a function in a tree.
type Frame struct {
	Name, File, Binary, Kind string
	Line                     int64
	Inlined                  bool
}

// Node is a call. The root stands for everything.
type Node struct {
	Frame
	Self, Total int64
	// BaseSelf and BaseTotal are those of the other side of a comparison.
	BaseSelf, BaseTotal int64
	Children            []*Node

	// index finds children while stacks are added.
	index map[Frame]*Node
}

// Tree is a profile.
type Tree struct {
	// Type and Unit are those of the values, as on_cpu and nanoseconds.
	Type, Unit string
	Root       *Node
	// Hidden is the number of nodes that a limit of the server cut off, HiddenValue what they took.
	Hidden      int
	HiddenValue int64
}

// New returns an empty tree to add stacks to.
func New(typ, unit string) *Tree {
	return &Tree{Type: typ, Unit: unit, Root: &Node{Frame: Frame{Name: "all", Kind: "label"}}}
}

// Add adds a stack, from the root to the leaf, with its value.
func (t *Tree) Add(stack []Frame, value int64) {
	at := t.Root
	at.Total += value
	for _, f := range stack {
		below := at.index[f]
		if below == nil {
			below = &Node{Frame: f}
			if at.index == nil {
				at.index = map[Frame]*Node{}
			}
			at.index[f] = below
			at.Children = append(at.Children, below)
		}
		below.Total += value
		at = below
	}
	at.Self += value
}

// errMalformed is for an answer that no collection agent gives.
var errMalformed = errors.New("the tree in the answer is malformed; is this a collection agent?")

// FromAnswer reads the tree of an answer. What an answer refers to is checked.
func FromAnswer(a *client.FlameGraph) (*Tree, error) {
	root, err := nodes(a.Strings, &a.Frames, &a.Nodes)
	if err != nil {
		return nil, err
	}
	return &Tree{Type: a.Type, Unit: a.Unit, Root: root, Hidden: a.Hidden.Nodes, HiddenValue: a.Hidden.Value}, nil
}

// FromSide reads a tree of a sandwich, whose texts are in strings.
func FromSide(a *client.Sandwich, s *client.Side) (*Tree, error) {
	root, err := nodes(a.Strings, &s.Frames, &s.Nodes)
	if err != nil {
		return nil, err
	}
	return &Tree{Type: a.Type, Unit: a.Unit, Root: root, Hidden: s.Hidden.Nodes, HiddenValue: s.Hidden.Value}, nil
}

// frames reads the columns of frames.
func frames(texts []string, c *client.Columns) ([]Frame, error) {
	text := func(column []int, i int) (string, error) {
		if i >= len(column) || column[i] < 0 || column[i] >= len(texts) {
			return "", errMalformed
		}
		return texts[column[i]], nil
	}
	out := make([]Frame, len(c.Name))
	for i := range out {
		f := &out[i]
		var errs [4]error
		f.Name, errs[0] = text(c.Name, i)
		f.File, errs[1] = text(c.File, i)
		f.Binary, errs[2] = text(c.Binary, i)
		f.Kind, errs[3] = text(c.Kind, i)
		if err := errors.Join(errs[:]...); err != nil || i >= len(c.Line) || i >= len(c.Inlined) {
			return nil, errMalformed
		}
		f.Line, f.Inlined = int64(c.Line[i]), c.Inlined[i] != 0
	}
	return out, nil
}

func nodes(texts []string, c *client.Columns, n *client.Nodes) (*Node, error) {
	all, err := frames(texts, c)
	if err != nil {
		return nil, err
	}
	count := len(n.Frame)
	if count == 0 || len(n.Depth) != count || len(n.Self) != count || len(n.Total) != count ||
		len(n.BaseTotal) != 0 && (len(n.BaseTotal) != count || len(n.BaseSelf) != count) {
		return nil, errMalformed
	}
	list := make([]Node, count)
	var path []*Node
	for i := range list {
		if n.Frame[i] < 0 || n.Frame[i] >= len(all) || n.Depth[i] < 0 || n.Depth[i] > len(path) || i > 0 && n.Depth[i] == 0 {
			return nil, errMalformed
		}
		list[i] = Node{Frame: all[n.Frame[i]], Self: n.Self[i], Total: n.Total[i]}
		if len(n.BaseTotal) != 0 {
			list[i].BaseSelf, list[i].BaseTotal = n.BaseSelf[i], n.BaseTotal[i]
		}
		path = path[:n.Depth[i]]
		if len(path) > 0 {
			above := path[len(path)-1]
			above.Children = append(above.Children, &list[i])
		}
		path = append(path, &list[i])
	}
	return &list[0], nil
}

// Walk visits all nodes, callers before what they call. Where visit says false, what is
// below is left out. A deep tree takes no stack.
func (t *Tree) Walk(visit func(n *Node, depth int) bool) {
	type entry struct {
		n     *Node
		depth int
	}
	todo := []entry{{t.Root, 0}}
	for len(todo) > 0 {
		e := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !visit(e.n, e.depth) {
			continue
		}
		for _, c := range slices.Backward(e.n.Children) {
			todo = append(todo, entry{c, e.depth + 1})
		}
	}
}

// Sort orders the children of all nodes by their total, the largest first.
func (t *Tree) Sort() {
	t.Walk(func(n *Node, _ int) bool {
		slices.SortStableFunc(n.Children, func(a, b *Node) int {
			return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Binary, b.Binary))
		})
		return true
	})
}

// Depth returns the number of levels below the root.
func (t *Tree) Depth() int {
	deepest := 0
	t.Walk(func(_ *Node, depth int) bool {
		deepest = max(deepest, depth)
		return true
	})
	return deepest
}

// Match reports whether a name is meant by a pattern: text that it contains, whatever
// the case where the pattern has no capital letter.
func Match(name, pattern string) bool {
	if pattern == strings.ToLower(pattern) {
		name = strings.ToLower(name)
	}
	return strings.Contains(name, pattern)
}

// Zoom returns what runs in the outermost functions that match a pattern, without
// their callers.
func (t *Tree) Zoom(pattern string) *Tree {
	return t.rebuild(func(path []*Node) []*Node {
		for i, n := range path {
			if i > 0 && Match(n.Name, pattern) {
				return path[i:]
			}
		}
		return nil
	})
}

// Focus returns the stacks in which a function matches a pattern, as a whole.
func (t *Tree) Focus(pattern string) *Tree {
	return t.rebuild(func(path []*Node) []*Node {
		for i, n := range path {
			if i > 0 && Match(n.Name, pattern) {
				return path[1:]
			}
		}
		return nil
	})
}

// rebuild makes a tree of what keep returns of each path from the root to a node that
// has values of its own.
func (t *Tree) rebuild(keep func(path []*Node) []*Node) *Tree {
	out := New(t.Type, t.Unit)
	out.Hidden, out.HiddenValue = t.Hidden, t.HiddenValue
	t.Paths(func(path []*Node) {
		leaf := path[len(path)-1]
		kept := keep(path)
		if kept == nil {
			return
		}
		stack := make([]Frame, len(kept))
		for i, n := range kept {
			stack[i] = n.Frame
		}
		out.Add(stack, leaf.Self)
	})
	return out
}

// Paths visits the paths from the root to every node that has a value of its own.
// The slice is only valid until visit returns.
func (t *Tree) Paths(visit func(path []*Node)) {
	var path []*Node
	t.Walk(func(n *Node, depth int) bool {
		path = append(path[:depth], n)
		if n.Self != 0 {
			visit(path)
		}
		return true
	})
}

// Top returns the functions, as the server's top does: total counts a sample once
// however often the function is on its stack. Those with the most are first.
func (t *Tree) Top(bySelf bool) []client.Function {
	type sums struct {
		frame       Frame
		self, total int64
		last        int // path that was counted last
	}
	all := map[Frame]*sums{}
	paths := 0
	key := func(n *Node) Frame {
		f := n.Frame
		f.Line, f.Inlined = 0, false
		return f
	}
	t.Paths(func(path []*Node) {
		paths++
		value := path[len(path)-1].Self
		for i, n := range path[1:] {
			k := key(n)
			s := all[k]
			if s == nil {
				s = &sums{frame: k}
				all[k] = s
			}
			if s.last != paths {
				s.last = paths
				s.total += value
			}
			if i == len(path)-2 {
				s.self += value
			}
		}
	})
	rows := make([]client.Function, 0, len(all))
	for _, s := range all {
		if s.frame.Kind == "label" {
			continue
		}
		rows = append(rows, client.Function{
			Name: s.frame.Name, File: s.frame.File, Binary: s.frame.Binary, Kind: s.frame.Kind, Self: s.self, Total: s.total,
		})
	}
	SortTop(rows, bySelf)
	return rows
}

// SortTop orders functions by their self or total values, the largest first.
func SortTop(rows []client.Function, bySelf bool) {
	slices.SortFunc(rows, func(a, b client.Function) int {
		first, second := cmp.Compare(b.Total, a.Total), cmp.Compare(b.Self, a.Self)
		if bySelf {
			first, second = second, first
		}
		return cmp.Or(first, second, cmp.Compare(a.Name, b.Name), cmp.Compare(a.Binary, b.Binary), cmp.Compare(a.File, b.File))
	})
}
