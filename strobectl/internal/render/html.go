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

// pageNode is a node in a page: short names, as there are many.
type pageNode struct {
	Text   int    `json:"t"`
	File   int    `json:"f"`
	Binary int    `json:"b"`
	Line   int64  `json:"l,omitempty"`
	Depth  int    `json:"d"`
	Self   int64  `json:"s,omitempty"`
	Total  int64  `json:"v"`
	Base   int64  `json:"p,omitempty"`
	Colour string `json:"c"`
}

// HTML writes a tree as a page that needs no server: it zooms, searches and explains
// with the script that is in it, and asks nobody for anything.
func HTML(w io.Writer, t *tree.Tree, about About) error {
	t.Sort()
	data := struct {
		Unit    string     `json:"unit"`
		Strings []string   `json:"strings"`
		Nodes   []pageNode `json:"nodes"`
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
	const digits = "0123456789abcdef"
	t.Walk(func(n *tree.Node, depth int) bool {
		c := Shade(n, t)
		var colour [6]byte
		for i, v := range []byte{c.R, c.G, c.B} {
			colour[2*i], colour[2*i+1] = digits[v>>4], digits[v&15]
		}
		data.Nodes = append(data.Nodes, pageNode{
			Text: text(n.Name), File: text(n.File), Binary: text(n.Binary), Line: n.Line, Depth: depth,
			Self: n.Self, Total: n.Total, Base: n.BaseTotal, Colour: string(colour[:]),
		})
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
