// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// testClock is a clock that tests set.
type testClock struct{ ns atomic.Int64 }

func (c *testClock) now() time.Time { return time.Unix(0, c.ns.Load()) }

// start of the samples of mixedBatch, which span five hours.
const mixedStart = libpf.UnixTimeNs(1_700_000_000e9)

// retained returns a store with samples of five hours in blocks, and a model of it.
func retained(t *testing.T, cfg Config, rows int) (*Store, *memstore.Store) {
	t.Helper()
	s, model := openTest(t, cfg), memstore.New()
	for seq := uint64(1); seq <= 3; seq++ {
		for _, project := range []string{"default", "other"} {
			b := mixedBatch(seq, project, rows)
			mustAppend(t, s, b)
			if _, err := model.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.flushHead(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s, model
}

// compareFrom compares the answers of both to a query for everything, whose rows before
// a time are hidden.
func compareFrom(t *testing.T, what string, s, model store.Store, q store.Query, from libpf.UnixTimeNs) {
	t.Helper()
	q.From, q.To = math.MinInt64, math.MaxInt64
	got, covered := selectRows(t, s, &q)
	q.From = from
	want, _ := selectRows(t, model, &q)
	if d := difference(want, got); d != "" {
		t.Errorf("%s, from %d:\n%s", what, from, d)
	}
	if covered.Horizon != from {
		t.Errorf("%s: horizon %d instead of %d", what, covered.Horizon, from)
	}
}

// ceilFrom returns the start of the first bucket that has not expired.
func ceilFrom(at time.Time, width time.Duration) libpf.UnixTimeNs {
	return libpf.UnixTimeNs(at.Add(width - time.Nanosecond).Truncate(width).UnixNano())
}

// TestRetentionByAge lets the clock run over the samples of five hours: what has expired
// is hidden at once, in every query as far as it needs it, and its files go.
func TestRetentionByAge(t *testing.T) {
	var clock testClock
	clock.ns.Store(int64(mixedStart) + 5*3600e9)
	cfg := Config{
		Dir: t.TempDir(), compaction: calm, now: clock.now, retainEvery: time.Hour,
		Retention: store.Retention{
			Ages:  store.Ages{Samples: 10 * time.Hour, Minutes: 20 * time.Hour, Hours: 30 * time.Hour},
			Rules: []store.RetentionRule{{Project: "default", Type: libpf.SampleOffCPU, Ages: store.Ages{Samples: 8 * time.Hour}}},
		},
	}
	s, model := retained(t, cfg, 300)
	check := func(when string) {
		t.Helper()
		now := clock.now()
		for _, project := range []string{"default", "other"} {
			for _, typ := range []libpf.SampleType{libpf.SampleOnCPU, libpf.SampleOffCPU} {
				ages := cfg.Retention.For(project, typ)
				q := store.Query{Project: project, Type: typ, ByStack: true}
				what := when + " " + project + " " + typ.String()
				q.GroupBy = []string{"comm"}
				compareFrom(t, what+" samples", s, model, q, ceilFrom(now.Add(-ages.Samples), time.Millisecond))
				q.GroupBy, q.Step = []string{"service"}, time.Minute
				compareFrom(t, what+" minutes", s, model, q, ceilFrom(now.Add(-ages.Minutes), time.Minute))
				q.GroupBy, q.Step = []string{"host", "service"}, time.Hour
				compareFrom(t, what+" hours", s, model, q, ceilFrom(now.Add(-ages.Hours), time.Hour))
				n, want := 0, 0
				q = store.Query{Project: project, Type: typ, From: math.MinInt64, To: math.MaxInt64}
				if err := s.Samples(t.Context(), &q, func(*store.Sample, *store.Series) bool { n++; return true }); err != nil {
					t.Fatal(err)
				}
				q.From = libpf.UnixTimeNs(now.Add(-ages.Samples).UnixNano())
				if err := model.Samples(t.Context(), &q, func(*store.Sample, *store.Series) bool { want++; return true }); err != nil {
					t.Fatal(err)
				}
				if n != want {
					t.Errorf("%s: %d samples instead of %d", what, n, want)
				}
			}
		}
	}
	check("in heads")
	if err := s.compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	clock.ns.Add(123e6)
	for hour := range 36 {
		when := clock.now().UTC().Format("15:04")
		check(when)
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(when + " maintained")
		checkFiles(t, s)
		if hour%10 == 9 {
			s = cut(t, cfg, s)
			check(when + " opened again")
		}
		clock.ns.Add(3600e9 + 7e9)
	}
	if _, blocks, _ := s.readView(); len(blocks) > 0 {
		t.Errorf("%d blocks are left", len(blocks))
	}
	if n := counterOf(t, s.metrics.retainedRows.WithLabelValues(reasonAge)); n > 6000 {
		t.Errorf("%v samples counted", n)
	}
}

// TestRetentionByBytes gives the store less and less room.
func TestRetentionByBytes(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm, retainEvery: time.Hour}
	s, model := retained(t, cfg, 1000)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	// All answers in hours stay the same as long as only samples go.
	hours := &store.Query{Project: "default", From: math.MinInt64, To: math.MaxInt64, GroupBy: []string{"service", "host"}, Step: time.Hour, ByStack: true}
	want, _ := selectRows(t, model, hours)
	size := func() (n int64) {
		_, blocks, _ := s.readView()
		for _, b := range blocks {
			n += b.info.Bytes
		}
		return n
	}
	total := size()
	var oldest int64
	for share := int64(9); share > 0; share-- {
		used, err := s.usedBytes(true)
		if err != nil {
			t.Fatal(err)
		}
		s.cfg.Retention.Bytes = used - (size() - total*share/10) // less by what is too much of the samples
		if err := s.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now, err := s.usedBytes(true); err != nil || now > s.cfg.Retention.Bytes {
			t.Fatalf("%d bytes are used of %d (error %v)", now, s.cfg.Retention.Bytes, err)
		}
		checkFiles(t, s)
		_, blocks, _ := s.readView()
		first, last := int64(math.MaxInt64), int64(0) // of the blocks with samples, and those without
		for _, b := range blocks {
			if b.info.File != "" {
				first = min(first, b.info.MaxTime)
			} else {
				last = max(last, b.info.MaxTime)
			}
		}
		if last < oldest || first < last {
			t.Errorf("samples up to %d are there, and those up to %d are gone", first, last)
		}
		oldest = last
		if got, covered := selectRows(t, s, hours); difference(want, got) != "" || covered.Horizon != 0 {
			t.Fatalf("answers in hours changed, horizon %d:\n%s", covered.Horizon, difference(want, got))
		}
		q := &store.Query{Project: "default", From: nanoseconds(last + 1), To: math.MaxInt64, GroupBy: []string{"comm"}, ByStack: true}
		got, covered := selectRows(t, s, q)
		all, _ := selectRows(t, model, q)
		if d := difference(all, got); d != "" {
			t.Errorf("after what was removed:\n%s", d)
		}
		if last > 0 && covered.Horizon == 0 {
			t.Error("no horizon")
		}
	}
	if counterOf(t, s.metrics.retainedRows.WithLabelValues(reasonBytes)) == 0 || counterOf(t, s.metrics.retainedBytes.WithLabelValues(reasonBytes)) == 0 {
		t.Error("nothing was counted")
	}
	s.cfg.Retention.Bytes = 1
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, blocks, _ := s.readView(); len(blocks) > 0 {
			t.Errorf("%d blocks are left", len(blocks))
		}
		if _, covered := selectRows(t, s, hours); covered.Horizon == 0 {
			t.Error("no horizon when everything is gone")
		}
		s = cut(t, cfg, s)
	}
}

// TestByteBound computes how much of a disk the store may use.
func TestByteBound(t *testing.T) {
	const gib = 1 << 30
	for _, tc := range []struct {
		name                  string
		bytes                 int64
		share                 float64
		minFree               int64
		used, free, wantBound int64
	}{
		{"none", 0, 0, 0, 7, 100 * gib, 0},
		{"bytes", 5 * gib, 0.8, 0, 7 * gib, 100 * gib, 5 * gib},
		{"share of an empty disk", 0, 0.8, 0, 0, 100 * gib, 80 * gib},
		{"share of what others leave", 0, 0.8, 0, 10 * gib, 10 * gib, 16 * gib},
		{"full disk", 0, 0.75, 0, 8 * gib, 0, 6 * gib},
		{"small disk", 0, 0.75, gib, 2 * gib, 0, gib / 2},
		{"too small a disk", 0, 0.75, gib, 0, gib, 1},
	} {
		s := &Store{cfg: Config{
			Retention: store.Retention{Bytes: tc.bytes}, RetentionShare: tc.share, MinFreeBytes: tc.minFree,
			freeBytes: func(string) (uint64, error) { return uint64(tc.free), nil },
		}}
		if got, err := s.byteBound(tc.used); err != nil || got != tc.wantBound {
			t.Errorf("%s: bound is %d (error %v), want %d", tc.name, got, err, tc.wantBound)
		}
	}
}
