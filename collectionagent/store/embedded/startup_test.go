// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// longLog returns a directory with a log of n batches of 1000 samples in segments of
// a size, which no block holds anything of.
func longLog(t *testing.T, n uint64, segmentBytes int64) string {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), HeadMaxBytes: 1 << 30, SegmentBytes: segmentBytes}
	s := openTest(t, cfg)
	for seq := range n {
		mustAppend(t, s, testBatch(seq+1, 1000))
	}
	return crash(t, cfg.Dir)
}

// TestReplayInBoundedMemory replays a log that is many times as large as the head,
// from segments that are larger than it, too, and kills it in between.
func TestReplayInBoundedMemory(t *testing.T) {
	const batches = 200
	for name, segmentBytes := range map[string]int64{"one segment": 1 << 30, "many": 20 << 10} {
		t.Run(name, func(t *testing.T) {
			dir := longLog(t, batches, segmentBytes)
			cfg := Config{Dir: dir, HeadMaxBytes: 1 << 20}
			// The first two attempts end when some heads have become blocks.
			for attempt := range 3 {
				cfg.ReplayInBackground, cfg.files = attempt < 2, fileOps{}
				let := make(chan struct{}, 1)
				if attempt < 2 {
					let <- struct{}{} // one block, so that the copy is of a moment
					cfg.files = slowFiles(let)
				}
				s := openTest(t, cfg)
				if attempt < 2 {
					eventually(t, "a block is written", func() bool {
						_, blocks, _ := s.readView()
						return len(blocks) > attempt
					})
					cfg.Dir = crash(t, cfg.Dir)
					close(let)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if n := s.headBytes(); n > 2<<20 {
					t.Errorf("the head takes %d bytes", n)
				}
				got := stored(t, s)
				for seq := uint64(1); seq <= batches; seq++ {
					if got[seq] != 1000 {
						t.Fatalf("batch %d has %d samples", seq, got[seq])
					}
					if !mustAppend(t, s, testBatch(seq, 1000)) {
						t.Fatalf("batch %d is taken for new", seq)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "wal", "*.wal")); len(left) > 0 {
					t.Errorf("log segments are left: %v", left)
				}
			}
		})
	}
}

// slowFiles makes blocks wait until they may be written.
func slowFiles(let <-chan struct{}) fileOps {
	files := localFiles()
	create := files.create
	files.create = func(path string) (blockOutput, error) {
		<-let
		return create(path)
	}
	return files
}

// TestServesWhileReplaying holds a replay up and asks: what has been replayed is
// found, the store says so, and new samples have to wait while repeats do not.
func TestServesWhileReplaying(t *testing.T) {
	const batches = 100
	dir := longLog(t, batches, 1<<30)
	let := make(chan struct{})
	s := openTest(t, Config{Dir: dir, HeadMaxBytes: 1 << 20, ReplayInBackground: true, files: slowFiles(let)})
	eventually(t, "both heads are full", func() bool { return s.headBytes() >= 1<<20 })
	if text := s.Replaying(); !strings.Contains(text, "%") {
		t.Errorf("status %q", text)
	}
	got := stored(t, s)
	if len(got) == 0 || len(got) >= batches {
		t.Errorf("%d of %d batches are found", len(got), batches)
	}
	for seq, n := range got {
		if n != 1000 {
			t.Errorf("half a batch is found: %d samples of %d", n, seq)
		}
	}
	for range 2 {
		_, err := s.Append(t.Context(), testBatch(batches+1, 10))
		if !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), "replaying") {
			t.Errorf("append: %v", err)
		}
	}
	if !mustAppend(t, s, testBatch(1, 1000)) {
		t.Error("what is replayed is no repeat")
	}
	if _, err := s.Applied(t.Context(), testBatch(batches, 1).ID); !errors.Is(err, store.ErrBusy) {
		t.Errorf("what is not replayed yet counts as not stored: %v", err)
	}
	if _, err := s.RunLedgers(t.Context(), "default"); !errors.Is(err, store.ErrBusy) {
		t.Errorf("ledgers: %v", err)
	}
	if _, err := s.Put(t.Context(), &store.Definitions{Project: "default"}); err != nil {
		t.Errorf("definitions need no log: %v", err)
	}
	close(let)
	if err := s.WaitReplayed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Replaying() != "" {
		t.Errorf("status %q", s.Replaying())
	}
	if mustAppend(t, s, testBatch(batches+1, 10)) {
		t.Error("refused batch is taken for stored")
	}
	if got := stored(t, s); len(got) != batches+1 || got[batches] != 1000 {
		t.Errorf("%d batches are stored", len(got))
	}
}

// TestReplayFails cannot keep a copy of a damaged part: writes stay refused, with
// the reason, and queries go on.
func TestReplayFails(t *testing.T) {
	dir := longLog(t, 3, 1<<30)
	path, data := logOf(t, dir)
	data[len(walMagic)+recordHeader+3] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "wal", "quarantine"), nil, 0o600); err != nil { // no directory
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "quarantine") {
		t.Errorf("open: %v", err)
	}
	s := openTest(t, Config{Dir: dir, ReplayInBackground: true})
	if err := s.WaitReplayed(t.Context()); err == nil {
		t.Error("replay worked")
	}
	eventually(t, "store is read-only", func() bool { return s.ReadOnly() != "" })
	if !strings.Contains(s.ReadOnly(), "quarantine") || !strings.Contains(s.Replaying(), "cannot be replayed") {
		t.Errorf("status %q, %q", s.ReadOnly(), s.Replaying())
	}
	if _, err := s.Append(t.Context(), testBatch(9, 1)); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	stored(t, s)
}

// TestSegmentWindow reads a segment whose records and damage lie across the ends of
// windows.
func TestSegmentWindow(t *testing.T) {
	dir := t.TempDir()
	path := segmentPath(dir, 1)
	content := []byte(walMagic)
	var starts []int64
	for i := range 40 {
		content = append(content, make([]byte, i*1000)...) // damage
		content = append(content, recordMark[:i%4]...)
		starts = append(starts, int64(len(content)))
		content = append(content, sealed(1, make([]byte, 100_000+i))...)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openSegment(dir, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.close() }()
	pos := int64(0)
	for i, want := range starts {
		if pos, err = r.next(pos); err != nil || pos != want {
			t.Fatalf("record %d is found at %d, want %d: %v", i, pos, want, err)
		}
		payload, size, ok, err := r.record(pos)
		if err != nil || !ok || len(payload) != 100_000+i {
			t.Fatalf("record %d: %d bytes, %t, %v", i, len(payload), ok, err)
		}
		pos += size
	}
	if end, err := r.next(pos); err != nil || end != r.size {
		t.Errorf("end at %d of %d: %v", end, r.size, err)
	}
	if cap(r.keep) > 2*segmentWindow {
		t.Errorf("the window has %d bytes", cap(r.keep))
	}
}

// writeLog fills the log of a new directory up to a size.
func writeLog(tb testing.TB, dir string, size int64) (rows int) {
	tb.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	w := newWorkload()
	batches := w.reports(200_000)
	const segment = 16 << 20
	for n := uint64(1); size > 0; n++ {
		f, err := os.Create(segmentPath(s.walDir(), n))
		if err != nil {
			tb.Fatal(err)
		}
		out := bufio.NewWriterSize(f, 1<<20)
		log := newLogSegment(n)
		_, _ = out.WriteString(walMagic) // an error stays until Flush
		for in := int64(0); in < min(segment, size); {
			w.seq++
			b := batches[w.seq%uint64(len(batches))]
			b.ID.Sequence = w.seq
			record := log.record(b)
			_, _ = out.Write(record)
			in += int64(len(record))
			rows += len(b.Samples)
		}
		if err := errors.Join(out.Flush(), f.Close()); err != nil {
			tb.Fatal(err)
		}
		size -= segment
	}
	return rows
}

// BenchmarkOpenLongLog opens a store whose log, of STROBE_BENCH_LOG_MIB, is much
// longer than its head: until queries are answered, and until all is replayed.
func BenchmarkOpenLongLog(b *testing.B) {
	mib, err := strconv.ParseInt(os.Getenv("STROBE_BENCH_LOG_MIB"), 10, 32)
	if err != nil {
		mib = 64
	}
	var asked, replayed time.Duration
	var peak uint64
	rows := 0
	for b.Loop() {
		b.StopTimer()
		cfg := Config{Dir: b.TempDir(), HeadMaxBytes: 64 << 20, ReplayInBackground: true}
		rows = writeLog(b, cfg.Dir, mib<<20)
		debug.FreeOSMemory()
		stop := heapPeak()
		b.StartTimer()
		started := time.Now()
		s, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		q := &store.Query{Project: "default", To: 1 << 62}
		if _, err := s.Select(b.Context(), q, func(*store.Row) bool { return true }); err != nil {
			b.Fatal(err)
		}
		asked = time.Since(started)
		if err := s.WaitReplayed(b.Context()); err != nil {
			b.Fatal(err)
		}
		replayed = time.Since(started)
		b.StopTimer()
		peak = max(peak, stop())
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(asked.Microseconds())/1000, "ms-to-answer")
	b.ReportMetric(replayed.Seconds(), "s-to-writes")
	b.ReportMetric(float64(rows)/replayed.Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(peak)/(1<<20), "peak-heap-MiB")
}
