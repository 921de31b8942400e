// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

// TestWholes remembers stacks by their content, each for its project, up to a bound.
func TestWholes(t *testing.T) {
	t.Parallel()
	w := newWholes(1 << 10)
	red, blue := w.owner("red"), w.owner("blue")
	w.add(red.of(1, 2), libpf.NewTraceHash(3, 4))
	if h, ok := w.get(red.of(1, 2)); !ok || h != libpf.NewTraceHash(3, 4) {
		t.Error(h, ok)
	}
	for _, id := range []id128{blue.of(1, 2), red.of(2, 1), red.of(0, 0)} {
		if h, ok := w.get(id); ok {
			t.Errorf("%v is known as %s", id, h)
		}
	}
	var workers sync.WaitGroup
	for n := range uint64(4) {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(n, 1)) //nolint:gosec // a test
			for range 1 << 12 {
				hi, lo := r.Uint64(), r.Uint64()
				w.add(blue.of(hi, lo), libpf.NewTraceHash(lo, hi))
				if h, ok := w.get(blue.of(hi, lo)); ok && h != libpf.NewTraceHash(lo, hi) { // another one may have taken its place
					t.Errorf("%x %x is %s", hi, lo, h)
				}
			}
		})
	}
	workers.Wait()
	n := 0
	for i := range w.shards {
		n += len(w.shards[i].hashes)
	}
	if n < 1<<9 || n > 1<<10 {
		t.Errorf("%d stacks are remembered", n)
	}
	w.clear()
	if _, ok := w.get(red.of(1, 2)); ok {
		t.Error("not everything was forgotten")
	}
}
