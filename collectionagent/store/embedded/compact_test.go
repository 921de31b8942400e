// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// calm merges in small windows, but only when Maintain is called.
var calm = compactionConfig{
	every: never, window: 2 * time.Hour, day: 8 * time.Hour, dayRows: 3000, smallRows: 50, gain: -1, least: 1,
}

// selectRows returns the answer to a query.
func selectRows(t *testing.T, s store.Store, q *store.Query) ([]store.Row, store.Coverage) {
	t.Helper()
	var rows []store.Row
	covered, err := s.Select(t.Context(), q, func(r *store.Row) bool {
		c := *r
		c.Group = slices.Clone(r.Group)
		rows = append(rows, c)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return sortRows(rows), covered
}

// rollUpQuery returns a query that roll-ups may answer, and sometimes cannot.
func rollUpQuery(rnd *rand.Rand) *store.Query {
	base := libpf.UnixTimeNs(1_700_000_000e9) / 3600e9 * 3600e9
	widths := []libpf.UnixTimeNs{3600e9, 60e9, 60e9, 1e6}
	at := func() libpf.UnixTimeNs {
		w := widths[rnd.IntN(len(widths))]
		return base + libpf.UnixTimeNs(rnd.Int64N(8*3600e9))/w*w
	}
	a, b := at(), at()
	q := &store.Query{
		Project: []string{"default", "default", "other"}[rnd.IntN(3)], Type: []libpf.SampleType{0, libpf.SampleOnCPU, libpf.SampleOffCPU}[rnd.IntN(3)],
		From: min(a, b), To: max(a, b), ByStack: rnd.IntN(2) == 0,
		Step:    []time.Duration{0, 0, time.Hour, time.Minute, 3 * time.Minute, 10 * time.Second}[rnd.IntN(6)],
		GroupBy: [][]string{nil, {"service"}, {"host"}, {"service", "host_id"}, {"comm"}}[rnd.IntN(5)],
	}
	if rnd.IntN(4) == 0 {
		q.From, q.To = base-3600e9, base+10*3600e9
	}
	if rnd.IntN(3) == 0 {
		m, err := store.NewMatcher([]string{"service", "host", "comm"}[rnd.IntN(3)], store.MatchNotEqual, []string{"web", "a", "main"}[rnd.IntN(3)])
		if err != nil {
			panic(err) // it is no expression
		}
		q.Matchers = append(q.Matchers, m)
	}
	return q
}

// compareWithModel asks both many queries.
func compareWithModel(t *testing.T, s, model store.Store, rnd *rand.Rand) {
	t.Helper()
	for range often(25) {
		q := rollUpQuery(rnd)
		got, covered := selectRows(t, s, q)
		want, exact := selectRows(t, model, q)
		if d := difference(want, got); d != "" {
			t.Fatalf("%+v (-model +store):\n%s", q, d)
		}
		if exact.To != 0 && (covered.From > exact.From || covered.To < exact.To || covered.Resolution > max(q.RollUp(), store.Resolution)) {
			t.Fatalf("%+v: covered %+v, samples %+v", q, covered, exact)
		}
		gotTypes, err1 := s.Types(t.Context(), q.Project, q.From, q.To)
		wantTypes, err2 := model.Types(t.Context(), q.Project, q.From, q.To)
		if d := gocmp.Diff(wantTypes, gotTypes); d != "" || err1 != nil || err2 != nil {
			t.Fatalf("types of %+v: %v %v\n%s", q, err1, err2, d)
		}
		for _, label := range []string{"service", "comm"} {
			gotValues, err1 := s.LabelValues(t.Context(), q, store.LabelSearch{Name: label})
			wantValues, err2 := model.LabelValues(t.Context(), q, store.LabelSearch{Name: label})
			if d := gocmp.Diff(fmt.Sprint(wantValues), fmt.Sprint(gotValues)); d != "" || err1 != nil || err2 != nil {
				t.Fatalf("values of %s of %+v: %v %v\n%s", label, q, err1, err2, d)
			}
		}
	}
}

// blockNumbers lists what is on the list.
func blockNumbers(s *Store) []uint64 {
	_, blocks, _ := s.readView()
	var numbers []uint64
	for _, b := range blocks {
		numbers = append(numbers, b.info.Number)
	}
	return numbers
}

// TestMaintain compares answers with the model before and after merges, with
// samples that come late in between.
func TestMaintain(t *testing.T) {
	for seed := range uint64(often(2)) { //nolint:gosec // positive
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			s, model := openTest(t, Config{Dir: t.TempDir(), MaxOpenBlocks: 3, compaction: calm}), memstore.New()
			for round := range uint64(3) {
				for i := range uint64(1 + rnd.IntN(3)) {
					for _, project := range []string{"default", "other"} {
						b := mixedBatch(1+10*round+i, project, 1+rnd.IntN(often(1500)))
						for j := range b.Series {
							b.Series[j].HostID = "id" + b.Series[j].Host
						}
						mustAppend(t, s, b)
						mustAppendTo(t, model, b)
					}
					if err := s.flushHead(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				compareWithModel(t, s, model, rnd)
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				compareWithModel(t, s, model, rnd)
				before := blockNumbers(s)
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				if d := gocmp.Diff(before, blockNumbers(s)); d != "" {
					t.Errorf("Maintain never ends:\n%s", d)
				}
			}
			checkFiles(t, s)
			for _, kind := range []string{"samples", string(sumsSeconds), string(sumsMinutes), string(sumsHours), string(sumsTotals)} {
				c, err := s.metrics.filesRead.GetMetricWithLabelValues(kind)
				if err != nil || counterOf(t, c) == 0 {
					t.Errorf("no query read %s (error %v)", kind, err)
				}
			}
		})
	}
}

func mustAppendTo(t *testing.T, s store.Store, b *store.Batch) {
	t.Helper()
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestDropSamples reads blocks of which only roll-ups are left.
func TestDropSamples(t *testing.T) {
	for name, minutes := range map[string]bool{"minutes": true, "hours": false} {
		for gain, text := range map[int64]string{-1: "all", 1 << 40: "none"} {
			t.Run(name+" beside samples "+text, func(t *testing.T) {
				cfg := Config{Dir: t.TempDir(), compaction: calm}
				cfg.compaction.gain = gain
				s, model := openTest(t, cfg), memstore.New()
				for seq := uint64(1); seq <= 3; seq++ {
					b := mixedBatch(seq, "default", often(500))
					mustAppend(t, s, b)
					mustAppendTo(t, model, b)
				}
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustAppend(t, s, mixedBatch(4, "default", 100)) // is dropped from a flushed head
				mustAppendTo(t, model, mixedBatch(4, "default", 100))
				if err := s.flushHead(t.Context()); err != nil {
					t.Fatal(err)
				}
				unlock, err := s.lockUpkeep(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, blocks, _ := s.readView()
				err = s.dropSamples(t.Context(), blocks, minutes)
				unlock()
				if err != nil {
					t.Fatal(err)
				}
				checkFiles(t, s)
				for range 3 { // as they are, opened again, merged
					checkDropped(t, s, model, minutes)
					s = cut(t, cfg, s)
					checkDropped(t, s, model, minutes)
					if err := s.Maintain(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// checkDropped compares a store without samples with the model.
func checkDropped(t *testing.T, s *Store, model store.Store, minutes bool) {
	t.Helper()
	base := libpf.UnixTimeNs(1_700_000_000e9) / 3600e9 * 3600e9
	width := time.Hour
	if minutes {
		width = time.Minute
	}
	ns, start := libpf.UnixTimeNs(width), base+3600e9
	for _, q := range []store.Query{
		{From: 0, To: 2 * base, ByStack: true, GroupBy: []string{"service"}},
		{From: 0, To: 2 * base, GroupBy: []string{"host"}, Step: time.Hour},
		{From: start, To: start + 3*ns, ByStack: true},
		{From: start, To: start + 30*ns, Step: width, GroupBy: []string{"host", "service"}},
	} {
		q.Project, q.Type = "default", libpf.SampleOnCPU
		got, covered := selectRows(t, s, &q)
		want, _ := selectRows(t, model, &q)
		if d := difference(want, got); d != "" {
			t.Fatalf("%+v (-model +store):\n%s", q, d)
		}
		if covered.Resolution < width {
			t.Errorf("%+v: resolution %v", q, covered.Resolution)
		}
		// A bucket at the edge counts if its start lies in the range.
		if q.From == start {
			ragged := q
			ragged.From, ragged.To = q.From-ns/2, q.To-ns/3
			got, _ := selectRows(t, s, &ragged)
			if d := difference(want, got); d != "" {
				t.Fatalf("ragged %+v (-model +store):\n%s", ragged, d)
			}
		}
	}
	for _, q := range []store.Query{{GroupBy: []string{"comm"}}, {Step: time.Second}, {SpanIDs: [][8]byte{{1}}}} {
		q.Project, q.From, q.To = "default", 0, 2*base
		if rows, covered := selectRows(t, s, &q); len(rows) > 0 || covered.Horizon < base {
			t.Errorf("%+v: %d rows, horizon %v", q, len(rows), covered.Horizon)
		}
	}
	if st, err := s.Stats(t.Context()); err != nil || st.Samples != 0 || st.Bytes["blocks"] == 0 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

// TestFormat1 opens a directory of the time before blocks had levels, whose rows
// have their stacks in the order in which they came.
func TestFormat1(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm}
	s := openTest(t, cfg)
	mustAppend(t, s, mixedBatch(1, "default", often(1000)))
	mustAppend(t, s, mixedBatch(1, "other", often(500)))
	s = cut(t, cfg, s)
	before := answers(t, s)
	old := s.blocks[0]
	// The same rows, stacks the other way round.
	f, err := newSampleFile(&s.cfg.files, filepath.Join(s.blocksDir(), "old.tmp"), false)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.newMerger([]*block{old})
	if err != nil {
		t.Fatal(err)
	}
	for {
		series, err := m.nextSeries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if series == nil {
			break
		}
		var rows []row
		for {
			r, err := m.nextRow()
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				break
			}
			rows = append(rows, *r)
		}
		slices.SortFunc(rows, func(a, b row) int { return compareRows(&b, &a) })
		err = f.begin(&series.series)
		for i := range rows {
			err = errors.Join(err, f.add(&rows[i]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m.close()
	if err := errors.Join(f.finish(), f.name(filepath.Join(s.blocksDir(), old.info.File))); err != nil {
		t.Fatal(err)
	}
	entry := fmt.Sprintf(`{"number":%d,"file":%q,"rows":%d,"bytes":%d,"min_time_ms":%d,"max_time_ms":%d}`,
		old.info.Number, old.info.File, old.info.Rows, f.written, old.info.MinTime, old.info.MaxTime)
	err = errors.Join(
		s.db.Set(blockKey(keyBlock, old.info.Number), []byte(entry), nil),
		s.db.Set([]byte(keyFormat), []byte("1"), nil),
	)
	if err != nil {
		t.Fatal(err)
	}
	s = cut(t, cfg, s)
	if s.blocks[0].info.Sorted {
		t.Fatal("the entry is not an old one")
	}
	for range 2 {
		if d := difference(before, answers(t, s)); d != "" {
			t.Fatalf("answers changed:\n%s", d)
		}
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := get(s.db, []byte(keyFormat)); err != nil || string(v) != strconv.Itoa(formatWritten) {
		t.Errorf("format %q, %v", v, err)
	}
	if len(s.blocks) < 2 || s.blocks[0].info.Level == 0 {
		t.Errorf("old block was not merged")
	}
	checkFiles(t, s)
}

// TestBadBlock merges what can be read and leaves what cannot.
func TestBadBlock(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm}
	s := openTest(t, cfg)
	for seq := uint64(1); seq <= 4; seq++ {
		mustAppend(t, s, mixedBatch(seq, "default", 500))
		if err := s.flushHead(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(s.blocksDir(), s.blocks[1].info.File)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4; i < len(data)/2; i++ { // the footer is intact
		data[i] ^= 0x55
	}
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	heads, aside := 0, 0
	for _, b := range s.blocks {
		if b.info.Level == 0 {
			heads++
		}
		if b.aside.Load() {
			aside++
		}
	}
	c, err := s.metrics.compactionErrors.GetMetricWithLabelValues("bad_block")
	if heads != 1 || aside != 1 || err != nil || counterOf(t, c) != 1 {
		t.Errorf("%d heads, %d blocks set aside, %v errors", heads, aside, counterOf(t, c))
	}
}

// TestNoRoom merges nothing on a disk that is nearly full.
func TestNoRoom(t *testing.T) {
	free := uint64(1 << 40)
	cfg := Config{Dir: t.TempDir(), MinFreeBytes: 1 << 20, compaction: calm, checkEvery: time.Hour}
	var mu sync.Mutex
	cfg.freeBytes = func(string) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, nil
	}
	s := openTest(t, cfg)
	mustAppend(t, s, mixedBatch(1, "default", 500))
	mu.Lock()
	free = 1<<20 + 100
	mu.Unlock()
	if err := s.Maintain(t.Context()); !errors.Is(err, errNoRoom) {
		t.Errorf("error %v", err)
	}
	if len(s.blocks) != 1 || s.blocks[0].info.Level != 0 {
		t.Error("merged without room")
	}
	mu.Lock()
	free = 1 << 40
	mu.Unlock()
	if err := s.Maintain(t.Context()); err != nil || s.blocks[0].info.Level == 0 {
		t.Errorf("not merged with room: %v", err)
	}
}

// TestReadWhileMerging queries while blocks are replaced all the time.
func TestReadWhileMerging(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), HeadMaxAge: pause(5 * time.Millisecond), MaxOpenBlocks: 2, compaction: busy}
	s := openTest(t, cfg)
	const batches, samples = 60, 100
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, q := range []store.Query{{ByStack: true}, {Step: time.Second, ByStack: true}, {SpanIDs: [][8]byte{{}}, ByStack: true}} {
		q.Project, q.To = "default", 1<<62
		wg.Go(func() {
			for ctx.Err() == nil {
				sums := make(map[libpf.TraceHash]int64)
				_, err := s.Select(t.Context(), &q, func(r *store.Row) bool { sums[r.Stack] += r.Count; return true })
				if err != nil {
					t.Errorf("select: %v", err)
					return
				}
				clear(sums)
				if err := s.Samples(t.Context(), &q, func(r *store.Sample, _ *store.Series) bool { sums[r.Stack] += r.Count; return true }); err != nil {
					t.Errorf("samples: %v", err)
					return
				}
				for stack, n := range sums {
					if n != samples {
						t.Errorf("batch %v shows %d of %d samples", stack, n, samples)
					}
				}
			}
		})
	}
	for seq := uint64(1); seq <= batches; seq++ {
		mustAppend(t, s, testBatch(seq, samples))
		time.Sleep(time.Millisecond) // so that heads are cut in between
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
	cfg.compaction = calm
	checkFiles(t, cut(t, cfg, s))
}
