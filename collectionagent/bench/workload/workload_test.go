// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

// TestDefault holds the workload against the one that other stores were measured
// with: its figures would mean nothing if it changed.
func TestDefault(t *testing.T) {
	t.Parallel()
	w := New(Default())
	if len(w.Stacks) != 20_000 || len(w.Functions) != 2000 || len(w.Locations) != 25_310 || len(w.Services) != 20 {
		t.Errorf("%d stacks, %d functions, %d locations, %d services", len(w.Stacks), len(w.Functions), len(w.Locations), len(w.Services))
	}
	depth, deepest := 0, 0
	for i := range w.Stacks {
		depth, deepest = depth+len(w.Stacks[i].Locations), max(deepest, len(w.Stacks[i].Locations))
	}
	if mean := float64(depth) / float64(len(w.Stacks)); mean < 29.5 || mean > 29.7 || deepest != 58 {
		t.Errorf("stacks are %.2f deep, at most %d; want 29.6 and 58", mean, deepest)
	}
	n := w.Native()
	var samples, observations int
	for window := range 4 {
		a, s, o := n.Counts(0, window, 0)
		b, again, _ := New(Default()).Native().Counts(0, window, 0)
		if window == 0 && (!proto.Equal(a, b) || s != again) {
			t.Error("two workloads differ")
		}
		_, s2, o2 := w.OTLP(0, window, 0, window%2 == 0)
		if s != s2 || o != o2 {
			t.Errorf("window %d: %d samples of %d observations, in OTLP %d of %d", window, s, o, s2, o2)
		}
		samples, observations = samples+s, observations+o
	}
	// The hour has 1,606,527 samples of 3,597,475 observations.
	if samples < 17_400 || samples > 18_300 || observations < 39_000 || observations > 41_000 {
		t.Errorf("%d samples of %d observations in 4 windows", samples, observations)
	}
}

// TestDefinitions checks that what is defined is what samples refer to.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Stacks = 400
	w := New(c)
	n := w.Native()
	defined := make(map[libpf.TraceHash]bool)
	for _, r := range n.Frames(0) {
		for i := range r.HiTraceHashes {
			defined[libpf.NewTraceHash(r.HiTraceHashes[i], r.LoTraceHashes[i])] = true
		}
	}
	r, _, _ := n.Counts(0, 0, 0)
	for i := range r.HiTraceHashes {
		if !defined[libpf.NewTraceHash(r.HiTraceHashes[i], r.LoTraceHashes[i])] {
			t.Fatalf("stack %d is not defined", i)
		}
	}
	named := 0
	for _, r := range n.Names(0) {
		named += len(r.Files)
	}
	if named != len(w.Locations) {
		t.Errorf("%d frames have names, want %d", named, len(w.Locations))
	}
	for s := range w.Services {
		if p, err := w.Pprof(w.Window(0, 0, s), s, 0); err != nil || len(p) == 0 {
			t.Errorf("profile of %s: %d bytes, %v", w.Services[s], len(p), err)
		}
	}
}
