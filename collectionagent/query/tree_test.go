// SPDX-License-Identifier: Apache-2.0

package query

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// pickOneByOne chooses nodes of a whole tree as [tree.pick] does, one level at a time.
func pickOneByOne(full *FlameGraph, limit int) (shown []bool) {
	n := len(full.Nodes)
	parent, children := make([]int, n), make([][]int, n)
	var path []int
	for i, node := range full.Nodes {
		path = append(path[:node.Depth], i)
		if i > 0 {
			parent[i] = path[node.Depth-1]
			children[parent[i]] = append(children[parent[i]], i)
		}
	}
	shown = make([]bool, n)
	left := make([]int, n)
	var queue []int
	show := func(i int) {
		shown[i] = true
		left[i] = len(children[i])
		queue = append(queue, children[i]...)
	}
	show(0)
	count := 1 + min(1, left[0])
	for len(queue) > 0 {
		best := 0
		for i, node := range queue {
			if a, b := full.Nodes[node].Total, full.Nodes[queue[best]].Total; a > b || a == b && node < queue[best] {
				best = i
			}
		}
		node := queue[best]
		queue = slices.Delete(queue, best, best+1)
		cost := 1
		if left[parent[node]] == 1 {
			cost--
		}
		if len(children[node]) > 0 {
			cost++
		}
		if count+cost > limit {
			continue
		}
		count += cost
		left[parent[node]]--
		show(node)
	}
	return shown
}

// TestPick compares what is shown of a tree of runs with what is of one of single levels.
func TestPick(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		s := randomStore(t, seed+20, dataShape{stacks: 120, samples: 1500, series: 6, depth: 9, unknown: true})
		e := NewEngine(s, Options{})
		for _, groupBy := range [][]string{nil, {store.LabelService}, {store.LabelComm, store.LabelPod}} {
			full, err := e.FlameGraph(t.Context(), everything(), groupBy, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			all := len(full.Nodes)
			for _, limit := range []int{2, 3, 5, 10, 33, 100, 250, all / 2, all - 3, all - 1} {
				g, err := e.FlameGraph(t.Context(), everything(), groupBy, limit)
				if err != nil {
					t.Fatal(err)
				}
				checkTree(t, g, limit)
				type node struct {
					Function    Function
					Depth       uint32
					Self, Total int64
				}
				var got, want []node
				for _, n := range g.Nodes {
					if f := g.Frames[n.Frame].Function; f.Kind != KindOther {
						got = append(got, node{f, n.Depth, n.Self, n.Total})
					}
				}
				for i, is := range pickOneByOne(full, limit) {
					if n := full.Nodes[i]; is {
						want = append(want, node{full.Frames[n.Frame].Function, n.Depth, n.Self, n.Total})
					}
				}
				if !slices.Equal(want, got) { // which needs a fraction of the time of a diff
					t.Fatalf("seed %d, by %v, %d of %d nodes (-want +got):\n%s", seed, groupBy, limit, all, cmp.Diff(want, got))
				}
			}
		}
	}
}

// TestAnswersDoNotDependOnOthers asks for the same after other questions, which leave
// other things remembered in another order.
func TestAnswersDoNotDependOnOthers(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 30, dataShape{stacks: 300, samples: 3000, series: 12, depth: 10, unknown: true})
	var want *FlameGraph
	var wantDiff *Diff
	for _, first := range []string{"", "service-3", "service-1"} {
		e := NewEngine(s, Options{CacheBytes: 256 << 10})
		if first != "" {
			only := everything()
			only.Matchers = []*store.Matcher{mustMatcher(t, store.LabelService, first)}
			if _, err := e.Top(t.Context(), only, TopBySelf, 10); err != nil {
				t.Fatal(err)
			}
			if _, err := e.FlameGraph(t.Context(), only, nil, 10); err != nil {
				t.Fatal(err)
			}
		}
		g, err := e.FlameGraph(t.Context(), everything(), []string{store.LabelPod}, 150)
		if err != nil {
			t.Fatal(err)
		}
		base := everything()
		base.To = base.From + (base.To-base.From)/2
		d, err := e.Diff(t.Context(), base, everything(), &DiffOptions{MaxNodes: 150, Limit: 20, Normalize: true})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want, wantDiff = g, d
		}
		if d := cmp.Diff(want, g); d != "" {
			t.Fatalf("flame graph after %q:\n%s", first, d)
		}
		if d := cmp.Diff(wantDiff, d); d != "" {
			t.Fatalf("difference after %q:\n%s", first, d)
		}
	}
}

func mustMatcher(t *testing.T, name, value string) *store.Matcher {
	t.Helper()
	m, err := store.NewMatcher(name, store.MatchEqual, value)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
