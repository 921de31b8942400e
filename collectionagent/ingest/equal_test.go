// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/export"
	"github.com/strobe-profiler/strobe/reporter"
)

// sampleReporter is what both reporters of our agent have.
type sampleReporter interface {
	ReportSample(*libpf.Sample)
	ReportExecutable(*libpf.Executable)
	ReportHostMetadata(map[string]string)
	Stop()
}

// TestReportersAreEqual reports the same through both of our own reporters, and finds
// the same in the store: series, stacks as they are shown, times, counts, values, spans and hosts.
func TestReportersAreEqual(t *testing.T) {
	t.Parallel()
	shown := map[string]map[string][2]int64{}
	hosts := map[string][]store.Host{}
	now := time.Now().Truncate(time.Second)
	for _, protocol := range []string{"own", "otlp"} {
		m := memstore.New()
		s, err := New(Config{Store: m, KnownStacks: 1024})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server, _ := s.NewGRPCServer()
		done := make(chan error, 1)
		go func() { done <- server.Serve(listener) }()
		c := &reporter.Config{CollAgentAddr: listener.Addr().String(), DisableTLS: true}
		o := &reporter.Options{HostID: "host-1", HostName: "box", AgentVersion: "1.2", StopTimeout: 2 * time.Minute}
		var r sampleReporter
		if protocol == "own" {
			r, err = reporter.StartWithOptions(context.Background(), c, o)
		} else {
			r, err = reporter.StartOTLPWithOptions(context.Background(), c, o)
		}
		if err != nil {
			t.Fatal(err)
		}
		reportEverything(r, now)
		r.Stop()
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		shown[protocol] = showStore(t, m)
		if hosts[protocol], err = m.Hosts(t.Context(), DefaultProject); err != nil {
			t.Fatal(err)
		}
		for i := range hosts[protocol] {
			h := &hosts[protocol][i]
			h.LastSeen = 0
			delete(h.Metadata, "host.id") // both are the host itself
			delete(h.Metadata, "host.name")
		}
	}
	if len(shown["own"]) < 500 {
		t.Errorf("only %d rows are stored", len(shown["own"]))
	}
	if diff := cmp.Diff(shown["own"], shown["otlp"]); diff != "" {
		t.Errorf("samples (-own protocol +OTLP):\n%s", diff)
	}
	if diff := cmp.Diff(hosts["own"], hosts["otlp"]); diff != "" {
		t.Errorf("hosts (-own protocol +OTLP):\n%s", diff)
	}
}

// showStore returns counts and values of everything in a store by what is shown of it.
func showStore(t *testing.T, m store.Store) map[string][2]int64 {
	t.Helper()
	ctx := t.Context()
	out := map[string][2]int64{}
	for _, kind := range []libpf.SampleType{libpf.SampleOnCPU, libpf.SampleOffCPU, libpf.SampleEvent} {
		var samples []store.Sample
		var keys []string
		q := &store.Query{Project: DefaultProject, Type: kind, To: libpf.UnixTimeNs(time.Now().Add(time.Hour).UnixNano())}
		if err := m.Samples(ctx, q, func(s *store.Sample, series *store.Series) bool {
			samples = append(samples, *s)
			keys = append(keys, fmt.Sprintf("%d %+v %x/%x", store.FloorMs(s.Time), *series, s.TraceID, s.SpanID))
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for i, s := range samples {
			key := keys[i] + showStack(t, m, s.Stack)
			sum := out[key]
			out[key] = [2]int64{sum[0] + s.Count, sum[1] + s.Value}
		}
	}
	return out
}

func showStack(t *testing.T, m store.Store, hash libpf.TraceHash) string {
	t.Helper()
	ctx := t.Context()
	found, err := m.Stacks(ctx, DefaultProject, []libpf.TraceHash{hash})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range found[hash] {
		executables, err := m.Executables(ctx, DefaultProject, []libpf.FileID{f.FileID})
		if err != nil {
			t.Fatal(err)
		}
		if f.FunctionName == "" && f.SourceFile == "" && !f.Type.IsError() && !f.FileID.IsZero() {
			names, err := m.Symbols(ctx, DefaultProject, []libpf.FrameID{f.ID()})
			if err != nil {
				t.Fatal(err)
			}
			f.Lines = names[f.ID()]
		}
		find := func(id libpf.FileID) (libpf.Executable, bool) {
			e, ok := executables[id]
			return e, ok
		}
		for _, l := range export.AppendLevels(nil, &f, find) {
			l.Named = false // what has no name is named after its address, here or there
			e, _ := find(f.FileID)
			fmt.Fprintf(&b, "\n\t%+v %s %s", l, e.Runtime, e.BuildID)
		}
	}
	return b.String()
}

// reportEverything reports samples of all kinds.
func reportEverything(r sampleReporter, now time.Time) {
	r.ReportHostMetadata(map[string]string{"host.id": "host-1", "host.name": "box", "os.type": "linux", "agent.version": "1", "kernel.release": "6"})
	kernel := &libpf.Executable{FileID: libpf.FileIDFromBuildID("0102aabb"), FileName: "[kernel.kallsyms]", BuildID: "0102aabb"}
	library := &libpf.Executable{FileID: libpf.NewFileID(0x11, 0x12), FileName: "libc.so.6", BuildID: "cc"}
	runtime := &libpf.Executable{FileID: libpf.NewFileID(0x21, 0x22), FileName: "python3.12", BuildID: "dd", Runtime: "python"}
	golang := &libpf.Executable{FileID: libpf.NewFileID(0x31, 0x32), FileName: "server", BuildID: "Bq/x/y"}
	files := []*libpf.Executable{kernel, library, runtime, golang}
	for _, e := range files {
		r.ReportExecutable(e)
	}
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	frame := func() libpf.Frame {
		address := libpf.AddressOrLineno(1 + rnd.IntN(6))
		switch rnd.IntN(14) {
		case 0: // with an inlined function
			return libpf.Frame{Type: libpf.NativeFrame, FileID: library.FileID, AddressOrLineno: 0x1000 + address, Lines: []libpf.SourceLine{
				{Function: "inlined", File: "a.h", Line: libpf.SourceLineno(address)},
				{Function: "outer(int)", SystemName: "_Z5outeri", File: "a.cc", Line: 30, StartLine: 20},
			}}
		case 1:
			return libpf.Frame{Type: libpf.KernelFrame, FileID: kernel.FileID, AddressOrLineno: address, Lines: []libpf.SourceLine{{Function: fmt.Sprintf("sys_%d", address)}}}
		case 2: // a module, of which only the ID is known
			return libpf.Frame{Type: libpf.KernelFrame, FileID: libpf.NewFileID(0x99, 1), AddressOrLineno: address, Lines: []libpf.SourceLine{{Function: "bpf_prog"}}}
		case 3:
			return libpf.Frame{Type: libpf.KernelFrame, AddressOrLineno: 0xffff_0000 + address}
		case 4: // named after its address
			return libpf.Frame{Type: libpf.NativeFrame, FileID: library.FileID, AddressOrLineno: 0x2000 + address, Lines: []libpf.SourceLine{{Function: fmt.Sprintf("libc.so.6+0x%x", 0x2000+address)}}}
		case 5: // in no known file
			return libpf.Frame{Type: libpf.NativeFrame, AddressOrLineno: address, Lines: []libpf.SourceLine{{Function: fmt.Sprintf("[unknown]+0x%x", address)}}}
		case 6: // of a perf map
			name := fmt.Sprintf("Interpreter_%d", address)
			return libpf.Frame{Type: libpf.NativeFrame, FileID: libpf.FileIDFromIdentity("perf-map", name), FunctionName: name}
		case 7: // anonymous
			return libpf.Frame{Type: libpf.NativeFrame, FileID: libpf.NewFileID(0x77, 1), AddressOrLineno: address << 12, FunctionName: fmt.Sprintf("[anon]+0x%x", address<<12)}
		case 8:
			return libpf.Frame{Type: libpf.NativeFrame, FileID: runtime.FileID, AddressOrLineno: address, Lines: []libpf.SourceLine{{Function: "PyEval_EvalFrame"}}}
		case 9:
			return libpf.Frame{Type: libpf.GoFrame, FileID: golang.FileID, AddressOrLineno: address, Lines: []libpf.SourceLine{{Function: "main.main", File: "main.go", Line: 7}}}
		case 10:
			return libpf.Frame{Type: libpf.PHPJITFrame, FunctionName: "run", SourceFile: "x.php", SourceLine: libpf.SourceLineno(address), AddressOrLineno: address}
		case 11:
			return libpf.Frame{Type: libpf.V8Frame | libpf.ErrorBit, FunctionName: "no code"}
		case 12: // without a name
			return libpf.Frame{Type: libpf.RubyFrame, SourceFile: "x.rb", SourceLine: libpf.SourceLineno(address)}
		default:
			return libpf.Frame{Type: libpf.PythonFrame, FunctionName: fmt.Sprintf("f%d", address), SourceFile: "app.py", SourceLine: libpf.SourceLineno(10 + address)}
		}
	}
	var traces []*libpf.Trace
	for range 60 {
		var frames []libpf.Frame
		for range 1 + rnd.IntN(12) {
			frames = append(frames, frame())
		}
		if rnd.IntN(5) == 0 {
			frames = append(frames, libpf.Frame{Type: libpf.AbortFrame, FunctionName: "stack too deep"})
		}
		traces = append(traces, libpf.NewTrace(frames))
	}
	processes := []*libpf.Process{
		{
			PID: 100, StartTime: 5e9, Name: "gunicorn", Executable: "/usr/bin/python3.12", ExecutableID: runtime.FileID, CommandLine: "gunicorn shop",
			ContainerID: "c1", ContainerName: "web", PodName: "shop-1", Namespace: "prod", CgroupID: 12, Service: "shop",
			Labels: []libpf.Label{
				{Key: "deployment.environment.name", Value: "prod"}, {Key: "host.name", Value: "not this one"}, {Key: "k8s.node.name", Value: "node-7"},
				{Key: "os.type", Value: "none"}, {Key: "process.context.label.x", Value: "y"}, {Key: "service.name", Value: "other"}, {Key: "telemetry.sdk.language", Value: "python"},
			},
		},
		{PID: 200, StartTime: 6e9, Name: "server", Executable: "/server", ExecutableID: golang.FileID, Service: "server", ContainerName: "db", ContainerID: "c2"},
		{PID: 300, StartTime: 7e9, Name: "kworker/0:1", Service: "kernel"},
		{PID: 100, StartTime: 8e9, Name: "gunicorn", Executable: "/usr/bin/python3.12", ExecutableID: runtime.FileID, Service: "shop"},
	}
	for i := range 3000 {
		p := processes[rnd.IntN(len(processes))]
		s := &libpf.Sample{
			Time: libpf.UnixTimeNs(now.UnixNano()) - libpf.UnixTimeNs(rnd.Int64N(4e9)), Type: libpf.SampleOnCPU, Count: 1, Value: 50_000_000,
			Trace: traces[rnd.IntN(len(traces))], Process: p, TID: libpf.TID(p.PID) + libpf.TID(rnd.IntN(3)), Comm: fmt.Sprintf("worker-%d", i%3), CPU: uint32(i % 2),
		}
		switch rnd.IntN(8) {
		case 0:
			s.Type, s.Value = libpf.SampleOffCPU, 1+rnd.Int64N(1e8)
		case 1:
			s.Type, s.Value = libpf.SampleEvent, 1
		case 2:
			s.Count, s.Value = 3, 3*50_000_000
		case 3: // summed, of two rates
			s.Count, s.Value = 4, 2*50_000_000+2*10_000_001
		case 4: // summed
			s.Type, s.Count, s.Value = libpf.SampleOffCPU, 5, 1_000_003
		case 5:
			s.TraceID, s.SpanID = [16]byte{1, byte(i)}, [8]byte{2}
			s.Labels = []libpf.Label{{Key: "os.type", Value: "label"}, {Key: "route", Value: fmt.Sprintf("/%d", i%4)}}
		}
		r.ReportSample(s)
	}
}
