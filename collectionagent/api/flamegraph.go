// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/strobe-profiler/strobe/collectionagent/query"

// flameGraph is a flame graph in columns, with every text once.
type flameGraph struct {
	Type     string   `json:"type"`
	Unit     string   `json:"unit"`
	FromMs   int64    `json:"from_ms"`
	ToMs     int64    `json:"to_ms"`
	Total    int64    `json:"total"`
	Samples  int64    `json:"samples"`
	PeriodNs int64    `json:"period_ns,omitempty"`
	GroupBy  []string `json:"group_by"`
	Strings  []string `json:"strings"`
	Frames   struct {
		Name    []uint32 `json:"name"`
		File    []uint32 `json:"file"`
		Line    []uint64 `json:"line"`
		Binary  []uint32 `json:"binary"`
		Kind    []uint32 `json:"kind"`
		Inlined []int    `json:"inlined"`
	} `json:"frames"`
	Nodes struct {
		Frame []uint32 `json:"frame"`
		Depth []uint32 `json:"depth"`
		Self  []int64  `json:"self"`
		Total []int64  `json:"total"`
	} `json:"nodes"`
	Hidden struct {
		Nodes int64 `json:"nodes"`
		Value int64 `json:"value"`
	} `json:"hidden"`
	Symbolized    float64 `json:"symbolized"`
	UnknownStacks int64   `json:"unknown_stacks"`
}

func newFlameGraph(g *query.FlameGraph) *flameGraph {
	out := &flameGraph{
		Type: g.Type.String(), Unit: g.Type.Unit(), FromMs: milliseconds(g.From), ToMs: milliseconds(g.To),
		Total: g.Total, Samples: g.Samples, PeriodNs: g.Period, GroupBy: append([]string{}, g.GroupBy...),
		Symbolized: g.Symbolized, UnknownStacks: g.UnknownStacks,
	}
	out.Hidden.Nodes, out.Hidden.Value = g.HiddenNodes, g.HiddenValue

	numbers := map[string]uint32{}
	number := func(s string) uint32 {
		n, ok := numbers[s]
		if !ok {
			n = uint32(len(out.Strings)) //nolint:gosec // fewer than frames in memory
			numbers[s] = n
			out.Strings = append(out.Strings, s)
		}
		return n
	}
	f := &out.Frames
	for i := range g.Frames {
		frame := &g.Frames[i]
		f.Name = append(f.Name, number(frame.Name))
		f.File = append(f.File, number(frame.File))
		f.Line = append(f.Line, uint64(frame.Line))
		f.Binary = append(f.Binary, number(frame.Binary))
		f.Kind = append(f.Kind, number(frame.Kind))
		inlined := 0
		if frame.Inlined {
			inlined = 1
		}
		f.Inlined = append(f.Inlined, inlined)
	}
	n := &out.Nodes
	n.Frame, n.Depth = make([]uint32, len(g.Nodes)), make([]uint32, len(g.Nodes))
	n.Self, n.Total = make([]int64, len(g.Nodes)), make([]int64, len(g.Nodes))
	for i, node := range g.Nodes {
		n.Frame[i], n.Depth[i], n.Self[i], n.Total[i] = node.Frame, node.Depth, node.Self, node.Total
	}
	return out
}
