// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// pattern returns a pattern, or fails the test.
func pattern(t *testing.T, text string) FramePattern {
	t.Helper()
	p, err := ParseFramePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSandwichOfHand(t *testing.T) {
	t.Parallel()
	e := handStore(t)
	for text, want := range map[string]struct {
		self, value      int64
		callers, callees string
	}{
		`{function="work"}`:    {0, 7, "main 3\nmalloc;main 4\n", "inlined 1\nmalloc 6\n"},
		`{function="malloc"}`:  {6, 6, "main 4\nwork;main 2\n", "work;malloc 4\n"},
		`{function="main"}`:    {0, 7, "", "malloc;work;malloc 4\nwork;inlined 1\nwork;malloc 2\n"},
		`{function="inlined"}`: {1, 1, "work;main 1\n", ""},
		`{function="absent"}`:  {0, 0, "", ""},
		`{function*="m"}`:      {6, 7, "", "malloc;work;malloc 4\nwork;inlined 1\nwork;malloc 2\n"},
	} {
		s, err := e.Sandwich(t.Context(), everything(), pattern(t, text), 100)
		if err != nil {
			t.Fatal(err)
		}
		if s.Self != want.self || s.Value != want.value || foldTree(&s.Callers) != want.callers || foldTree(&s.Callees) != want.callees {
			t.Errorf("%s: self %d, value %d, callers\n%scallees\n%s", text, s.Self, s.Value, foldTree(&s.Callers), foldTree(&s.Callees))
		}
		if s.Total != 15 {
			t.Errorf("%s: total %d", text, s.Total)
		}
	}
}

func TestLinesOfHand(t *testing.T) {
	t.Parallel()
	e := handStore(t)
	type row struct {
		file        string
		line        libpf.SourceLineno
		self, total int64
	}
	for text, want := range map[string][]row{
		`{function="main"}`:                   {{"/src/main.c", 10, 0, 3}, {"/src/main.c", 12, 0, 4}},
		`{function="work"}`:                   {{"/src/work.c", 20, 0, 6}, {"/src/work.c", 21, 0, 1}},
		`{function="inlined"}`:                {{"/src/inlined.h", 30, 1, 1}},
		`{function="malloc"}`:                 {{"", 0, 6, 6}},
		`{function=~"inlined|work"}`:          {{"/src/inlined.h", 30, 1, 1}, {"/src/work.c", 20, 0, 6}},
		`{function="main",file!*"/src/main"}`: nil,
	} {
		l, err := e.Lines(t.Context(), everything(), pattern(t, text), 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []row
		for _, r := range l.Rows {
			got = append(got, row{r.File, r.Line, r.Self, r.Total})
		}
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestFunctionsAddUp compares sandwiches and lines with the table of functions.
func TestFunctionsAddUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		e := NewEngine(randomStore(t, seed+30, dataShape{stacks: 150, samples: 2000, series: 12, depth: 8, unknown: true}), Options{})
		top, err := e.Top(t.Context(), everything(), TopByTotal, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range top.Rows {
			if i%7 != 0 && !strings.HasPrefix(row.Name, "recursive") {
				continue
			}
			p := FramePattern{
				{Field: FrameFunction, Value: row.Name}, {Field: FrameFile, Value: row.File},
				{Field: FrameBinary, Value: row.Binary}, {Field: FrameKind, Value: row.Kind},
			}
			for _, limit := range []int{10_000, 5, 1} {
				s, err := e.Sandwich(t.Context(), everything(), p, limit)
				if err != nil {
					t.Fatal(err)
				}
				if s.Self != row.Self || s.Value != row.Total || len(s.Functions) != 1 || s.Functions[0] != row.Function {
					t.Fatalf("sandwich of %+v: self %d, value %d, functions %+v", row, s.Self, s.Value, s.Functions)
				}
				for _, tree := range []FlameTree{s.Callers, s.Callees} {
					checkTree(t, &FlameGraph{Summary: Summary{Total: row.Total}, FlameTree: tree}, limit)
					if name := tree.Frames[0].Name; name != row.Name {
						t.Errorf("root of %s is %s", row.Name, name)
					}
				}
			}
			l, err := e.Lines(t.Context(), everything(), p, 1000)
			if err != nil {
				t.Fatal(err)
			}
			var self, total int64
			for _, r := range l.Rows {
				self += r.Self
				total += r.Total
				if r.Self > r.Total || r.Function != row.Function {
					t.Errorf("line %+v", r)
				}
			}
			if self != row.Self || total != row.Total || l.Self != row.Self || l.Value != row.Total {
				t.Errorf("lines of %+v have %d and %d, their sums are %d and %d", row, l.Self, l.Value, self, total)
			}
		}
	}
}

// byPath returns self and total of each path of names of a tree.
func byPath(frames []FlameFrame, nodes int, node func(i int) (frame, depth uint32, self, total int64)) map[string][2]int64 {
	out := map[string][2]int64{}
	var path []string
	for i := range nodes {
		frame, depth, self, total := node(i)
		f := frames[frame].Function
		path = append(path[:depth], f.Name+"|"+f.Kind+"|"+f.Binary+"|"+f.File)
		key := strings.Join(path, "\n")
		if self != 0 || total != 0 {
			out[key] = [2]int64{out[key][0] + self, out[key][1] + total}
		}
	}
	return out
}

func TestDiff(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		e := NewEngine(randomStore(t, seed+40, dataShape{stacks: 150, samples: 2000, series: 12, depth: 8, unknown: true}), Options{})
		a, b := everything(), everything()
		a.To -= libpf.UnixTimeNs(7 * time.Minute)
		b.From = a.To
		if seed == 1 {
			a.Matchers = []*store.Matcher{{Name: store.LabelService, Op: store.MatchEqual, Value: "service-1"}}
		}
		if seed == 2 {
			var err error
			if b.Stacks.Conditions, err = ParseStackConditions(`{function^="function_2"} !{function*="recursive_1"}`); err != nil {
				t.Fatal(err)
			}
		}
		a.Stacks = b.Stacks
		groupBy := [][]string{nil, {store.LabelService}}[seed%2]
		for _, normalize := range []bool{false, true} {
			for _, limit := range []int{1 << 20, 50, 2, 1} {
				d, err := e.Diff(t.Context(), a, b, &DiffOptions{GroupBy: groupBy, Normalize: normalize, MaxNodes: limit, Limit: limit})
				if err != nil {
					t.Fatal(err)
				}
				checkDiff(t, d, limit)
				if limit < 1<<20 {
					continue
				}
				for side, s := range map[string]*Selection{"base": a, "current": b} {
					alone, err := e.FlameGraph(t.Context(), s, groupBy, limit)
					if err != nil {
						t.Fatal(err)
					}
					want := byPath(alone.Frames, len(alone.Nodes), func(i int) (uint32, uint32, int64, int64) {
						n := alone.Nodes[i]
						return n.Frame, n.Depth, n.Self, n.Total
					})
					got := byPath(d.Frames, len(d.Nodes), func(i int) (uint32, uint32, int64, int64) {
						n := d.Nodes[i]
						if side == "base" {
							return n.Frame, n.Depth, n.BaseSelf, n.BaseTotal
						}
						return n.Frame, n.Depth, n.Self, n.Total
					})
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Errorf("%s (-alone +in the diff):\n%s", side, diff)
					}
					top, err := e.Top(t.Context(), s, TopBySelf, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range top.Rows {
						i := slices.IndexFunc(d.Rows, func(x DiffRow) bool { return x.Function == r.Function })
						if i < 0 {
							t.Fatalf("%+v is not in the diff", r)
						}
						row := d.Rows[i]
						if side == "base" {
							row.Self, row.Total = row.BaseSelf, row.BaseTotal
						}
						if row.Self != r.Self || row.Total != r.Total {
							t.Errorf("%s: %+v is %+v in the table", side, row, r)
						}
					}
				}
			}
		}
	}
}

// checkDiff checks that both sides add up to their totals.
func checkDiff(t *testing.T, d *Diff, limit int) {
	t.Helper()
	if len(d.Nodes) > limit || len(d.Rows) > limit {
		t.Errorf("%d nodes and %d rows instead of %d", len(d.Nodes), len(d.Rows), limit)
	}
	for side, total := range map[string]int64{"base": d.Base.Total, "current": d.Total} {
		g := &FlameGraph{Summary: Summary{Total: total}, FlameTree: FlameTree{Frames: d.Frames}}
		for _, n := range d.Nodes {
			self, total := n.Self, n.Total
			if side == "base" {
				self, total = n.BaseSelf, n.BaseTotal
			}
			g.Nodes = append(g.Nodes, FlameNode{n.Frame, n.Depth, self, total})
			if d.Frames[n.Frame].Kind == KindOther {
				g.HiddenValue += total
			}
		}
		checkTree(t, g, limit)
	}
	if !slices.IsSortedFunc(d.Rows, func(a, b DiffRow) int { return cmp.Compare(b.Growth, a.Growth) }) {
		t.Error("rows are not sorted by growth")
	}
	var self, base int64
	for _, r := range d.Rows {
		self += r.Self
		base += r.BaseSelf
		if want := float64(r.Self) - float64(r.BaseSelf)*d.Scale; math.Abs(want-float64(r.Growth)) > 1 {
			t.Errorf("%+v has not grown by %v", r, want)
		}
	}
	if d.HiddenRows == 0 && (self != d.Total || base != d.Base.Total) {
		t.Errorf("self values sum to %d and %d instead of %d and %d", self, base, d.Total, d.Base.Total)
	}
}

func TestDiffOfNothing(t *testing.T) {
	t.Parallel()
	e := handStore(t)
	nothing := everything()
	nothing.From, nothing.To = testEnd, testEnd+1
	for _, sides := range [][2]*Selection{{nothing, everything()}, {everything(), nothing}, {nothing, nothing}} {
		for _, normalize := range []bool{false, true} {
			d, err := e.Diff(t.Context(), sides[0], sides[1], &DiffOptions{Normalize: normalize, MaxNodes: 100, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			if d.Scale != 1 {
				t.Errorf("scale %v", d.Scale)
			}
			checkDiff(t, d, 100)
		}
	}
}

// allSamples returns the samples of a selection.
func allSamples(t *testing.T, e *Engine, s *Selection) (all []store.Sample) {
	t.Helper()
	err := e.store.Samples(t.Context(), s.query(nil), func(sample *store.Sample, _ *store.Series) bool {
		all = append(all, *sample)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHeatmaps(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 50, dataShape{stacks: 50, samples: 2000, series: 5, depth: 5}), Options{})
	s := everything()
	s.From += 123_456_789
	all := allSamples(t, e, s)
	type at struct {
		column int64
		row    int
	}
	check := func(h *Heatmap, row func(*store.Sample) int) {
		t.Helper()
		want := map[at]sum{}
		for i := range all {
			key := at{int64(all[i].Time-h.Start) / int64(h.Column), row(&all[i])}
			want[key] = sum{count: want[key].count + all[i].Count, value: want[key].value + all[i].Value}
		}
		got := map[at]sum{}
		for _, c := range h.Cells {
			got[at{int64(c.Column), c.Row}] = sum{count: c.Samples, value: c.Value}
			if c.Column >= h.Columns || c.Row >= len(h.Rows) {
				t.Errorf("cell %+v of %d columns and %d rows", c, h.Columns, len(h.Rows))
			}
		}
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(sum{})); diff != "" {
			t.Errorf("cells (-want +got):\n%s", diff)
		}
		if h.sum() != h.Total || h.Total == 0 {
			t.Errorf("cells sum to %d, total is %d", h.sum(), h.Total)
		}
	}
	for _, shape := range []struct {
		column time.Duration
		rows   int
	}{{time.Second, 50}, {time.Second, 1000}, {time.Minute, 60}, {time.Hour, 1}} {
		h, err := e.HeatmapOfTime(t.Context(), s, shape.column, shape.rows)
		if err != nil {
			t.Fatal(err)
		}
		check(h, func(sample *store.Sample) int {
			return int(int64(sample.Time) % int64(shape.column) / (int64(shape.column) / int64(shape.rows)))
		})
	}
	h, err := e.HeatmapOfValues(t.Context(), s, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	check(h, func(sample *store.Sample) int {
		row := bits.Len64(uint64(sample.Value / sample.Count)) //nolint:gosec // not negative
		return slices.Index(h.Rows, 1<<(row-1))
	})
	if _, err := e.HeatmapOfTime(t.Context(), s, time.Millisecond, 1); err == nil {
		t.Error("a heatmap of 600,000 columns")
	}
	if _, err := e.HeatmapOfTime(t.Context(), s, time.Second, 1<<12); err == nil {
		t.Error("a heatmap of 2,457,600 cells")
	}
}

func TestExemplars(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 51, dataShape{stacks: 50, samples: 2000, series: 5, depth: 5}), Options{})
	for _, frames := range []string{"", `{function*="_1"}`} {
		s := filtered(t, frames, "", "", "")
		k, err := e.kept(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		all := slices.DeleteFunc(allSamples(t, e, s), func(x store.Sample) bool { return !k.has(x.Stack) || x.TraceID == [16]byte{} })
		slices.SortFunc(all, func(a, b store.Sample) int { return compareExemplars(&a, &b) })
		for _, limit := range []int{1, 3, 50, 10_000} {
			got, err := e.Exemplars(t.Context(), s, ExemplarsLargest, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Rows) != min(limit, len(all)) || got.Hidden != int64(len(all)-len(got.Rows)) {
				t.Fatalf("%d exemplars, %d hidden of %d", len(got.Rows), got.Hidden, len(all))
			}
			for i, r := range got.Rows {
				if r.Sample.Series = all[i].Series; r.Sample != all[i] || r.Leaf.Name == "" || r.Origin.Service == "" {
					t.Errorf("exemplar %d of %d is %+v instead of %+v", i, limit, r, all[i])
				}
			}
			got, err = e.Exemplars(t.Context(), s, ExemplarsSpread, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Rows) > limit || len(got.Rows) == 0 || len(got.Rows) < min(limit, 30) {
				t.Errorf("%d spread exemplars instead of %d", len(got.Rows), limit)
			}
			if !slices.IsSortedFunc(got.Rows, func(a, b Exemplar) int { return cmp.Compare(a.Time, b.Time) }) {
				t.Error("spread exemplars are not in order of time")
			}
		}
	}
}

// TestSpans selects by trace and span.
func TestSpans(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 52, dataShape{stacks: 50, samples: 2000, series: 5, depth: 5}), Options{})
	s := everything()
	s.TraceIDs = [][16]byte{{1, 3}}
	var want int64
	for _, sample := range allSamples(t, e, everything()) {
		if sample.TraceID == s.TraceIDs[0] {
			want += sample.Value
		}
	}
	g, err := e.FlameGraph(t.Context(), s, nil, 1000)
	if err != nil || g.Total != want || want == 0 {
		t.Errorf("flame graph of a trace has %d instead of %d, %v", g.Total, want, err)
	}
}

func TestSeriesAndTypes(t *testing.T) {
	t.Parallel()
	e := handStore(t)
	sets, err := e.Series(t.Context(), everything(), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []LabelSet{{Values: []string{"b"}, Samples: 10, Value: 10}}
	if diff := gocmp.Diff(want, sets.Sets); diff != "" || sets.Hidden != 1 || !slices.Equal(sets.Names, []string{"service"}) {
		t.Errorf("%v hidden %d: %s", sets.Names, sets.Hidden, diff)
	}
	types, err := e.Types(t.Context(), everything())
	if err != nil || !slices.Equal(types, []store.TypeSum{{Type: libpf.SampleOnCPU, Count: 15, Sum: 15}}) {
		t.Errorf("types %+v, %v", types, err)
	}
}

// agedStore no longer has samples and sums per minute of some time.
type agedStore struct {
	store.Store
	samples, minutes, hours libpf.UnixTimeNs
}

func (s *agedStore) Select(ctx context.Context, q *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	c, err := s.Store.Select(ctx, q, yield)
	c.Resolution, c.Horizon = store.Resolution, s.samples
	switch q.RollUp() {
	case store.RollUpHour:
		c.Resolution, c.Horizon = store.RollUpHour, s.hours
	case store.RollUpMinute:
		c.Resolution, c.Horizon = store.RollUpMinute, s.minutes
	}
	return c, err
}

func TestTimelineChoosesItsStep(t *testing.T) {
	t.Parallel()
	const hour = libpf.UnixTimeNs(time.Hour)
	aged := &agedStore{
		Store: randomStore(t, 53, dataShape{stacks: 5, samples: 50, series: 5, depth: 5}), samples: testEnd - 24*hour, minutes: testEnd - 30*24*hour,
		hours: testEnd - 365*24*hour,
	}
	e := NewEngine(aged, Options{})
	for _, c := range []struct {
		ago, span time.Duration
		want      time.Duration
	}{
		{0, time.Second, time.Second},
		{0, 15 * time.Minute, 5 * time.Second},
		{0, 365 * 24 * time.Hour, 2 * 24 * time.Hour},
		{48 * time.Hour, 15 * time.Minute, time.Minute},
		{60 * 24 * time.Hour, 15 * time.Minute, time.Hour},
		{60 * 24 * time.Hour, 24 * time.Hour, time.Hour},
		{400 * 24 * time.Hour, 15 * time.Minute, time.Hour}, // there is nothing
	} {
		s := everything()
		s.To -= libpf.UnixTimeNs(c.ago)
		s.From = s.To - libpf.UnixTimeNs(c.span)
		line, err := e.Timeline(t.Context(), s, "", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if line.Step != c.want {
			t.Errorf("%v of %v ago: step %v instead of %v", c.span, c.ago, line.Step, c.want)
		}
	}
}
