// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// fakeBlock is a block of a level with so many rows and a time of a second in it.
func fakeBlock(number uint64, level int, at time.Duration, rows int64) *block {
	ms := at.Milliseconds()
	return &block{info: &blockInfo{
		Number: number, Level: level, File: strconv.FormatUint(number, 10), Rows: rows, Bytes: 10 * rows, TableBytes: 100, MinTime: ms, MaxTime: ms + 1000, Sorted: true,
	}}
}

// TestDue checks which blocks are merged with one another, and in which order.
func TestDue(t *testing.T) {
	now := time.Unix(0, 0).Add(100 * time.Hour)
	const recent, past = 99 * time.Hour, 50 * time.Hour
	read := func(b *block, rows int64) *block { b.wasted.Store(rows); return b }
	until := func(b *block, at time.Duration) *block { b.info.MaxTime = at.Milliseconds(); return b }
	old := func(b *block) *block { b.info.Sorted = false; return b }
	heads := func(n int, rows int64) (blocks []*block) {
		for i := range n {
			blocks = append(blocks, fakeBlock(uint64(i+1), 0, recent, rows)) //nolint:gosec // not negative
		}
		return blocks
	}
	for name, c := range map[string]struct {
		blocks []*block
		all    bool
		want   [][]uint64
	}{
		"nothing":                        {},
		"heads of a window that goes on": {blocks: heads(15, 1000)},
		"many heads":                     {blocks: heads(16, 1000), want: [][]uint64{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}},
		"more than fit": {blocks: heads(18, 1000), want: [][]uint64{
			{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {17, 18},
		}},
		"many rows":         {blocks: heads(2, 8<<20), want: [][]uint64{{1, 2}}},
		"fewer rows":        {blocks: heads(2, 8<<20-1)},
		"all":               {blocks: heads(2, 10), all: true, want: [][]uint64{{1, 2}}},
		"read often":        {blocks: []*block{fakeBlock(1, 0, recent, 1000), read(fakeBlock(2, 0, recent, 1000), 128_000)}, want: [][]uint64{{1, 2}}},
		"read now and then": {blocks: []*block{fakeBlock(1, 0, recent, 1000), read(fakeBlock(2, 0, recent, 1000), 127_999)}},
		"those of a window that is over": {
			blocks: []*block{fakeBlock(1, 0, recent, 1000), fakeBlock(2, 0, past, 1000)}, want: [][]uint64{{2}},
		},
		"not heads with late samples alone": {
			blocks: []*block{until(fakeBlock(1, 0, past, 1000), recent), fakeBlock(2, 0, past, 1000)}, want: [][]uint64{{2}},
		},
		"heads first, and those without an order alone": {
			blocks: []*block{fakeBlock(1, 1, past, 1000), fakeBlock(2, 1, past, 1000), fakeBlock(3, 0, past, 1000), old(fakeBlock(4, 0, past, 1000))},
			want:   [][]uint64{{4}, {3}, {1, 2}},
		},
		"days before windows": {
			blocks: []*block{
				fakeBlock(1, 1, past, 16<<20), fakeBlock(2, 1, past, 16<<20), fakeBlock(3, 1, past-48*time.Hour, 1000), fakeBlock(4, 2, past-48*time.Hour, 1000),
			},
			want: [][]uint64{{3, 4}, {1, 2}},
		},
	} {
		config := compactionConfig{}.withDefaults()
		config.inputTable = 1 << 20
		var got [][]uint64
		for _, j := range config.due(c.blocks, now, c.all) {
			var numbers []uint64
			for _, b := range j.in {
				numbers = append(numbers, b.info.Number)
			}
			slices.Sort(numbers)
			got = append(got, numbers)
		}
		if d := gocmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestPacer has a merge that rests as long as it works, but not when there is more to do.
func TestPacer(t *testing.T) {
	now := time.Unix(0, 0)
	hurried := false
	var rested time.Duration
	p := &pacer{
		hurried: func() bool { return hurried }, now: func() time.Time { return now }, began: now,
		rest: func(_ context.Context, d time.Duration) { rested += d; now = now.Add(d) },
	}
	for _, c := range []struct {
		name       string
		work, want time.Duration
		hurried    bool
	}{
		{"a little", time.Millisecond, 0, false},
		{"and more", 4 * time.Millisecond, 5 * time.Millisecond, false},
		{"after the rest", time.Millisecond, 0, false},
		{"in a hurry", 20 * time.Millisecond, 0, true},
		{"that before does not count", 3 * time.Millisecond, 3 * time.Millisecond, false},
		{"most", time.Second, mostRest, false},
	} {
		rested, hurried = 0, c.hurried
		now = now.Add(c.work)
		if p.step(t.Context()); rested != c.want {
			t.Errorf("%s: rested %s, want %s", c.name, rested, c.want)
		}
	}
	(*pacer)(nil).step(t.Context()) // rests never
}

// backlogOf reads the metrics.
func backlogOf(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case metricsPrefix + "backlog_blocks":
				if n := m.GetGauge().GetValue(); n != 0 {
					got["level "+m.GetLabel()[0].GetValue()] = n
				}
			case metricsPrefix + "rejected_total":
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

// TestBacklog has merges that fall behind, which first makes queries fewer and then
// refuses samples, until they are done or cannot be done.
func TestBacklog(t *testing.T) {
	const rows = 7
	registry := prometheus.NewRegistry()
	cfg := calm
	cfg.strained, cfg.full = 3*rows, 5*rows
	s := openTest(t, Config{Dir: t.TempDir(), Registerer: registry, compaction: cfg})
	sequence := uint64(0)
	add := func() error {
		sequence++
		_, err := s.Append(t.Context(), testBatch(sequence, rows))
		return err
	}
	for n := 1; n <= 5; n++ {
		if err := add(); err != nil {
			t.Fatal(err)
		}
		if err := s.flushHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Strained(); got != (n >= 3) {
			t.Errorf("%d heads: strained %v", n, got)
		}
	}
	if err := add(); !errors.Is(err, store.ErrBusy) {
		t.Errorf("full: %v", err)
	}
	if got, want := backlogOf(t, registry), map[string]float64{"level 0": 5, "backlog": 1}; !gocmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// A disk that is nearly full has reasons of its own to refuse.
	s.backlog.failing.Store(true)
	if s.Strained() {
		t.Error("strained though merges fail")
	}
	sequence--
	if err := add(); err != nil {
		t.Errorf("merges fail: %v", err)
	}
	s.backlog.failing.Store(false)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := add(); err != nil || s.Strained() {
		t.Errorf("after merges: %v, strained %v", err, s.Strained())
	}
	if got, want := backlogOf(t, registry), map[string]float64{"backlog": 1}; !gocmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestHurried has blocks that wait to be merged again, which has merges go on without a
// rest once they are many.
func TestHurried(t *testing.T) {
	const rows = 7
	cfg := calm
	cfg.behind = 2 * rows
	s := openTest(t, Config{Dir: t.TempDir(), compaction: cfg})
	for n := range 3 {
		if got := s.hurried(); got != (n == 2) {
			t.Errorf("%d merged blocks: hurried %v", n, got)
		}
		if _, err := s.Append(t.Context(), testBatch(uint64(n+1), rows)); err != nil { //nolint:gosec // not negative
			t.Fatal(err)
		}
		if err := s.flushHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.noteBacklog(); !s.hurried() {
			t.Errorf("a head waits after %d merged blocks: no hurry", n)
		}
		if _, err := s.compactOnce(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.compact(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if s.hurried() {
		t.Error("hurried with nothing to do")
	}
}

// TestMergeSoon has a head that is merged because it was written, long before the next
// look for work.
func TestMergeSoon(t *testing.T) {
	cfg := calm
	cfg.soon = time.Microsecond
	s := openTest(t, Config{Dir: t.TempDir(), compaction: cfg})
	if _, err := s.Append(t.Context(), testBatch(1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the head is merged", func() bool {
		_, blocks, _ := s.readView()
		return !slices.ContainsFunc(blocks, func(b *block) bool { return b.info.Level == 0 })
	})
}

// TestReadingsCount has queries that sums could answer count the rows that they read of
// a written head, and others not.
func TestReadingsCount(t *testing.T) {
	s := openTest(t, Config{Dir: t.TempDir(), compaction: calm})
	if _, err := s.Append(t.Context(), testBatch(1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, blocks, _ := s.readView()
	b := blocks[0]
	all := store.Query{Project: "default", From: nanoseconds(b.info.MinTime - 1), To: nanoseconds(b.info.MaxTime + 1), ByStack: true}
	part, byThread, fine := all, all, all
	part.From = nanoseconds(b.info.MinTime + 1)
	byThread.GroupBy = []string{"comm"}
	fine.Step = time.Second
	for _, q := range []store.Query{part, byThread, fine} {
		selectRows(t, s, &q)
	}
	if n := b.wasted.Load(); n != 0 {
		t.Errorf("%d rows were read where sums would have answered, want none", n)
	}
	selectRows(t, s, &all)
	if n := b.wasted.Load(); n != b.info.Rows {
		t.Errorf("%d rows were read where sums would have answered, want %d", n, b.info.Rows)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := openTest(t, Config{Dir: t.TempDir(), MinFreeBytes: 100, freeBytes: func(string) (uint64, error) { return 5000, nil }})
	s.backlog.rows.Store(7)
	s.backlog.again.Store(4)
	if got, want := s.Health(), (store.Health{FreeBytes: 5000, BacklogRows: 11}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.cfg.freeBytes = func(string) (uint64, error) { return 0, errors.New("gone") }
	if got := s.Health(); got.FreeBytes != -1 {
		t.Errorf("free space is not known, got %d", got.FreeBytes)
	}
	s.guard.set(causeLog, "the disk failed")
	if got := s.Health(); got.ReadOnly != "the disk failed" {
		t.Errorf("got %q", got.ReadOnly)
	}
}
