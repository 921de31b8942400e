// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// CallTreeOptions say how much of a tree is printed.
type CallTreeOptions struct {
	// Levels is the most, 0 for all.
	Levels int
	// Least is the share of the whole below which nodes are left out.
	Least float64
}

// CallTree prints a tree as indented text, the most first. A function that alone is
// called stays below its caller, so that deep stacks stay readable.
func CallTree(o *term.Out, t *tree.Tree, opts CallTreeOptions) error {
	t.Sort()
	fork, last, pass := "├ ", "└ ", "│ "
	if !o.Unicode {
		fork, last, pass = "+ ", "` ", "| "
	}
	head := "  total              self  function"
	var b strings.Builder
	b.WriteString(o.Paint(term.Style{Faint: true}, head) + "\n")
	line := func(share, value, self, lead, name string, style term.Style) {
		left := term.PadLeft(share, 7) + term.PadLeft(value, 9) + term.PadLeft(self, 9) + "  " + lead
		if o.TTY {
			name = o.FitName(name, max(o.Width-term.Width(left), 12))
		}
		b.WriteString(left + o.Paint(style, name) + "\n")
	}
	type entry struct {
		n            *tree.Node
		depth        int
		lead, below  string // before its line, and before those of what it calls
		hidden       int    // of an entry that stands for those left out
		hiddenValue  int64
		deeperLevels bool
		twin         bool // another one beside it has its name
	}
	total := t.Root.Total
	todo := []entry{{n: t.Root}}
	for len(todo) > 0 {
		e := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if e.hidden > 0 {
			what := counted(e.hidden, "smaller function")
			if e.deeperLevels {
				what = counted(e.hidden, "function") + " below -depth"
			}
			line(Percent(e.hiddenValue, total), Value(t.Unit, e.hiddenValue), "", e.lead, "("+what+")", term.Style{Faint: true})
			continue
		}
		share := float64(e.n.Total) / float64(max(total, 1))
		self := ""
		if e.n.Self != 0 {
			self = Value(t.Unit, e.n.Self)
		}
		name := term.Clean(e.n.Name)
		if e.twin && e.n.Binary != "" {
			name += " [" + term.Clean(e.n.Binary) + "]"
		}
		line(Percent(e.n.Total, total), Value(t.Unit, e.n.Total), self, e.lead, name, term.Style{Bold: share >= 0.1})
		var shown []*tree.Node
		rest := entry{lead: e.below + last}
		for _, c := range e.n.Children {
			if float64(c.Total) < opts.Least*float64(total) || opts.Levels > 0 && e.depth >= opts.Levels {
				rest.hidden++
				rest.hiddenValue += c.Total
				rest.deeperLevels = opts.Levels > 0 && e.depth >= opts.Levels
				continue
			}
			shown = append(shown, c)
		}
		// A rest that is smaller than any line is not worth one: the totals tell.
		if float64(rest.hiddenValue) < opts.Least*float64(total) && len(shown) > 0 {
			rest.hidden = 0
		}
		var next []entry
		names := map[string]int{}
		for _, c := range shown {
			names[c.Name]++
		}
		for i, c := range shown {
			n := entry{n: c, twin: names[c.Name] > 1, depth: e.depth + 1, lead: e.below + fork, below: e.below + pass}
			if i == len(shown)-1 && rest.hidden == 0 {
				n.lead, n.below = e.below+last, e.below+"  "
			}
			if len(shown) == 1 && rest.hidden == 0 && e.depth > 0 {
				n.lead, n.below = e.below, e.below
			}
			next = append(next, n)
		}
		if rest.hidden > 0 {
			next = append(next, rest)
		}
		for _, n := range slices.Backward(next) {
			todo = append(todo, n)
		}
	}
	_, err := io.WriteString(o, b.String())
	return err
}
