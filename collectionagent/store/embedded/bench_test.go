// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// The workload of the benchmarks: 100 hosts that take 25 samples per second on
// one CPU each and report every 5 s; 20 services, 400 pods, 50 threads' names,
// 2,000 series; 20,000 stacks of which some are much hotter than others. Labels
// are drawn independently, which real data is kinder than.
const (
	benchHosts  = 100
	benchStacks = 20_000
	benchSeries = 2000
	benchReport = 125
)

type workload struct {
	rnd    *rand.Rand
	zipf   *rand.Zipf
	stacks []libpf.TraceHash
	series [][]store.Series // by host
	seq    uint64
}

func newWorkload() *workload {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := &workload{rnd: rnd, zipf: rand.NewZipf(rnd, 1.1, 1, benchStacks-1), series: make([][]store.Series, benchHosts)}
	for range benchStacks {
		w.stacks = append(w.stacks, libpf.NewTraceHash(rnd.Uint64(), rnd.Uint64()))
	}
	for i := range benchSeries {
		host := i % benchHosts
		service := rnd.IntN(20)
		w.series[host] = append(w.series[host], store.Series{
			Project: "default", Type: libpf.SampleOnCPU, Service: fmt.Sprintf("service-%d", service),
			HostID: fmt.Sprint(host), Host: fmt.Sprintf("host-%03d", host), Namespace: "prod",
			Pod: fmt.Sprintf("service-%d-%d", service, rnd.IntN(20)), Container: "main",
			Comm: fmt.Sprintf("thread-%d", rnd.IntN(50)), Process: fmt.Sprintf("service-%d", service),
			Executable: fmt.Sprintf("/usr/bin/service-%d", service), PID: libpf.PID(1000 + i), TID: libpf.TID(1000 + i),
		})
	}
	return w
}

// report returns what a host sends for the 5 seconds from a time on.
func (w *workload) report(host int, from libpf.UnixTimeNs) *store.Batch {
	w.seq++
	b := &store.Batch{
		ID: store.BatchID{
			Project: "default", HostID: fmt.Sprint(host), RunID: [16]byte{1}, Type: store.BatchSamples, Sequence: w.seq,
		},
		Series: w.series[host],
	}
	for i := range benchReport {
		tick := libpf.UnixTimeNs(i) * libpf.UnixTimeNs(40*time.Millisecond)
		b.Samples = append(b.Samples, store.Sample{
			Time:   from + tick + libpf.UnixTimeNs(w.rnd.Int64N(int64(time.Millisecond))),
			Series: uint32(w.rnd.IntN(len(b.Series))), Stack: w.stacks[w.zipf.Uint64()], Count: 1, Value: 40_000_000,
		})
	}
	return b
}

// reports returns what all hosts send, in order of time, for so many rows.
func (w *workload) reports(rows int) []*store.Batch {
	var all []*store.Batch
	for from := libpf.UnixTimeNs(1_700_000_000e9); len(all)*benchReport < rows; from += 5e9 {
		for host := range benchHosts {
			all = append(all, w.report(host, from))
		}
	}
	return all
}

// cpuTime returns the CPU time of the process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fill appends all batches from as many goroutines as there are hosts.
func fill(tb testing.TB, s *Store, batches []*store.Batch, writers int) {
	tb.Helper()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < len(batches); i += writers {
				if _, err := s.Append(tb.Context(), batches[i]); err != nil {
					tb.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// benchRows returns how many rows a benchmark stores: STROBE_BENCH_ROWS or so many.
func benchRows(rows int) int {
	if n, err := strconv.Atoi(os.Getenv("STROBE_BENCH_ROWS")); err == nil {
		return n
	}
	return rows
}

// BenchmarkIngest stores reports of 125 samples, each acknowledged durably, and
// writes everything as blocks.
func BenchmarkIngest(b *testing.B) {
	batches := newWorkload().reports(benchRows(1_000_000))
	rows := float64(len(batches) * benchReport)
	for _, writers := range []int{1, 16, 100} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			var cpu time.Duration
			var size, syncs float64
			for b.Loop() {
				dir := b.TempDir()
				before := cpuTime()
				s, err := Open(Config{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				fill(b, s, batches, writers)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				cpu += cpuTime() - before
				n, err := dirBytes(s.blocksDir())
				if err != nil {
					b.Fatal(err)
				}
				size = float64(n)
				syncs = histogramCount(b, s)
			}
			b.ReportMetric(rows*float64(b.N)/cpu.Seconds(), "rows/cpu-s")
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(size/rows, "B/row")
			b.ReportMetric(float64(len(batches))/syncs, "batches/fsync")
		})
	}
}

// histogramCount returns how many commits a store made.
func histogramCount(tb testing.TB, s *Store) float64 {
	tb.Helper()
	return max(1, counterOf(tb, s.metrics.walSyncs))
}

// BenchmarkSelect asks what pages ask, of blocks and of the head.
func BenchmarkSelect(b *testing.B) {
	batches := newWorkload().reports(benchRows(2_000_000))
	rows := len(batches) * benchReport
	end := batches[len(batches)-1].Samples[benchReport-1].Time
	service, err := store.NewMatcher(store.LabelService, store.MatchEqual, "service-3")
	if err != nil {
		b.Fatal(err)
	}
	queries := []struct {
		name string
		q    store.Query
	}{
		{"flame", store.Query{ByStack: true, To: math.MaxInt64}},
		{"flame_service", store.Query{ByStack: true, To: math.MaxInt64, Matchers: []*store.Matcher{service}}},
		{"flame_5m", store.Query{ByStack: true, From: end - libpf.UnixTimeNs(5*time.Minute), To: math.MaxInt64}},
		{"timeline", store.Query{Step: 10 * time.Second, To: math.MaxInt64, GroupBy: []string{store.LabelService}}},
		{"label_values", store.Query{To: math.MaxInt64, GroupBy: []string{store.LabelService}}},
	}
	for _, where := range []string{"blocks", "head"} {
		cfg := Config{Dir: b.TempDir(), HeadMaxBytes: 4 << 30}
		s, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		fill(b, s, batches, 16)
		if where == "blocks" {
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			if s, err = Open(cfg); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range queries {
			b.Run(where+"/"+c.name, func(b *testing.B) {
				q := c.q
				q.Project, q.Type = "default", libpf.SampleOnCPU
				before := cpuTime()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Select(b.Context(), &q, func(*store.Row) bool { return true }); err != nil {
						b.Fatal(err)
					}
				}
				cpu := (cpuTime() - before).Seconds() / float64(b.N)
				b.ReportMetric(cpu*1e3, "cpu-ms/op")
				b.ReportMetric(float64(rows)/cpu/1e6, "Mrows/cpu-s")
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompact merges flushed heads into a window, with roll-ups.
func BenchmarkCompact(b *testing.B) {
	batches := newWorkload().reports(benchRows(2_000_000))
	rows := float64(len(batches) * benchReport)
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		// Only what is measured merges.
		s, err := Open(Config{Dir: b.TempDir(), HeadMaxBytes: 64 << 20, compaction: compactionConfig{every: time.Hour}})
		if err != nil {
			b.Fatal(err)
		}
		fill(b, s, batches, 16)
		if err := s.flushHead(b.Context()); err != nil {
			b.Fatal(err)
		}
		_, blocks, _ := s.readView()
		before := int64(0)
		for _, block := range blocks {
			before += block.info.bytes()
		}
		b.ReportMetric(float64(before)/rows, "flushed-B/row")
		start := cpuTime()
		b.StartTimer()
		if err := s.Maintain(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		cpu += cpuTime() - start
		sizes, counts := make(map[string]int64), make(map[string]int64)
		_, blocks, _ = s.readView()
		for _, block := range blocks {
			for _, part := range block.parts() {
				kind := string(part.kind)
				if kind == "" {
					kind = "samples"
				}
				sizes[kind] += part.info.Bytes
				counts[kind] += part.info.Rows
				table, err := part.rawTable(part.info.Number)
				if err != nil {
					b.Fatal(err)
				}
				sizes["tables"] += int64(len(table))
			}
		}
		for kind, n := range sizes {
			b.ReportMetric(float64(n)/rows, kind+"-B/row")
			if counts[kind] > 0 {
				b.ReportMetric(float64(counts[kind])/rows, kind+"-rows/row")
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N)/rows*1e6, "cpu-s/Mrows")
}
