// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// writeFullLog fills the log of a new directory as far as a store leaves it at
// most: both halves of the memory are full and none is in a block yet.
func writeFullLog(tb testing.TB, cfg Config) (rows int, size int64) {
	tb.Helper()
	s, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	cfg, err = cfg.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	w := newWorkload()
	batches := w.reports(200_000)
	h := newHead()
	var file *os.File
	var inFile int64
	var log *logSegment
	for i := 0; h.bytes.Load() < cfg.HeadMaxBytes; i++ {
		b := batches[i%len(batches)]
		w.seq++
		b.ID.Sequence = w.seq
		if file == nil || inFile >= cfg.SegmentBytes {
			if file != nil {
				_ = file.Close()
			}
			n := uint64(1)
			if log != nil {
				n = log.number + 1
			}
			log = newLogSegment(n)
			if file, err = os.Create(segmentPath(s.walDir(), n)); err != nil {
				tb.Fatal(err)
			}
			if _, err := file.WriteString(walMagic); err != nil {
				tb.Fatal(err)
			}
			inFile = 0
		}
		record := log.record(b)
		if _, err := file.Write(record); err != nil {
			tb.Fatal(err)
		}
		inFile += int64(len(record))
		size += int64(len(record))
		h.add(b)
		rows += len(b.Samples)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return rows, size
}

// heapPeak samples the heap until stop is called, which returns the most it was.
func heapPeak() (stop func() uint64) {
	var most atomic.Uint64
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var m runtime.MemStats
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
		}
	})
	return func() uint64 {
		close(done)
		wg.Wait()
		return most.Load()
	}
}

// BenchmarkOpenFullLog opens a store whose log is as long as it gets with the
// default memory.
func BenchmarkOpenFullLog(b *testing.B) {
	dir := b.TempDir()
	rows, size := writeFullLog(b, Config{Dir: dir})
	debug.FreeOSMemory()
	var peak uint64
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		cfg := Config{Dir: b.TempDir()}
		if err := os.CopyFS(cfg.Dir, os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		debug.FreeOSMemory()
		stop, before := heapPeak(), cpuTime()
		b.StartTimer()
		s, err := Open(cfg)
		b.StopTimer()
		cpu = cpuTime() - before
		peak = max(peak, stop())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(cpu.Seconds(), "cpu-s")
	b.ReportMetric(float64(rows), "rows")
	b.ReportMetric(float64(size)/(1<<20), "log-MiB")
	b.ReportMetric(float64(peak)/(1<<20), "peak-heap-MiB")
}
