// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpcheck"
)

func newTestBatcher(t *testing.T, maxBytes int) *Batcher {
	t.Helper()
	b, err := NewBatcher(&Options{HostID: "host-1", HostName: "box", RunID: [16]byte{1}, AgentVersion: "1.2", MaxQueueBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// takeAll takes everything in batches of at most limit bytes, checks each, and settles it.
func takeAll(t *testing.T, b *Batcher, limit int, settle func(*Batch)) (batches int) {
	t.Helper()
	for taken := b.Take(limit); len(taken) > 0; taken = b.Take(limit) {
		for _, batch := range taken {
			batches++
			if len(batch.Payload) > limit {
				t.Errorf("a batch has %d bytes, may have %d", len(batch.Payload), limit)
			}
			if err := otlpcheck.CheckBytes(batch.Payload, otlpcheck.Limits{}, otlpcheck.Options{}).Err(); err != nil {
				t.Error(err)
			}
			settle(batch)
		}
	}
	return batches
}

func wantLedger(t *testing.T, b *Batcher, want Ledger) {
	t.Helper()
	if want.Dropped == nil {
		want.Dropped = map[string]uint64{}
	}
	if diff := cmp.Diff(want, b.Ledger()); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// TestBatcherWritesWhatReportersDo compares with the encoder of OTLPReporter.
func TestBatcherWritesWhatReportersDo(t *testing.T) {
	t.Parallel()
	b := newTestBatcher(t, 0)
	for _, e := range []*libpf.Executable{testKernel, testLibrary, testRuntime, testGo} {
		b.ReportExecutable(e)
	}
	b.ReportHostMetadata(map[string]string{"os.type": "linux", "host.name": "not this", "kernel.release": "6.1"})
	samples := testSamples()
	for i := range samples {
		b.ReportSample(&samples[i])
	}
	b.ReportSample(nil)
	b.ReportExecutable(nil)
	batches := b.Take(maxRequestBytes)
	if len(batches) != 1 || b.Take(maxRequestBytes) != nil {
		t.Fatalf("%d batches", len(batches))
	}
	x := newTestExport(t, samples...)
	keepTestFiles(x.catalogue)
	x.host = map[string]string{"os.type": "linux", "host.id": "host-1", "host.name": "box", "strobe.host.kernel.release": "6.1"}
	x.version, x.runID, x.sequence = "1.2", [16]byte{1}, 1
	var e profileEncoder
	if want, _ := e.encode(x); !bytes.Equal(want, batches[0].Payload) {
		t.Errorf("a batch is not what OTLPReporter sends")
	}
	n := uint64(len(samples))
	wantLedger(t, b, Ledger{Captured: n, Queued: n})
	batches[0].Delivered()
	wantLedger(t, b, Ledger{Captured: n, Stored: n})
}

func TestBatcherCutsBatches(t *testing.T) {
	t.Parallel()
	const n, limit = 300, 16 << 10
	b := newTestBatcher(t, 0)
	for i := range n {
		b.ReportSample(sampleOf(nativeTrace(uint64(i), 8), i)) //nolint:gosec // positive
	}
	huge := sampleOf(libpf.NewTrace([]libpf.Frame{{Type: libpf.PythonFrame, FunctionName: strings.Repeat("x", 2*limit)}}), n)
	b.ReportSample(huge)
	if batches := takeAll(t, b, limit, (*Batch).Delivered); batches < 4 {
		t.Errorf("%d batches of %d bytes", batches, limit)
	}
	wantLedger(t, b, Ledger{Captured: n + 1, Stored: n, Dropped: map[string]uint64{reasonTooLarge: 1}})
}

// TestBatcherTakesLittle takes what was summed for a long time in turns: each observation
// that a row stands for is written, which is many times the memory of the row.
func TestBatcherTakesLittle(t *testing.T) {
	t.Parallel()
	const rows, count, value = 300, 1 << 20, 1 << 30
	b := newTestBatcher(t, 0)
	for i := range rows {
		s := sampleOf(nativeTrace(uint64(i), 1), i) //nolint:gosec // positive
		s.Type, s.Count, s.Value = libpf.SampleOffCPU, count, value
		b.ReportSample(s)
	}
	turns := 0
	for taken := b.Take(maxRequestBytes); len(taken) > 0; taken = b.Take(maxRequestBytes) {
		turns++
		bytes := 0
		for _, batch := range taken {
			bytes += len(batch.Payload)
			batch.Delivered()
		}
		if bytes > 3*maxRequestBytes {
			t.Errorf("%d bytes at once", bytes)
		}
	}
	if turns < 2 {
		t.Errorf("%d turns", turns)
	}
	wantLedger(t, b, Ledger{Captured: rows * count, Stored: rows * count})
}

func TestBatcherIsBounded(t *testing.T) {
	t.Parallel()
	const n = 20_000
	b := newTestBatcher(t, minQueueBytes)
	for i := range n {
		b.ReportSample(sampleOf(nativeTrace(uint64(i), 8), i*1000)) //nolint:gosec // positive
	}
	select {
	case <-b.HalfFull():
	default:
		t.Error("nobody was told that the queue is full")
	}
	if s := b.samples.status(); s.Bytes > minQueueBytes {
		t.Errorf("%d bytes are held, %d may be", s.Bytes, minQueueBytes)
	}
	b.Close()
	b.ReportSample(sampleOf(nativeTrace(1, 1), 1))
	before := b.Ledger()
	takeAll(t, b, maxRequestBytes, func(batch *Batch) { batch.Drop(DropShutdown) })
	wantLedger(t, b, Ledger{Captured: n + 1, Dropped: map[string]uint64{
		reasonOverflow: before.Dropped[reasonOverflow], reasonShutdown: n - before.Dropped[reasonOverflow], reasonClosed: 1,
	}})
}
