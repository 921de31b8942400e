// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// defined returns a stack with one frame, its symbol and its executable.
func defined(n uint64) *store.Definitions {
	file := libpf.NewFileID(n, 77)
	frame := libpf.Frame{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: libpf.AddressOrLineno(n)}
	return &store.Definitions{
		Project:     "default",
		Stacks:      []store.Stack{{Hash: libpf.NewTraceHash(n, 0), Frames: []libpf.Frame{frame}}},
		Symbols:     []store.Symbol{{Frame: frame.ID(), Lines: []libpf.SourceLine{{Function: "f"}}}},
		Executables: []libpf.Executable{{FileID: file, FileName: "x"}},
	}
}

// definedNow lists the numbers of the stacks, symbols and executables that are there.
func definedNow(t *testing.T, s *Store, most uint64) (all [3][]uint64) {
	t.Helper()
	for n := range most {
		d := defined(n)
		stacks, err := s.Stacks(t.Context(), "default", []libpf.TraceHash{d.Stacks[0].Hash})
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := s.Symbols(t.Context(), "default", []libpf.FrameID{d.Symbols[0].Frame})
		if err != nil {
			t.Fatal(err)
		}
		files, err := s.Executables(t.Context(), "default", []libpf.FileID{d.Executables[0].FileID})
		if err != nil {
			t.Fatal(err)
		}
		for i, found := range []int{len(stacks), len(symbols), len(files)} {
			if found > 0 {
				all[i] = append(all[i], n)
			}
		}
	}
	return all
}

// TestGarbage follows definitions through rounds of collection: what is used, in heads
// and in blocks, with samples and without, stays; so does what was put lately.
func TestGarbage(t *testing.T) {
	var clock testClock
	clock.ns.Store(int64(mixedStart) + 5*3600e9)
	cfg := Config{Dir: t.TempDir(), compaction: calm, now: clock.now, retainEvery: time.Hour}
	s := openTest(t, cfg)
	put := func(n uint64) {
		t.Helper()
		if _, err := s.Put(t.Context(), defined(n)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint64(6) {
		put(n)
	}
	mustAppend(t, s, testBatch(1, 10)) // of stack 1
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, blocks, _ := s.readView()
	if err := s.dropSamples(t.Context(), blocks, false); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, testBatch(2, 10)) // of stack 2
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, testBatch(3, 10)) // of stack 3
	round := func(what string, wait time.Duration, stacks, others []uint64) {
		t.Helper()
		clock.ns.Add(int64(wait))
		if err := s.collectGarbage(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := definedNow(t, s, 6)
		if d := gocmp.Diff([3][]uint64{stacks, others, others}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		st, err := s.Stats(t.Context())
		if err != nil || st.Stacks != int64(len(stacks)) || st.Symbols != int64(len(others)) || st.Executables != int64(len(others)) {
			t.Errorf("%s: %+v (error %v)", what, st, err)
		}
	}
	all := []uint64{0, 1, 2, 3, 4, 5}
	round("in the first round", 0, all, all)
	round("too early", time.Hour, all, all)
	put(5)
	before := s.Forgotten()
	round("stacks that were not put again", 24*time.Hour, []uint64{1, 2, 3, 5}, all)
	if s.Forgotten() == before {
		t.Error("nobody is told")
	}
	round("what they referred to, and what was put again", 25*time.Hour, []uint64{1, 2, 3}, []uint64{1, 2, 3, 5})
	put(4)
	round("after a repeat", 25*time.Hour, []uint64{1, 2, 3, 4}, []uint64{1, 2, 3, 4})
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "default", To: mixedStart + 3600e9}); err != nil {
		t.Fatal(err)
	}
	// A server that is restarted before each round collects, too.
	three, four := []uint64{1, 2, 3}, []uint64{1, 2, 3, 4}
	s = cut(t, cfg, s)
	round("too early after a restart", 0, four, four)
	round("what was not used before the restart either", 25*time.Hour, three, four)
	s = cut(t, cfg, s)
	put(2)
	round("but for what was put again", 25*time.Hour, []uint64{2}, three)
	if n := counterOf(t, s.metrics.garbage.WithLabelValues("stacks")); n != 2 {
		t.Errorf("%v stacks counted since the restart", n)
	}
	s = cut(t, cfg, s)
	round("what they referred to", 25*time.Hour, nil, []uint64{2})
	// One whose file is damaged begins anew.
	s = cut(t, cfg, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.garbagePath())
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2]++
	if err := os.WriteFile(s.garbagePath(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, cfg)
	round("after damage", 25*time.Hour, nil, []uint64{2})
	round("after damage", 25*time.Hour, nil, nil)
}

// FuzzGarbage reads foreign bytes as what was unused.
func FuzzGarbage(f *testing.F) {
	s := &Store{cfg: Config{Dir: f.TempDir()}}
	s.garbage.unused = newFilter(1)
	s.garbage.last = time.Unix(1, 0)
	if err := s.saveGarbage(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(s.garbagePath())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(garbageMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "unused")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		last, unused, err := readGarbage(path)
		if err != nil {
			return
		}
		s := &Store{cfg: Config{Dir: t.TempDir()}}
		s.garbage.last, s.garbage.unused = last, unused
		if err := s.saveGarbage(); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(s.garbagePath()); err != nil || !bytes.Equal(again, b) {
			t.Errorf("read and written again it is something else (error %v)", err)
		}
	})
}

// TestGarbageMerged collects while the only samples are in a merged block, of which sums
// per second without stacks are the part with the fewest rows.
func TestGarbageMerged(t *testing.T) {
	var clock testClock
	clock.ns.Store(int64(mixedStart) + 5*3600e9)
	s := openTest(t, Config{Dir: t.TempDir(), compaction: calm, now: clock.now, retainEvery: time.Hour})
	for n := uint64(1); n <= 3; n++ {
		if _, err := s.Put(t.Context(), defined(n)); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, testBatch(n, 500))
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		clock.ns.Add(25 * 3600e9)
		if err := s.collectGarbage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	used := []uint64{1, 2, 3}
	if d := gocmp.Diff([3][]uint64{used, used, used}, definedNow(t, s, 4)); d != "" {
		t.Errorf("what samples need (-want +got):\n%s", d)
	}
}

// TestGarbageMetrics removes points of metrics that are older than samples may be.
func TestGarbageMetrics(t *testing.T) {
	var clock testClock
	clock.ns.Store(int64(mixedStart))
	s := openTest(t, Config{
		Dir: t.TempDir(), compaction: calm, now: clock.now, retainEvery: time.Hour,
		Retention: store.Retention{Ages: store.Ages{Samples: time.Hour, Minutes: 10 * time.Hour, Hours: 20 * time.Hour}},
	})
	d := &store.Definitions{Project: "default"}
	for minute := range 120 {
		at := libpf.UnixTime32(int64(mixedStart)/1e9 - int64(60*minute))
		d.Metrics = append(d.Metrics, store.MetricPoint{HostID: "h", ID: 7, Time: at, Value: 1})
	}
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.collectGarbage(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := scan(s.db, []byte{keyMetric}, func(_, _ []byte) error { n++; return nil }); err != nil || n != 61 {
		t.Errorf("%d points are left, error %v", n, err)
	}
	if removed := counterOf(t, s.metrics.garbage.WithLabelValues("metrics")); removed != 59 {
		t.Errorf("%v points were counted", removed)
	}
}

// TestGarbageOpensNothing collects beside more blocks than may be open.
func TestGarbageOpensNothing(t *testing.T) {
	s, _ := retained(t, Config{Dir: t.TempDir(), compaction: calm, retainEvery: time.Hour, garbageGrace: time.Nanosecond}, 500)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		for _, part := range b.parts() {
			part.evict()
		}
	}
	if err := s.collectGarbage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		for _, part := range b.parts() {
			if part.openBytes() > 0 {
				t.Errorf("%s is open", part.info.File)
			}
		}
	}
}

// TestGarbageConcurrently uses and puts definitions while others are collected: what was
// acknowledged and then used is there, or found unknown.
func TestGarbageConcurrently(t *testing.T) {
	var clock testClock
	clock.ns.Store(int64(mixedStart) + 5*3600e9)
	s := openTest(t, Config{Dir: t.TempDir(), compaction: calm, now: clock.now, retainEvery: time.Hour})
	const many = 300
	for n := range uint64(many) {
		if _, err := s.Put(t.Context(), defined(n)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // from now on all may go
		if err := s.collectGarbage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	clock.ns.Add(25 * 3600e9)
	used := make([]bool, many)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range uint64(many) {
			mustAppend(t, s, testBatch(n, 1))
			// As ingest does once the samples are stored.
			found, err := s.Stacks(t.Context(), "default", []libpf.TraceHash{libpf.NewTraceHash(n, 0)})
			if err != nil {
				t.Error(err)
			}
			used[n] = len(found) > 0
		}
	})
	wg.Go(func() {
		for range 3 {
			if err := s.collectGarbage(t.Context()); err != nil {
				t.Error(err)
			}
			clock.ns.Add(25 * 3600e9)
		}
	})
	wg.Wait()
	got := definedNow(t, s, many)
	for n := range uint64(many) {
		if used[n] && !slices.Contains(got[0], n) {
			t.Errorf("stack %d was found known, and is gone", n)
		}
	}
}

// TestFilter counts what a filter takes for an element that is none.
func TestFilter(t *testing.T) {
	t.Parallel()
	const n = 20_000
	f := newFilter(n)
	hash := func(i int) definition {
		h := libpf.HashTrace([]libpf.Frame{{AddressOrLineno: libpf.AddressOrLineno(i)}})
		return stackDefinition(h)
	}
	for i := range n {
		f.add(hash(i))
	}
	wrong := 0
	for i := range n {
		if !f.has(hash(i)) {
			t.Fatalf("element %d is missing", i)
		}
		if f.has(hash(n + i)) {
			wrong++
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d others are taken for elements", wrong, n)
	}
	for i := range n { // numbers that are close to one another, too
		if f.has(definition{keyStack, uint64(i), 0}) {
			wrong++
		}
	}
	if wrong > n/50 {
		t.Errorf("%d of %d others are taken for elements", wrong, 2*n)
	}
}
