// SPDX-License-Identifier: Apache-2.0

package extent

import (
	"errors"
	"math/rand"
	"testing"
)

func TestRandomAllocations(t *testing.T) {
	t.Parallel()
	const segment, limit = 64, 4
	rng := rand.New(rand.NewSource(1))
	a := New(segment, limit, nil)
	owner := make([]int, segment*limit) // 0: free
	live := map[int]Range{}
	for id := 1; id < 20000; id++ {
		if rng.Intn(2) == 0 && len(live) > 0 {
			for k, r := range live {
				for i := range r.Len {
					owner[r.Start+i] = 0
				}
				a.Free(r)
				delete(live, k)
				break
			}
			continue
		}
		n := uint32(1 + rng.Intn(20))
		r, ok, err := a.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		if r.Len != n || r.Start/segment != (r.Start+n-1)/segment {
			t.Fatalf("range %+v for %d units crosses a segment or has the wrong size", r, n)
		}
		for i := range n {
			if owner[r.Start+i] != 0 {
				t.Fatalf("unit %d given to %d and %d", r.Start+i, owner[r.Start+i], id)
			}
			owner[r.Start+i] = id
		}
		live[id] = r
	}
	for _, r := range live {
		a.Free(r)
	}
	if a.Used() != 0 {
		t.Errorf("%d units in use after everything was freed", a.Used())
	}
	if len(a.free) != a.Segments() {
		t.Errorf("%d free ranges for %d segments: neighbours were not merged", len(a.free), a.Segments())
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	a := New(8, 1, nil)
	if _, ok, _ := a.Alloc(9); ok {
		t.Error("a range larger than a segment was handed out")
	}
	if _, ok, _ := a.Alloc(8); !ok {
		t.Error("an empty allocator has no room")
	}
	if _, ok, _ := a.Alloc(1); ok {
		t.Error("the limit was exceeded")
	}
	broken := errors.New("no memory")
	a = New(8, 1, func(int) error { return broken })
	if _, ok, err := a.Alloc(1); ok || !errors.Is(err, broken) {
		t.Errorf("Alloc() = %v, %v; want the error of grow", ok, err)
	}
}
