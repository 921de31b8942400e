// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// checkTree fails the test unless a flame graph is a tree that adds up.
func checkTree(t *testing.T, g *FlameGraph, maxNodes int) {
	t.Helper()
	if len(g.Nodes) > maxNodes {
		t.Errorf("%d nodes instead of at most %d", len(g.Nodes), maxNodes)
	}
	var selfs, others int64
	var path []int // index of the node at each depth
	below := make([]int64, len(g.Nodes))
	lastName := map[int]string{}
	for i, n := range g.Nodes {
		f := g.Frames[n.Frame]
		selfs += n.Self
		if f.Kind == KindOther {
			others += n.Total
		}
		if int(n.Depth) > len(path) || (n.Depth == 0) != (i == 0) {
			t.Fatalf("node %d has depth %d after a path of %d", i, n.Depth, len(path))
		}
		path = append(path[:n.Depth], i)
		if n.Depth > 0 {
			parent := path[n.Depth-1]
			below[parent] += n.Total
			if last, ok := lastName[parent]; ok && last > f.Name {
				t.Errorf("children of node %d are not sorted: %q after %q", parent, f.Name, last)
			}
			lastName[parent] = f.Name
		}
	}
	for i, n := range g.Nodes {
		if n.Self+below[i] != n.Total {
			t.Errorf("node %d: self %d and children %d are not the total %d", i, n.Self, below[i], n.Total)
		}
	}
	if selfs != g.Total || g.Nodes[0].Total != g.Total {
		t.Errorf("self values sum to %d, root has %d, total is %d", selfs, g.Nodes[0].Total, g.Total)
	}
	if maxNodes > 1 && others != g.HiddenValue {
		t.Errorf("(other) nodes sum to %d, hidden value is %d", others, g.HiddenValue)
	}
}

func TestFlameGraphAddsUpAndKeepsItsLimit(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		s := randomStore(t, seed+1, dataShape{stacks: 200, samples: 3000, series: 12, depth: 8, unknown: true})
		e := NewEngine(s, Options{})
		full, err := e.FlameGraph(t.Context(), everything(), nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if full.HiddenNodes != 0 || full.HiddenValue != 0 {
			t.Errorf("the full tree hides %d nodes", full.HiddenNodes)
		}
		if full.Period != period || full.UnknownStacks == 0 || full.Symbolized <= 0.5 || full.Symbolized >= 1 {
			t.Errorf("period %d, unknown %d, symbolized %v", full.Period, full.UnknownStacks, full.Symbolized)
		}
		all := len(full.Nodes)
		for _, limit := range []int{1, 2, 3, 4, 7, 20, 100, all - 1, all, all + 1} {
			g, err := e.FlameGraph(t.Context(), everything(), nil, limit)
			if err != nil {
				t.Fatal(err)
			}
			checkTree(t, g, limit)
			shown := 0
			for _, n := range g.Nodes {
				if g.Frames[n.Frame].Kind != KindOther {
					shown++
				}
			}
			if shown+int(g.HiddenNodes) != all {
				t.Errorf("limit %d: %d shown and %d hidden are not %d", limit, shown, g.HiddenNodes, all)
			}
			if limit > 20 && limit < all && len(g.Nodes) < limit-2 {
				t.Errorf("limit %d: only %d nodes", limit, len(g.Nodes))
			}
		}
		grouped, err := e.FlameGraph(t.Context(), everything(), []string{store.LabelService, store.LabelPod}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, grouped, 1<<20)
		if f := grouped.Frames[grouped.Nodes[1].Frame]; f.Name != "service-0" || f.Kind != KindLabel {
			t.Errorf("first group is %+v", f)
		}
		if f := grouped.Frames[grouped.Nodes[2].Frame]; f.Name != "(no pod)" {
			t.Errorf("first group of the second level is %+v", f)
		}
	}
}

func TestFlameGraphWithoutRoom(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 3, dataShape{stacks: 100, samples: 1000, series: 12, depth: 8})
	e := NewEngine(s, Options{})
	for _, groupBy := range [][]string{nil, {store.LabelComm}} {
		sums, err := e.sums(t.Context(), everything(), groupBy)
		if err != nil {
			t.Fatal(err)
		}
		functions := newFunctionTable(0)
		p := sums.paths(functions, sums.levels(functions, false, nil))
		root := functions.label(rootName, KindLabel)
		const room = 60 // branches: a third of what all need
		tr := buildTree(root, newTreeRows(functions, sums.rows, groupBy, sums.groups), p, room, nil)
		if n := len(tr.total); n > room || n < room/3 {
			t.Errorf("tree of %d nodes instead of %d", n, room)
		}
		for _, limit := range []int{1, 2, 5, 30, 300, 400, 10_000} {
			g := &FlameGraph{Summary: Summary{Total: sums.value}}
			g.lay(tr, functions, limit)
			checkTree(t, g, limit)
			if g.HiddenNodes == 0 || g.HiddenValue == 0 {
				t.Errorf("limit %d: nothing is said to be hidden", limit)
			}
		}
	}
}

// stackSums reads folded lines.
func stackSums(t *testing.T, folded string) map[string]int64 {
	t.Helper()
	sums := map[string]int64{}
	for line := range strings.Lines(folded) {
		at := strings.LastIndexByte(line, ' ')
		n, err := strconv.ParseInt(strings.TrimSpace(line[at+1:]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sums[line[:at]] += n
	}
	return sums
}

func TestAnswersAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		s := randomStore(t, seed+10, dataShape{stacks: 150, samples: 2000, series: 12, depth: 6, unknown: true})
		e := NewEngine(s, Options{})
		g, err := e.FlameGraph(t.Context(), everything(), nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		fromTree := map[string]int64{}
		selfOf, totalOf := map[Function]int64{}, map[Function]int64{}
		var path []string
		var functions []Function
		for _, n := range g.Nodes {
			f := g.Frames[n.Frame].Function
			f.Inlined = false
			name := f.Name
			if f.Kind == "kernel" {
				name += "_[k]"
			}
			functions = append(functions[:n.Depth], f)
			path = append(path[:n.Depth], name)
			if n.Depth == 0 {
				continue
			}
			if n.Self != 0 {
				fromTree[strings.Join(path[1:], ";")] += n.Self / period
			}
			selfOf[f] += n.Self
			if !slices.Contains(functions[:n.Depth], f) {
				totalOf[f] += n.Total
			}
		}

		var folded bytes.Buffer
		if _, err := e.WriteFolded(t.Context(), everything(), nil, &folded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fromTree, stackSums(t, folded.String())); diff != "" {
			t.Errorf("folded lines differ from the flame graph:\n%s", diff)
		}

		top, err := e.Top(t.Context(), everything(), TopBySelf, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if top.Total != g.Total || top.Samples != g.Samples || len(top.Rows) != len(totalOf) {
			t.Errorf("top has total %d and %d rows instead of %d and %d", top.Total, len(top.Rows), g.Total, len(totalOf))
		}
		for _, r := range top.Rows {
			if r.Self != selfOf[r.Function] || r.Total != totalOf[r.Function] {
				t.Errorf("%v: top says %d, %d, flame graph says %d, %d",
					r.Function, r.Self, r.Total, selfOf[r.Function], totalOf[r.Function])
			}
		}

		var pprof bytes.Buffer
		if _, err := e.WritePprof(t.Context(), everything(), []string{store.LabelService, store.LabelPod}, &pprof); err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(&pprof)
		if err != nil {
			t.Fatal(err)
		}
		fromPprof := map[string]int64{}
		for _, sample := range p.Sample {
			var names []string
			for _, l := range slices.Backward(sample.Location) {
				for _, line := range slices.Backward(l.Line) {
					names = append(names, line.Function.Name)
				}
			}
			if len(sample.Label[store.LabelService]) != 1 {
				t.Fatalf("sample without a service: %v", sample.Label)
			}
			fromPprof[strings.Join(names, ";")] += sample.Value[0]
		}
		plain := map[string]int64{}
		for line, n := range fromTree {
			plain[strings.ReplaceAll(line, "_[k]", "")] += n
		}
		if diff := cmp.Diff(plain, fromPprof); diff != "" {
			t.Errorf("pprof differs from the flame graph:\n%s", diff)
		}

		timeline, err := e.Timeline(t.Context(), everything(), store.LabelComm, 15*time.Second, 4)
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, series := range timeline.Series {
			for _, v := range series.Values {
				sum += v
			}
		}
		if sum != g.Total || len(timeline.Series) != 5 || timeline.Series[4].Name != otherName {
			t.Errorf("timeline of %d series sums to %d instead of %d", len(timeline.Series), sum, g.Total)
		}
	}
}

func TestAnswersAreDeterministic(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 4, dataShape{stacks: 100, samples: 1000, series: 5, depth: 8, unknown: true})
	var first string
	for range 3 {
		e := NewEngine(s, Options{})
		g, err := e.FlameGraph(t.Context(), everything(), []string{store.LabelComm}, 50)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		fmt.Fprintf(&out, "%+v", g)
		if _, err := e.WritePprof(t.Context(), everything(), []string{store.LabelComm}, &out); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = out.String()
		} else if out.String() != first {
			t.Fatal("two answers to the same question differ")
		}
	}
}

func TestNamesAreAskedForAgain(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	s := memstore.New()
	file := libpf.NewFileID(0xabcdef0123456789, 1)
	frames := []libpf.Frame{{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: 0x10}}
	hash := libpf.HashTrace(frames)
	put := func(d *store.Definitions) {
		t.Helper()
		if _, err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	b := &store.Batch{
		Series:  []store.Series{{Type: libpf.SampleOnCPU, Service: "a"}},
		Samples: []store.Sample{{Time: testStart, Stack: hash, Count: 1, Value: period}},
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	e := NewEngine(s, Options{Now: func() time.Time { return now }})
	check := func(want string) {
		t.Helper()
		var out bytes.Buffer
		if _, err := e.WriteFolded(t.Context(), everything(), nil, &out); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(out.String(), " 1\n"); got != want {
			t.Errorf("stack is %q instead of %q", got, want)
		}
	}
	symbol := func(line libpf.SourceLine, fallback bool) {
		t.Helper()
		put(&store.Definitions{Symbols: []store.Symbol{{
			Frame: frames[0].ID(), Lines: []libpf.SourceLine{line}, Fallback: fallback,
		}}})
	}
	check("[unknown stack]")
	put(&store.Definitions{Stacks: []store.Stack{{Hash: hash, Frames: frames}}})
	check("abcdef01+0x10")
	put(&store.Definitions{Executables: []libpf.Executable{{FileID: file, FileName: "app"}}})
	check("abcdef01+0x10") // for a while
	now = now.Add(unknownTTL + 1)
	check("app+0x10")
	symbol(libpf.SourceLine{Function: "fallback"}, true)
	now = now.Add(unknownTTL + 1)
	check("fallback")
	symbol(libpf.SourceLine{Function: "full", File: "a.c"}, false)
	check("fallback")
	now = now.Add(fallbackTTL + 1)
	check("full")
	symbol(libpf.SourceLine{Function: "better", File: "a.c"}, false)
	now = now.Add(fallbackTTL + 1)
	check("full")
	now = now.Add(finalTTL)
	check("better")
}

func TestTopCountsRecursionOnce(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	call := func(name string) libpf.Frame {
		return libpf.Frame{Type: libpf.PythonFrame, FunctionName: name, SourceFile: "a.py", SourceLine: 1}
	}
	frames := []libpf.Frame{call("f"), call("f"), call("g"), call("f"), call("main")}
	hash := libpf.HashTrace(frames)
	if _, err := s.Put(t.Context(), &store.Definitions{Stacks: []store.Stack{{Hash: hash, Frames: frames}}}); err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{
		Series:  []store.Series{{Type: libpf.SampleOnCPU, Service: "a"}},
		Samples: []store.Sample{{Time: testStart, Stack: hash, Count: 3, Value: 30}},
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	e := NewEngine(s, Options{})
	row := func(name string, self, total int64) TopRow {
		return TopRow{Function{Name: name, File: "a.py", Kind: "python"}, self, total}
	}
	for order, want := range map[TopOrder][]TopRow{
		TopBySelf:  {row("f", 30, 30), row("g", 0, 30)},
		TopByTotal: {row("f", 30, 30), row("g", 0, 30)},
	} {
		top, err := e.Top(t.Context(), everything(), order, 2)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&Top{Summary: top.Summary, Rows: want, Hidden: 1}, top); diff != "" {
			t.Error(diff)
		}
		if top.Total != 30 || top.Samples != 3 {
			t.Errorf("total %d of %d samples", top.Total, top.Samples)
		}
	}
}

func TestLimitsAndErrors(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 5, dataShape{stacks: 50, samples: 500, series: 5, depth: 4})
	e := NewEngine(s, Options{MaxRows: 10})
	if _, err := e.FlameGraph(t.Context(), everything(), nil, 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("flame graph of too many rows: %v", err)
	}
	if _, err := e.Timeline(t.Context(), everything(), store.LabelComm, time.Second, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("timeline of too many rows: %v", err)
	}
	if _, err := e.Timeline(t.Context(), everything(), "", time.Millisecond, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("timeline of too many steps: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewEngine(s, Options{}).Top(ctx, everything(), TopBySelf, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled query: %v", err)
	}
}

func TestEmptyAnswers(t *testing.T) {
	t.Parallel()
	e := NewEngine(memstore.New(), Options{})
	g, err := e.FlameGraph(t.Context(), everything(), []string{store.LabelPod}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 1 || g.Total != 0 || g.Symbolized != 1 || g.Period != 0 {
		t.Errorf("flame graph of nothing: %+v", g)
	}
	timeline, err := e.Timeline(t.Context(), everything(), "", time.Minute, 10)
	if err != nil || len(timeline.Series) != 0 || timeline.From != testStart || timeline.To != testEnd {
		t.Errorf("timeline of nothing: %+v, %v", timeline, err)
	}
	top, err := e.Top(t.Context(), everything(), TopBySelf, 10)
	if err != nil || len(top.Rows) != 0 {
		t.Errorf("table of nothing: %+v, %v", top, err)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 6, dataShape{stacks: 5, samples: 500, series: 12, depth: 4}), Options{})
	labels, err := e.Labels(t.Context(), everything())
	if err != nil {
		t.Fatal(err)
	}
	want := []Label{
		{"service", true}, {"host", true}, {"process", true}, {"comm", true}, {"pid", true}, {"tid", true},
		{"pod", true}, {"host_id", true}, {"version", false},
	}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Error(diff)
	}
	found, err := e.LabelValues(t.Context(), everything(), store.LabelSearch{Name: store.LabelService, Limit: 2})
	if err != nil || len(found.Values) != 2 || found.Hidden != 3 {
		t.Errorf("values %+v, error %v", found, err)
	}
}

func TestSmallCacheGivesTheSameAnswers(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 7, dataShape{stacks: 300, samples: 3000, series: 5, depth: 10, unknown: true})
	large, small := NewEngine(s, Options{}), NewEngine(s, Options{CacheBytes: 2000})
	for range 3 {
		want, err := large.FlameGraph(t.Context(), everything(), nil, 500)
		if err != nil {
			t.Fatal(err)
		}
		got, err := small.FlameGraph(t.Context(), everything(), nil, 500)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestConcurrentQueries(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 8, dataShape{stacks: 200, samples: 1000, series: 5, depth: 8, unknown: true})
	want, err := NewEngine(s, Options{}).FlameGraph(t.Context(), everything(), nil, 300)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEngine(s, Options{CacheBytes: 100_000}) // so that values go while they are in use
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 5 {
				got, err := e.FlameGraph(t.Context(), everything(), nil, 300)
				if err != nil {
					t.Error(err)
					return
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if _, err := e.Top(t.Context(), everything(), TopBySelf, 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}
