// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// testNow is the time of all tests: 2026-11-21 10:00:00 UTC.
var testNow = time.Unix(1_795_255_200, 0).UTC()

const period = int64(50 * time.Millisecond)

// testStore returns a store with a frame of every kind.
func testStore(tb testing.TB) *memstore.Store {
	tb.Helper()
	s := memstore.New()
	app, kernel, lost := libpf.NewFileID(0xa, 1), libpf.NewFileID(0xb, 2), libpf.NewFileID(0xc0ffee0000000000, 3)
	native := func(id libpf.FileID, address libpf.AddressOrLineno) libpf.Frame {
		return libpf.Frame{Type: libpf.NativeFrame, FileID: id, AddressOrLineno: address}
	}
	start, main, work := native(app, 0x10), native(app, 0x20), native(app, 0x30)
	goMain := libpf.Frame{Type: libpf.GoFrame, FileID: app, AddressOrLineno: 0x40}
	read := libpf.Frame{Type: libpf.KernelFrame, FileID: kernel, AddressOrLineno: 0x100}
	python := libpf.Frame{
		Type: libpf.PythonFrame, FileID: libpf.NewFileID(0xd, 4), AddressOrLineno: 7,
		FunctionName: "handle <request>", SourceFile: "/srv/app.py", SourceLine: 7,
	}
	abort := libpf.Frame{Type: libpf.AbortFrame, FunctionName: "stack too deep"}
	stacks := [][]libpf.Frame{
		{work, main, start},
		{read, work, main, start},
		{native(lost, 0xbeef), python, main, start},
		{goMain},
		{work, abort},
		{native(lost, 0x1)}, // not defined below
	}
	line := func(function, file string, n, first libpf.SourceLineno) libpf.SourceLine {
		return libpf.SourceLine{Function: function, File: file, Line: n, StartLine: first}
	}
	symbol := func(f libpf.Frame, lines ...libpf.SourceLine) store.Symbol {
		return store.Symbol{Frame: f.ID(), Lines: lines}
	}
	d := &store.Definitions{
		Symbols: []store.Symbol{
			symbol(start, libpf.SourceLine{Function: "_start"}),
			symbol(main, line("main", "/src/main.c", 12, 10)),
			symbol(work, line("vector<int>::at", "/usr/include/vector", 5, 0), line("work", "/src/work.c", 33, 30)),
			symbol(goMain, line("main.main", "/src/main.go", 8, 7)),
			symbol(read, libpf.SourceLine{Function: "vfs_read"}),
		},
		Executables: []libpf.Executable{
			{FileID: app, FileName: "app", BuildID: "0123456789abcdef"},
			{FileID: kernel, FileName: "[kernel.kallsyms]"},
		},
		Hosts: []store.Host{{
			ID: "42", Name: "node-1", LastSeen: libpf.UnixTimeNs(testNow.UnixNano()),
			Metadata: map[string]string{"kernel": "6.1"},
		}},
	}
	b := &store.Batch{Series: []store.Series{
		{
			Type: libpf.SampleOnCPU, Service: "shop", Host: "node-1", HostID: "42", Process: "app", Comm: "worker",
			PID: 7, TID: 8, Pod: "shop-1", Labels: []libpf.Label{{Key: "app.kubernetes.io/name", Value: "shop"}},
		},
		{Type: libpf.SampleOnCPU, Service: "cron", Host: "node-1", HostID: "42", Process: "sh", Comm: "sh", PID: 9, TID: 9},
		{Type: libpf.SampleOffCPU, Service: "shop", Host: "node-1", HostID: "42", Process: "app", Comm: "worker"},
		{
			Type: libpf.SampleEvent, Service: "shop", Host: "node-1", HostID: "42", Process: "app", Comm: "worker", PID: 7, TID: 8,
			Labels: []libpf.Label{{Key: "event.name", Value: "oom"}, {Key: "event.title", Value: "app was killed"}},
		},
		{Type: libpf.SampleEvent, Host: "node-1", HostID: "42"},
	}}
	for i, frames := range stacks {
		hash := libpf.HashTrace(frames)
		if i < len(stacks)-1 {
			d.Stacks = append(d.Stacks, store.Stack{Hash: hash, Frames: frames})
		}
		for j := range i + 1 {
			b.Samples = append(b.Samples, store.Sample{
				Time:   libpf.UnixTimeNs(testNow.Add(-time.Duration(1+i*60+j) * time.Second).UnixNano()),
				Series: uint32(i % 2), //nolint:gosec // 0 or 1
				Stack:  hash, Count: int64(i + 1), Value: int64(i+1) * period,
			})
		}
	}
	b.Samples = append(b.Samples, store.Sample{
		Time: libpf.UnixTimeNs(testNow.Add(-time.Second).UnixNano()), Series: 2,
		Stack: libpf.HashTrace(stacks[0]), Count: 3, Value: 777,
	})
	for i, stack := range [][]libpf.Frame{stacks[0], stacks[1], stacks[5], nil} { // the last two are not defined
		b.Samples = append(b.Samples, store.Sample{
			Time: libpf.UnixTimeNs(testNow.Add(-time.Duration(60+i/2) * time.Second).UnixNano()), Series: uint32(3 + i%2), //nolint:gosec // few
			Stack: libpf.HashTrace(stack), Count: 1, Value: 1,
		})
	}
	for i := range b.Samples {
		if i%4 == 0 && b.Samples[i].Series < 3 {
			b.Samples[i].TraceID, b.Samples[i].SpanID = [16]byte{0xab, 15: byte(i % 8)}, [8]byte{0xcd, 7: byte(i)} //nolint:gosec // few
		}
	}
	d.Project = ingest.DefaultProject
	for i := range b.Series {
		b.Series[i].Project = ingest.DefaultProject
	}
	if _, err := s.Put(tb.Context(), d); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Append(tb.Context(), b); err != nil {
		tb.Fatal(err)
	}
	return s
}

// testRetention is how long data stay in tests.
func testRetention() *store.Retention {
	const day = 24 * time.Hour
	return &store.Retention{
		Ages: store.Ages{Samples: 7 * day, Minutes: 30 * day, Hours: 400 * day},
		Rules: []store.RetentionRule{
			{Project: "other", Ages: store.Ages{Samples: day}},
			{Type: libpf.SampleOffCPU, Ages: store.Ages{Samples: 2 * day, Hours: math.MaxInt64}},
		},
	}
}

// testFleet is what agents say in tests: one that does well, and three that do not.
type testFleet struct{}

func run(n byte) [16]byte { return [16]byte{15: n} }

func (testFleet) Agents(project string) []fleet.Agent {
	if project != ingest.DefaultProject {
		return nil
	}
	ns := func(ago time.Duration) libpf.UnixTimeNs { return libpf.UnixTimeNs(testNow.Add(-ago).UnixNano()) }
	return []fleet.Agent{
		{
			Report: fleet.Report{
				HostID: "42", HostName: "node-1", RunID: run(1), AgentVersion: "1.2.3", State: "connected",
				Time: ns(3 * time.Second), Start: ns(time.Hour),
				Ledger: fleet.Ledger{Captured: 72000, Stored: 71960, Queued: 40},
				Spool:  fleet.Spool{State: "on", MaxBytes: 512 << 20},
			},
			Received: testNow.Add(-3 * time.Second),
		},
		{
			Report: fleet.Report{
				HostID: "43", HostName: "node-2", RunID: run(2), AgentVersion: "1.2.3", State: "disconnected",
				LastError: "connection refused", Time: ns(-2 * time.Second), Start: ns(2 * time.Hour),
				Ledger: fleet.Ledger{
					Captured: 1000, Recovered: 100, Stored: 400, Queued: 50, Spooled: 500,
					Dropped: map[string]uint64{"too_old": 30, "queue_full": 20},
				},
				Spool:       fleet.Spool{State: "on", Bytes: 1 << 20, MaxBytes: 512 << 20, Batches: 7},
				Limitations: []fleet.Limitation{{Name: "hardware cycles (PMU)", Effect: "the CPU clock is sampled", Fix: "expose the PMU"}},
			},
			Received: testNow.Add(-4 * time.Second), LastDrop: testNow.Add(-30 * time.Minute),
		},
		{
			Report: fleet.Report{
				HostID: "44", HostName: "node-3", RunID: run(3), AgentVersion: "1.2.2", State: "connected",
				Time: ns(10 * time.Minute), Start: ns(time.Hour),
				Ledger: fleet.Ledger{Captured: 10, Stored: 8, Dropped: map[string]uint64{"queue_full": 1}},
				Spool:  fleet.Spool{State: "off"},
			},
			Received: testNow.Add(-10 * time.Minute), LastDrop: testNow.Add(-10 * time.Minute),
		},
	}
}

// testReceipts is what was received in tests.
type testReceipts struct{}

func (testReceipts) Receipts(project string) fleet.Receipts {
	if project != ingest.DefaultProject {
		return fleet.Receipts{Refused: map[string]uint64{}}
	}
	return fleet.Receipts{Received: 73000, Stored: 72348, Duplicate: 600, Refused: map[string]uint64{"invalid": 52}}
}

func (testReceipts) LastMinute(project string) fleet.Minute {
	if project != ingest.DefaultProject {
		return fleet.Minute{}
	}
	return fleet.Minute{Received: 1300, Stored: 1200, Duplicate: 60}
}

func (testReceipts) Memory() (used, limit int64) { return 1 << 20, 64 << 20 }

// runStore is a store that says what it holds of each run, and how it does.
type runStore struct{ store.Store }

func (runStore) Health() store.Health {
	return store.Health{FreeBytes: 10 << 30, BacklogRows: 4096}
}

func (runStore) RunLedgers(_ context.Context, project string) ([]store.RunLedger, error) {
	if project != ingest.DefaultProject {
		return nil, nil
	}
	return []store.RunLedger{
		{HostID: "42", RunID: run(1), Stored: 71980}, // since the agent's report
		{HostID: "42", RunID: run(9), Stored: 123456},
		{HostID: "43", RunID: run(2), Stored: 290}, // 10 fewer than the agent stored itself
		{HostID: "44", RunID: run(3), Stored: 8},
		{HostID: "45", RunID: run(4), Stored: 300}, // its agent never reported
		{HostID: "45", RunID: run(5), Stored: 200},
	}, nil
}
