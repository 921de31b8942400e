// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// The measures of a picture, in pixels.
const (
	svgWidth  = 1200
	svgRow    = 18
	svgHead   = 56
	svgMargin = 10
	// letterWidth is about that of the font at its size.
	letterWidth = 6.7
)

// About is what a picture or a page says of a profile.
type About struct {
	Title string
	// Text is a line below it: the range, the samples.
	Text string
}

const svgStyle = `
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#14161c}
.bg{fill:#fbfbfd}.h{font-size:15px;font-weight:600}.h,.s{fill:#1d2026}.s{opacity:.72}
g:hover rect{stroke:#14161c;stroke-width:1}
@media (prefers-color-scheme:dark){.bg{fill:#15171c}.h,.s{fill:#e6e8ee}g:hover rect{stroke:#fff}}
`

// SVG writes a tree as a picture that needs nothing else. Each frame says its values
// when the pointer rests on it.
func SVG(w io.Writer, t *tree.Tree, about About) error {
	t.Sort()
	// A picture has ten columns for each pixel: what is narrower is left out.
	const columns = (svgWidth - 2*svgMargin) * 2
	rows, narrow := layout(t, columns, 0)
	height := svgHead + len(rows)*svgRow + 2*svgMargin
	b := bufio.NewWriter(w)
	text := func(s string) string { return html.EscapeString(term.Clean(s)) }
	_, _ = fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img"><title>%s</title><style>%s</style>`,
		svgWidth, height, svgWidth, height, text(about.Title), svgStyle)
	_, _ = fmt.Fprintf(b, "\n"+`<rect class="bg" width="100%%" height="100%%"/><text class="h" x="%d" y="26">%s</text><text class="s" x="%d" y="45">%s</text>`+"\n",
		svgMargin, text(about.Title), svgMargin, text(about.Text))
	names := &term.Out{Unicode: true}
	for depth, row := range rows {
		y := svgHead + depth*svgRow
		for _, s := range row {
			x, width := svgMargin+float64(s.from)/2, float64(s.to-s.from)/2
			if s.merged > 0 {
				_, _ = fmt.Fprintf(b, `<g><title>%s too narrow to be shown</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#9aa0ac" opacity=".45"/></g>`+"\n",
					counted(s.merged, "frame"), x, y, width, svgRow-1)
				continue
			}
			c := Shade(s.node, t)
			_, _ = fmt.Fprintf(b, `<g><title>%s</title><rect x="%.1f" y="%d" width="%.1f" height="%d" rx="1.5" fill="#%02x%02x%02x"/>`,
				text(Describe(t, s.node)), x, y, max(width-0.5, 0.4), svgRow-1, c.R, c.G, c.B)
			if fits := int((width - 6) / letterWidth); fits >= 3 {
				_, _ = fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`, x+3, y+13, text(names.FitName(s.node.Name, fits)))
			}
			_, _ = b.WriteString("</g>\n")
		}
	}
	if narrow > 0 {
		_, _ = fmt.Fprintf(b, "<!-- %s too narrow to be shown -->\n", counted(narrow, "frame"))
	}
	_, _ = b.WriteString("</svg>\n")
	return b.Flush() // tells of all errors before
}

// Describe returns what there is to say of a node, on a line.
func Describe(t *tree.Tree, n *tree.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %s, self %s", n.Name, Percent(n.Total, t.Root.Total), Value(t.Unit, t.Root.Total), Value(t.Unit, n.Self))
	if t.Root.BaseTotal > 0 {
		fmt.Fprintf(&b, "; before %s", Percent(n.BaseTotal, t.Root.BaseTotal))
	}
	if n.File != "" {
		fmt.Fprintf(&b, "; %s", n.File)
		if n.Line > 0 {
			fmt.Fprintf(&b, ":%d", n.Line)
		}
	}
	if n.Binary != "" {
		fmt.Fprintf(&b, "; %s", n.Binary)
	}
	return b.String()
}
