// SPDX-License-Identifier: Apache-2.0

package spool

import (
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
