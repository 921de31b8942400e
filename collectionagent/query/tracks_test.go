// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestNiceTrackStep(t *testing.T) {
	t.Parallel()
	for span, want := range map[time.Duration]time.Duration{
		1: time.Millisecond, time.Second: time.Millisecond, 1001 * time.Millisecond: 2 * time.Millisecond, 10 * time.Second: 10 * time.Millisecond,
		time.Minute: 100 * time.Millisecond, 15 * time.Minute: time.Second, time.Hour: 5 * time.Second, 24 * time.Hour: 2 * time.Minute,
	} {
		if got := NiceTrackStep(span); got != want {
			t.Errorf("%s: %s, want %s", span, got, want)
		}
	}
	for span := time.Millisecond; span < 20*365*24*time.Hour; span += span / 3 {
		if step := NiceTrackStep(span); int64(span/step) > 1001 || step%time.Millisecond != 0 {
			t.Errorf("%s: %s", span, step)
		}
	}
}

// TestTracks compares tracks with what samples say one by one.
func TestTracks(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 7, dataShape{stacks: 300, samples: 5_000, series: 12, depth: 8})
	e := NewEngine(s, Options{})
	some := everything()
	var err error
	if some.Stacks.Conditions, err = ParseStackConditions(`{function*="function_2"}`); err != nil {
		t.Fatal(err)
	}
	hiding := everything()
	hiding.Stacks.Hide = pattern(t, `{kind="kernel"}`)
	for name, selection := range map[string]*Selection{"all": everything(), "some stacks": some, "without kernel": hiding} {
		for _, by := range []string{store.LabelTID, store.LabelService, "version"} {
			t.Run(name+" by "+by, func(t *testing.T) {
				t.Parallel()
				checkTracks(t, e, selection, by)
			})
		}
	}
}

func checkTracks(t *testing.T, e *Engine, selection *Selection, by string) {
	t.Helper()
	const step = 2 * time.Second
	got, err := e.Tracks(t.Context(), selection, &TracksOptions{By: by, Step: step, Limit: 1000, MaxNodes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	k, err := e.kept(t.Context(), selection)
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		track string
		at    libpf.UnixTimeNs
	}
	want := map[place]int64{}
	values, total := map[string]int64{}, int64(0)
	err = e.store.Samples(t.Context(), selection.query(nil), func(x *store.Sample, from *store.Series) bool {
		if k.has(x.Stack) {
			want[place{from.Label(by), store.Bucket(x.Time, step)}] += x.Value
			values[from.Label(by)] += x.Value
			total += x.Value
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := e.FlameGraph(t.Context(), selection, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got.Total != total || got.Total != all.Total || got.Samples != all.Samples || got.Excluded != all.Excluded || got.CutStacks != 0 || got.HiddenTracks != 0 {
		t.Errorf("summary %+v, want that of %+v", got.Summary, all.Summary)
	}
	column := slices.Index(got.Labels, by)
	if !slices.IsSortedFunc(got.Tracks, func(a, b Track) int { return cmp.Compare(b.Value, a.Value) }) || len(got.Tracks) != len(values) {
		t.Errorf("%d tracks in this order, want %d", len(got.Tracks), len(values))
	}
	for _, track := range got.Tracks {
		if track.Value != values[track.Labels[column]] {
			t.Errorf("%s: %d, want %d", track.Labels[column], track.Value, values[track.Labels[column]])
		}
		if !slices.IsSortedFunc(track.Cells, func(a, b TrackCell) int { return cmp.Compare(a.At, b.At) }) {
			t.Errorf("%s: cells are not in the order of time", track.Labels[column])
		}
		for _, c := range track.Cells {
			at := place{track.Labels[column], got.From + libpf.UnixTimeNs(c.At)*libpf.UnixTimeNs(step)}
			if want[at] != c.Value || c.Part > c.Value || c.Part <= 0 || int(c.Stack) >= len(got.Stacks) {
				t.Errorf("%v: %+v, want the value %d", at, c, want[at])
			}
			delete(want, at)
		}
	}
	if len(want) != 0 {
		t.Errorf("%d cells are missing", len(want))
	}
	for i, n := range got.Stacks {
		if i > 0 && int(n.Parent) >= i || int(n.Frame) >= len(got.Frames) {
			t.Fatalf("node %d is %+v", i, n)
		}
	}
}

// TestTracksShowWhatRan has a step in which one function takes most of two stacks, and
// the stack with the most of all is of another.
func TestTracksShowWhatRan(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 9, dataShape{stacks: 400, samples: 4_000, series: 3, depth: 5})
	e := NewEngine(s, Options{})
	got, err := e.Tracks(t.Context(), everything(), &TracksOptions{By: store.LabelHost, Step: time.Duration(testEnd - testStart), Limit: 1, MaxNodes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	top, err := e.Top(t.Context(), everything(), TopBySelf, 1)
	if err != nil {
		t.Fatal(err)
	}
	sum, part, leaf := int64(0), int64(0), Function{}
	for _, c := range got.Tracks[0].Cells {
		if sum += c.Value; c.Part > part {
			part, leaf = c.Part, got.Frames[got.Stacks[c.Stack].Frame].Function
		}
	}
	if len(got.Tracks[0].Cells) == 1 && (part != top.Rows[0].Self || leaf.Name != top.Rows[0].Name) || sum != top.Total {
		t.Errorf("%d of %s, and %d in all; want %d of %s", part, leaf.Name, sum, top.Rows[0].Self, top.Rows[0].Name)
	}
}

func TestTracksAreBounded(t *testing.T) {
	t.Parallel()
	e := NewEngine(randomStore(t, 8, dataShape{stacks: 300, samples: 3_000, series: 12, depth: 8}), Options{})
	got, err := e.Tracks(t.Context(), everything(), &TracksOptions{By: store.LabelTID, Step: time.Minute, Limit: 5, MaxNodes: 40})
	if err != nil {
		t.Fatal(err)
	}
	shown := int64(0)
	for _, track := range got.Tracks {
		shown += track.Value
	}
	if len(got.Tracks) != 5 || got.HiddenTracks != 7 || shown+got.HiddenValue != got.Total || len(got.Stacks) != 40 || got.CutStacks == 0 {
		t.Errorf("%d tracks, %d hidden, %d of %d; %d nodes, %d stacks cut", len(got.Tracks), got.HiddenTracks, shown, got.Total, len(got.Stacks), got.CutStacks)
	}
	for _, o := range []TracksOptions{{Step: time.Millisecond, Limit: 1}, {Step: 30 * time.Second, Limit: MaxCells}} {
		if _, err := e.Tracks(t.Context(), everything(), &o); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	few := NewEngine(e.store, Options{MaxRows: 100})
	if _, err := few.Tracks(t.Context(), everything(), &TracksOptions{By: store.LabelTID, Step: time.Second, Limit: 50, MaxNodes: 40}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than 100 sums: %v", err)
	}
}
