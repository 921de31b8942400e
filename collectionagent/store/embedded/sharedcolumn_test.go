// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestSharedColumns reads with another reader what was written of series that differ in
// all kinds of columns, have one row or many, and lie in several row groups, and
// compares it with what the library writes without our types.
func TestSharedColumns(t *testing.T) {
	long := strings.Repeat("x", 300)
	all := []store.Series{
		{Project: "a", Type: libpf.SampleOnCPU},
		{Project: "a", Type: libpf.SampleOnCPU, Service: "b", Comm: "one"},
		{Project: "a", Type: libpf.SampleOnCPU, Service: "b", Comm: "two", PID: 7, TID: 8, ProcessStart: 9},
		{Project: "a", Type: libpf.SampleOffCPU, Service: "b", Comm: "one", Labels: []libpf.Label{{Key: "k", Value: long}}},
		{Project: "a", Type: libpf.SampleOffCPU, Service: "c", Comm: "one", Pod: "p"},
		{Project: long, Type: libpf.SampleOnCPU, Service: "c", Comm: ""},
	}
	counts := []int{1, 3000, 1, 1, 500, 45_000}
	path := filepath.Join(t.TempDir(), "rows")
	ops := localFiles()
	w, err := newSampleFile(&ops, path+".tmp", false)
	if err != nil {
		t.Fatal(err)
	}
	w.minGroup, w.maxGroup = 1000, 40_000
	var want []blockRow
	for i := range all {
		if err := w.begin(&all[i]); err != nil {
			t.Fatal(err)
		}
		fixed, err := seriesRow(&all[i])
		if err != nil {
			t.Fatal(err)
		}
		for n := range counts[i] {
			r := row{time: int64(1000*i + n), count: int64(n % 3), value: int64(n)}
			r.stack[0], r.trace[3], r.span[1] = byte(n), byte(n>>4), byte(i)
			if err := w.add(&r); err != nil {
				t.Fatal(err)
			}
			out := fixed
			out.Stack, out.Time, out.Count, out.Value, out.TraceID, out.SpanID = r.stack, r.time, r.count, r.value, r.trace, r.span
			want = append(want, out)
		}
	}
	if err := errors.Join(w.finish(), w.name(path)); err != nil {
		t.Fatal(err)
	}
	plain := path + ".plain"
	f, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	g := parquet.NewGenericWriter[blockRow](f)
	if _, err := g.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	got, schema, distinct := readRows(t, path)
	again, plainSchema, _ := readRows(t, plain)
	if len(got) != len(want) || !slices.Equal(again, want) {
		t.Fatalf("%d rows of %d, with the library alone %d", len(got), len(want), len(again))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("row %d (-want +got):\n%s", i, gocmp.Diff(want[i], got[i]))
		}
	}
	if d := gocmp.Diff(plainSchema, schema); d != "" {
		t.Errorf("schema (-library +ours):\n%s", d)
	}
	if len(distinct) < 3 {
		t.Errorf("%d row groups", len(distinct))
	}
	for i, n := range distinct {
		if n > 4 { // and not one for each time that it changes
			t.Errorf("row group %d: %d entries in the dictionary of threads' names", i, n)
		}
	}
}

// readRows reads a file with the library, and returns how many entries the dictionary of
// comm has in each row group.
func readRows(t *testing.T, path string) (rows []blockRow, schema string, distinct []int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	r := parquet.NewGenericReader[blockRow](f)
	rows = make([]blockRow, r.NumRows())
	if n, err := r.Read(rows); n != len(rows) || (err != nil && !errors.Is(err, io.EOF)) {
		t.Fatalf("%d of %d rows: %v", n, len(rows), err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := file.Schema().Lookup("comm")
	for _, g := range file.RowGroups() {
		pages := g.ColumnChunks()[leaf.ColumnIndex].Pages()
		page, err := pages.ReadPage()
		if err != nil {
			t.Fatal(err)
		}
		distinct = append(distinct, page.Dictionary().Len())
		parquet.Release(page)
		if err := pages.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return rows, file.Schema().String(), distinct
}
