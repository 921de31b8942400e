// SPDX-License-Identifier: Apache-2.0

//go:build linux

package arm64

import (
	"maps"
	"slices"
	"testing"
)

// TestRounds wants every subject in one round, and no more of those together whose
// shares depend on it than the guest has CPUs.
func TestRounds(t *testing.T) {
	t.Parallel()
	all := slices.Sorted(maps.Keys(allExpected(t)))
	for _, name := range byClock {
		if !slices.Contains(all, name) {
			t.Errorf("there is no subject %q", name)
		}
	}
	r := &rig{t: t}
	for _, name := range all {
		_, says := programs[name]
		r.add(name, subject{Args: []string{name}, Says: says})
	}
	var seen []string
	for i, round := range r.rounds() {
		clock := 0
		for _, s := range round {
			seen = append(seen, s.Args[0])
			if s.Says || slices.Contains(byClock, s.Args[0]) {
				clock++
			}
		}
		if clock > 0 && len(round) > togetherByClock || len(round) > together {
			t.Errorf("round %d has %d subjects, %d of them with parts by the clock", i, len(round), clock)
		}
	}
	if slices.Sort(seen); !slices.Equal(seen, all) {
		t.Errorf("the rounds have %v, want %v", seen, all)
	}
}
