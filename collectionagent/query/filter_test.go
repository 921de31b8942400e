// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// handStore holds four stacks, of 1, 2, 4 and 8 samples of one nanosecond:
//
//	main;work;inlined          app; inlined is inlined into work
//	main;work;malloc           libc
//	main;malloc;work;malloc
//	other
func handStore(t *testing.T) *Engine {
	t.Helper()
	app, libc := libpf.NewFileID(1, 1), libpf.NewFileID(2, 2)
	d := &store.Definitions{Executables: []libpf.Executable{{FileID: app, FileName: "/bin/app"}, {FileID: libc, FileName: "/lib/libc.so.6"}}}
	frame := func(file libpf.FileID, address libpf.AddressOrLineno, lines ...libpf.SourceLine) libpf.Frame {
		f := libpf.Frame{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: address}
		d.Symbols = append(d.Symbols, store.Symbol{Frame: f.ID(), Lines: lines})
		return f
	}
	line := func(function, file string, line libpf.SourceLineno) libpf.SourceLine {
		return libpf.SourceLine{Function: function, File: file, Line: line, StartLine: 1}
	}
	mainWork, mainMalloc := frame(app, 1, line("main", "/src/main.c", 10)), frame(app, 2, line("main", "/src/main.c", 12))
	work := frame(app, 3, line("work", "/src/work.c", 20))
	both := frame(app, 4, line("inlined", "/src/inlined.h", 30), line("work", "/src/work.c", 21))
	malloc := frame(libc, 5, line("malloc", "", 0))
	other := frame(app, 6, line("other", "/src/other.c", 40))
	b := &store.Batch{Series: []store.Series{{Type: libpf.SampleOnCPU, Service: "a"}, {Type: libpf.SampleOnCPU, Service: "b"}}}
	for i, frames := range [][]libpf.Frame{
		{both, mainWork}, {malloc, work, mainWork}, {malloc, work, malloc, mainMalloc}, {other},
	} {
		stack := store.Stack{Hash: libpf.HashTrace(frames), Frames: frames}
		d.Stacks = append(d.Stacks, stack)
		b.Samples = append(b.Samples, store.Sample{
			Time: testStart + libpf.UnixTimeNs(i)*libpf.UnixTimeNs(1200*time.Millisecond), Series: uint32(i % 2), //nolint:gosec // 0 or 1
			Stack: stack.Hash, Count: 1 << i, Value: 1 << i,
		})
	}
	s := memstore.New()
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return NewEngine(s, Options{})
}

// filtered returns everything with filters.
func filtered(t *testing.T, frames, callSite, showFrom, hide string) *Selection {
	t.Helper()
	s := everything()
	var errs [4]error
	s.Stacks.Conditions, errs[0] = ParseStackConditions(frames)
	s.Stacks.CallSite, errs[1] = ParseCallSite(callSite)
	s.Stacks.ShowFrom, errs[2] = ParseFramePattern(showFrom)
	s.Stacks.Hide, errs[3] = ParseFramePattern(hide)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStackFilters(t *testing.T) {
	t.Parallel()
	e := handStore(t)
	for _, c := range []struct {
		frames, callSite, showFrom, hide string
		want                             string // folded
	}{
		{"", "", "", "", "main;malloc;work;malloc 4\nmain;work;inlined 1\nmain;work;malloc 2\nother 8\n"},
		{`{function="work"}`, "", "", "", "main;malloc;work;malloc 4\nmain;work;inlined 1\nmain;work;malloc 2\n"},
		{`!{function="work"}`, "", "", "", "other 8\n"},
		{`{function="inlined"}`, "", "", "", "main;work;inlined 1\n"},
		{`{function="work"} !{binary^="libc"}`, "", "", "", "main;work;inlined 1\n"},
		{`{file*="work",binary="app"}{binary="libc.so.6"}`, "", "", "", "main;malloc;work;malloc 4\nmain;work;malloc 2\n"},
		{"", "main", "", "", "main;malloc;work;malloc 4\nmain;work;inlined 1\nmain;work;malloc 2\n"},
		{"", "main;work", "", "", "main;work;inlined 1\nmain;work;malloc 2\n"},
		{"", "main;work;inlined", "", "", "main;work;inlined 1\n"},
		{"", "main;work;inlined;more", "", "", ""},
		{"", "work", "", "", ""},
		{"", "", `{function="work"}`, "", "work;inlined 1\nwork;malloc 6\n"},
		{"", "", `{function="inlined"}`, "", "inlined 1\n"},
		{"", "", `{function="malloc"}`, "", "malloc 2\nmalloc;work;malloc 4\n"},
		{"", "", "", `{function="work"}`, "main;inlined 1\nmain;malloc 2\nmain;malloc;malloc 4\nother 8\n"},
		{"", "", "", `{function="inlined"}`, "main;malloc;work;malloc 4\nmain;work 1\nmain;work;malloc 2\nother 8\n"},
		{"", "", "", `{kind="native"}`, "[empty stack] 15\n"},
		{"", "work", `{function="work"}`, `{function="inlined"}`, "work 1\nwork;malloc 6\n"},
		{"", "main;malloc", "", `{function="work"}`, "main;malloc 2\nmain;malloc;malloc 4\n"},
		{`{function="inlined"}`, "", "", `{function="inlined"}`, "main;work 1\n"},
	} {
		s := filtered(t, c.frames, c.callSite, c.showFrom, c.hide)
		var out bytes.Buffer
		summary, err := e.WriteFolded(t.Context(), s, nil, &out)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
		if summary.Total+summary.Excluded != 15 {
			t.Errorf("%+v: %d and %d excluded are not 15", c, summary.Total, summary.Excluded)
		}
		// The tree and the profile are of the same stacks.
		g, err := e.FlameGraph(t.Context(), s, nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, g, 100)
		if got := foldTree(&g.FlameTree); !strings.Contains(c.want, "empty") && got != c.want {
			t.Errorf("%+v: flame graph\n%s", c, got)
		}
		if _, err := e.WritePprof(t.Context(), s, nil, &out); err != nil {
			t.Fatal(err)
		}
	}
}

// foldTree returns folded lines of a tree without its root.
func foldTree(g *FlameTree) string {
	var lines []string
	var path []string
	for _, n := range g.Nodes {
		path = append(path[:n.Depth], g.Frames[n.Frame].Name)
		if n.Self != 0 && n.Depth > 0 {
			lines = append(lines, fmt.Sprintf("%s %d\n", strings.Join(path[1:], ";"), n.Self))
		}
	}
	return strings.Join(lines, "")
}

// TestFiltersSplit checks that what matches and what does not are everything, in
// every answer.
func TestFiltersSplit(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		s := randomStore(t, seed+20, dataShape{stacks: 150, samples: 1000, series: 12, depth: 8, unknown: true})
		e := NewEngine(s, Options{})
		small := NewEngine(s, Options{MaxRows: 1000}) // in parts
		for _, pattern := range []string{
			`{function*="function_1"}`, `{function=~"recursive_.*"}`, `{binary="lib3.so"}`, `{kind="kernel",function^="func"}`,
			`{function*="inlined"}`, `{function="nothing"}`, `{function*=""}`, `{file!="/src/a.c"}`,
		} {
			all, err := e.Totals(t.Context(), everything())
			if err != nil {
				t.Fatal(err)
			}
			type split struct{ value, samples int64 }
			sums := map[string]split{}
			for _, frames := range []string{pattern, "!" + pattern} {
				count := func(name string, summary *Summary, value int64, err error) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
					if summary.Total != value || summary.Total+summary.Excluded != all.Total {
						t.Errorf("%s of %s has %d, total %d, excluded %d of %d", name, frames, value, summary.Total, summary.Excluded, all.Total)
					}
					sums[name] = split{sums[name].value + value, sums[name].samples + summary.Samples}
				}
				s := filtered(t, frames, "", "", "")
				totals, err := e.Totals(t.Context(), s)
				count("totals", totals, totals.Total, err)
				g, err := e.FlameGraph(t.Context(), s, []string{store.LabelService}, 1000)
				count("flame graph", &g.Summary, g.Nodes[0].Total, err)
				for name, e := range map[string]*Engine{"timeline": e, "timeline in parts": small} {
					line, err := e.Timeline(t.Context(), s, store.LabelComm, time.Second, 5)
					count(name, &line.Summary, line.sum(), err)
				}
				for name, e := range map[string]*Engine{"heatmap": e, "heatmap in parts": small} {
					h, err := e.HeatmapOfTime(t.Context(), s, time.Second, 50)
					count(name, &h.Summary, h.sum(), err)
				}
				h, err := e.HeatmapOfValues(t.Context(), s, time.Minute)
				count("heatmap of values", &h.Summary, h.sum(), err)
				sets, err := e.Series(t.Context(), s, nil, 1000)
				count("series", &sets.Summary, sets.sum(), err)
				values, err := e.LabelValues(t.Context(), s, store.LabelSearch{Name: store.LabelComm})
				sum := int64(0)
				for _, v := range values.Values {
					sum += v.Sum
				}
				count("values", totals, sum, err)
			}
			for name, sum := range sums {
				if sum != (split{all.Total, all.Samples}) {
					t.Errorf("%s of %s and its opposite: %+v are not %d of %d", name, pattern, sum, all.Total, all.Samples)
				}
			}
		}
	}
}

func (t *Timeline) sum() (sum int64) {
	for _, s := range t.Series {
		for _, v := range s.Values {
			sum += v
		}
	}
	return sum
}

func (h *Heatmap) sum() (sum int64) {
	for _, c := range h.Cells {
		sum += c.Value
	}
	return sum
}

func (l *LabelSets) sum() (sum int64) {
	for _, s := range l.Sets {
		sum += s.Value
	}
	return sum
}
