// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestKnownIsBounded asks for more stacks than are remembered: none of those that are
// stored is called unknown, and each look into the store is counted.
func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	const stacks, room = 5000, 256
	db := memstore.New()
	s := newTestServer(t, Config{Store: db, KnownStacks: room})
	lookups := func() float64 { return counterValue(t, s.metrics.lookups.WithLabelValues("stacks")) }
	d := &store.Definitions{Project: "default"}
	var hashes []libpf.TraceHash
	for n := range stacks {
		frames := []libpf.Frame{{Type: libpf.PythonFrame, AddressOrLineno: libpf.AddressOrLineno(n)}} //nolint:gosec // not negative
		h := libpf.HashTrace(frames)
		hashes = append(hashes, h)
		d.Stacks = append(d.Stacks, store.Stack{Hash: h, Frames: frames})
	}
	if _, err := s.put(t.Context())(d); err != nil {
		t.Fatal(err)
	}
	ask := func(hashes []libpf.TraceHash, want ...uint32) {
		t.Helper()
		got, err := s.known.unknownStacks(t.Context(), "default", hashes)
		if err != nil || len(got) != len(want) || (len(got) > 0 && got[0] != want[0]) {
			t.Errorf("unknown are %v, %v, want %v", got, err, want)
		}
	}
	ask(hashes)
	if n := lookups(); n < stacks-room || n > stacks {
		t.Errorf("%g of %d stacks were looked up where %d are remembered", n, stacks, room)
	}
	ask(hashes[stacks-1:])
	before := lookups()
	ask(hashes[stacks-1:])
	if n := lookups() - before; n != 0 {
		t.Errorf("a stack that was asked for just now was looked up %g times", n)
	}
	ask([]libpf.TraceHash{hashes[stacks-1], {}}, 1)
	if n := lookups() - before; n != 1 {
		t.Errorf("a stack that is not stored was looked up %g times, want once", n)
	}
}
