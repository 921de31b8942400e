// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// sealed returns a record with any payload.
func sealed(segment uint64, payload []byte) []byte {
	b := append(make([]byte, recordHeader), payload...)
	sealRecord(segment, b)
	return b
}

// logSegment makes records of a segment as the log would.
type logSegment struct {
	number uint64
	head   *head
	code   segmentCode
}

func newLogSegment(number uint64) *logSegment { return &logSegment{number: number, head: newHead()} }

// payload returns that of a record with the batches.
func (l *logSegment) payload(batches ...*store.Batch) []byte {
	l.head.begin()
	var group []numbered
	for _, b := range batches {
		group = append(group, l.head.number(b))
	}
	return l.code.appendGroup(nil, l.head, group)
}

func (l *logSegment) record(batches ...*store.Batch) []byte {
	return sealed(l.number, l.payload(batches...))
}

// pool is what the samples of a test refer to.
const (
	poolStacks = 60
	poolSeries = 12
)

func poolStack(i int) libpf.TraceHash { return libpf.NewTraceHash(uint64(i)*7919, uint64(i)) }

// mixed returns a batch whose samples refer to a few of many series and stacks. Each
// sample has a time of its own, which says what it must refer to.
func mixed(r *rand.Rand, seq uint64) *store.Batch {
	b := &store.Batch{ID: store.BatchID{Project: "default", HostID: "h", RunID: [16]byte{9}, Type: store.BatchSamples, Sequence: seq}}
	for _, i := range r.Perm(poolSeries)[:1+r.IntN(4)] {
		b.Series = append(b.Series, store.Series{
			Project: "default", Type: libpf.SampleOnCPU, Service: fmt.Sprint("service-", i), Comm: "c",
			Labels: []libpf.Label{{Key: "n", Value: fmt.Sprint(i)}},
		})
	}
	for i := range r.IntN(12) {
		n := r.IntN(poolStacks)
		s := store.Sample{
			Time: libpf.UnixTimeNs(1_700_000_000_000+1000*int64(seq)+int64(i)) * 1e6, Series: uint32(r.IntN(len(b.Series))), //nolint:gosec // small
			Stack: poolStack(n), Count: int64(r.IntN(4)), Value: r.Int64N(1 << 40),
		}
		if r.IntN(2) == 0 {
			s.Value = s.Count * 50_000_000
		}
		if r.IntN(4) == 0 {
			s.TraceID, s.SpanID = [16]byte{byte(r.IntN(3))}, [8]byte{byte(r.IntN(3))}
		}
		b.Samples = append(b.Samples, s)
	}
	return b
}

// told is a sample with all that it refers to, by its time.
type told map[libpf.UnixTimeNs]string

func (m told) add(b *store.Batch) {
	for i := range b.Samples {
		s := &b.Samples[i]
		series := &b.Series[s.Series]
		m[s.Time] = fmt.Sprintf("%s %v %s %d %d %x %x", series.Service, series.Labels, s.Stack, s.Count, s.Value, s.TraceID, s.SpanID)
	}
}

// tell returns everything that is stored. It fails when two samples have one time.
func tell(t *testing.T, s *Store) told {
	t.Helper()
	got := told{}
	q := &store.Query{Project: "default", From: math.MinInt64, To: math.MaxInt64}
	err := s.Samples(t.Context(), q, func(sample *store.Sample, series *store.Series) bool {
		if got[sample.Time] != "" {
			t.Errorf("sample of %d is there twice", sample.Time)
		}
		one := *sample
		one.Series = 0
		got.add(&store.Batch{Series: []store.Series{*series}, Samples: []store.Sample{one}})
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// replayAll replays one segment from an offset on.
func replayAll(t *testing.T, content []byte, from int64) (got told, m *metrics) {
	t.Helper()
	s := memoryStore(t, t.TempDir())
	if err := os.MkdirAll(s.walDir(), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segmentPath(s.walDir(), 1), content, 0o600); err != nil {
		t.Fatal(err)
	}
	got = told{}
	r := &replayer{dir: s.walDir(), logger: s.logger, metrics: s.metrics}
	r.apply = func(batches []*store.Batch, _ uint64, _ int64) error {
		for _, b := range batches {
			if err := b.Check(); err != nil {
				t.Error(err)
			}
			got.add(b)
		}
		return nil
	}
	defer r.start()()
	if err := r.segment(t.Context(), 1, from, false); err != nil {
		t.Fatal(err)
	}
	return got, s.metrics
}

// TestLogRecords writes groups of batches and replays them, from each record on.
func TestLogRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	l := newLogSegment(1)
	content := []byte(walMagic)
	starts := []int64{}
	groups := []told{}
	for seq := uint64(1); seq < 200; {
		group := told{}
		var batches []*store.Batch
		for range r.IntN(4) {
			b := mixed(r, seq)
			seq++
			batches = append(batches, b)
			group.add(b)
		}
		starts, groups = append(starts, int64(len(content))), append(groups, group)
		content = append(content, l.record(batches...)...)
	}
	for i := 0; i < len(starts); i += 7 {
		from := starts[i]
		if i == 0 {
			from = 0
		}
		want := told{}
		for _, g := range groups[i:] {
			maps.Copy(want, g)
		}
		got, m := replayAll(t, content, from)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("from record %d (-want +got):\n%s", i, d)
		}
		if n := counterOf(t, m.walLost) + counterOf(t, m.walCorrupt); n != 0 {
			t.Errorf("from record %d: %v losses", i, n)
		}
	}
}

// TestDamagedRecords damages records. No sample gets another stack or series than its own;
// what is lost beside the damaged records is counted, and is nothing when one record is damaged.
func TestDamagedRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	l := newLogSegment(1)
	content := []byte(walMagic)
	ends := []int{len(content)}
	var records []told
	all := told{}
	for seq := range uint64(60) {
		b := mixed(r, seq)
		one := told{}
		one.add(b)
		all.add(b)
		records = append(records, one)
		content = append(content, l.record(b)...)
		ends = append(ends, len(content))
	}
	check := func(damaged ...int) (lost int) {
		t.Helper()
		bad := bytes.Clone(content)
		gone := 0
		for _, n := range damaged {
			bad[ends[n]+r.IntN(ends[n+1]-ends[n])] ^= 1 << r.IntN(8)
			gone += len(records[n])
		}
		var from int64
		if damaged[len(damaged)-1] < 20 && r.IntN(2) == 0 { // what is before is in a block
			from = int64(ends[20])
		}
		got, m := replayAll(t, bad, from)
		want := 0
		for n, record := range records {
			if from > 0 && n < 20 {
				for at := range record {
					if got[at] != "" {
						t.Fatalf("record %d is in a block and was replayed", n)
					}
				}
				continue
			}
			for at, what := range record {
				for _, d := range damaged {
					if d == n && got[at] != "" {
						t.Fatalf("damaged record %d was read", n)
					}
				}
				if got[at] != "" {
					want++
					if got[at] != what {
						t.Fatalf("records %v damaged, record %d: got %s, want %s", damaged, n, got[at], what)
					}
				}
			}
		}
		if want != len(got) {
			t.Fatalf("%d samples of %d were never written", len(got)-want, len(got))
		}
		lost = int(counterOf(t, m.walLost))
		if from == 0 && len(all) != len(got)+gone+lost {
			t.Fatalf("records %v damaged: %d of %d samples are there, %d were in these, %d are counted as lost",
				damaged, len(got), len(all), gone, lost)
		}
		return lost
	}
	for n := range records {
		if lost := check(n); lost != 0 {
			t.Errorf("record %d damaged: %d samples of others are lost", n, lost)
		}
	}
	lost := 0
	for range 200 {
		perm := r.Perm(8)
		lost += check(min(perm[0], perm[1]), max(perm[0], perm[1]))
	}
	for range 50 {
		first := r.IntN(50)
		check(first, first+1, first+2, first+3, first+4)
	}
	if lost == 0 {
		t.Error("nothing was ever lost: the test does not test that")
	}
}

// TestForeignRecord puts an intact record of another segment into one.
func TestForeignRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	l, other := newLogSegment(1), newLogSegment(2)
	content := []byte(walMagic)
	want := told{}
	for seq := range uint64(20) {
		b := mixed(r, seq)
		want.add(b)
		content = append(content, l.record(b)...)
		content = append(content, other.record(mixed(r, 1000+seq))...)
	}
	got, m := replayAll(t, content, 0)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := counterOf(t, m.walCorrupt); n != 20 {
		t.Errorf("%v damaged parts", n)
	}
}

// TestContradiction reads a record that numbers again what has a number.
func TestContradiction(t *testing.T) {
	l, other := newLogSegment(1), newLogSegment(1)
	content := append([]byte(walMagic), l.record(testBatch(1, 3))...)
	content = append(content, other.record(testBatch(2, 3))...) // starts at 0 again
	got, m := replayAll(t, content, 0)
	if len(got) != 3 || counterOf(t, m.walCorrupt) != 1 {
		t.Errorf("%d samples, %v damaged parts", len(got), counterOf(t, m.walCorrupt))
	}
}

// TestTakeBack takes numbers back, after which others get them.
func TestTakeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	h := newHead()
	want := told{}
	for seq := range uint64(300) {
		h.begin()
		if r.IntN(2) == 0 {
			h.number(mixed(r, 5000+seq))
			h.takeBack()
		}
		a, b := mixed(r, 2*seq), mixed(r, 2*seq+1)
		n, m := h.number(a), h.number(b)
		h.addNumbered(&n)
		h.addNumbered(&m)
		want.add(a)
		want.add(b)
	}
	s := memoryStore(t, t.TempDir())
	s.head = h
	if d := cmp.Diff(want, tell(t, s)); d != "" {
		t.Error(d)
	}
	v := h.snapshot()
	if len(v.stacks) > poolStacks || len(v.series) > poolSeries {
		t.Errorf("%d stacks and %d series", len(v.stacks), len(v.series))
	}
}

// TestOldFormat opens a store with a log of another version of the program.
func TestOldFormat(t *testing.T) {
	for _, format := range []string{"1", "3"} {
		dir := t.TempDir()
		s := openTest(t, Config{Dir: dir})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path := segmentPath(s.walDir(), 7)
		content := append([]byte(walFamily+format+walMagic[len(walFamily)+1:]), bytes.Repeat([]byte("\xf5SW1 record"), 100)...)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Dir: dir})
		if !errors.Is(err, errWALFormat) || !strings.Contains(err.Error(), "format "+format) || !strings.Contains(err.Error(), path) {
			t.Errorf("open: %v", err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("the segment was changed: %v", err)
		}
		problems := 0
		if _, err := VerifyDir(t.Context(), dir, nil, func(f *Finding) {
			if f.Problem && strings.Contains(f.What, "format") {
				problems++
			}
		}); err != nil || problems != 1 {
			t.Errorf("verify: %d problems, %v", problems, err)
		}
	}
}

// TestVerifyDamagedLog counts what damage of the log costs.
func TestVerifyDamagedLog(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	for seq := range uint64(3) {
		b := testBatch(seq+1, 5)
		for i := range b.Samples {
			b.Samples[i].Stack = poolStack(i)
		}
		mustAppend(t, s, b)
	}
	dir = crash(t, dir)
	path, data := logOf(t, dir)
	at := len(walMagic)
	for range 2 {
		data[at+recordHeader+3] ^= 1
		at += recordHeader + int(binary.LittleEndian.Uint32(data[at+8:]))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var found []string
	if _, err := VerifyDir(t.Context(), dir, nil, func(f *Finding) {
		if f.Problem {
			found = append(found, f.What)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || !strings.Contains(found[1], "5 samples in intact records") {
		t.Errorf("found %q", found)
	}
	s = openTest(t, Config{Dir: dir})
	if n := counterOf(t, s.metrics.walLost); n != 5 {
		t.Errorf("%v samples are counted as lost", n)
	}
	// All of the last batch is lost, so a repeat of it is welcome.
	b := testBatch(3, 5)
	if mustAppend(t, s, b) {
		t.Error("a batch of which nothing is left counts as stored")
	}
}

// brokenFile is a segment on a disk whose operations fail now and then.
type brokenFile struct {
	walFile
	fail func() bool
}

func (f brokenFile) Write(b []byte) (int, error) {
	if f.fail() {
		n, _ := f.walFile.Write(b[:rand.IntN(len(b)+1)])
		return n, syscall.EIO
	}
	return f.walFile.Write(b)
}

func (f brokenFile) Sync() error {
	if f.fail() {
		return syscall.EIO // what was written stays
	}
	return f.walFile.Sync()
}

func (f brokenFile) Truncate(size int64) error {
	if f.fail() {
		return syscall.EIO
	}
	return f.walFile.Truncate(size)
}

// TestLogFaults writes from several goroutines to a disk that fails all the time, in
// segments of every size, and crashes. What was acknowledged is there once with all that it
// refers to, before and after.
func TestLogFaults(t *testing.T) {
	for round := range 4 {
		var healthy atomic.Bool
		cfg := Config{Dir: t.TempDir(), SegmentBytes: 1 << (9 + 2*round), checkEvery: time.Millisecond, HeadMaxBytes: 2 << 20}
		cfg.createSegment = func(path string) (walFile, error) {
			f, err := createFile(path)
			return brokenFile{f, func() bool { return !healthy.Load() && rand.IntN(8) == 0 }}, err
		}
		s := openTest(t, cfg)
		want := told{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(w)))
				for i := range 30 {
					b := mixed(r, uint64(i*4+w+1))
					for { // as agents do
						_, err := s.Append(t.Context(), b)
						if err == nil {
							break
						}
						if !errors.Is(err, store.ErrReadOnly) {
							t.Error(err)
							return
						}
						time.Sleep(time.Millisecond)
					}
					mu.Lock()
					want.add(b)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		healthy.Store(true)
		if d := cmp.Diff(want, tell(t, s)); d != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, d)
		}
		dir := crash(t, cfg.Dir)
		again := openTest(t, Config{Dir: dir})
		if d := cmp.Diff(want, tell(t, again)); d != "" {
			t.Fatalf("round %d, after a crash (-want +got):\n%s", round, d)
		}
		if n := counterOf(t, again.metrics.walLost); n != 0 {
			t.Errorf("round %d: %v samples are counted as lost", round, n)
		}
		for _, s := range []*Store{s, again} {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTablesEndSegment starts a new segment when a reader would have to remember a lot.
func TestTablesEndSegment(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	for seq := range uint64(4) {
		b := testBatch(seq+1, 100_000)
		for i := range b.Samples {
			b.Samples[i].Stack = libpf.NewTraceHash(seq, uint64(i))
		}
		mustAppend(t, s, b)
	}
	if paths, _ := filepath.Glob(filepath.Join(dir, "wal", "*.wal")); len(paths) != 2 {
		t.Errorf("segments %v", paths)
	}
}
