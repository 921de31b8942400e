// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParts ends a process, as far as files can tell, at each moment of replacing
// a record by two others: the next run finds the one or the two.
func TestParts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		parts   int
		settled bool
		want    []uint64
		weight  uint64
	}{
		"before":               {0, false, []uint64{1, 2, 3}, 6},
		"one part":             {1, false, []uint64{1, 2, 3}, 6},
		"both parts":           {2, false, []uint64{1, 3, 5, 6}, 15},
		"both, and settled":    {2, true, []uint64{1, 3, 5, 6}, 15},
		"one that is the last": {1, true, []uint64{1, 3, 5}, 9}, // the disk did not take the other
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openTest(t, Options{Dir: dir})
			appendTest(t, s, 1, 3)
			var original uint64
			for range 2 {
				r, ok, err := s.Read()
				if err != nil || !ok {
					t.Fatal(ok, err)
				}
				original = r.Order
			}
			for i := range test.parts {
				r := testRecord(uint64(5 + i))
				r.PartOf, r.Completes = original, i == 1
				if _, err := s.Append(&r, true); err != nil {
					t.Fatal(err)
				}
			}
			if test.settled {
				s.Settle(original)
			}
			if err := s.Close(); err != nil { // settles nothing by itself
				t.Fatal(err)
			}
			s = openTest(t, Options{Dir: dir})
			if got := s.Stats().Weight; got != test.weight {
				t.Errorf("weight %d, want %d", got, test.weight)
			}
			var got []uint64
			for {
				r, ok, err := s.Read()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				got = append(got, r.Sequence)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestPartsSurvivePowerFailure checks what is durable when an original is settled:
// first its parts, then that it is settled.
func TestPartsSurvivePowerFailure(t *testing.T) {
	t.Parallel()
	d := &faultDirectory{}
	s := openTest(t, Options{Dir: t.TempDir(), directory: d.open})
	appendTest(t, s, 1, 2)
	r, ok, err := s.Read()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var done []string
	d.told = func(what, name string) { done = append(done, what+" "+filepath.Ext(name)) }
	part := testRecord(5)
	part.PartOf, part.Completes = r.Order, true
	if _, err := s.Append(&part, true); err != nil {
		t.Fatal(err)
	}
	if !s.SettleReplaced(r.Order) {
		t.Fatal("not settled")
	}
	want := []string{"write .seg", "sync .seg", "write .done", "sync .done", "sync "}
	if diff := cmp.Diff(want, slices.Compact(done)); diff != "" {
		t.Error(diff)
	}
	d.told = nil
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
