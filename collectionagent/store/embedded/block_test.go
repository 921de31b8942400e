// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestBlockFile reads a block the way a stranger to this program would: every
// row is there with its texts, in the order that is promised, and row groups end
// where the service changes.
func TestBlockFile(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	services := []string{"b", "a", "c"}
	each := minGroupRows/2 + 1000 // a row group gets two services before it is large enough to end
	if raceEnabled {
		each = 1000
	}
	for i, service := range services {
		b := testBatch(uint64(i+1), each)
		b.Series = []store.Series{
			{
				Project: "default", Type: libpf.SampleOffCPU, Service: service, Host: "h", PID: 7, TID: 8, ProcessStart: 9,
				Labels: []libpf.Label{{Key: "k", Value: `a"b`}},
			},
			{Project: "default", Type: libpf.SampleOffCPU, Service: service, Host: "g", Comm: "main"},
		}
		for j := range b.Samples {
			b.Samples[j].Series = uint32(j % 2)
			b.Samples[j].Stack = libpf.NewTraceHash(uint64(j%5), 1)
		}
		b.Samples[0].SpanID = [8]byte{1, 2}
		mustAppend(t, s, b)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "blocks", "*.parquet"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("blocks %v, %v", paths, err)
	}
	rows, err := parquet.ReadFile[blockRow](paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != each*len(services) {
		t.Fatalf("%d rows", len(rows))
	}
	sorted := slices.IsSortedFunc(rows, func(a, b blockRow) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Host, b.Host))
	})
	if !sorted {
		t.Error("rows are not sorted by service and host")
	}
	spans := 0
	for i := range rows {
		if rows[i].SpanID != ([8]byte{}) {
			spans++
		}
	}
	if spans != len(services) {
		t.Errorf("%d rows have a span, want %d", spans, len(services))
	}
	last := rows[len(rows)-1]
	want := blockRow{
		Project: "default", Type: "off_cpu", Service: "c", Host: "h", PID: 7, TID: 8, Start: 9, Labels: `{"k":"a\"b"}`,
		Count: 1, Value: 1,
	}
	last.Stack, last.Time = [16]byte{}, 0 // their order is the engine's own affair
	if d := gocmp.Diff(want, last); d != "" {
		t.Errorf("last row (-want +got):\n%s", d)
	}
	again := openTest(t, Config{Dir: dir})
	content, _, err := again.blocks[0].acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	defer again.blocks[0].release()
	var groups []int64
	for _, g := range content.parquet.RowGroups() {
		groups = append(groups, g.NumRows())
	}
	if want := []int64{2 * int64(each), int64(each)}; !raceEnabled && !slices.Equal(groups, want) {
		t.Errorf("row groups of %v rows", groups)
	}
	if v, ok := constantOf(content.parquet.RowGroups()[0].ColumnChunks()[content.columns.value]); !ok || v != 1 {
		t.Errorf("column of one value is not recognized: %d, %v", v, ok)
	}
}

// TestNoColumnIndex makes sure that no other reader prunes pages by bounds that are
// not there.
func TestNoColumnIndex(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	mustAppend(t, s, mixedBatch(1, "default", 20_000))
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		for _, part := range b.parts() {
			content, _, err := part.acquire(1)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range content.parquet.Metadata().RowGroups {
				for _, c := range g.Columns {
					if c.ColumnIndexOffset != 0 || c.ColumnIndexLength != 0 {
						t.Errorf("%s: column %v has an index of bounds", part.info.File, c.MetaData.PathInSchema)
					}
					if c.OffsetIndexLength == 0 {
						t.Errorf("%s: column %v has no index of pages", part.info.File, c.MetaData.PathInSchema)
					}
				}
			}
			part.release()
		}
	}
	for _, damaged := range [][]byte{nil, []byte("PAR1"), []byte("\xff\xff\xff\xffPAR1"), []byte("xxxx\x04\x00\x00\x00PAR1")} {
		if _, err := withoutColumnIndex(damaged); err == nil {
			t.Errorf("footer %q is taken", damaged)
		}
	}
}
