// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pc "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

// newTestExport returns what a request of rows is made of.
func newTestExport(t testing.TB, rows ...libpf.Sample) *export {
	t.Helper()
	s, err := newSettings(&Config{CollAgentAddr: "localhost:1"}, &Options{HostID: "h"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCatalogue(&s, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i].Count = max(rows[i].Count, 1)
	}
	return &export{
		rows: sortRows(rows), catalogue: &c, host: map[string]string{"host.id": "h", "host.name": "box", "os.type": "linux"},
		version: "1.2", runID: [16]byte{1, 2, 3}, sequence: 7,
	}
}

// encodeChecked encodes and reads a request, which has to be valid, and as the generated code writes it.
func encodeChecked(t testing.TB, e *profileEncoder, x *export) *pc.ExportProfilesServiceRequest {
	t.Helper()
	data, n := e.encode(x)
	req := &pc.ExportProfilesServiceRequest{}
	if err := proto.Unmarshal(data, req); err != nil {
		t.Fatal(err)
	}
	again, err := marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Errorf("%d bytes, the generated code writes %d", len(data), len(again))
	}
	if cap(data) > len(data)+len(data)/4+64 {
		t.Errorf("%d bytes take %d", len(data), cap(data))
	}
	if err := checkProfiles(req); err != nil {
		t.Error(err)
	}
	for _, rp := range req.GetResourceProfiles() {
		n -= len(rp.GetScopeProfiles()[0].GetProfiles())
	}
	if n != 0 {
		t.Errorf("the number of profiles is wrong by %d", n)
	}
	return req
}

// totals are the counts and values of a request by type and stack.
func totals(req *pc.ExportProfilesServiceRequest) (counts, values map[string]int64) {
	counts, values = map[string]int64{}, map[string]int64{}
	for _, f := range flatten(req) {
		key := f.Type + " " + strings.Join(f.Frames, ";")
		for i := range f.Times {
			v := int64(1)
			if len(f.Values) > 0 {
				v = f.Values[i]
			}
			switch {
			case f.Period > 0:
				counts[key] += v
				values[key] += v * f.Period
			case strings.HasSuffix(f.Type, "/count"):
				counts[key] += v
			default:
				counts[key]++
				values[key] += v
			}
		}
	}
	return counts, values
}

// TestEncodeSums sums rows of different values and gets back what was summed.
func TestEncodeSums(t *testing.T) {
	t.Parallel()
	trace := nativeTrace(1, 1)
	const onCPU, offCPU = "samples/count", "off_cpu/nanoseconds"
	for name, tc := range map[string]struct {
		kind         libpf.SampleType
		count        uint32
		value        int64
		observations int
	}{
		"one":                      {libpf.SampleOnCPU, 1, 50_000_000, 1},
		"many":                     {libpf.SampleOnCPU, 1000, 1000 * 50_000_000, 1},
		"two periods":              {libpf.SampleOnCPU, 3, 100, 2},
		"period of less than 1 ns": {libpf.SampleOnCPU, 5, 3, 2},
		"off CPU":                  {libpf.SampleOffCPU, 1, 77, 1},
		"off CPU summed":           {libpf.SampleOffCPU, 7, 100, 7},
		"off CPU summed, short":    {libpf.SampleOffCPU, 7, 3, 3},
		"off CPU summed for hours": {libpf.SampleOffCPU, 1 << 30, 1 << 40, maxParts},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e profileEncoder
			req := encodeChecked(t, &e, newTestExport(t, libpf.Sample{
				Time: testTime, Type: tc.kind, Count: tc.count, Value: tc.value, Trace: trace, Process: testProcess,
			}))
			var count, value int64
			counts, values := totals(req)
			for key, n := range counts {
				count += n
				value += values[key]
				want := onCPU
				if tc.kind == libpf.SampleOffCPU {
					want = offCPU
				}
				if !strings.HasPrefix(key, want) {
					t.Errorf("type %q", key)
				}
			}
			if want := min(int64(tc.count), max(tc.value, 1), maxParts); tc.kind == libpf.SampleOffCPU && count != want {
				t.Errorf("%d observations, want %d", count, want)
			} else if tc.kind == libpf.SampleOnCPU && count != int64(tc.count) {
				t.Errorf("count %d, want %d", count, tc.count)
			}
			if value != tc.value {
				t.Errorf("value %d, want %d", value, tc.value)
			}
			n := 0
			for _, f := range flatten(req) {
				n += len(f.Times)
			}
			if n != tc.observations {
				t.Errorf("%d observations, want %d", n, tc.observations)
			}
		})
	}
}

// TestEncodeIdentity merges what is equal and nothing else, whatever the hashes say.
func TestEncodeIdentity(t *testing.T) {
	t.Parallel()
	python := func(function string, line libpf.SourceLineno) *libpf.Trace {
		return &libpf.Trace{Frames: []libpf.Frame{{ // all hashes are equal
			Type: libpf.PythonFrame, FileID: libpf.NewFileID(5, 5), AddressOrLineno: 3, FunctionName: function, SourceFile: "x.py", SourceLine: line,
		}}}
	}
	row := func(at int, trace *libpf.Trace, change func(*libpf.Sample)) libpf.Sample {
		process := *testProcess
		s := libpf.Sample{Time: testTime + libpf.UnixTimeNs(at), Type: libpf.SampleOnCPU, Count: 1, Value: 100, Trace: trace, Process: &process, TID: 1, Comm: "c"}
		if change != nil {
			change(&s)
		}
		return s
	}
	labels := func(pairs ...string) func(*libpf.Sample) {
		return func(s *libpf.Sample) {
			for i := 0; i < len(pairs); i += 2 {
				s.Labels = append(s.Labels, libpf.Label{Key: pairs[i], Value: pairs[i+1]})
			}
		}
	}
	x := newTestExport(t,
		row(1, python("alpha", 1), nil), row(2, python("beta", 1), nil), row(3, python("alpha", 2), nil), row(4, python("alpha", 1), nil),
		row(5, python("alpha", 1), labels("a", "1", "b", "2")), row(6, python("alpha", 1), labels("b", "2", "a", "1", "a", "3")),
		row(7, python("alpha", 1), labels("a", "1")), row(8, python("alpha", 1), labels("", "no key", "\xff", "1", "\xfe", "2")),
		row(9, python("alpha", 1), func(s *libpf.Sample) { s.TraceID[0], s.SpanID[0] = 1, 1 }),
		row(10, python("alpha", 1), func(s *libpf.Sample) { s.TraceID[0], s.SpanID[0] = 1, 1 }),
		row(11, python("alpha", 1), func(s *libpf.Sample) { s.Process.PID++ }),
	)
	var e profileEncoder
	req := encodeChecked(t, &e, x)
	if n := len(req.GetResourceProfiles()); n != 2 { // equal processes are one resource
		t.Errorf("%d resources", n)
	}
	var got []string
	for _, f := range flatten(req) {
		delete(f.Attrs, "thread.id")
		delete(f.Attrs, "thread.name")
		delete(f.Attrs, "cpu.logical_number")
		for i := range f.Times {
			f.Times[i] -= uint64(testTime)
		}
		got = append(got, fmt.Sprint(f.Frames, f.Attrs, f.Span, f.Times))
	}
	const label = "process.context.label."
	alpha, span := "[cpython +0x0 alpha x.py:1]", "01"+strings.Repeat("0", 30)+"/01"+strings.Repeat("0", 14)
	want := []string{
		alpha + "map[][1 4]", "[cpython +0x0 beta x.py:1]map[][2]", "[cpython +0x0 alpha x.py:2]map[][3]",
		alpha + "map[]" + span + "[9 10]",
		alpha + "map[" + label + "a:1 " + label + "b:2][5 6]", alpha + "map[" + label + "a:1][7]", alpha + "map[" + label + "\uFFFD:1][8]",
		alpha + "map[][11]",
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], "] ", "]")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if n := len(req.GetDictionary().GetStackTable()); n != 4 {
		t.Errorf("%d stacks", n)
	}
}

// randomSamples makes samples of few different things, so that many of them are equal or nearly so.
func randomSamples(rnd *rand.Rand, n int, text string) []libpf.Sample {
	few := func() int { return rnd.IntN(3) }
	word := func() string { return [...]string{"", "a", text}[few()] }
	types := []libpf.FrameType{
		libpf.UnknownFrame, libpf.PythonFrame, libpf.NativeFrame, libpf.KernelFrame, libpf.GoFrame, libpf.PHPJITFrame, libpf.AbortFrame,
		libpf.JVMFrame | libpf.ErrorBit,
	}
	traces := make([]*libpf.Trace, 8)
	for i := range traces {
		frames := make([]libpf.Frame, few())
		for j := range frames {
			f := &frames[j]
			f.Type, f.FileID, f.AddressOrLineno = types[rnd.IntN(len(types))], libpf.NewFileID(0, uint64(few())), libpf.AddressOrLineno(few())
			if few() == 0 {
				f.FunctionName, f.SourceFile, f.SourceLine = word(), word(), libpf.SourceLineno(few())
			}
			for range few() {
				f.Lines = append(f.Lines, libpf.SourceLine{
					Function: word(), SystemName: word(), File: word(), Line: libpf.SourceLineno(rnd.Uint64() >> (32 * few())),
				})
			}
		}
		traces[i] = libpf.NewTrace(frames)
	}
	processes := make([]*libpf.Process, 4)
	for i := range processes {
		processes[i] = &libpf.Process{
			PID: libpf.PID(few()), Name: word(), Executable: word(), Service: word(), ContainerName: word(), PodName: word(),
			Labels: []libpf.Label{{Key: word(), Value: word()}, {Key: "host.id", Value: word()}},
		}
	}
	rows := make([]libpf.Sample, n)
	for i := range rows {
		rows[i] = libpf.Sample{
			Time: testTime + libpf.UnixTimeNs(rnd.IntN(50)), Type: libpf.SampleType(1 + few()), Count: uint32(rnd.IntN(5)), Value: int64(rnd.IntN(20)),
			Trace: traces[rnd.IntN(len(traces))], Process: processes[rnd.IntN(len(processes))],
			TID: libpf.TID(few()), Comm: word(), CPU: uint32(few()),
		}
		if few() == 0 {
			rows[i].Labels = []libpf.Label{{Key: word(), Value: word()}, {Key: word(), Value: word()}}
			rows[i].TraceID[0], rows[i].SpanID[0] = byte(few()), byte(few())
		}
	}
	return rows
}

// FuzzEncode encodes random samples with texts of processes, which may be anything.
func FuzzEncode(f *testing.F) {
	f.Add(uint64(1), "text")
	f.Add(uint64(2), "\xff\x00")
	f.Add(uint64(3), "a+0x1")
	var e profileEncoder // one for all, as in a reporter
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
		x := newTestExport(t, randomSamples(rnd, 1+rnd.IntN(100), text)...)
		want := map[libpf.SampleType]int64{}
		for i := range x.rows {
			if r := &x.rows[i]; r.Type == libpf.SampleOnCPU {
				want[r.Type] += int64(r.Count)
			} else {
				want[r.Type] += r.Value
			}
		}
		req := encodeChecked(t, &e, x)
		got := map[libpf.SampleType]int64{}
		for _, s := range flatten(req) {
			for i := range s.Times {
				kind := libpf.SampleEvent
				if s.Type == "samples/count" {
					kind = libpf.SampleOnCPU
				} else if s.Type == "off_cpu/nanoseconds" {
					kind = libpf.SampleOffCPU
				}
				if len(s.Values) > 0 {
					got[kind] += s.Values[i]
				} else {
					got[kind]++
				}
			}
			if s.Resource["host.id"] != "h" {
				t.Errorf("a process passes for another host: %v", s.Resource)
			}
		}
		for kind, n := range want {
			if got[kind] != n {
				t.Errorf("%v: %d, want %d", kind, got[kind], n)
			}
		}
		twice := encodeChecked(t, &e, x)
		if !proto.Equal(req, twice) {
			t.Error("encoded again it is another request")
		}
	})
}

// TestEncodeKeeps holds nothing of one request in the next, and little memory.
func TestEncodeKeeps(t *testing.T) {
	t.Parallel()
	var e profileEncoder
	w := newWorkload(8, 30, 20_000)
	rows := make([]libpf.Sample, maxRows)
	for i := range rows {
		rows[i] = w.sample()
	}
	encodeChecked(t, &e, newTestExport(t, rows...))
	if len(e.dict.stackOf)+e.dict.frames.used+len(e.resourceOf)+len(e.setOf) != 0 || e.dict.catalogue != nil {
		t.Error("the encoder refers to the samples of a request that is made")
	}
	small := newTestExport(t, testSamples()...)
	keepTestFiles(small.catalogue)
	first, _ := new(profileEncoder).encode(small)
	next, _ := e.encode(small)
	if !bytes.Equal(first, next) {
		t.Error("the request depends on the one before")
	}
	kept := cap(e.out) + cap(e.scratch) + 16*cap(e.observations) + 16*cap(e.dict.frames.slots)
	tables := e.dict.tables()
	for _, table := range append(tables[:], &e.resources, &e.sets) {
		kept += cap(table.buf) + 8*cap(table.bounds) + 8*cap(table.slots)
	}
	if most := 4 << 20; kept > most {
		t.Errorf("%d bytes are kept, at most %d should be", kept, most)
	}
}

// TestEntryTable adds many entries and finds each again.
func TestEntryTable(t *testing.T) {
	t.Parallel()
	var table entryTable
	for range 2 {
		table.reset(5)
		for round := range 2 {
			for i := range 10_000 {
				if got := table.add(fmt.Append(nil, i)); got != int32(i+1) {
					t.Fatalf("round %d: entry %d has index %d", round, i, got)
				}
			}
		}
		if table.add(nil) != 0 || string(table.entry(10_000)) != "9999" || len(table.bounds) != 10_001 {
			t.Error("the table is wrong")
		}
	}
}
