// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestExecutablesOfHand(t *testing.T) {
	t.Parallel()
	e := handStore(t)
	app := libpf.Executable{FileID: libpf.NewFileID(1, 1), FileName: "/bin/app"}
	libc := libpf.Executable{FileID: libpf.NewFileID(2, 2), FileName: "/lib/libc.so.6"}
	for name, c := range map[string]struct {
		selection *Selection
		order     ExecutableOrder
		limit     int
		want      []ExecutableRow
		hidden    int
	}{
		"all": {everything(), ExecutablesByValue, 10, []ExecutableRow{
			{Executable: app, Kind: "native", Self: 9, Value: 15, Frames: 5, NamedFrames: 5, LineFrames: 5, Symbolized: 1},
			{Executable: libc, Kind: "native", Self: 6, Value: 6, Frames: 1, NamedFrames: 1, Symbolized: 1},
		}, 0},
		"limit": {everything(), ExecutablesBySelf, 1, []ExecutableRow{
			{Executable: app, Kind: "native", Self: 9, Value: 15, Frames: 5, NamedFrames: 5, LineFrames: 5, Symbolized: 1},
		}, 1},
		"filter": {filtered(t, `{function="malloc"}`, "", `{function="malloc"}`, `{function="work"}`), ExecutablesByValue, 10, []ExecutableRow{
			{Executable: libc, Kind: "native", Self: 6, Value: 6, Frames: 1, NamedFrames: 1, Symbolized: 1},
		}, 0},
		"hidden frames": {filtered(t, "", "", "", `{binary="libc.so.6"}`), ExecutablesByValue, 10, []ExecutableRow{
			{Executable: app, Kind: "native", Self: 15, Value: 15, Frames: 5, NamedFrames: 5, LineFrames: 5, Symbolized: 1},
		}, 0},
	} {
		got, err := e.Executables(t.Context(), c.selection, c.order, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(c.want, got.Rows, gocmp.AllowUnexported(libpf.Hash128{})); diff != "" || got.Hidden != c.hidden {
			t.Errorf("%s: %d hidden (-want +got):\n%s", name, got.Hidden, diff)
		}
	}
}

// TestExecutablesAddUp compares the table with stacks that have frames of each file.
func TestExecutablesAddUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		s := randomStore(t, seed+60, dataShape{stacks: 150, samples: 2000, series: 12, depth: 8, unknown: true})
		e := NewEngine(s, Options{})
		all, err := e.Executables(t.Context(), everything(), ExecutablesByValue, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(all.Rows) < 3 {
			t.Fatalf("only %d executables", len(all.Rows))
		}
		if !slices.IsSortedFunc(all.Rows, func(a, b ExecutableRow) int { return cmp.Compare(b.Value, a.Value) }) {
			t.Error("not sorted by value")
		}
		self, unnamed := int64(0), 0
		for _, r := range all.Rows {
			self += r.Self
			if r.Self > r.Value || r.Unnamed > r.Value || r.Value > all.Total || r.NamedFrames > r.Frames || r.LineFrames > r.Frames {
				t.Errorf("more than there is: %+v", r)
			}
			if (r.Unnamed == 0) != (r.Symbolized == 1) || (r.Unnamed == 0) != (r.NamedFrames == r.Frames) || r.Symbolized < 0 || r.Symbolized > 1 {
				t.Errorf("%d unnamed of %d frames, symbolized %v: %+v", r.Frames-r.NamedFrames, r.Frames, r.Symbolized, r)
			}
			if r.Unnamed > 0 {
				unnamed++
			}
			if r.FileName == "" {
				continue
			}
			only, err := e.Top(t.Context(), filtered(t, `{binary="`+r.FileName+`"}`, "", "", ""), TopBySelf, 1)
			if err != nil {
				t.Fatal(err)
			}
			if only.Total < r.Value {
				t.Errorf("%s has %d, stacks with it %d", r.FileName, r.Value, only.Total)
			}
		}
		if self > all.Total || unnamed == 0 {
			t.Errorf("self values sum to %d of %d, %d executables lack names", self, all.Total, unnamed)
		}
		byUnnamed, err := e.Executables(t.Context(), everything(), ExecutablesByUnnamed, 1)
		if err != nil {
			t.Fatal(err)
		}
		most := slices.MaxFunc(all.Rows, func(a, b ExecutableRow) int { return cmp.Compare(a.Unnamed, b.Unnamed) })
		if byUnnamed.Rows[0].Unnamed != most.Unnamed || byUnnamed.Hidden != len(all.Rows)-1 {
			t.Errorf("first is %+v, want %+v", byUnnamed.Rows[0], most)
		}
		if diff := gocmp.Diff(all.Summary, byUnnamed.Summary); diff != "" {
			t.Errorf("summaries differ: %s", diff)
		}
	}
}
