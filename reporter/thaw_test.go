// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

var sameHash = cmp.Options{
	cmp.Comparer(func(a, b libpf.TraceHash) bool { return a == b }),
	cmp.Comparer(func(a, b libpf.FileID) bool { return a == b }),
	cmp.Comparer(func(a, b libpf.FrameID) bool { return a == b }),
}

// What is read back is what was written.
func TestThawCounts(t *testing.T) {
	t.Parallel()
	w := newWorkload(4, 5, 50)
	var rows []libpf.Sample
	for i := range 500 {
		row := w.sample()
		row.Trace = &libpf.Trace{Hash: row.Trace.Hash}
		switch i % 5 {
		case 1:
			row.Labels = []libpf.Label{{Key: "a", Value: "b"}, {Key: "c", Value: "d"}}
		case 2:
			row.TraceID, row.SpanID = [16]byte{1, byte(i)}, [8]byte{2}
		case 3:
			row.Count, row.Type, row.Value = 7, libpf.SampleOffCPU, -5
		}
		rows = append(rows, row)
	}
	for _, n := range []int{0, 1, 2, 500} {
		req, _ := encodeCounts(&pb.Batch{}, sortRows(rows[:n]))
		payload, err := marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeCounts(payload, func(hash libpf.TraceHash) *libpf.Trace { return &libpf.Trace{Hash: hash} })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]libpf.Sample{}, rows[:n]...), got, sameHash); diff != "" {
			t.Errorf("%d rows (-want +got):\n%s", n, diff)
		}
	}
}

func TestThawDefinitions(t *testing.T) {
	t.Parallel()
	var stacks []stackDef
	var names []nameDef
	var symbols []symbolDef
	var execs []execDef
	for i := range uint64(20) {
		trace := nativeTrace(i, 5)
		trace.Frames = append(trace.Frames, libpf.Frame{Type: libpf.PythonFrame, FunctionName: "f", SourceFile: "x.py", SourceLine: 3})
		bare := &libpf.Trace{Hash: trace.Hash, Frames: append([]libpf.Frame{}, trace.Frames...)}
		for j := range bare.Frames {
			f := &bare.Frames[j]
			if len(f.Lines) > 0 {
				names = append(names, nameDef{key: f.ID(), value: f.Lines, content: contentOfLines(f.Lines)})
			}
			f.Lines = nil
		}
		stacks = append(stacks, stackDef{key: bare.Hash, value: bare, content: noteUnnamed})
		symbols = append(symbols, symbolDef{key: trace.Frames[0].ID(), value: "sym", content: contentOfSymbol("sym")})
		e := &libpf.Executable{FileID: libpf.NewFileID(1, i), FileName: "f", BuildID: "b", Runtime: "python"}
		execs = append(execs, execDef{key: e.FileID, value: e, content: contentOfExecutable(e)})
	}
	allow := cmp.AllowUnexported(stackDef{}, nameDef{}, symbolDef{}, execDef{})
	req, tables := encodeStacks(&pb.Batch{}, stacks)
	payload, _ := marshal(req)
	gotStacks, gotTables, err := decodeStacks(payload)
	if diff := cmp.Diff(stacks, gotStacks, allow, sameHash); diff != "" || err != nil {
		t.Errorf("%v, stacks (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(tables, gotTables, cmp.AllowUnexported(stackTables{}), sameHash); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	payload, _ = marshal(encodeNames(&pb.Batch{}, names))
	gotNames, err := decodeNames(payload)
	if diff := cmp.Diff(names, gotNames, allow, sameHash); diff != "" || err != nil {
		t.Errorf("%v, names (-want +got):\n%s", err, diff)
	}
	payload, _ = marshal(encodeSymbols(&pb.Batch{}, symbols))
	gotSymbols, err := decodeSymbols(payload)
	if diff := cmp.Diff(symbols, gotSymbols, allow, sameHash); diff != "" || err != nil {
		t.Errorf("%v, symbols (-want +got):\n%s", err, diff)
	}
	payload, _ = marshal(encodeExecutables(&pb.Batch{}, execs))
	gotExecs, err := decodeExecutables(payload)
	if diff := cmp.Diff(execs, gotExecs, allow, sameHash); diff != "" || err != nil {
		t.Errorf("%v, executables (-want +got):\n%s", err, diff)
	}
}

// A type of which only the last byte is one of this version's is not taken for that.
func TestThawOtherTypes(t *testing.T) {
	t.Parallel()
	rows := []libpf.Sample{*sampleOf(nativeTrace(1, 3), 1), *sampleOf(nativeTrace(2, 3), 2)}
	for name, change := range map[string]func(*pb.AddCountsForTracesRequest){
		"of all": func(req *pb.AddCountsForTracesRequest) {
			req.DefaultType, req.Types = 256+uint32(libpf.SampleOnCPU), nil
		},
		"of each": func(req *pb.AddCountsForTracesRequest) { req.Types = []uint32{uint32(libpf.SampleOnCPU), 1 << 31} },
	} {
		req, _ := encodeCounts(&pb.Batch{}, rows)
		change(req)
		got, err := decodeCounts(must(marshal(req)), func(hash libpf.TraceHash) *libpf.Trace { return &libpf.Trace{Hash: hash} })
		if !errors.Is(err, errSpooled) || got != nil {
			t.Errorf("types %s: %d rows and error %v, want %v", name, len(got), err, errSpooled)
		}
	}
	req, _ := encodeStacks(&pb.Batch{}, []stackDef{{key: rows[0].Trace.Hash, value: rows[0].Trace}})
	req.FrameTypes[0] += 256
	if _, _, err := decodeStacks(must(marshal(req))); !errors.Is(err, errSpooled) {
		t.Errorf("types of frames: error %v, want %v", err, errSpooled)
	}
}

// What is noted of names that were reported differs when any of it does.
func TestContentOfLines(t *testing.T) {
	t.Parallel()
	base := libpf.SourceLine{Function: "f", SystemName: "g", File: "x.c", Line: 3, StartLine: 2}
	seen := map[uint64]string{contentOfLines([]libpf.SourceLine{base}): "base"}
	for name, change := range map[string]func(*libpf.SourceLine){
		"function":           func(l *libpf.SourceLine) { l.Function = "h" },
		"system name":        func(l *libpf.SourceLine) { l.SystemName = "h" },
		"file":               func(l *libpf.SourceLine) { l.File = "y.c" },
		"line":               func(l *libpf.SourceLine) { l.Line = 4 },
		"line, far up":       func(l *libpf.SourceLine) { l.Line += 1 << 32 },
		"start":              func(l *libpf.SourceLine) { l.StartLine = 1 },
		"start, far up":      func(l *libpf.SourceLine) { l.StartLine += 1 << 63 },
		"line for the start": func(l *libpf.SourceLine) { l.Line, l.StartLine = l.StartLine, l.Line },
	} {
		other := base
		change(&other)
		h := contentOfLines([]libpf.SourceLine{other})
		if as := seen[h]; as != "" {
			t.Errorf("another %s: as %s", name, as)
		}
		seen[h] = name
	}
}

// FuzzThaw: no bytes on disk make reading panic or give rows that point nowhere.
func FuzzThaw(f *testing.F) {
	rows := []libpf.Sample{*sampleOf(nativeTrace(1, 3), 1), *sampleOf(nativeTrace(2, 3), 2)}
	counts, _ := encodeCounts(&pb.Batch{}, rows)
	stacks, _ := encodeStacks(&pb.Batch{}, []stackDef{{key: rows[0].Trace.Hash, value: rows[0].Trace}})
	names := encodeNames(&pb.Batch{}, []nameDef{{key: rows[0].Trace.Frames[1].ID(), value: rows[0].Trace.Frames[1].Lines}})
	symbols := encodeSymbols(&pb.Batch{}, []symbolDef{{value: "x"}})
	execs := encodeExecutables(&pb.Batch{}, []execDef{{value: &libpf.Executable{FileName: "x"}}})
	for i, payload := range [][]byte{must(marshal(counts)), must(marshal(stacks)), must(marshal(names)), must(marshal(symbols)), must(marshal(execs))} {
		f.Add(byte(i), payload)
		rnd := rand.New(rand.NewPCG(uint64(i), 1))
		for range 5 {
			bad := append([]byte{}, payload...)
			bad[rnd.IntN(len(bad))]++
			f.Add(byte(i), bad)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		switch kind % 5 {
		case 0:
			rows, err := decodeCounts(payload, func(hash libpf.TraceHash) *libpf.Trace { return &libpf.Trace{Hash: hash} })
			if (err != nil) != (rows == nil) && len(rows) > 0 {
				t.Errorf("%d rows and %v", len(rows), err)
			}
			for i := range rows {
				if rows[i].Trace == nil || rows[i].Process == nil || rows[i].Count == 0 {
					t.Errorf("row %+v", rows[i])
				}
			}
			if err == nil {
				encodeCounts(&pb.Batch{}, rows)
			}
		case 1:
			if defs, _, err := decodeStacks(payload); err == nil {
				encodeStacks(&pb.Batch{}, defs)
			}
		case 2:
			if defs, err := decodeNames(payload); err == nil {
				encodeNames(&pb.Batch{}, defs)
			}
		case 3:
			if defs, err := decodeSymbols(payload); err == nil {
				encodeSymbols(&pb.Batch{}, defs)
			}
		case 4:
			if defs, err := decodeExecutables(payload); err == nil {
				encodeExecutables(&pb.Batch{}, defs)
			}
		}
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
