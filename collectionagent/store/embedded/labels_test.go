// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// manyPods returns batches with a sample of each of so many pods, in batches of 1000,
// all within a millisecond of a time. The sum of a pod is its number.
func manyPods(pods int, at libpf.UnixTimeNs, seq *uint64) []*store.Batch {
	var all []*store.Batch
	for first := 0; first < pods; first += 1000 {
		*seq++
		b := &store.Batch{ID: store.BatchID{Project: "default", HostID: "h", RunID: [16]byte{1}, Type: store.BatchSamples, Sequence: *seq}}
		for i := first; i < min(first+1000, pods); i++ {
			b.Series = append(b.Series, store.Series{
				Project: "default", Type: libpf.SampleOnCPU, Service: fmt.Sprintf("service-%d", i%7), Pod: fmt.Sprintf("pod-%06d", i),
			})
			b.Samples = append(b.Samples, store.Sample{
				Time: at, Series: uint32(i - first), Stack: libpf.NewTraceHash(uint64(i%100), 1), Count: 1, Value: int64(i + 1),
			})
		}
		all = append(all, b)
	}
	return all
}

// podStore returns a store with so many pods in each of some blocks, an hour apart.
func podStore(tb testing.TB, cfg Config, pods, blocks int) *Store {
	tb.Helper()
	cfg.Dir, cfg.HeadMaxBytes = tb.TempDir(), 4<<30
	cfg.compaction.every = time.Hour // blocks stay as they were written
	s, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	seq := uint64(0)
	for i := range blocks {
		for _, b := range manyPods(pods, libpf.UnixTimeNs(1_700_000_000e9+int64(i)*3600e9), &seq) {
			if _, err := s.Append(tb.Context(), b); err != nil {
				tb.Fatal(err)
			}
		}
		if err := s.flushHead(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// TestLabelIndex asks the same of a store with an index, of one whose index has no
// room, and of what Select says, of ranges that cut blocks and of ones that do not.
func TestLabelIndex(t *testing.T) {
	const pods, blocks = 300, 4
	for name, cfg := range map[string]Config{"index": {}, "no room": {LabelBytes: 1}, "little": {LabelBytes: 60_000}} {
		t.Run(name, func(t *testing.T) {
			s := podStore(t, cfg, pods, blocks)
			seq := uint64(1000)
			for _, b := range manyPods(pods/2, libpf.UnixTimeNs(1_700_000_000e9+1800e9), &seq) {
				mustAppend(t, s, b) // stays in the head
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			service, err := store.NewMatcher(store.LabelService, store.MatchRegexp, "service-[0-3]")
			if err != nil {
				t.Fatal(err)
			}
			for range 200 {
				q := &store.Query{Project: "default", Type: libpf.SampleOnCPU}
				q.From = libpf.UnixTimeNs(1_700_000_000e9 + (rnd.Int64N(6)-1)*1800e9 + rnd.Int64N(2))
				q.To = q.From + libpf.UnixTimeNs(rnd.Int64N(8)*1800e9+rnd.Int64N(3))
				if rnd.IntN(3) == 0 {
					q.Matchers = []*store.Matcher{service}
				}
				search := store.LabelSearch{Name: []string{store.LabelPod, store.LabelService}[rnd.IntN(2)], Limit: rnd.IntN(20)}
				search.Prefix = []string{"", "pod-0001", "pod-00029", "service-3", "zzz"}[rnd.IntN(5)]
				got, err := s.LabelValues(t.Context(), q, search)
				if err != nil {
					t.Fatal(err)
				}
				q.GroupBy = []string{search.Name}
				var all []store.LabelValue
				if _, err := s.Select(t.Context(), q, func(r *store.Row) bool {
					all = append(all, store.LabelValue{Value: strings.Clone(r.Group[0]), Count: r.Count, Sum: r.Value})
					return true
				}); err != nil {
					t.Fatal(err)
				}
				want := search.Pick(all)
				if len(want.Values) != len(got.Values) || want.Hidden != got.Hidden || !slices.Equal(want.Values, got.Values) {
					t.Fatalf("%+v of %d..%d: (-select +index)\n%s", search, q.From, q.To, cmp.Diff(want, got))
				}
			}
			if used := s.labelCache.used(); used > s.cfg.LabelBytes {
				t.Errorf("the index takes %d bytes", used)
			}
		})
	}
}

// TestLabelIndexForgets removes samples, which must be gone from the answers.
func TestLabelIndexForgets(t *testing.T) {
	s := podStore(t, Config{}, 100, 3)
	values := func() int {
		q := &store.Query{Project: "default", To: 1 << 62}
		got, err := s.LabelValues(t.Context(), q, store.LabelSearch{Name: store.LabelPod})
		if err != nil {
			t.Fatal(err)
		}
		return len(got.Values)
	}
	if n := values(); n != 100 {
		t.Fatalf("%d values", n)
	}
	one, err := store.NewMatcher(store.LabelPod, store.MatchEqual, "pod-000042")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "default", To: 1 << 62, Matchers: []*store.Matcher{one}}); err != nil {
		t.Fatal(err)
	}
	if n := values(); n != 99 {
		t.Errorf("%d values after one was removed", n)
	}
	if err := s.Expire(t.Context(), 1<<62); err != nil {
		t.Fatal(err)
	}
	if n := values(); n != 0 {
		t.Errorf("%d values after all expired", n)
	}
}

// TestLabelsOpenFewBlocks asks for labels of more blocks than may be open, which
// close as the next ones open, and not when the question has been answered.
func TestLabelsOpenFewBlocks(t *testing.T) {
	s := podStore(t, Config{MaxOpenBlocks: 2}, 10, 8)
	_, blocks, _ := s.readView()
	most := 0
	for _, b := range blocks {
		read := b.read
		b.read = func(info *blockInfo) (blockReader, error) {
			open := 1
			for _, other := range blocks {
				if other != b && other.openBytes() > 0 {
					open++
				}
			}
			most = max(most, open)
			return read(info)
		}
	}
	names, err := s.LabelNames(t.Context(), &store.Query{Project: "default", To: 1 << 62})
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	if most == 0 || most > s.cfg.MaxOpenBlocks+1 { // with the one that is being read
		t.Errorf("%d blocks were open at the same time", most)
	}
}

// BenchmarkLabelValues lists the largest 100 of 100,000 values in 10 blocks: from the
// files, from the index, with a prefix, and with a range that cuts a block.
func BenchmarkLabelValues(b *testing.B) {
	const pods, blocks = 100_000, 10
	s := podStore(b, Config{LabelBytes: 128 << 20}, pods, blocks)
	all := &store.Query{Project: "default", Type: libpf.SampleOnCPU, To: 1 << 62}
	for _, c := range []struct {
		name, prefix string
		cold         bool
	}{
		{"cold", "", true}, {"warm", "", false}, {"prefix", "pod-0042", false},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.cold {
					s.labelCache = newLabelCache(s.cfg.LabelBytes)
				}
				got, err := s.LabelValues(b.Context(), all, store.LabelSearch{Name: store.LabelPod, Prefix: c.prefix, Limit: 100})
				if err != nil || len(got.Values) != 100 {
					b.Fatalf("%d values, %v", len(got.Values), err)
				}
			}
			b.ReportMetric(float64(s.labelCache.used())/(1<<20), "index-MiB")
		})
	}
}
