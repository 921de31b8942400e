// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

const (
	testStart = libpf.UnixTimeNs(1_795_255_200_000_000_000)
	testEnd   = testStart + libpf.UnixTimeNs(10*time.Minute)
	period    = int64(50 * time.Millisecond)
)

// dataShape says how large random data is.
type dataShape struct {
	stacks, samples, series, depth int
	unknown                        bool // leave some definitions out
	lines                          int  // of a function at least, 0: one
}

// randomStore returns a store with samples of random stacks that share roots,
// as real ones do.
func randomStore(tb testing.TB, seed uint64, shape dataShape) *memstore.Store {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a test wants the same numbers each time
	s := memstore.New()
	d := &store.Definitions{}
	var files []libpf.FileID
	for i := range 8 {
		id := libpf.NewFileID(seed, uint64(i+1))
		files = append(files, id)
		if !shape.unknown || i > 0 {
			d.Executables = append(d.Executables, libpf.Executable{FileID: id, FileName: fmt.Sprintf("lib%d.so", i), BuildID: "0" + fmt.Sprint(i)})
		}
	}
	symbols := map[libpf.FrameID]struct{}{}
	frame := func(depth int) libpf.Frame {
		// Few functions near the root, many near the leaf.
		n := rng.IntN(2 + depth*depth/4)
		of := n / max(1, shape.lines)
		f := libpf.Frame{
			Type: libpf.NativeFrame, FileID: files[of%len(files)], AddressOrLineno: libpf.AddressOrLineno(depth<<20 | n<<4),
		}
		switch {
		case n%11 == 3:
			return libpf.Frame{
				Type: libpf.PythonFrame, FileID: files[n%len(files)], FunctionName: fmt.Sprintf("py_%d", n%50),
				SourceFile: "/app/x.py", SourceLine: libpf.SourceLineno(n),
			}
		case n%13 == 5:
			f.Type = libpf.KernelFrame
		}
		if _, known := symbols[f.ID()]; known || shape.unknown && n%17 == 4 {
			return f
		}
		symbols[f.ID()] = struct{}{}
		name := fmt.Sprintf("function_%d_%d", depth, of)
		if n%7 == 2 {
			name = fmt.Sprintf("recursive_%d", n%3)
		}
		lines := []libpf.SourceLine{{Function: name, File: "/src/a.c", Line: libpf.SourceLineno(10 + n), StartLine: 10}}
		if n%5 == 1 {
			lines = append([]libpf.SourceLine{{Function: "inlined_" + name, File: "/src/a.h", Line: 3}}, lines...)
		}
		d.Symbols = append(d.Symbols, store.Symbol{Frame: f.ID(), Lines: lines})
		return f
	}
	var stacks []store.Stack
	for i := range shape.stacks {
		depth := 1 + rng.IntN(2*shape.depth)
		frames := make([]libpf.Frame, depth)
		var shared int
		if i > 0 {
			base := stacks[rng.IntN(i)].Frames
			shared = rng.IntN(min(len(base), depth) + 1)
			for j := range shared {
				frames[depth-1-j] = base[len(base)-1-j]
			}
		}
		for j := shared; j < depth; j++ {
			frames[depth-1-j] = frame(j + 1)
		}
		stacks = append(stacks, store.Stack{Hash: libpf.HashTrace(frames), Frames: frames})
	}
	for i := range stacks {
		if !shape.unknown || i%19 != 7 {
			d.Stacks = append(d.Stacks, stacks[i])
		}
	}
	if _, err := s.Put(tb.Context(), d); err != nil {
		tb.Fatal(err)
	}
	b := &store.Batch{}
	for i := range shape.series {
		b.Series = append(b.Series, store.Series{
			Type: libpf.SampleOnCPU, Service: fmt.Sprintf("service-%d", i%5), Host: "h", HostID: "1",
			Process: fmt.Sprintf("process-%d", i%7), Comm: fmt.Sprintf("worker-%d", i), PID: libpf.PID(100 + i), //nolint:gosec // small
			TID: libpf.TID(1000 + i), //nolint:gosec // small
		})
		if i%3 == 0 {
			b.Series[i].Pod = fmt.Sprintf("pod-%d", i)
			b.Series[i].Labels = []libpf.Label{{Key: "version", Value: fmt.Sprint(i % 2)}}
		}
	}
	for i := range shape.samples {
		n := int64(1 + rng.IntN(3))
		b.Samples = append(b.Samples, store.Sample{
			Time:   testStart + libpf.UnixTimeNs(rng.Int64N(int64(testEnd-testStart))),
			Series: uint32(rng.IntN(shape.series)), //nolint:gosec // small
			Stack:  stacks[rng.IntN(len(stacks))].Hash,
			Count:  n, Value: n * period,
		})
		if i%5 == 0 {
			b.Samples[i].TraceID, b.Samples[i].SpanID = [16]byte{1, byte(i % 7)}, [8]byte{2, byte(i)}
		}
	}
	if _, err := s.Append(tb.Context(), b); err != nil {
		tb.Fatal(err)
	}
	return s
}

func everything() *Selection {
	return &Selection{Type: libpf.SampleOnCPU, From: testStart, To: testEnd}
}
