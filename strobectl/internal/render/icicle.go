// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// span is a cell of an icicle: a node, or neighbours that are too narrow for a cell each.
type span struct {
	node     *tree.Node
	from, to int   // columns
	start    int64 // value left of it
	merged   int   // nodes, 0 for one that is shown
}

// layout returns the rows of an icicle of so many columns and levels, 0 for all, and
// how many nodes were merged or are too narrow even for that.
func layout(t *tree.Tree, width, levels int) (rows [][]span, narrow int) {
	if t.Root.Total <= 0 {
		return nil, 0
	}
	column := func(v int64) int { return int(min(max(float64(v)/float64(t.Root.Total), 0), 1)*float64(width) + 0.5) }
	row := []span{{node: t.Root, to: width}}
	for len(row) > 0 && (levels == 0 || len(rows) < levels) {
		rows = append(rows, row)
		var next []span
		for _, s := range row {
			if s.merged > 0 {
				continue
			}
			at := s.start
			// Nothing is wider than its caller, whatever a file or a server says.
			column := func(v int64) int { return min(max(column(v), s.from), s.to) }
			var few span // those too narrow, next to each other
			end := func() {
				if few.merged > 0 && few.to > few.from {
					next = append(next, few)
				}
				narrow += few.merged
				few = span{}
			}
			for _, c := range s.node.Children {
				from, to := column(at), column(at+c.Total)
				if to > from {
					end()
					next = append(next, span{node: c, from: from, to: to, start: at})
				} else {
					if few.merged == 0 {
						few.from = from
					}
					few.node, few.to = c, to
					few.merged++
				}
				at += c.Total
			}
			// The last ones may together be a column wide.
			if few.merged > 0 {
				few.to = column(at)
			}
			end()
		}
		row = next
	}
	return rows, narrow
}

// IcicleOptions say how much of a tree is drawn.
type IcicleOptions struct {
	// Levels is the most rows, 0 for all.
	Levels int
}

// percentWidth is the column that says how much goes on at a level.
const percentWidth = 7

// Icicle draws a tree with its root at the top, as wide as the terminal.
func Icicle(o *term.Out, t *tree.Tree, opts IcicleOptions) error {
	t.Sort()
	width := o.Width - percentWidth
	rows, narrow := layout(t, width, opts.Levels)
	// What goes on at a level is exact, whatever is too narrow to be drawn.
	sums := make([]int64, len(rows))
	t.Walk(func(n *tree.Node, depth int) bool {
		if depth < len(sums) {
			sums[depth] += n.Total
		}
		return depth+1 < len(sums)
	})
	var b strings.Builder
	for depth, row := range rows {
		at := 0
		line := ""
		for _, s := range row {
			line += strings.Repeat(" ", max(s.from-at, 0)) + cell(o, t, s, depth)
			at = s.to
		}
		b.WriteString(o.Paint(term.Style{Faint: true}, term.PadLeft(Percent(sums[depth], t.Root.Total), percentWidth-1)) + " " + line + "\n")
	}
	deep := t.Depth() + 1 - len(rows)
	if narrow > 0 {
		fmt.Fprintf(&b, "%s too narrow to be shown; -zoom NAME looks closer\n", counted(narrow, "frame"))
	}
	if deep > 0 && opts.Levels > 0 {
		fmt.Fprintf(&b, "%s below; -depth 0 shows all\n", counted(deep, "more level"))
	}
	_, err := io.WriteString(o, b.String())
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Count(int64(n)) + " " + what + "s"
}

// cell draws a node.
func cell(o *term.Out, t *tree.Tree, s span, depth int) string {
	width := s.to - s.from
	if s.merged > 0 {
		fill := "░"
		if !o.Unicode {
			fill = "."
		}
		return o.Paint(term.Style{Faint: true}, strings.Repeat(fill, width))
	}
	name := term.Clean(s.node.Name)
	if share := Percent(s.node.Total, t.Root.Total); width > term.Width(name)+len(share)+3 && depth > 0 {
		name += " " + share
	}
	if o.Colour == term.NoColour {
		edge, fill := "▏", "╌"
		if !o.Unicode {
			edge, fill = "|", "-"
		}
		text := o.FitName(name, width-1)
		return edge + text + strings.Repeat(fill, max(width-1-term.Width(text), 0))
	}
	// A space before and behind a name keeps neighbours apart where there is room.
	text := " " + o.FitName(name, width-2) + " "
	switch {
	case width == 1:
		text = " "
	case width < 4:
		text = o.Fit(name, width)
	}
	return o.Paint(term.Style{FG: ink, BG: Shade(s.node, t)}, term.Pad(text, width))
}

var ink = &term.Colour{R: 16, G: 18, B: 24}

// shades are colours of a kind: one of the 16, and three of all there are.
type shades struct {
	basic byte
	of    [3]uint32
}

// palette has three shades for each kind of code, which neighbours share out by name.
// They are light enough for dark text, and apart for people who tell few colours.
var palette = map[string]shades{
	"kernel": {1, [3]uint32{0xf29c7a, 0xea8c6c, 0xf7ac8a}},
	"native": {3, [3]uint32{0xf5ca62, 0xeebc50, 0xfad67a}},
	"go":     {6, [3]uint32{0x6ec6d6, 0x5cb8ca, 0x86d2e0}},
	"python": {4, [3]uint32{0x7cace8, 0x6a9ede, 0x92bcf0}},
	"jvm":    {2, [3]uint32{0x8eca7c, 0x7cbc6c, 0xa2d68e}},
	"v8":     {10, [3]uint32{0xb2cc5c, 0xa4be4c, 0xc2d872}},
	"ruby":   {9, [3]uint32{0xe88c9e, 0xde7a8e, 0xf0a0b0}},
	"php":    {5, [3]uint32{0xb09ce2, 0xa28cd8, 0xc0aeec}},
	"dotnet": {13, [3]uint32{0xc896d8, 0xbc86cc, 0xd4a8e2}},
	"label":  {7, [3]uint32{0xcaced6, 0xbec2cc, 0xd4d8e0}},
	"error":  {8, [3]uint32{0xaaaeb6, 0x9ea2ac, 0xb4b8c0}},
	"other":  {8, [3]uint32{0xbabec6, 0xb0b4be, 0xc4c8d0}},
}

// kinds share the colours of a relative.
var kinds = map[string]string{"perl": "ruby", "luajit": "php", "phpjit": "php", "beam": "dotnet"}

// Shade returns the colour of a node: by its kind, or in a comparison by how it grew.
func Shade(n *tree.Node, t *tree.Tree) *term.Colour {
	if t.Root.BaseTotal > 0 && t.Root.Total > 0 {
		return growth(n, t)
	}
	kind := n.Kind
	if to := kinds[kind]; to != "" {
		kind = to
	}
	colours, ok := palette[kind]
	if !ok {
		colours = palette["native"]
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, n.Name)
	c := colours.of[h.Sum32()%3]
	return &term.Colour{R: byte(c >> 16), G: byte(c >> 8), B: byte(c), Basic: colours.basic} //nolint:gosec // its bytes
}

// growth is from blue over grey to orange, by the change of the share of the whole.
func growth(n *tree.Node, t *tree.Tree) *term.Colour {
	change := float64(n.Total)/float64(t.Root.Total) - float64(n.BaseTotal)/float64(t.Root.BaseTotal)
	strength := min(1, max(change, -change)*8)
	from, to := term.Colour{R: 206, G: 208, B: 214, Basic: 7}, term.Colour{R: 240, G: 128, B: 56, Basic: 9}
	if change < 0 {
		to = term.Colour{R: 84, G: 160, B: 236, Basic: 12}
	}
	mix := func(a, b byte) byte { return byte(float64(a) + (float64(b)-float64(a))*strength) }
	c := &term.Colour{R: mix(from.R, to.R), G: mix(from.G, to.G), B: mix(from.B, to.B), Basic: 7}
	if strength > 0.1 {
		c.Basic = to.Basic
	}
	return c
}
