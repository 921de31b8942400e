// SPDX-License-Identifier: Apache-2.0

package synth

import (
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestGenerator(t *testing.T) {
	t.Parallel()
	const samples = 50_000
	a, b := New(1, 300, 3000), New(1, 300, 3000)
	distinct := map[libpf.TraceHash]bool{}
	for _, p := range a.executables {
		for _, s := range p.stacks {
			distinct[s.Hash] = true
		}
	}
	if n := len(distinct); n < 2900 {
		t.Errorf("%d distinct stacks", n)
	}
	stacks, processes := map[libpf.TraceHash]int{}, map[libpf.PID]int{}
	for i := range samples {
		at := time.Unix(int64(i), 0)
		s := *a.Next(at)
		if other := b.Next(at); other.Trace.Hash != s.Trace.Hash || other.TID != s.TID {
			t.Fatalf("sample %d differs for the same seed", i)
		}
		if n := len(s.Trace.Frames); n < 10 || n > 60 || s.Count != 1 || s.Value != int64(Period) || s.Process.Service == "" {
			t.Fatalf("sample %d: %+v with %d frames", i, s, n)
		}
		stacks[s.Trace.Hash]++
		processes[s.Process.PID]++
	}
	most := 0
	for _, n := range stacks {
		most = max(most, n)
	}
	if len(stacks) < 2000 || len(processes) != 300 || most < samples/200 {
		t.Errorf("%d stacks, the most frequent %d times, and %d processes", len(stacks), most, len(processes))
	}
}
