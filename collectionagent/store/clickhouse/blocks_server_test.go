// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestCurrentReadsBlocks has the current engine, which has a reader of Parquet of its own,
// read the blocks of the embedded store as docs/storage.md promises: fresh ones, merged
// ones, and their sums.
func TestCurrentReadsBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const services, perService = 3, 4000
	hour := time.Now().Add(-30 * time.Hour).Truncate(time.Hour) // its windows are over
	b := &store.Batch{}
	for i := range uint32(services) {
		b.Series = append(b.Series, store.Series{
			Project: "p", Type: libpf.SampleOnCPU, Service: fmt.Sprintf("service-%d", i), Host: "h", PID: libpf.PID(100 + i),
			Labels: []libpf.Label{{Key: "zone", Value: "a\"b"}},
		})
		for j := range perService {
			s := store.Sample{
				Time: libpf.UnixTimeNs(hour.Add(time.Duration(j) * 500 * time.Millisecond).UnixNano()), Series: i,
				Stack: libpf.NewTraceHash(uint64(j%50), 1), Count: 2, Value: int64(j),
			}
			if j == 7 {
				s.TraceID, s.SpanID = [16]byte{0xab, 15: 1}, [8]byte{0xcd, 7: 2}
			}
			b.Samples = append(b.Samples, s)
		}
	}
	if _, err := db.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // writes a block of level 0
		t.Fatal(err)
	}
	server := clickhousetest.StartCurrent(t)
	// Not the companions, which are the same data once more.
	samples := "file('" + filepath.Join(dir, "blocks", "*-??????????.parquet") + "', Parquet)"
	check := func(what string) {
		t.Helper()
		for query, want := range map[string][]string{
			"SELECT concatWithSeparator(' ', count(), sum(count), sum(value), uniqExact(stack)) FROM " + samples: {"12000 24000 23994000 50"},
			"SELECT concatWithSeparator(' ', service, sum(count), any(pid), any(project), any(type), any(host), any(labels)) FROM " + samples + " GROUP BY service ORDER BY service": {
				"service-0 8000 100 p on_cpu h {\"zone\":\"a\\\"b\"}",
				"service-1 8000 101 p on_cpu h {\"zone\":\"a\\\"b\"}",
				"service-2 8000 102 p on_cpu h {\"zone\":\"a\\\"b\"}",
			},
			// What readers skip by the bounds of row groups and pages.
			"SELECT toString(sum(count)) FROM " + samples + " WHERE service = 'service-1'":                                                                        {"8000"},
			"SELECT toString(count()) FROM " + samples + fmt.Sprintf(" WHERE time >= %d AND time < %d", hour.Unix()+60, hour.Unix()+120):                          {"360"},
			"SELECT concatWithSeparator(' ', min(toUnixTimestamp64Milli(time)), max(toUnixTimestamp64Milli(time))) FROM " + samples:                               {fmt.Sprintf("%d %d", hour.UnixMilli(), hour.UnixMilli()+500*(perService-1))},
			"SELECT concatWithSeparator(' ', lower(hex(trace_id)), lower(hex(span_id)), count()) FROM " + samples + " WHERE value = 7 GROUP BY trace_id, span_id": {"ab000000000000000000000000000001 cd00000000000002 3"},
		} {
			if d := cmp.Diff(want, server.Query(query)); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", what, query, d)
			}
		}
	}
	check("fresh")
	if db, err = embedded.Open(embedded.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := db.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check("merged")
	sums := "file('" + filepath.Join(dir, "blocks", "*-1h.parquet") + "', Parquet)"
	if d := cmp.Diff([]string{"24000 23994000"}, server.Query("SELECT concatWithSeparator(' ', sum(count), sum(value)) FROM "+sums)); d != "" {
		t.Errorf("sums per hour (-want +got):\n%s", d)
	}
}
