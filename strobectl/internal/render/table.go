// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

// Column is a column of a table.
type Column struct {
	Title string
	// Right aligns numbers.
	Right bool
	// Flex is a column that is cut to what the terminal leaves; function makes
	// arguments go first.
	Flex, Function bool
}

// Cell is text in a table, and how it looks.
type Cell struct {
	Text  string
	Style term.Style
}

// Plain returns a cell as it is.
func Plain(text string) Cell { return Cell{Text: text} }

// gap is what is between two columns.
const gap = "  "

// Table prints rows under a head, as wide as the terminal. Text is cleaned.
func Table(o *term.Out, columns []Column, rows [][]Cell) error {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = term.Width(c.Title)
	}
	for _, row := range rows {
		for i := range row {
			row[i].Text = term.Clean(row[i].Text)
			widths[i] = max(widths[i], term.Width(row[i].Text))
		}
	}
	fitColumns(o, columns, widths)
	var b strings.Builder
	head := make([]Cell, len(columns))
	for i, c := range columns {
		head[i] = Cell{c.Title, term.Style{Faint: true}}
	}
	for _, row := range append([][]Cell{head}, rows...) {
		var line strings.Builder
		pending := ""
		for i, cell := range row {
			text := cell.Text
			switch {
			case !o.TTY:
			case columns[i].Function:
				text = o.FitName(text, widths[i])
			case columns[i].Flex:
				text = o.Fit(text, widths[i])
			}
			space := strings.Repeat(" ", max(widths[i]-term.Width(text), 0))
			if columns[i].Right {
				pending += space
				space = ""
			}
			if text != "" {
				line.WriteString(pending + o.Paint(cell.Style, text))
				pending = ""
			}
			pending += space + gap
		}
		b.WriteString(line.String() + "\n") // no spaces behind it
	}
	_, err := io.WriteString(o, b.String())
	return err
}

// fitColumns makes what may be cut as narrow as the terminal wants it.
func fitColumns(o *term.Out, columns []Column, widths []int) {
	const least, usual = 8, 60
	if !o.TTY {
		// Nothing is cut in a file, but a long name does not push what follows of others.
		for i, c := range columns {
			if c.Flex || c.Function {
				widths[i] = min(widths[i], usual)
			}
		}
		return
	}
	total := len(gap) * (len(columns) - 1)
	for _, w := range widths {
		total += w
	}
	for total > o.Width {
		widest := -1
		for i, c := range columns {
			if (c.Flex || c.Function) && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
		total--
	}
}
