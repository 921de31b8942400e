// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

const testTime = libpf.UnixTimeNs(1_800_000_000_000_000_000)

// nativeTrace is a stack of named native frames in two files over one kernel frame.
func nativeTrace(seed uint64, depth int) *libpf.Trace {
	frames := []libpf.Frame{{
		Type: libpf.KernelFrame, FileID: libpf.NewFileID(9, 9), AddressOrLineno: libpf.AddressOrLineno(0x100 + seed%7),
		Lines: []libpf.SourceLine{{Function: fmt.Sprintf("sys_%d", seed%7)}},
	}}
	for i := range depth {
		addr := seed*1000 + uint64(i)
		frames = append(frames, libpf.Frame{
			Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, addr%2), AddressOrLineno: libpf.AddressOrLineno(addr),
			Lines: []libpf.SourceLine{
				{Function: fmt.Sprintf("inlined_%d", addr), File: "a.c", Line: 3},
				{Function: fmt.Sprintf("function_%d", addr), SystemName: fmt.Sprintf("_Zfunction_%d", addr), File: "a.c", Line: 30, StartLine: 20},
			},
		})
	}
	return libpf.NewTrace(frames)
}

var testProcess = &libpf.Process{
	PID: 100, StartTime: 5, Name: "app", Executable: "/usr/bin/app", ExecutableID: libpf.NewFileID(1, 0), Service: "shop",
	ContainerID: "c1", Labels: []libpf.Label{{Key: "env", Value: "test"}},
}

func sampleOf(t *libpf.Trace, i int) *libpf.Sample {
	return &libpf.Sample{
		Time: testTime + libpf.UnixTimeNs(i)*libpf.UnixTimeNs(time.Millisecond), Type: libpf.SampleOnCPU, Count: 1,
		Value: 50_000_000, Trace: t, Process: testProcess, TID: libpf.TID(100 + i%3), Comm: "worker", CPU: uint32(i % 4),
	}
}

func startTest(t *testing.T, addr string, change func(*Config, *Options)) *GRPCReporter {
	t.Helper()
	c := &Config{CollAgentAddr: addr, DisableTLS: true, Times: fastTimes()}
	o := &Options{HostID: "host-1", HostName: "box", StopTimeout: 3 * time.Second}
	if change != nil {
		change(c, o)
	}
	r, err := StartWithOptions(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// checkLedger requires that the ledger adds up and returns it.
func checkLedger(t *testing.T, r interface{ Status() Status }) Ledger {
	t.Helper()
	l := r.Status().Ledger
	sum := l.Stored + l.Queued + l.Spooled
	for _, n := range l.Dropped {
		sum += n
	}
	if sum != l.Captured {
		t.Errorf("the ledger does not add up: %+v", l)
	}
	return l
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startTest(t, s.serve(), nil)
	const workers, each = 8, 300
	traces := make([]*libpf.Trace, 40)
	for i := range traces {
		traces[i] = nativeTrace(uint64(i), 10)
	}
	r.ReportExecutable(&libpf.Executable{FileID: libpf.NewFileID(1, 1), FileName: "libfoo.so", BuildID: "abcd"})
	r.ReportExecutable(&libpf.Executable{FileID: libpf.NewFileID(9, 9), FileName: "[kernel.kallsyms]"})
	want := map[rowKey]int64{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				sample := sampleOf(traces[(w+i)%len(traces)], w*each+i)
				r.ReportSample(sample)
				mu.Lock()
				want[rowKey{sample.Trace.Hash, int64(sample.Time), uint32(sample.TID), sample.Comm}]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.Stop()

	if diff := cmp.Diff(want, s.rows, cmp.AllowUnexported(rowKey{}), cmp.Comparer(func(a, b libpf.TraceHash) bool { return a == b })); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if l := checkLedger(t, r); l.Stored != workers*each || l.Queued != 0 {
		t.Errorf("ledger: %+v", l)
	}
	if s.orphans != 0 {
		t.Errorf("%d stacks came after their samples", s.orphans)
	}
	for _, trace := range traces {
		if s.resent[trace.Hash] != 1 {
			t.Errorf("a stack was defined %d times", s.resent[trace.Hash])
		}
		for i := range trace.Frames {
			f := &trace.Frames[i]
			if f.Type == libpf.KernelFrame {
				if s.symbol[f.ID()] != f.Lines[0].Function {
					t.Errorf("kernel symbol %q", s.symbol[f.ID()])
				}
			} else if diff := cmp.Diff(f.Lines, s.names[f.ID()]); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		}
	}
	wantExecs := map[libpf.FileID]libpf.Executable{}
	for _, e := range []libpf.Executable{
		{FileID: libpf.NewFileID(1, 0), FileName: "app"}, // from the process
		{FileID: libpf.NewFileID(1, 1), FileName: "libfoo.so", BuildID: "abcd"},
		{FileID: libpf.NewFileID(9, 9), FileName: "[kernel.kallsyms]"},
	} {
		wantExecs[e.FileID] = e
	}
	if len(s.execs) != len(wantExecs) {
		t.Errorf("executables: %v", s.execs)
	}
	for id, e := range wantExecs {
		if s.execs[id] != e {
			t.Errorf("executable %v: %v", id, s.execs[id])
		}
	}
}

// The calls of the documented interfaces go the same way.
func TestPlainCalls(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startTest(t, s.serve(), func(c *Config, _ *Options) {
		times := fastTimes()
		times.report = time.Minute // everything goes with Stop, in one flush
		c.Times = times
	})
	file := libpf.NewFileID(4, 5)
	trace := libpf.NewTrace([]libpf.Frame{
		{Type: libpf.PythonFrame, FileID: file, AddressOrLineno: 7},
		{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: 8},
	})
	const second = libpf.UnixTime32(1_800_000_000)
	// The field reports the count before the stack.
	r.ReportCountForTrace(trace.Hash, second, 3, "comm", "pod", "container")
	r.ReportFramesForTrace(trace)
	r.ReportCountForTrace(trace.Hash, second, 4, "comm", "pod", "container")
	r.ReportCountForTrace(trace.Hash, second+1, 1, "comm", "pod", "container")
	r.FrameMetadata(file, 7, 12, 2, "fn", "x.py")
	r.FrameMetadata(file, 7, 13, 2, "fn", "")
	r.ReportFallbackSymbol(libpf.NewFrameID(file, 8), "sym")
	r.ExecutableMetadata(context.Background(), file, "python3", "beef")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	r.ExecutableMetadata(cancelled, libpf.NewFileID(7, 7), "late", "")
	r.ReportMetrics(5, []uint32{1, 2}, []int64{-10, 20})
	r.ReportMetrics(6, []uint32{1, 2, 3}, []int64{30})
	r.ReportHostMetadata(map[string]string{"os": "linux"})
	r.Stop()

	wantRows := map[rowKey]int64{
		{trace.Hash, int64(second.UnixNano()), 0, "comm"}:       7,
		{trace.Hash, int64((second + 1).UnixNano()), 0, "comm"}: 1,
	}
	if len(s.rows) != 2 || s.rows[rowKey{trace.Hash, int64(second.UnixNano()), 0, "comm"}] != 7 {
		t.Errorf("rows: %v, want %v", s.rows, wantRows)
	}
	if n := len(s.lastRow.GetTimeDeltas()); n != 2 {
		t.Errorf("%d rows on the wire, equal ones are not summed", n)
	}
	if p := s.procs[0]; s.lastRow.GetStringTable()[p.GetPodName()] != "pod" || s.lastRow.GetStringTable()[p.GetContainerName()] != "container" ||
		s.lastRow.GetStringTable()[p.GetService()] != "container" {
		t.Errorf("process: %v", p)
	}
	if s.orphans != 0 || len(s.stacks[trace.Hash]) != 2 {
		t.Errorf("stack: %v, %d orphans", s.stacks[trace.Hash], s.orphans)
	}
	if diff := cmp.Diff([]libpf.SourceLine{{Function: "fn", File: "x.py", Line: 13, StartLine: 11}}, s.names[libpf.NewFrameID(file, 7)]); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if s.symbol[libpf.NewFrameID(file, 8)] != "sym" || s.execs[file].BuildID != "beef" || len(s.execs) != 1 {
		t.Errorf("symbols %v, executables %v", s.symbol, s.execs)
	}
	if diff := cmp.Diff([]metricPoint{{5, 1, -10}, {5, 2, 20}, {6, 1, 30}}, s.points, cmp.AllowUnexported(metricPoint{})); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]map[string]string{{"os": "linux"}}, s.hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if l := checkLedger(t, r); l.Captured != 8 || l.Stored != 8 {
		t.Errorf("ledger: %+v", l)
	}
}

// A row keeps everything that a sample carries.
func TestColumns(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startTest(t, s.serve(), nil)
	trace := nativeTrace(1, 2)
	off := sampleOf(trace, 1)
	off.Type, off.Count, off.Value, off.Comm = libpf.SampleOffCPU, 2, 777, "bad\xffutf8"
	off.Labels = []libpf.Label{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}}
	off.TraceID, off.SpanID = [16]byte{1}, [8]byte{2}
	r.ReportSample(sampleOf(trace, 0))
	r.ReportSample(off)
	r.ReportSample(&libpf.Sample{Count: 5})
	r.ReportSample(nil)
	r.Stop()
	got := s.lastRow
	if diff := cmp.Diff([][]uint32{{1, 2}, {1, 2}, {0, 1}, {0, 1}, {0, 1}}, [][]uint32{
		got.GetCounts(), got.GetTypes(), got.GetCpus(), got.GetLabels(), got.GetSpanRefs(),
	}); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{50_000_000, 777}, got.GetValues()); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	set := got.GetLabelSets()[0]
	if got.GetStringTable()[set.GetKeys()[0]] != "a" {
		t.Errorf("labels are not sorted: %v", set)
	}
	if comm := got.GetStringTable()[got.GetThreadComms()[1]]; comm != "bad\uFFFDutf8" {
		t.Errorf("comm %q", comm)
	}
	if l := checkLedger(t, r); l.Dropped[reasonInvalid] != 5 {
		t.Errorf("ledger: %+v", l)
	}
}
