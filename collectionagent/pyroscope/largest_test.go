// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"fmt"
	"testing"
)

// TestLargest chooses one of many lines, without making labels for all.
func TestLargest(t *testing.T) {
	all := &lines{purse: newPurse(context.Background()), byKey: map[string]*line{}}
	for i := range 10_000 {
		all.of([]string{fmt.Sprint(i), "b", "c"}).total = float64(i % 100)
	}
	g := &grouping{labels: []string{"x", "y", "z"}}
	got := largest(&asked{}, g, all, 3)
	for i, want := range []string{"1099", "1199", "1299"} { // of the hundred with the most, the first in order
		if len(got) != 3 || got[i].total != 99 || got[i].pairs[0].GetValue() != want {
			t.Errorf("%d: %v, want %s", i, got[i].pairs, want)
		}
	}
	if n := testing.AllocsPerRun(1, func() { largest(&asked{}, g, all, 3) }); n > 100 {
		t.Errorf("%.0f allocations for three of 10,000 lines", n)
	}
}
