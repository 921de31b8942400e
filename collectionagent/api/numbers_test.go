// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestColumns compares columns that are written by hand with what encoding/json makes.
func TestColumns(t *testing.T) {
	t.Parallel()
	full := &flameGraph{summary: &summary{}, GroupBy: []string{"a"}, Strings: []string{"<x>", "\"y\"", ""}, PeriodNs: 5}
	full.Frames = frames{
		Name: []uint32{0, math.MaxUint32}, File: []uint32{1}, Line: []uint64{math.MaxUint64, 0}, Binary: []uint32{}, BuildID: []uint32{2, 3},
		Kind: []uint32{7, 8, 9}, Inlined: []int{0, 1},
	}
	full.Nodes.Frame, full.Nodes.Depth = []uint32{0, 1}, []uint32{0, 1}
	full.Nodes.Self, full.Nodes.Total = []int64{math.MinInt64, -1}, []int64{math.MaxInt64, 0}
	full.Hidden = hidden{3, 4}
	empty := &flameGraph{summary: &summary{}, GroupBy: []string{}, Strings: []string{}}
	empty.Frames = frames{Name: []uint32{}, File: []uint32{}, Line: []uint64{}, Binary: []uint32{}, BuildID: []uint32{}, Kind: []uint32{}, Inlined: []int{}}
	empty.Nodes.Frame, empty.Nodes.Depth, empty.Nodes.Self, empty.Nodes.Total = []uint32{}, []uint32{}, []int64{}, []int64{}
	for name, g := range map[string]*flameGraph{"full": full, "empty": empty} {
		body, err := encode(g)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		var got, reference map[string]json.RawMessage
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, body)
		}
		if err := json.Unmarshal(want, &reference); err != nil {
			t.Fatal(err)
		}
		for k, v := range reference {
			if k != "strings" && string(v) != string(got[k]) { // those are escaped otherwise
				t.Errorf("%s: %s is %s, want %s", name, k, got[k], v)
			}
		}
		if d := cmp.Diff(len(reference), len(got)); d != "" {
			t.Errorf("%s: members (-want +got):\n%s", name, d)
		}
	}
}
