// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// testBatch returns a batch of n samples with the stack (sequence, 0).
func testBatch(seq uint64, n int) *store.Batch {
	b := &store.Batch{
		ID:     store.BatchID{Project: "default", HostID: "h", RunID: [16]byte{9}, Type: store.BatchSamples, Sequence: seq},
		Series: []store.Series{{Project: "default", Type: libpf.SampleOnCPU, Service: "web"}},
	}
	for i := range n {
		b.Samples = append(b.Samples, store.Sample{
			Time: libpf.UnixTimeNs(1_700_000_000_000+i) * 1e6, Stack: libpf.NewTraceHash(seq, 0), Count: 1, Value: 1,
		})
	}
	return b
}

// stored returns the number of samples by sequence.
func stored(t *testing.T, s *Store) map[uint64]int64 {
	t.Helper()
	got := make(map[uint64]int64)
	q := &store.Query{Project: "default", From: math.MinInt64, To: math.MaxInt64, ByStack: true}
	if _, err := s.Select(t.Context(), q, func(r *store.Row) bool { got[r.Stack.Hi()] += r.Count; return true }); err != nil {
		t.Fatal(err)
	}
	return got
}

func mustAppend(t *testing.T, s *Store, b *store.Batch) bool {
	t.Helper()
	duplicate, err := s.Append(t.Context(), b)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return duplicate
}

// counterOf returns the value of a counter.
func counterOf(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// crash copies what a crash at this moment would leave. The store goes on. Nothing of it may
// still write much, but a block or a table may just be about to be done, and what it replaces to
// go: then the copy would be of two moments, and is made again.
func crash(t *testing.T, dir string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		before := sizes(t, dir)
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if err == nil && maps.Equal(before, sizes(t, dir)) {
			return to
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come to rest", dir)
		}
	}
}

// sizes returns the sizes of the files below a directory.
func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	all := make(map[string]int64)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) { // it just went
			return nil
		}
		if err == nil {
			all[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// logOf returns the path and content of the only log segment.
func logOf(t *testing.T, dir string) (string, []byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("log segments: %v, %v", paths, err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return paths[0], data
}

// TestTornEnd cuts the log at every kind of place inside its last record.
func TestTornEnd(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	mustAppend(t, s, testBatch(1, 5))
	_, whole := logOf(t, dir)
	mustAppend(t, s, testBatch(2, 5))
	template := crash(t, dir)
	_, both := logOf(t, template)
	for _, cut := range []int{len(whole) + 1, len(whole) + 6, len(whole) + recordHeader, len(whole) + 20, len(both) - 1} {
		dir := crash(t, template)
		path, _ := logOf(t, dir)
		if err := os.Truncate(path, int64(cut)); err != nil {
			t.Fatal(err)
		}
		s := openTest(t, Config{Dir: dir})
		if got := stored(t, s); got[1] != 5 || got[2] != 0 {
			t.Errorf("cut at %d: stored %v", cut, got)
		}
		if n := counterOf(t, s.metrics.walTorn); n != 1 {
			t.Errorf("cut at %d: %v torn ends counted", cut, n)
		}
		if mustAppend(t, s, testBatch(2, 5)) {
			t.Errorf("cut at %d: lost batch is taken for stored", cut)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, Config{Dir: dir})
		if got := stored(t, s); got[1] != 5 || got[2] != 5 {
			t.Errorf("cut at %d: stored %v after the repeat", cut, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedMiddle flips a bit of the first of three records.
func TestDamagedMiddle(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	for seq := range uint64(3) {
		mustAppend(t, s, testBatch(seq+1, 5))
	}
	dir = crash(t, dir)
	path, data := logOf(t, dir)
	damaged := bytes.Clone(data)
	damaged[len(walMagic)+recordHeader+3] ^= 1
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Config{Dir: dir})
	if got := stored(t, s); got[1] != 0 || got[2] != 5 || got[3] != 5 {
		t.Errorf("stored %v", got)
	}
	if n := counterOf(t, s.metrics.walCorrupt); n != 1 {
		t.Errorf("%v damaged parts counted", n)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "wal", "quarantine", "*.bad")); len(kept) != 1 {
		t.Errorf("quarantine holds %v", kept)
	}
}

// failingFile is a segment on a disk that can be made to fail.
type failingFile struct {
	walFile
	fail *atomic.Bool
}

func (f failingFile) Write(b []byte) (int, error) {
	if f.fail.Load() {
		n, _ := f.walFile.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	return f.walFile.Write(b)
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestFullDisk fills the disk in the middle of a write and empties it again.
func TestFullDisk(t *testing.T) {
	var fail atomic.Bool
	cfg := Config{
		Dir:        t.TempDir(),
		checkEvery: 5 * time.Millisecond,
		createSegment: func(path string) (walFile, error) {
			f, err := createFile(path)
			return failingFile{f, &fail}, err
		},
	}
	s := openTest(t, cfg)
	mustAppend(t, s, testBatch(1, 5))
	fail.Store(true)
	for range 3 {
		if _, err := s.Append(t.Context(), testBatch(2, 5)); !errors.Is(err, store.ErrReadOnly) {
			t.Fatalf("append to a full disk: %v", err)
		}
	}
	if s.ReadOnly() == "" {
		t.Error("store does not say that it is read-only")
	}
	if got := stored(t, s); got[1] != 5 || got[2] != 0 {
		t.Errorf("stored %v while the disk is full", got)
	}
	fail.Store(false)
	eventually(t, "store takes writes again", func() bool { return s.ReadOnly() == "" })
	if mustAppend(t, s, testBatch(2, 5)) {
		t.Error("refused batch is taken for stored")
	}
	dir := crash(t, cfg.Dir)
	s2 := openTest(t, Config{Dir: dir})
	if got := stored(t, s2); got[1] != 5 || got[2] != 5 {
		t.Errorf("stored %v after a restart", got)
	}
}

// TestLowSpace has less free space than the store wants.
func TestLowSpace(t *testing.T) {
	var free atomic.Uint64
	s := openTest(t, Config{
		Dir: t.TempDir(), MinFreeBytes: 100, checkEvery: 5 * time.Millisecond,
		freeBytes: func(string) (uint64, error) { return free.Load(), nil },
	})
	free.Store(99)
	eventually(t, "store becomes read-only", func() bool { return s.ReadOnly() != "" })
	if _, err := s.Append(t.Context(), testBatch(1, 1)); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	if _, err := s.Put(t.Context(), &store.Definitions{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("put: %v", err)
	}
	free.Store(125)
	eventually(t, "store takes writes again", func() bool { return s.ReadOnly() == "" })
	mustAppend(t, s, testBatch(1, 1))
}

// TestFlushFails makes blocks impossible to write: nothing is lost, writers are
// refused when memory is full, and all goes on when it works again.
func TestFlushFails(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), HeadMaxBytes: 600 << 10, checkEvery: 5 * time.Millisecond}
	s := openTest(t, cfg)
	blocks := filepath.Join(cfg.Dir, "blocks")
	if err := os.Rename(blocks, blocks+"-gone"); err != nil {
		t.Fatal(err)
	}
	accepted := uint64(0)
	for {
		_, err := s.Append(t.Context(), testBatch(accepted+1, 1000))
		if errors.Is(err, store.ErrReadOnly) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if accepted++; accepted > 1000 {
			t.Fatal("memory is not bounded")
		}
	}
	if err := os.Rename(blocks+"-gone", blocks); err != nil {
		t.Fatal(err)
	}
	eventually(t, "store takes writes again", func() bool { return s.ReadOnly() == "" })
	mustAppend(t, s, testBatch(accepted+1, 1000))
	got := stored(t, s)
	for seq := uint64(1); seq <= accepted+1; seq++ {
		if got[seq] != 1000 {
			t.Errorf("batch %d has %d samples", seq, got[seq])
		}
	}
}

// TestMinFreeBytes opens stores on a disk without a free byte.
func TestMinFreeBytes(t *testing.T) {
	for least, want := range map[int64]string{
		0:  "0 MiB free on the disk, 256 MiB are needed",
		-1: "",
	} {
		s := openTest(t, Config{Dir: t.TempDir(), MinFreeBytes: least, freeBytes: func(string) (uint64, error) { return 0, nil }})
		if got := s.ReadOnly(); got != want {
			t.Errorf("minimum %d: %q, want %q", least, got, want)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	inherited, err := syscall.Dup(int(s.lock.Fd())) // as a child has it that is just being started
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(inherited) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, Config{Dir: dir})
}

// TestExpireUnlinks checks that whole blocks go, from the disk too.
func TestExpireUnlinks(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	mustAppend(t, s, testBatch(1, 10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Config{Dir: dir})
	files := func() int {
		paths, _ := filepath.Glob(filepath.Join(dir, "blocks", "*.parquet"))
		return len(paths)
	}
	if files() != 1 {
		t.Fatalf("%d blocks after close, want 1", files())
	}
	if err := s.Expire(t.Context(), math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if files() != 0 || len(stored(t, s)) != 0 {
		t.Errorf("%d blocks and %v left", files(), stored(t, s))
	}
}
