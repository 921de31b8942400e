// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/query"
)

// flameGraph is a flame graph in columns, with every text once.
type flameGraph struct {
	*summary
	PeriodNs int64    `json:"period_ns,omitempty"`
	GroupBy  []string `json:"group_by"`
	Strings  []string `json:"strings"`
	flameTree
}

// flameTree is a tree in columns. Its texts are in a table beside it.
type flameTree struct {
	Frames frames `json:"frames"`
	Nodes  struct {
		Frame []uint32 `json:"frame"`
		Depth []uint32 `json:"depth"`
		Self  []int64  `json:"self"`
		Total []int64  `json:"total"`
	} `json:"nodes"`
	Hidden hidden `json:"hidden"`
}

// hidden is what of a tree is not shown.
type hidden struct {
	Nodes int64 `json:"nodes"`
	Value int64 `json:"value"`
}

// frames are the functions of a tree in columns; texts are indexes.
type frames struct {
	Name    []uint32 `json:"name"`
	File    []uint32 `json:"file"`
	Line    []uint64 `json:"line"`
	Binary  []uint32 `json:"binary"`
	BuildID []uint32 `json:"build_id"`
	Kind    []uint32 `json:"kind"`
	Inlined []int    `json:"inlined"`
}

// textTable numbers texts.
type textTable struct {
	texts   []string
	numbers map[string]uint32
}

func (t *textTable) number(s string) uint32 {
	n, ok := t.numbers[s]
	if !ok {
		if t.numbers == nil {
			t.numbers = map[string]uint32{}
		}
		n = uint32(len(t.texts)) //nolint:gosec // fewer than frames in memory
		t.numbers[s] = n
		t.texts = append(t.texts, s)
	}
	return n
}

// fill puts functions into columns.
func (f *frames) fill(all []query.FlameFrame, texts *textTable) {
	for i := range all {
		frame := &all[i]
		f.Name = append(f.Name, texts.number(frame.Name))
		f.File = append(f.File, texts.number(frame.File))
		f.Line = append(f.Line, uint64(frame.Line))
		f.Binary = append(f.Binary, texts.number(frame.Binary))
		f.BuildID = append(f.BuildID, texts.number(frame.BuildID))
		f.Kind = append(f.Kind, texts.number(frame.Kind))
		inlined := 0
		if frame.Inlined {
			inlined = 1
		}
		f.Inlined = append(f.Inlined, inlined)
	}
}

func newFlameGraph(g *query.FlameGraph) *flameGraph {
	out := &flameGraph{summary: newSummary(&g.Summary), PeriodNs: g.Period, GroupBy: append([]string{}, g.GroupBy...)}
	var texts textTable
	out.fill(&g.FlameTree, &texts)
	out.Strings = texts.texts
	return out
}

// fill puts a tree into columns.
func (t *flameTree) fill(g *query.FlameTree, texts *textTable) {
	t.Hidden = hidden{g.HiddenNodes, g.HiddenValue}
	t.Frames.fill(g.Frames, texts)
	n := &t.Nodes
	n.Frame, n.Depth = make([]uint32, len(g.Nodes)), make([]uint32, len(g.Nodes))
	n.Self, n.Total = make([]int64, len(g.Nodes)), make([]int64, len(g.Nodes))
	for i, node := range g.Nodes {
		n.Frame[i], n.Depth[i], n.Self[i], n.Total[i] = node.Frame, node.Depth, node.Self, node.Total
	}
}

// columns implements columnar.
func (g *flameGraph) columns() (rest any, appendColumns func([]byte) []byte, err error) {
	type plain struct {
		*summary
		PeriodNs int64    `json:"period_ns,omitempty"`
		GroupBy  []string `json:"group_by"`
		Strings  []string `json:"strings"`
	}
	return plain{g.summary, g.PeriodNs, g.GroupBy, g.Strings}, g.appendColumns, nil
}

// numbers implements columnar.
func (g *flameGraph) numbers() int { return 4*len(g.Nodes.Frame) + 7*len(g.Frames.Name) }

func (t *flameTree) appendColumns(b []byte) []byte {
	b = appendObject(b, "frames", t.Frames.appendColumns)
	b = appendObject(b, "nodes", func(b []byte) []byte {
		b = appendNumbers(b, "frame", t.Nodes.Frame)
		b = appendNumbers(b, "depth", t.Nodes.Depth)
		b = appendNumbers(b, "self", t.Nodes.Self)
		return appendNumbers(b, "total", t.Nodes.Total)
	})
	return fmt.Appendf(b, `,"hidden":{"nodes":%d,"value":%d}`, t.Hidden.Nodes, t.Hidden.Value)
}

func (f *frames) appendColumns(b []byte) []byte {
	b = appendNumbers(b, "name", f.Name)
	b = appendNumbers(b, "file", f.File)
	b = appendNumbers(b, "line", f.Line)
	b = appendNumbers(b, "binary", f.Binary)
	b = appendNumbers(b, "build_id", f.BuildID)
	b = appendNumbers(b, "kind", f.Kind)
	return appendNumbers(b, "inlined", f.Inlined)
}
