// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
)

func TestReceipts(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{})
	ctx := WithProject(t.Context(), "mine")
	for range 2 {
		if _, err := s.AddCountsForTraces(ctx, testCounts(1)); err != nil {
			t.Fatal(err)
		}
	}
	wrong := testCounts(2)
	wrong.Stacks[0] = 99
	if _, err := s.AddCountsForTraces(ctx, wrong); err == nil {
		t.Fatal("an invalid request was taken")
	}
	wrong = testCounts(3)
	wrong.Counts, wrong.Batch = nil, nil
	if _, err := s.AddCountsForTraces(ctx, wrong); err == nil {
		t.Fatal("an invalid request was taken")
	}
	want := fleet.Receipts{Received: 19, Stored: 5, Duplicate: 5, Refused: map[string]uint64{"invalid": 9}}
	if diff := cmp.Diff(want, s.Receipts("mine")); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	if got := s.Receipts(DefaultProject); got.Received != 0 {
		t.Errorf("another project: %v", got)
	}
	s = newTestServer(t, Config{Store: readOnlyStore{memstore.New()}})
	if _, err := s.AddCountsForTraces(t.Context(), testCounts(1)); err == nil {
		t.Fatal("a store that is read-only took a batch")
	}
	if got := s.Receipts(DefaultProject).Refused["read_only"]; got != 5 {
		t.Errorf("%d refused by the store", got)
	}
}
