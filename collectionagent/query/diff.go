// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Diff compares two selections.
type Diff struct {
	// Base is what is compared with, Summary what is compared.
	Summary
	Base    Summary
	GroupBy []string
	// Scale is what values of the base are multiplied with to compare them: 1, or the
	// quotient of the totals.
	Scale float64
	// Frames are the functions that nodes are of; the first is the root's.
	Frames []FlameFrame
	// Nodes are those of the tree of both, in preorder, children sorted by name.
	Nodes []DiffNode
	// HiddenNodes is how many nodes of the full tree are not in Nodes.
	HiddenNodes int64
	// Rows are the functions, the largest growth first.
	Rows []DiffRow
	// HiddenRows is how many rows are left out, those that changed least.
	HiddenRows int
}

// DiffNode is a node of a tree of both sides. No value is scaled.
type DiffNode struct {
	Frame               uint32 // index into Frames
	Depth               uint32 // 0 for the root
	Self, Total         int64
	BaseSelf, BaseTotal int64
}

// DiffRow is what a function used on both sides. No value is scaled but in Growth.
type DiffRow struct {
	Function            // Inlined is never set
	Self, Total         int64
	BaseSelf, BaseTotal int64
	// Growth is the value that the rows are sorted by, less the scaled one of the base.
	Growth int64
}

// DiffOptions say how selections are compared.
type DiffOptions struct {
	GroupBy []string
	// Normalize scales the base so that both have the same total.
	Normalize bool
	// Order is the value that growth is of.
	Order    TopOrder
	MaxNodes int
	Limit    int // of rows
}

// side is one of the two.
type side struct {
	self, total []int64 // by node, or by function
}

// Diff compares a selection with a base. What is shown of stacks is as the selection
// says, for both.
func (e *Engine) Diff(ctx context.Context, base, s *Selection, o *DiffOptions) (*Diff, error) {
	w := newWatch(ctx)
	c := newCollector(e, w)
	a, err := c.collect(ctx, base, o.GroupBy)
	if err != nil {
		return nil, err
	}
	b, err := c.collect(ctx, s, o.GroupBy)
	if err != nil {
		return nil, err
	}
	res, err := e.resolver.resolve(ctx, w, s.Project, c.hashes)
	if err != nil {
		return nil, err
	}
	var newStack []int32
	out := res
	if !s.Stacks.IsZero() {
		out, newStack = res.filterStacks(&s.Stacks, s.FoldInterpreters)
	}
	for _, x := range []*sums{a, b} {
		x.groups, x.resolution = c.values, res
		if !s.Stacks.IsZero() {
			x.keep(out, newStack)
		}
		x.countUnknown()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	functions := newFunctionTable(len(out.names))
	functions.level = s.Level
	levels := out.levels(functions, s.FoldInterpreters, s.Level.identity())
	d := &Diff{Summary: b.summary(s, levels), Base: a.summary(base, levels), GroupBy: o.GroupBy, Scale: 1}
	if o.Normalize && a.value > 0 && b.value > 0 {
		d.Scale = float64(b.value) / float64(a.value)
	}
	d.tree(a, b, functions, levels, o)
	d.table(a, b, s, o)
	return d, ctx.Err()
}

// scaled returns a value of the base as it is compared.
func (d *Diff) scaled(base int64) int64 {
	if d.Scale == 1 {
		return base
	}
	return int64(math.Round(float64(base) * d.Scale))
}

// tree builds the tree of both sides: one of the sums of both, scaled, which says
// what is large enough to show.
func (d *Diff) tree(a, b *sums, functions *functionTable, levels *frameLevels, o *DiffOptions) {
	// A row of both carries its number in place of its count.
	rows := make([]sum, 0, len(a.rows)+len(b.rows))
	for _, r := range a.rows {
		rows = append(rows, sum{r.group, r.stack, int64(len(rows)), d.scaled(r.value)})
	}
	for _, r := range b.rows {
		rows = append(rows, sum{r.group, r.stack, int64(len(rows)), r.value})
	}
	root := functions.label(rootName, KindLabel)
	p := b.paths(functions, levels)
	var at []uint32 // the node that each row ends in
	t := buildTree(root, newTreeRows(functions, rows, o.GroupBy, b.groups), p, maxTreeNodes, &at)
	base, current := newSide(len(t.total)), newSide(len(t.total))
	for i, node := range at {
		x, of := base, a.rows
		n := int(rows[i].count)
		if n >= len(a.rows) {
			x, of, n = current, b.rows, n-len(a.rows)
		}
		x.total[node] += of[n].value
		if rows[i].value >= t.cut {
			x.self[node] += of[n].value
		}
	}
	for _, x := range []*side{base, current} {
		for i := len(t.parent) - 1; i > 0; i-- {
			x.total[t.parent[i]] += x.total[i]
		}
	}
	var laid FlameTree
	from := laid.lay(t, functions, o.MaxNodes)
	d.Frames, d.HiddenNodes = laid.Frames, laid.HiddenNodes
	d.Nodes = make([]DiffNode, len(laid.Nodes))
	for i, n := range laid.Nodes {
		d.Nodes[i] = DiffNode{Frame: n.Frame, Depth: n.Depth}
	}
	current.lay(&laid, from, func(i int, self, total int64) { d.Nodes[i].Self, d.Nodes[i].Total = self, total })
	base.lay(&laid, from, func(i int, self, total int64) { d.Nodes[i].BaseSelf, d.Nodes[i].BaseTotal = self, total })
}

// newSide returns a side without values.
func newSide(n int) *side { return &side{self: make([]int64, n), total: make([]int64, n)} }

// of returns what a level of a tree has.
func (x *side) of(l shownLevel) (self, total int64) {
	if l.inner {
		return 0, x.total[l.node]
	}
	return x.self[l.node], x.total[l.node]
}

// lay hands over the values of the nodes that are shown.
func (x *side) lay(laid *FlameTree, from []shownLevel, yield func(i int, self, total int64)) {
	// rest is what a shown node has in neither itself nor shown children.
	rest := make([]int64, len(laid.Nodes))
	other := make([]int, len(laid.Nodes)) // its "(other)", 0: none
	var path []int
	for i, n := range laid.Nodes {
		path = append(path[:n.Depth], i)
		if laid.Frames[n.Frame].Kind == KindOther {
			other[path[n.Depth-1]] = i
			continue
		}
		self, total := x.of(from[i])
		rest[i] += total - self
		if n.Depth > 0 {
			rest[path[n.Depth-1]] -= total
		}
	}
	for i := range laid.Nodes {
		if laid.Frames[laid.Nodes[i].Frame].Kind == KindOther {
			continue
		}
		self, total := x.of(from[i])
		if at := other[i]; at > 0 {
			yield(at, rest[i], rest[i])
		} else {
			self += rest[i] // there was room for the root alone
		}
		yield(i, self, total)
	}
}

// table builds the table of functions.
func (d *Diff) table(a, b *sums, s *Selection, o *DiffOptions) {
	functions := newFunctionTable(len(b.names))
	levels := b.levels(functions, s.FoldInterpreters, asCalled())
	base, current := a.byFunction(levels, len(functions.functions)), b.byFunction(levels, len(functions.functions))
	rows := make([]DiffRow, 0, len(functions.functions))
	for i, f := range functions.functions {
		r := DiffRow{
			Function: f.Value(), Self: current.self[i], Total: current.total[i], BaseSelf: base.self[i], BaseTotal: base.total[i],
		}
		if r.Growth = r.Self - d.scaled(r.BaseSelf); o.Order == TopByTotal {
			r.Growth = r.Total - d.scaled(r.BaseTotal)
		}
		rows = append(rows, r)
	}
	compare := func(x, y *DiffRow) int {
		return cmp.Or(cmp.Compare(y.Growth, x.Growth), cmp.Compare(y.Total, x.Total), x.Function.compare(&y.Function))
	}
	if len(rows) > o.Limit {
		slices.SortFunc(rows, func(x, y DiffRow) int {
			return cmp.Or(cmp.Compare(magnitude(y.Growth), magnitude(x.Growth)), compare(&x, &y))
		})
		rows, d.HiddenRows = rows[:o.Limit], len(rows)-o.Limit
	}
	slices.SortFunc(rows, func(x, y DiffRow) int { return compare(&x, &y) })
	d.Rows = rows
}

func magnitude(v int64) int64 { return max(v, -v) }

// byFunction returns what each function used, as the rows of a [Top] do.
func (s *sums) byFunction(levels *frameLevels, functions int) *side {
	out := &side{self: make([]int64, functions), total: make([]int64, functions)}
	seen := make([]int, functions) // the last row that a function was counted for, from 1
	for i, r := range s.rows {
		if s.watch.ended() {
			break
		}
		leaf := true
		for _, frame := range s.stacks[r.stack] {
			of := levels.of(frame)
			for _, f := range of {
				if seen[f] != i+1 {
					seen[f] = i + 1
					out.total[f] += r.value
				}
			}
			if leaf && len(of) > 0 {
				out.self[of[len(of)-1]] += r.value
				leaf = false
			}
		}
	}
	return out
}
