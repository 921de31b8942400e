// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestCompact does the upkeep of a directory, twice, and of one that is in use.
func TestCompact(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{
		Series:  []store.Series{{Project: "p", Type: libpf.SampleOnCPU, Service: "s"}},
		Samples: []store.Sample{{Time: libpf.UnixTimeNs(testNowForCompact), Stack: libpf.NewTraceHash(1, 2), Count: 1, Value: 1}},
	}
	if _, err := db.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	f := func(want int, text string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := run(append([]string{"compact"}, args...), nil, &stdout, &stderr); got != want || !strings.Contains(stdout.String()+stderr.String(), text) {
			t.Errorf("compact %v: %d, want %d and %q:\n%s%s", args, got, want, text, stdout.String(), stderr.String())
		}
	}
	f(exitFailure, "in use by another process", "-data-dir", dir)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f(exitOK, "1 samples, ", "-data-dir", dir)
	f(exitOK, "1 samples, ", "-data-dir", dir)
	// Not what is older than the server would keep.
	f(exitOK, "1 samples, ", "-data-dir", dir, "-retention", "1h", "-retention-minutes", "1h", "-retention-hours", "1h")
	f(exitOK, "Usage: collectionagent compact", "-help")
	f(exitUsage, "-nonsense", "-nonsense")
	f(exitUsage, "Usage: collectionagent compact", "-version")
	f(exitFailure, "embedded engine", "-store", "clickhouse", "-clickhouse-dsn", "clickhouse://127.0.0.1:1/x")
	if entries, err := os.ReadDir(dir + "/blocks"); err != nil || len(entries) == 0 {
		t.Errorf("%d files of blocks, %v", len(entries), err)
	}
}

// testNowForCompact is a time in nanoseconds.
const testNowForCompact = 1_790_000_000_000_000_000
