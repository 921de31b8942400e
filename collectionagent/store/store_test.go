// SPDX-License-Identifier: Apache-2.0

package store

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

// TestWindow compares a window with a set, on sequences that come nearly in order.
func TestWindow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var w Window
		set := make(map[uint64]bool)
		for i := range uint64(2000) {
			seq := i + rnd.Uint64N(20)
			if rnd.IntN(500) == 0 {
				seq = rnd.Uint64()
			}
			if w.Has(seq) != set[seq] {
				t.Fatalf("seed %d: Has(%d) is %v", seed, seq, w.Has(seq))
			}
			if n := w.Add(seq); n != 0 {
				t.Fatalf("seed %d: %d forgotten with %d ranges", seed, n, len(w.ranges))
			}
			set[seq] = true
		}
		again, rest, err := CutWindow(append(w.AppendBinary(nil), "rest"...))
		if err != nil || string(rest) != "rest" || !slices.Equal(again.ranges, w.ranges) {
			t.Fatalf("seed %d: window does not survive: %v", seed, err)
		}
	}
}

func TestWindowEdges(t *testing.T) {
	t.Parallel()
	var w Window
	for _, seq := range []uint64{0, math.MaxUint64, 2, 1, math.MaxUint64 - 1, 0} {
		w.Add(seq)
	}
	want := []seqRange{{0, 2}, {math.MaxUint64 - 1, math.MaxUint64}}
	if !slices.Equal(w.ranges, want) {
		t.Errorf("ranges %v, want %v", w.ranges, want)
	}
	if w.Has(3) || !w.Has(math.MaxUint64) || !w.Has(0) {
		t.Error("wrong sequences are known")
	}
}

// TestWindowBound leaves a gap behind every sequence.
func TestWindowBound(t *testing.T) {
	t.Parallel()
	var w Window
	var forgotten uint64
	for i := range uint64(MaxWindowRanges + 10) {
		forgotten += w.Add(2 * i)
	}
	if len(w.ranges) != MaxWindowRanges || forgotten != 10 {
		t.Errorf("%d ranges, %d forgotten", len(w.ranges), forgotten)
	}
	if !w.Has(1) || w.Has(2*MaxWindowRanges+1) {
		t.Error("not the oldest gaps were closed")
	}
}

func FuzzDecodeWindow(f *testing.F) {
	var w Window
	w.Add(5)
	w.Add(9)
	f.Add(w.AppendBinary(nil))
	f.Add([]byte{})
	f.Add([]byte{2, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, _, err := CutWindow(b)
		if err != nil {
			return
		}
		for i, r := range w.ranges {
			if r.last < r.first || (i > 0 && r.first-w.ranges[i-1].last < 2) {
				t.Fatalf("ranges %v are not apart", w.ranges)
			}
		}
		w.Add(7)
		if !w.Has(7) {
			t.Fatal("window lost what was added")
		}
	})
}

func TestMilliseconds(t *testing.T) {
	t.Parallel()
	f := func(ns libpf.UnixTimeNs, floor, ceil int64) {
		t.Helper()
		if FloorMs(ns) != floor || CeilMs(ns) != ceil {
			t.Errorf("%d ns: %d, %d, want %d, %d", int64(ns), FloorMs(ns), CeilMs(ns), floor, ceil)
		}
	}
	f(0, 0, 0)
	f(1, 0, 1)
	f(999_999, 0, 1)
	f(1_000_000, 1, 1)
	f(-1, -1, 0)
	f(-1_000_000, -1, -1)
	f(-1_000_001, -2, -1)
	f(math.MinInt64, -9223372036855, -9223372036854)
	f(math.MaxInt64, 9223372036854, 9223372036855)
	if b := Bucket(-1, time.Second); b != -1_000_000_000 {
		t.Errorf("bucket of -1 is %d", int64(b))
	}
	if b := Bucket(12345, 0); b != 0 {
		t.Errorf("bucket without step is %d", int64(b))
	}
}

func TestHostMerge(t *testing.T) {
	t.Parallel()
	old := Host{ID: "h", Name: "old", LastSeen: 1, Metadata: map[string]string{"a": "1"}}
	latest := Host{ID: "h", Name: "new", LastSeen: 2, Metadata: map[string]string{"b": "2"}}
	sparse := Host{ID: "h", LastSeen: 3}
	for _, c := range []struct{ a, b, want Host }{
		{old, latest, latest},
		{latest, old, latest},
		{old, sparse, Host{ID: "h", Name: "old", LastSeen: 3, Metadata: old.Metadata}},
		{sparse, old, Host{ID: "h", Name: "old", LastSeen: 3, Metadata: old.Metadata}},
	} {
		if d := cmp.Diff(c.want, c.a.Merge(&c.b)); d != "" {
			t.Errorf("merge (-want +got):\n%s", d)
		}
	}
}
