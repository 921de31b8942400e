// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWishes wants what the newest miss is likely to need first, however much an older
// one has left.
func TestWishes(t *testing.T) {
	t.Parallel()
	// Without a table nothing is loaded: the pages are only wished for.
	exec := func(id uint32) *execTables {
		return &execTables{file: &execFile{id: id}, noneAt: errors.New("none")}
	}
	s := &tableStore{}
	large, small := exec(1), exec(2)
	for range 20 {
		s.miss(large, 100_000)
	}
	if len(s.wishes) != maxWishes {
		t.Errorf("%d wishes, want %d", len(s.wishes), maxWishes)
	}
	for range 3 {
		s.miss(small, 1)
	}
	if len(s.wishes) != maxWishes {
		t.Errorf("%d wishes, want %d", len(s.wishes), maxWishes)
	}
	var got []wish
	for range 6 {
		got = append(got, s.nextWish())
	}
	want := []wish{{2, 2}, {2, 0}, {2, 3}, {2, 2}, {2, 0}, {1, 100_001}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wish{})); diff != "" {
		t.Errorf("wishes (-want +got):\n%s", diff)
	}
}
