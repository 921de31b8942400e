// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// randomStacks returns stacks, leaf first, that share roots, of frames of all sorts.
func randomStacks(r *rand.Rand, n, frames int) []store.Stack {
	all := make([]libpf.Frame, frames)
	for i := range all {
		f := &all[i]
		f.Type = libpf.NativeFrame
		f.FileID = libpf.NewFileID(uint64(r.IntN(4)), 5)
		f.AddressOrLineno = libpf.AddressOrLineno(r.Uint64() >> r.IntN(64))
		if r.IntN(3) == 0 {
			f.Type, f.FunctionName, f.SourceFile, f.SourceLine = libpf.PythonFrame, "f"+strconv.Itoa(i), "x.py", libpf.SourceLineno(i)
		}
		if r.IntN(9) == 0 {
			f.FileID = libpf.FileID{}
		}
	}
	var stacks []store.Stack
	for i := range n {
		depth := r.IntN(40)
		var path []libpf.Frame
		if i > 0 && r.IntN(8) > 0 {
			other := stacks[r.IntN(i)].Frames
			path = append(path, other[r.IntN(len(other)+1):]...)
		}
		for len(path) < depth {
			path = append([]libpf.Frame{all[r.IntN(frames)]}, path...)
		}
		stacks = append(stacks, store.Stack{Hash: libpf.NewTraceHash(r.Uint64(), uint64(i)), Frames: path})
	}
	return stacks
}

// packOf puts stacks into one pack, and returns them in its order.
func packOf(t testing.TB, stacks []store.Stack) (b []byte, sorted []packed) {
	t.Helper()
	var sorter packSorter
	for i := range stacks {
		sorter.add(stacks[i].Hash, stacks[i].Frames)
	}
	sorter.sort()
	w := packWriter{frames: sorter.frames}
	for _, st := range sorter.stacks {
		if !w.add(st) {
			t.Fatal("a pack is full early")
		}
	}
	return w.encode(nil), sorter.stacks
}

func TestPack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same each time
		stacks := randomStacks(r, 1+r.IntN(900), 1+r.IntN(1500))
		want := make(map[libpf.TraceHash][]libpf.Frame)
		for _, s := range stacks {
			want[s.Hash] = s.Frames
		}
		b, sorted := packOf(t, stacks)
		p, err := decodePack(b)
		if err != nil {
			t.Fatal(err)
		}
		var some []stackAt
		for i, st := range sorted {
			if r.IntN(3) == 0 || len(sorted) == 1 {
				some = append(some, stackAt{i, st.hash})
			}
		}
		n := 0
		check := func(h libpf.TraceHash, frames []libpf.Frame) {
			n++
			if reflect.DeepEqual(want[h], frames) {
				return // nearly all of them, and much faster to find out
			}
			if d := gocmp.Diff(want[h], frames, gocmp.Comparer(func(a, b libpf.FileID) bool { return a == b })); d != "" && len(want[h]) > 0 {
				t.Errorf("stack %v (-want +got):\n%s", h, d)
			}
		}
		if err := eachPacked(p, some, check); err != nil || n != len(some) {
			t.Errorf("%d of %d stacks: %v", n, len(some), err)
		}
		err = p.stacks(nil, func(at int, path []uint32) error { check(sorted[at].hash, p.framesOf(path)); return nil })
		if err != nil {
			t.Error(err)
		}
		for range 50 {
			cut := b[:r.IntN(len(b))]
			if p, err := decodePack(cut); err == nil {
				if err := p.stacks(nil, func(int, []uint32) error { return nil }); err == nil {
					t.Fatalf("%d of %d bytes of a pack decode", len(cut), len(b))
				}
			}
		}
	}
}

// TestPackLimits fills packs to each of their limits.
func TestPackLimits(t *testing.T) {
	t.Parallel()
	deep := func(n, first int) (frames []libpf.Frame) {
		for i := range n {
			frames = append(frames, libpf.Frame{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 1), AddressOrLineno: libpf.AddressOrLineno(first + i)})
		}
		return frames
	}
	long := func(n int) []libpf.Frame {
		return []libpf.Frame{{Type: libpf.PythonFrame, FunctionName: string(bytes.Repeat([]byte{'x'}, n))}}
	}
	for name, c := range map[string]struct {
		stack func(i int) []libpf.Frame
		fit   int
	}{
		"stacks": {func(i int) []libpf.Frame { return deep(1, i) }, maxPackStacks},
		"frames": {func(i int) []libpf.Frame { return deep(100, i*100) }, maxPackFrames / 100},
		"nodes":  {func(i int) []libpf.Frame { return append(deep(1000, 0), deep(1, 5000+i)...) }, maxPackNodes / 1001},
		"texts":  {func(i int) []libpf.Frame { return long(1000 + i) }, 127},
	} {
		var sorter packSorter
		for i := range 2 * c.fit {
			sorter.add(libpf.NewTraceHash(uint64(i), 1), c.stack(i))
		}
		sorter.sort()
		w := packWriter{frames: sorter.frames}
		n := 0
		for n < len(sorter.stacks) && w.add(sorter.stacks[n]) {
			n++
		}
		if n < c.fit-8 || n > c.fit {
			t.Errorf("%s: %d stacks are in a pack, expected %d", name, n, c.fit)
		}
		b := w.encode(nil)
		p, err := decodePack(b)
		if err != nil || len(p.shared) != n {
			t.Fatalf("%s: %v", name, err)
		}
		if err := p.stacks(nil, func(int, []uint32) error { return nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzPack reads any bytes as a pack.
func FuzzPack(f *testing.F) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same each time
		b, _ := packOf(f, randomStacks(r, 1+int(seed)*5, 1+int(seed)*200))
		f.Add(b)
	}
	f.Add(appendRef(nil, stackRef{7, 8}))
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile.Bound(t, len(data), 4096, func() {
			if r, ok, err := decodeRef(data); ok && err == nil {
				if again, _, err := decodeRef(appendRef(nil, r)); err != nil || again != r {
					t.Errorf("%v becomes %v (error %v)", r, again, err)
				}
			}
			p, err := decodePack(data)
			if err != nil {
				return
			}
			n := 0
			err = p.stacks(nil, func(_ int, path []uint32) error {
				n++
				if len(path) > len(data) {
					t.Fatalf("stack of %d frames in %d bytes", len(path), len(data))
				}
				return nil
			})
			if err == nil && n != len(p.shared) {
				t.Errorf("%d of %d stacks", n, len(p.shared))
			}
		})
	})
}

// TestPacking packs stacks of two projects, twice, reads them, collects most of them as
// garbage, verifies, deletes a project, and opens the directory in between.
func TestPacking(t *testing.T) {
	var clock testClock
	clock.ns.Store(int64(mixedStart) + 5*3600e9)
	cfg := Config{Dir: t.TempDir(), compaction: calm, now: clock.now, garbageGrace: 1, packLeast: 2}
	s := openTest(t, cfg)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	all := map[string][]store.Stack{"default": randomStacks(r, 3000, 900), "other": randomStacks(r, 50, 10), "small": randomStacks(r, 1, 3)}
	huge := store.Stack{Hash: libpf.NewTraceHash(1, 1), Frames: make([]libpf.Frame, maxStackFrames+1)}
	all["other"] = append(all["other"], huge)
	sequence := uint64(0)
	put := func(project string, stacks []store.Stack) {
		t.Helper()
		sequence++
		_, err := s.Put(t.Context(), &store.Definitions{
			ID: store.BatchID{Project: project, HostID: "h", Type: 1, Sequence: sequence}, Project: project, Stacks: stacks,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		for project, stacks := range all {
			var hashes []libpf.TraceHash
			for i := range stacks {
				hashes = append(hashes, stacks[i].Hash)
			}
			got, err := s.Stacks(t.Context(), project, hashes)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			for i := range stacks {
				if len(got[stacks[i].Hash]) != len(stacks[i].Frames) || len(got) != len(stacks) {
					t.Fatalf("%s: stack %d of %s has %d of %d frames, there are %d of %d", when, i, project,
						len(got[stacks[i].Hash]), len(stacks[i].Frames), len(got), len(stacks))
				}
				for j := range stacks[i].Frames {
					if d := compareFrames(&stacks[i].Frames[j], &got[stacks[i].Hash][j]); d != 0 {
						t.Fatalf("%s: stack %d of %s differs in frame %d", when, i, project, j)
					}
				}
			}
		}
		v, err := s.Verify(t.Context(), func(f *Finding) { t.Errorf("%s: %+v", when, *f) })
		if err != nil || v.Problems > 0 {
			t.Errorf("%s: %v", when, err)
		}
	}
	// form counts the stacks that are stored one by one, those in packs, and the packs.
	form := func() (n [3]int) {
		t.Helper()
		err := scan(s.db, []byte{keyStack}, func(_, value []byte) error {
			_, ok, err := decodeRef(value)
			if ok {
				n[1]++
			} else {
				n[0]++
			}
			return err
		})
		if err == nil {
			err = scan(s.db, []byte{keyPack}, func(_, _ []byte) error { n[2]++; return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	whole := all["default"]
	all["default"] = whole[:2000]
	put("default", all["default"])
	put("other", all["other"])
	put("small", all["small"])
	check("one by one")
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("packed")
	if got := form(); got[0] != 2 || got[1] != 2050 || got[2] < 3 {
		t.Errorf("one by one, in packs, packs: %v", got)
	}
	all["default"] = whole
	put("default", whole) // the first 2000 are repeats
	check("partly packed")
	if got := form(); got[0] != 1002 {
		t.Errorf("one by one, in packs, packs: %v", got)
	}
	if err := s.packStacksWhenDue(t.Context()); err != nil || form()[0] != 1002 {
		t.Errorf("packed before it was due: %v", err)
	}
	s = cut(t, cfg, s)
	check("after a crash")
	if err := s.packStacks(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := form(); got[0] != 2 || got[1] != 3050 {
		t.Errorf("one by one, in packs, packs: %v", got)
	}
	s = cut(t, cfg, s)
	check("after another crash")

	// Of each stack but those of "default" that come first in their packs nothing is used.
	before := form()
	var kept []store.Stack
	for i, st := range all["default"] {
		if i%5 == 0 {
			kept = append(kept, st)
		}
	}
	for range 2 {
		clock.ns.Add(25 * 3600e9)
		if err := s.collectGarbage(t.Context()); err != nil {
			t.Fatal(err)
		}
		put("default", kept) // that uses them
		put("other", all["other"])
		put("small", all["small"])
	}
	clock.ns.Add(25 * 3600e9)
	if err := s.collectGarbage(t.Context()); err != nil {
		t.Fatal(err)
	}
	all["default"] = kept
	check("after collection")
	// Where a fifth is left, stacks are stored one by one again; the filter may keep a few more.
	if got := form(); got[0] < len(kept) || got[0] > len(kept)+60 || got[2] >= before[2] {
		t.Errorf("one by one, in packs, packs: %v, before %v", got, before)
	}
	if err := s.packStacks(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	check("packed again")
	if got := form(); got[0] != 2 {
		t.Errorf("one by one, in packs, packs: %v", got)
	}
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "default"}); err != nil {
		t.Fatal(err)
	}
	delete(all, "default")
	check("after the deletion of a project")
	if got := form(); got[2] != 1 {
		t.Errorf("one by one, in packs, packs: %v", got)
	}

	// A pack that is lost is noticed.
	if err := s.db.Delete(packKey("other", 1), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stacks(t.Context(), "other", []libpf.TraceHash{all["other"][0].Hash}); err == nil {
		t.Error("a lost pack is not noticed by a query")
	}
	if v, err := s.Verify(context.Background(), func(*Finding) {}); err != nil || v.Problems != 50 {
		t.Errorf("verification finds %d problems: %v", v.Problems, err)
	}
	put("other", all["other"]) // else they are garbage themselves
	clock.ns.Add(25 * 3600e9)
	if err := s.collectGarbage(t.Context()); err == nil {
		t.Error("a lost pack is not noticed by the collection of garbage")
	}
}
