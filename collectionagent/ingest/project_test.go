// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestProjectOfContext stores in the project of the context, and what one
// project has defined stays unknown to another.
func TestProjectOfContext(t *testing.T) {
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	ctx := WithProject(t.Context(), "blue")
	if _, err := s.SetFramesForTraces(ctx, testFrames(1)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		project string
		unknown []uint32
	}{{"blue", nil}, {"green", []uint32{0, 1}}, {"", []uint32{0, 1}}} {
		r, err := s.AddCountsForTraces(WithProject(t.Context(), test.project), testCounts(1))
		if err != nil || r.Ack.Duplicate || !slices.Equal(r.UnknownStacks, test.unknown) {
			t.Errorf("project %q: %v, %v", test.project, r, err)
		}
	}
	hash := libpf.HashTrace(testStacks()[0])
	for project, want := range map[string]int{"blue": 1, "green": 0, DefaultProject: 0} {
		if found, err := m.Stacks(ctx, project, []libpf.TraceHash{hash}); err != nil || len(found) != want {
			t.Errorf("stacks of %q: %v, %v", project, found, err)
		}
	}
}
