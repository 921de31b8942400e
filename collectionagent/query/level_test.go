// SPDX-License-Identifier: Apache-2.0

package query

import (
	"strings"
	"testing"
	"unique"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// selfByPath sums the self values of each path, where name says what a level is called;
// with merge, a level that is called as the one above it is none.
func selfByPath(g *FlameGraph, merge bool, name func(f *FlameFrame) string) map[string]int64 {
	out := map[string]int64{}
	var path []string
	for _, n := range g.Nodes {
		path = append(path[:n.Depth], name(&g.Frames[n.Frame]))
		levels := make([]string, 0, len(path))
		for i, l := range path {
			if !merge || i == 0 || l != path[i-1] {
				levels = append(levels, l)
			}
		}
		if n.Self != 0 {
			out[strings.Join(levels, "\n")] += n.Self
		}
	}
	return out
}

// TestLevelsAreClaimed numbers the lines, files and binaries of many frames.
func TestLevelsAreClaimed(t *testing.T) {
	t.Parallel()
	const frames, lines = 10_000, 3
	names := make([]*frameNames, frames)
	for i := range names {
		names[i] = &frameNames{levels: make([]level, lines)}
		for j := range names[i].levels {
			names[i].levels[j] = level{function: unique.Make(Function{Name: "f"}), line: libpf.SourceLineno(i*lines + j)} //nolint:gosec // small
		}
	}
	for l, want := range map[Level]int64{LevelFunction: 0, LevelLine: frames * lines, LevelFile: frames * lines, LevelBinary: frames * lines} {
		budget := memory.NewBudget("-query-memory", 1<<30, 0)
		ctx, claim := budget.Question(t.Context())
		functions := newFunctionTable(frames)
		functions.level = l
		out := (&resolution{watch: newWatch(ctx), names: names}).levels(functions, false, l.identity())
		if got := budget.Used(); got < want*levelBytes || want == 0 && got != 0 || len(out.levels) != frames*lines {
			t.Errorf("level %d: %d bytes for %d levels", l, got, len(out.levels))
		}
		claim.Release()
		// Without memory there are no levels, and nobody looks for those that there are not.
		ctx, claim = memory.NewBudget("-query-memory", 1<<10, 0).Question(t.Context())
		functions = newFunctionTable(frames)
		functions.level = l
		out = (&resolution{watch: newWatch(ctx), names: names}).levels(functions, false, l.identity())
		if n := len(out.of(frames - 1)); (n == 0) != (want > 0) {
			t.Errorf("level %d without memory: %d levels", l, n)
		}
		claim.Release()
	}
}

// TestLevels derives the trees of files and binaries from that of functions, and that of
// functions from that of lines.
func TestLevels(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 61, dataShape{stacks: 300, samples: 2000, series: 6, depth: 14, unknown: true, lines: 3}), Options{})
	ask := func(level Level) *FlameGraph {
		t.Helper()
		s := everything()
		s.Level = level
		g, err := e.FlameGraph(t.Context(), s, []string{store.LabelService}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	functions, lines := ask(LevelFunction), ask(LevelLine)
	called := func(f *FlameFrame) string { return f.Name + "|" + f.Kind + "|" + f.Binary + "|" + f.File }
	if diff := gocmp.Diff(selfByPath(functions, false, called), selfByPath(lines, false, called)); diff != "" {
		t.Errorf("functions (-as such +of their lines):\n%s", diff)
	}
	if len(lines.Frames) <= len(functions.Frames) {
		t.Errorf("%d lines of %d functions", len(lines.Frames), len(functions.Frames))
	}
	checkSiblings(t, lines)
	code := func(f *FlameFrame, name string) string {
		if f.Kind == KindLabel || f.Kind == KindError {
			name = f.Name
		}
		return name + "|" + f.Kind + "|" + f.Binary
	}
	file := func(f *FlameFrame) string {
		name := f.File
		if name == "" {
			name = f.Binary
		}
		return code(f, name)
	}
	asNamed := func(f *FlameFrame) string { return f.Name + "|" + f.Kind + "|" + f.Binary }
	files := ask(LevelFile)
	if diff := gocmp.Diff(selfByPath(functions, true, file), selfByPath(files, false, asNamed)); diff != "" {
		t.Errorf("files (-of functions +as such):\n%s", diff)
	}
	checkSiblings(t, files)
	binary := func(f *FlameFrame) string {
		if f.Binary == "" {
			return code(f, noBinaryName)
		}
		return code(f, f.Binary)
	}
	binaries := ask(LevelBinary)
	if diff := gocmp.Diff(selfByPath(functions, true, binary), selfByPath(binaries, false, asNamed)); diff != "" {
		t.Errorf("binaries (-of functions +as such):\n%s", diff)
	}
	checkSiblings(t, binaries)
}

// checkSiblings checks that siblings are told apart by a frame and that the values add up.
func checkSiblings(t *testing.T, g *FlameGraph) {
	t.Helper()
	type sibling struct {
		parent int
		frame  uint32
	}
	seen := map[sibling]bool{}
	left := make([]int64, len(g.Nodes)) // of a node, without its children
	var path []int
	for i, n := range g.Nodes {
		path = append(path[:n.Depth], i)
		left[i] += n.Total - n.Self
		if n.Depth == 0 {
			continue
		}
		parent := path[n.Depth-1]
		left[parent] -= n.Total
		if key := (sibling{parent, n.Frame}); seen[key] {
			t.Errorf("%s is twice below node %d", g.Frames[n.Frame].Name, parent)
		} else {
			seen[key] = true
		}
	}
	for i, v := range left {
		if v != 0 {
			t.Errorf("node %d has %d that is neither its own nor its children's", i, v)
		}
	}
}

// TestLinesAreOrdered has two lines of a function that is not known to the order yet.
func TestLinesAreOrdered(t *testing.T) {
	t.Parallel()
	for range 2 { // before the order is remembered, and after
		e := NewEngine(randomStore(t, 62, dataShape{stacks: 300, samples: 900, series: 2, depth: 14, lines: 3}), Options{})
		s := everything()
		s.Level = LevelLine
		g, err := e.FlameGraph(t.Context(), s, nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		last := map[uint32]int{} // by depth
		for i, n := range g.Nodes {
			for d := range last {
				if d > n.Depth {
					delete(last, d)
				}
			}
			if before, ok := last[n.Depth]; ok {
				a, b := g.Frames[g.Nodes[before].Frame], g.Frames[n.Frame]
				if c := a.compare(&b.Function); c > 0 || c == 0 && a.Line >= b.Line {
					t.Errorf("%s:%d comes before %s:%d", a.Name, a.Line, b.Name, b.Line)
				}
			}
			last[n.Depth] = i
		}
	}
}

func TestBuildIDs(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 63, dataShape{stacks: 100, samples: 500, series: 2, depth: 6, unknown: true}), Options{})
	for _, level := range []Level{LevelFunction, LevelLine, LevelBinary} {
		s := everything()
		s.Level = level
		g, err := e.FlameGraph(t.Context(), s, nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		known := 0
		for _, f := range g.Frames {
			want := ""
			if n, ok := strings.CutPrefix(f.Binary, "lib"); ok {
				want = "0" + strings.TrimSuffix(n, ".so")
				known++
			}
			if f.Kind != libpf.PythonFrame.String() && f.BuildID != want { // scripts are in no binary
				t.Errorf("%s of %q has the build ID %q instead of %q", f.Name, f.Binary, f.BuildID, want)
			}
		}
		if known == 0 {
			t.Error("no frame with a build ID")
		}
	}
	for name, c := range map[string]struct {
		builds []string
		want   string
	}{
		"none":          {nil, ""},
		"unknown":       {[]string{"", ""}, ""},
		"one":           {[]string{"a", "", "a"}, "a"},
		"several":       {[]string{"a", "b"}, ""},
		"one after two": {[]string{"a", "b", "a"}, ""},
	} {
		functions := newFunctionTable(1)
		n := functions.label("f", "native")
		for _, build := range c.builds {
			functions.saw(n, &level{}, functions.build(build))
		}
		if got := functions.builds[functions.lines[n].build]; got != c.want {
			t.Errorf("%s: %q instead of %q", name, got, c.want)
		}
	}
}
