// SPDX-License-Identifier: Apache-2.0

package render

import (
	_ "embed"
	"encoding/json"
	"html"
	"io"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

//go:embed page.html
var page string

//go:embed page.js
var pageScript string

// pageNodes are the nodes of a page, as columns: there may be many.
type pageNodes struct {
	Name   []int   `json:"name"`
	File   []int   `json:"file"`
	Binary []int   `json:"binary"`
	Line   []int64 `json:"line"`
	Depth  []int   `json:"depth"`
	Self   []int64 `json:"self"`
	Total  []int64 `json:"total"`
	Base   []int64 `json:"base,omitempty"`
	Colour []int   `json:"colour"`
}

// HTML writes a tree as a page that needs no server: it zooms, searches and explains
// with the script that is in it, and asks nobody for anything.
func HTML(w io.Writer, t *tree.Tree, about About) error {
	t.Sort()
	data := struct {
		Unit    string    `json:"unit"`
		Strings []string  `json:"strings"`
		Nodes   pageNodes `json:"nodes"`
	}{Unit: t.Unit}
	index := map[string]int{}
	text := func(s string) int {
		s = term.Clean(s)
		i, ok := index[s]
		if !ok {
			i = len(data.Strings)
			index[s] = i
			data.Strings = append(data.Strings, s)
		}
		return i
	}
	t.Walk(func(n *tree.Node, depth int) bool {
		c := Shade(n, t)
		to := &data.Nodes
		to.Name, to.File, to.Binary = append(to.Name, text(n.Name)), append(to.File, text(n.File)), append(to.Binary, text(n.Binary))
		to.Line, to.Depth = append(to.Line, n.Line), append(to.Depth, depth)
		to.Self, to.Total = append(to.Self, n.Self), append(to.Total, n.Total)
		if t.Root.BaseTotal > 0 {
			to.Base = append(to.Base, n.BaseTotal)
		}
		to.Colour = append(to.Colour, int(c.R)<<16|int(c.G)<<8|int(c.B))
		return true
	})
	// The encoder writes < as an escape, so that nothing in a name ends the script.
	encoded, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_, err = strings.NewReplacer(
		"{{title}}", html.EscapeString(term.Clean(about.Title)),
		"{{text}}", html.EscapeString(term.Clean(about.Text)),
		"{{data}}", string(encoded),
		"{{script}}", pageScript,
	).WriteString(w, page)
	return err
}
