// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// answers returns what a store says to a few queries, in a fixed order.
func answers(t *testing.T, s *Store) [][]store.Row {
	t.Helper()
	var all [][]store.Row
	for _, q := range []store.Query{
		{ByStack: true, GroupBy: []string{"service", "comm", "region"}},
		{ByStack: true, Step: time.Second},
		{GroupBy: []string{"host"}, Step: time.Hour},
		{GroupBy: []string{"service"}, ByStack: true},
	} {
		for _, project := range []string{"default", "other"} {
			q.Project, q.From, q.To = project, math.MinInt64, math.MaxInt64
			var rows []store.Row
			if _, err := s.Select(t.Context(), &q, func(r *store.Row) bool {
				c := *r
				c.Group = slices.Clone(r.Group)
				rows = append(rows, c)
				return true
			}); err != nil {
				t.Fatal(err)
			}
			all = append(all, sortRows(rows))
		}
	}
	return all
}

// sortRows puts the rows of an answer in a fixed order.
func sortRows(rows []store.Row) []store.Row {
	slices.SortFunc(rows, func(a, b store.Row) int {
		return cmp.Or(slices.Compare(a.Group, b.Group), cmp.Compare(a.Bucket, b.Bucket), a.Stack.Compare(b.Stack.Hash128))
	})
	return rows
}

// difference describes how answers differ, "" when they do not.
func difference(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return "" // the usual case, and much faster to find out
	}
	return gocmp.Diff(want, got, cmpopts.EquateEmpty(), gocmp.Comparer(func(a, b libpf.Hash128) bool { return a == b }))
}

// mixedBatch returns a batch of several series, projects aside, over several hours.
func mixedBatch(seq uint64, project string, n int) *store.Batch {
	b := testBatch(seq, n)
	b.ID.Project, b.Series = project, nil
	for i := range 12 {
		s := store.Series{
			Project: project, Type: libpf.SampleOnCPU, Service: []string{"web", "db"}[i%2], Host: []string{"a", "b", "c"}[i%3],
			Comm: []string{"main", "worker"}[i/6], TID: libpf.TID(i),
		}
		if i%4 == 0 {
			s.Type = libpf.SampleOffCPU
		}
		if i%5 == 0 {
			s.Labels = []libpf.Label{{Key: "region", Value: "eu"}}
		}
		b.Series = append(b.Series, s)
	}
	for i := range b.Samples {
		s := &b.Samples[i]
		s.Series = uint32(i % 12)
		s.Time = libpf.UnixTimeNs(1_700_000_000e9) + libpf.UnixTimeNs(uint64(i)*seq*7919%(5*3600))*1e9
		s.Stack = libpf.NewTraceHash(uint64(i*31%17), seq%3)
		s.Value = int64(i)
		if i%11 == 0 {
			s.SpanID = [8]byte{byte(i)}
		}
	}
	return b
}

// cut writes the head as a block.
func cut(t *testing.T, cfg Config, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openTest(t, cfg)
}

// TestRewrite merges blocks into one, into windows and back, and removes rows.
func TestRewrite(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := openTest(t, cfg)
	for seq := uint64(1); seq <= 3; seq++ {
		mustAppend(t, s, mixedBatch(seq, "default", 1000))
		mustAppend(t, s, mixedBatch(seq, "other", 300))
		s = cut(t, cfg, s)
	}
	before := answers(t, s)
	rewrite := func(to target, keep func(*store.Series, int64) bool) rewritten {
		t.Helper()
		unlock, err := s.lockUpkeep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		_, blocks, _ := s.readView()
		result, err := s.rewrite(t.Context(), blocks, to, keep, nil)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	for _, to := range []target{{}, {level: 1, width: 3600_000}, {level: 2}, {level: 1, width: 600_000}, {level: 2}} {
		if r := rewrite(to, nil); r.rows != 3900 || r.removed != 0 {
			t.Errorf("%+v: %d rows, %d removed", to, r.rows, r.removed)
		}
		for range 2 {
			if d := difference(before, answers(t, s)); d != "" {
				t.Fatalf("%+v changes answers:\n%s", to, d)
			}
			s = cut(t, cfg, s)
		}
		checkFiles(t, s)
		for _, b := range s.blocks {
			for _, c := range b.sums {
				if got, want := tableSums(t, c), tableSums(t, b); got != want {
					t.Errorf("%s of block %s sums up to %v instead of %v", c.kind, b.info.File, got, want)
				}
			}
		}
	}
	r := rewrite(target{level: 1, width: 3600_000}, func(series *store.Series, ms int64) bool { return series.Service != "db" && ms%2000 == 0 })
	if r.removed == 0 || r.removed >= 3900 {
		t.Errorf("%d rows removed", r.removed)
	}
	q := &store.Query{Project: "default", To: math.MaxInt64, GroupBy: []string{"service"}, Step: time.Second}
	if _, err := s.Select(t.Context(), q, func(row *store.Row) bool {
		if row.Group[0] == "db" || row.Bucket%2e9 != 0 {
			t.Errorf("row %v at %v was to go", row.Group, row.Bucket)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	rewrite(target{level: 1}, func(*store.Series, int64) bool { return false })
	checkFiles(t, s)
	if len(s.blocks) > 0 {
		t.Errorf("%d blocks left", len(s.blocks))
	}
}

// tableSums returns the sums of the counts and values of a block.
func tableSums(t *testing.T, b *block) [2]int64 {
	t.Helper()
	table, err := b.loadTable(b.info.Number)
	if err != nil {
		t.Fatal(err)
	}
	var sums [2]int64
	for i := range table {
		sums[0] += table[i].count
		sums[1] += table[i].value
	}
	return sums
}

// checkFiles checks that there are exactly the files and series tables that are listed.
func checkFiles(t *testing.T, s *Store) {
	t.Helper()
	tables := make(map[string]bool)
	for _, b := range s.blocks {
		for _, part := range b.parts() {
			tables[string(tableKey(part.info.Number, part.kind))] = true
		}
	}
	n := 0
	if err := scan(s.db, []byte{keySeries}, func(key, _ []byte) error {
		if n++; !tables[string(key)] {
			t.Errorf("series table %q is not listed", key)
		}
		return nil
	}); err != nil || n != len(tables) {
		t.Errorf("%d series tables instead of %d (error %v)", n, len(tables), err)
	}
	var listed, present []string
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		listed = append(listed, b.info.files()...)
	}
	entries, err := os.ReadDir(s.blocksDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		present = append(present, e.Name())
	}
	slices.Sort(listed)
	if d := gocmp.Diff(listed, present); d != "" {
		t.Errorf("files (-listed +present):\n%s", d)
	}
}
