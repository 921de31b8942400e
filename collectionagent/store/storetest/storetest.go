// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// Open opens the engine under test in a directory. Opening the directory of a
// store that was closed finds its content again. Several tests may open different
// directories at the same time.
type Open func(t *testing.T, dir string) store.Store

// Run checks that the engine does what [store.Store] says.
func Run(t *testing.T, open Open) { RunSeeds(t, open, 6) }

// RunSeeds is [Run] with a number of random histories, for slow engines. Its tests run at
// the same time, each in a directory of its own: servers let them wait more than they compute.
func RunSeeds(t *testing.T, open Open, seeds uint64) {
	t.Run("random", func(t *testing.T) {
		t.Parallel()
		for seed := range seeds {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				runRandom(t, open, seed)
			})
		}
	})
	for name, f := range map[string]func(*testing.T, store.Store){
		"empty":          testEmpty,
		"repeat":         testRepeat,
		"invalid":        testInvalid,
		"resolution":     testResolution,
		"stop early":     testStopEarly,
		"cancel":         testCancel,
		"concurrent":     testConcurrent,
		"expire hides":   testExpire,
		"many series":    testManySeries,
		"group texts":    testGroupTexts,
		"caller's batch": testOwnership,
		"run ledgers":    testRunLedgers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			f(t, s)
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
		})
	}
	t.Run("epoch", func(t *testing.T) {
		t.Parallel()
		testEpoch(t, open)
	})
}

// runRandom does random things to the engine and to the model.
func runRandom(t *testing.T, open Open, seed uint64) {
	g := newGenerator(seed)
	dir := t.TempDir()
	s, model := open(t, dir), store.Store(memstore.New())
	var batches []*store.Batch
	var definitions []*store.Definitions
	add := func(b *store.Batch) {
		t.Helper()
		got, err := s.Append(t.Context(), b)
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		want, _ := model.Append(t.Context(), b)
		diff(t, fmt.Sprintf("duplicate of %+v", b.ID), got, want)
	}
	put := func(d *store.Definitions) {
		t.Helper()
		got, err := s.Put(t.Context(), d)
		if err != nil {
			t.Fatalf("put: %v", err)
		}
		want, _ := model.Put(t.Context(), d)
		diff(t, fmt.Sprintf("duplicate of %+v", d.ID), got, want)
	}
	applied := func() {
		t.Helper()
		if len(batches) > 0 {
			compareApplied(t, s, model, pick(g, batches...).ID)
		}
		if len(definitions) > 0 {
			compareApplied(t, s, model, pick(g, definitions...).ID)
		}
		compareLedgers(t, s, model)
	}
	var late []*store.Batch // sent out of order
	for range 100 {
		switch n := g.rnd.IntN(101); {
		case n < 45:
			b := g.batch(200)
			batches = append(batches, b)
			if g.rnd.IntN(5) == 0 {
				late = append(late, b)
			} else {
				add(b)
			}
		case n < 55 && len(batches) > 0:
			add(pick(g, batches...))
		case n < 65 && len(late) > 0:
			i := g.rnd.IntN(len(late))
			add(late[i])
			late = append(late[:i], late[i+1:]...)
		case n < 80:
			d := g.definitions()
			definitions = append(definitions, d)
			put(d)
		case n < 85 && len(definitions) > 0:
			if d := pick(g, definitions...); d.ID != (store.BatchID{}) {
				put(d)
			}
		case n < 94:
			compareQuery(t, s, model, g.query())
		case n < 96:
			maintain(t, s)
		case n < 97:
			d := g.deletion()
			got, err := s.Delete(t.Context(), d)
			if err != nil {
				t.Fatalf("delete: %v", err)
			}
			want, _ := model.Delete(t.Context(), d)
			diff(t, fmt.Sprintf("rows deleted by %+v", d), got, want)
			if d.Whole() { // its batches are unknown now
				batches = slices.DeleteFunc(batches, func(b *store.Batch) bool { return b.ID.Project == d.Project })
				definitions = slices.DeleteFunc(definitions, func(p *store.Definitions) bool { return p.Project == d.Project })
			}
		case n < 98:
			at := Base + libpf.UnixTimeNs(g.rnd.Int64N(int64(10*time.Minute)))
			if err := errors.Join(s.Expire(t.Context(), at), model.Expire(t.Context(), at)); err != nil {
				t.Fatalf("expire: %v", err)
			}
		case n < 99:
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			s = open(t, dir)
			applied()
		case n == 99:
			applied()
		default:
			compareDefinitions(t, s, model, g)
		}
	}
	for range 10 {
		compareQuery(t, s, model, g.query())
	}
	compareDefinitions(t, s, model, g)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = open(t, dir)
	applied()
	for _, b := range batches {
		add(b)
	}
	applied()
	for range 10 {
		compareQuery(t, s, model, g.query())
	}
	compareDefinitions(t, s, model, g)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// Maintainer is an engine that tidies up in the background: compacts, makes
// roll-ups, collects garbage. No answer may change by it.
type Maintainer interface {
	// Maintain does now whatever it would do with what is stored in time.
	// Definitions that came within the last hour stay.
	Maintain(ctx context.Context) error
}

// maintain makes the engine tidy up, where it can.
func maintain(t *testing.T, s store.Store) {
	t.Helper()
	if m, ok := s.(Maintainer); ok {
		if err := m.Maintain(t.Context()); err != nil {
			t.Fatalf("maintain: %v", err)
		}
	}
}

// everything selects all samples of type on-CPU of the default project.
func everything() *store.Query {
	return &store.Query{Project: "default", Type: libpf.SampleOnCPU, From: math.MinInt64, To: math.MaxInt64, ByStack: true}
}

// simple returns a batch of n samples of one series.
func simple(seq uint64, n int) *store.Batch {
	b := &store.Batch{
		ID:     store.BatchID{Project: "default", HostID: "h", RunID: [16]byte{9}, Type: store.BatchSamples, Sequence: seq},
		Series: []store.Series{{Project: "default", Type: libpf.SampleOnCPU, Service: "web", PID: 1, TID: 1}},
	}
	for i := range n {
		b.Samples = append(b.Samples, store.Sample{
			Time: Base + libpf.UnixTimeNs(i)*libpf.UnixTimeNs(time.Millisecond), Stack: libpf.NewTraceHash(seq, uint64(i%7)), Count: 1, Value: 10,
		})
	}
	return b
}

// mustAppend stores a batch.
func mustAppend(t *testing.T, s store.Store, b *store.Batch) (duplicate bool) {
	t.Helper()
	duplicate, err := s.Append(t.Context(), b)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return duplicate
}

func testEmpty(t *testing.T, s store.Store) {
	compareQuery(t, s, memstore.New(), everything())
	compareDefinitions(t, s, memstore.New(), newGenerator(0))
	mustAppend(t, s, simple(1, 0))
	if !mustAppend(t, s, simple(1, 0)) {
		t.Error("an empty batch is not recognized when it comes again")
	}
	compareQuery(t, s, memstore.New(), everything())
	st, err := s.Stats(t.Context())
	if err != nil || st.Samples != 0 || st.Oldest != 0 || st.Newest != 0 || st.Engine == "" {
		t.Errorf("stats of an empty store: %+v, %v", st, err)
	}
}

func testRepeat(t *testing.T, s store.Store) {
	model := memstore.New()
	// Far more gaps than usual, in both directions.
	for _, seq := range []uint64{5, 3, 1, 9, 7, 7, 3, 2, 4, 1, 100, 99, 98, 5} {
		got, want := mustAppend(t, s, simple(seq, 3)), mustAppend(t, model, simple(seq, 3))
		diff(t, fmt.Sprintf("duplicate of %d", seq), got, want)
	}
	other := simple(5, 3)
	other.ID.RunID[0]++
	if mustAppend(t, s, other) {
		t.Error("a batch of another run is taken for a repeat")
	}
	mustAppend(t, model, other)
	compareQuery(t, s, model, everything())
}

func testInvalid(t *testing.T, s store.Store) {
	b := simple(1, 3)
	b.Samples[2].Series = 1
	if _, err := s.Append(t.Context(), b); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("append of a sample without series: %v, want ErrInvalid", err)
	}
	for _, at := range []libpf.UnixTimeNs{math.MinInt64, math.MinInt64 + 1, math.MaxInt64} {
		b := simple(1, 3)
		b.Samples[1].Time = at
		if _, err := s.Append(t.Context(), b); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("append of a sample at %d ns: %v, want ErrInvalid", at, err)
		}
	}
	compareQuery(t, s, memstore.New(), everything())
	if mustAppend(t, s, simple(1, 3)) {
		t.Error("a batch that was refused is taken for stored")
	}
}

// testResolution checks the edges of milliseconds, ranges and buckets.
func testResolution(t *testing.T, s store.Store) {
	model := memstore.New()
	b := simple(1, 0)
	for _, ns := range []libpf.UnixTimeNs{0, 1, 999_999, 1_000_000, 1_000_001, 59_999_999_999, 60_000_000_000} {
		b.Samples = append(b.Samples, store.Sample{Time: Base + ns, Stack: libpf.NewTraceHash(0, uint64(ns)), Count: 1, Value: 1})
	}
	mustAppend(t, s, b)
	mustAppend(t, model, b)
	for _, from := range []libpf.UnixTimeNs{-1, 0, 1, 999_999, 1_000_000, 1_000_001} {
		for _, to := range []libpf.UnixTimeNs{0, 1, 1_000_000, 1_000_001, 59_999_000_000, 59_999_000_001, 61_000_000_000} {
			q := everything()
			q.From, q.To = Base+from, Base+to
			compareQuery(t, s, model, q)
			q.Step = 7 * time.Millisecond
			compareQuery(t, s, model, q)
		}
	}
}

func testStopEarly(t *testing.T, s store.Store) {
	mustAppend(t, s, simple(1, 100))
	calls := 0
	_, err := s.Select(t.Context(), everything(), func(*store.Row) bool { calls++; return calls < 3 })
	if err != nil || calls != 3 {
		t.Errorf("select went on: %d calls, error %v", calls, err)
	}
	calls = 0
	err = s.Samples(t.Context(), everything(), func(*store.Sample, *store.Series) bool { calls++; return calls < 3 })
	if err != nil || calls != 3 {
		t.Errorf("samples went on: %d calls, error %v", calls, err)
	}
}

func testCancel(t *testing.T, s store.Store) {
	mustAppend(t, s, simple(1, 100))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, f := range map[string]func() error{
		"append": func() error { _, err := s.Append(ctx, simple(2, 1)); return err },
		"put":    func() error { _, err := s.Put(ctx, &store.Definitions{}); return err },
		"select": func() error {
			_, err := s.Select(ctx, everything(), func(*store.Row) bool { return true })
			return err
		},
		"samples": func() error {
			return s.Samples(ctx, everything(), func(*store.Sample, *store.Series) bool { return true })
		},
		"types":       func() error { _, err := s.Types(ctx, "default", 0, Base); return err },
		"label names": func() error { _, err := s.LabelNames(ctx, everything()); return err },
		"label values": func() error {
			_, err := s.LabelValues(ctx, everything(), store.LabelSearch{Name: store.LabelService})
			return err
		},
		"stacks": func() error {
			_, err := s.Stacks(ctx, "default", []libpf.TraceHash{{}})
			return err
		},
	} {
		if err := f(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after its context ended: %v", name, err)
		}
	}
}

// testConcurrent appends the same and different batches at the same time, with
// readers in between: every batch counts once, and a reader sees whole batches.
func testConcurrent(t *testing.T, s store.Store) {
	const writers, each, samples = 6, 40, 50
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			sums := make(map[uint64]int64)
			_, err := s.Select(t.Context(), everything(), func(r *store.Row) bool {
				sums[r.Stack.Hi()] += r.Count
				return true
			})
			if err != nil {
				t.Errorf("select: %v", err)
				return
			}
			for seq, n := range sums {
				if n != samples {
					t.Errorf("batch %d shows %d of %d samples", seq, n, samples)
				}
			}
		}
	})
	var mu sync.Mutex
	fresh := make(map[uint64]int)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				seq := uint64(w/2*each + i + 1) // each batch comes from two writers
				duplicate, err := s.Append(t.Context(), simple(seq, samples))
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if !duplicate {
					mu.Lock()
					fresh[seq]++
					mu.Unlock()
				}
				d := &store.Definitions{Project: "default", ID: store.BatchID{Project: "default", Type: store.BatchHost, Sequence: seq}}
				d.Hosts = []store.Host{{ID: "h", LastSeen: Base + libpf.UnixTimeNs(seq)}}
				if _, err := s.Put(t.Context(), d); err != nil {
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reader.Wait()
	for seq := uint64(1); seq <= writers/2*each; seq++ {
		if fresh[seq] != 1 {
			t.Errorf("batch %d was stored %d times", seq, fresh[seq])
		}
	}
	var total int64
	all, _ := rows(t, s, everything())
	for _, r := range all {
		total += r.Count
	}
	if want := int64(writers / 2 * each * samples); total != want {
		t.Errorf("%d samples are stored, want %d", total, want)
	}
}

func testExpire(t *testing.T, s store.Store) {
	model := memstore.New()
	for _, m := range []store.Store{s, model} {
		mustAppend(t, m, simple(1, 1000))
		if err := m.Expire(t.Context(), Base+500_000_001); err != nil {
			t.Fatalf("expire: %v", err)
		}
		mustAppend(t, m, simple(2, 1000))
	}
	compareQuery(t, s, model, everything())
}

// testManySeries has more groups than any engine keeps in arrays.
func testManySeries(t *testing.T, s store.Store) {
	model := memstore.New()
	b := simple(1, 0)
	b.Series = nil
	for i := range 500 {
		b.Series = append(b.Series, store.Series{
			Project: "default", Type: libpf.SampleOnCPU, Service: fmt.Sprintf("s%d", i%50), TID: libpf.TID(i),
		})
		b.Samples = append(b.Samples, store.Sample{
			Time: Base + libpf.UnixTimeNs(i)*1_000_000, Series: uint32(i), Stack: libpf.NewTraceHash(0, uint64(i%11)), Count: 1, Value: int64(i),
		})
	}
	mustAppend(t, s, b)
	mustAppend(t, model, b)
	for _, by := range [][]string{nil, {store.LabelService}, {store.LabelTID, store.LabelService}} {
		for _, step := range []time.Duration{0, 50 * time.Millisecond} {
			q := everything()
			q.GroupBy, q.Step = by, step
			compareQuery(t, s, model, q)
			q.ByStack = false
			q.From = Base + 100_000_000
			compareQuery(t, s, model, q)
		}
	}
}

// testGroupTexts groups by values that are the same when they are put behind one another.
func testGroupTexts(t *testing.T, s store.Store) {
	b := simple(1, 4)
	b.Series = nil
	want := make(map[[2]string]int64)
	for i, g := range [][2]string{{"a\x00b", "c"}, {"a", "b\x00c"}, {"a\x00b\x00c", ""}, {"", "a\x00b\x00c"}} {
		b.Series = append(b.Series, store.Series{Project: "default", Type: libpf.SampleOnCPU, Service: g[0], Host: g[1]})
		b.Samples[i].Series = uint32(i) //nolint:gosec // a few
		want[g]++
	}
	mustAppend(t, s, b)
	got := make(map[[2]string]int64)
	q := everything()
	q.GroupBy, q.ByStack = []string{store.LabelService, store.LabelHost}, false
	if _, err := s.Select(t.Context(), q, func(r *store.Row) bool {
		got[[2]string{r.Group[0], r.Group[1]}] += r.Count
		return true
	}); err != nil {
		t.Fatal(err)
	}
	diff(t, "groups", got, want)
}

// testOwnership checks that the caller may reuse a batch.
func testOwnership(t *testing.T, s store.Store) {
	model := memstore.New()
	b := simple(1, 20)
	b.Series[0].Labels = []libpf.Label{{Key: "k", Value: "v"}}
	mustAppend(t, model, b)
	mustAppend(t, s, b)
	b.Series[0].Labels[0].Value = "changed"
	b.Samples[0].Value = 1 << 40
	q := everything()
	q.GroupBy = []string{"k"}
	// The model copies, so it still has what was appended.
	compareQuery(t, s, model, q)
}

// testEpoch checks that the epoch stays with the content and is not shared.
func testEpoch(t *testing.T, open Open) {
	dir := t.TempDir()
	s := open(t, dir)
	epoch := s.Epoch()
	if epoch == ([16]byte{}) {
		t.Error("epoch is zero")
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = open(t, dir)
	if s.Epoch() != epoch {
		t.Error("epoch changed though the store was not emptied")
	}
	other := open(t, t.TempDir())
	if other.Epoch() == epoch {
		t.Error("two stores have the same epoch")
	}
	if err := errors.Join(s.Close(), other.Close()); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// testRunLedgers checks what counts in a ledger: the counts of samples, each
// batch once, and only with an identity.
func testRunLedgers(t *testing.T, s store.Store) {
	weighted := simple(1, 3)
	weighted.Samples[1].Count = 40
	other := simple(1, 2)
	other.ID.RunID[3] = 7
	elsewhere := simple(1, 5)
	elsewhere.ID.Project = "elsewhere"
	nobody := simple(1, 5)
	nobody.ID = store.BatchID{}
	refused := simple(9, 3)
	refused.Samples[2].Series = 1
	if _, err := s.Append(t.Context(), refused); err == nil {
		t.Error("a batch that contradicts itself was stored")
	}
	for range 2 {
		for _, b := range []*store.Batch{weighted, other, elsewhere, simple(2, 1), nobody, simple(4, 0)} {
			mustAppend(t, s, b)
		}
	}
	ledgers, err := s.RunLedgers(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	for i := range ledgers {
		if age := time.Since(time.Unix(0, int64(ledgers[i].LastBatch))); age < 0 || age > time.Minute {
			t.Errorf("last batch %v ago", age)
		}
		ledgers[i].LastBatch = 0
	}
	diff(t, "ledgers", ledgers, []store.RunLedger{
		{HostID: "h", RunID: [16]byte{9}, Stored: 43}, {HostID: "h", RunID: other.ID.RunID, Stored: 2},
	})
	for id, want := range map[store.BatchID]bool{
		weighted.ID: true, simple(2, 0).ID: true, simple(3, 0).ID: false, simple(4, 0).ID: true, refused.ID: false, {}: false,
	} {
		if got, err := s.Applied(t.Context(), id); err != nil || got != want {
			t.Errorf("applied %+v: %v, %v", id, got, err)
		}
	}
}
