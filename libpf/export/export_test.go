// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/export"
	"github.com/strobe-profiler/strobe/support/golden"
)

var (
	appID    = libpf.NewFileID(0x1122334455667788, 1)
	kernelID = libpf.NewFileID(0x2, 2)
	lostID   = libpf.NewFileID(0xdeadbeefcafef00d, 3)
	jitID    = libpf.NewFileID(0x4, 4)
)

func executables(id libpf.FileID) (libpf.Executable, bool) {
	switch id {
	case appID:
		return libpf.Executable{FileID: id, FileName: "/opt/app/server", BuildID: "aabbcc"}, true
	case kernelID:
		return libpf.Executable{FileID: id, FileName: "[kernel.kallsyms]"}, true
	}
	return libpf.Executable{}, false
}

func native(id libpf.FileID, address uint64, lines ...libpf.SourceLine) libpf.Frame {
	return libpf.Frame{
		Type: libpf.NativeFrame, FileID: id, AddressOrLineno: libpf.AddressOrLineno(address), Lines: lines,
	}
}

func testProfile() *export.Profile {
	mainFrame := native(appID, 0x1000, libpf.SourceLine{Function: "main", File: "/src/main.cc", Line: 10, StartLine: 3})
	inlined := native(appID, 0x2000,
		libpf.SourceLine{Function: "clamp", File: "/src/clamp.h", Line: 7, StartLine: 5},
		libpf.SourceLine{Function: "step<a;b>", SystemName: "_Z4stepv", File: "/src/step.cc", Line: 44, StartLine: 40})
	kernel := libpf.Frame{
		Type: libpf.KernelFrame, FileID: kernelID, AddressOrLineno: 0x42,
		Lines: []libpf.SourceLine{{Function: "do_syscall_64"}},
	}
	kernelUnnamed := libpf.Frame{Type: libpf.KernelFrame, FileID: kernelID, AddressOrLineno: 0x77}
	python := libpf.Frame{
		Type: libpf.PythonFrame, FileID: jitID, AddressOrLineno: 12,
		FunctionName: "handle\nit", SourceFile: "/srv/app.py", SourceLine: 12,
	}
	abort := libpf.Frame{Type: libpf.AbortFrame, FunctionName: "stack too deep"}
	broken := libpf.Frame{Type: libpf.PythonFrame | libpf.ErrorBit}
	worker := []string{"worker"}
	label := []libpf.Label{{Key: "thread", Value: "worker"}}
	return &export.Profile{
		Type: libpf.SampleOnCPU, From: 1_000_000_000, To: 11_000_000_000, Period: 50_000_000, Executables: executables,
		Samples: []export.Sample{
			{Frames: []libpf.Frame{inlined, mainFrame}, Root: worker, Labels: label, Count: 3, Value: 150},
			{Frames: []libpf.Frame{inlined, mainFrame}, Root: worker, Labels: label, Count: 2, Value: 100},
			{Frames: []libpf.Frame{inlined, mainFrame}, Root: []string{"other"}, Count: 1, Value: 50},
			{Frames: []libpf.Frame{kernelUnnamed, kernel, mainFrame}, Root: worker, Labels: label, Count: 4, Value: 200},
			{Frames: []libpf.Frame{native(lostID, 0xabc), python, mainFrame}, Root: worker, Count: 1, Value: 50},
			{Frames: []libpf.Frame{inlined, abort}, Root: worker, Count: 1, Value: 50},
			{Frames: []libpf.Frame{broken, native(libpf.FileID{}, 0x1)}, Root: worker, Count: 1, Value: 50},
			{Count: 1, Value: 50},
			{Frames: []libpf.Frame{mainFrame}},
		},
	}
}

func TestWriteFolded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := export.WriteFolded(&out, testProfile()); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/profile.folded", out.Bytes())
}

func TestWritePprof(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := export.WritePprof(&out, testProfile()); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(out.Bytes(), []byte{0x1f, 0x8b}) {
		t.Error("the profile is not gzipped")
	}
	p, err := profile.Parse(&out)
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/profile.pprof.txt", p.String())
	for _, m := range p.Mapping {
		if !m.HasFunctions || m.Start != 0 || m.Limit != math.MaxUint64 {
			t.Errorf("mapping %+v would make pprof look for symbols or move addresses", m)
		}
	}
	for _, l := range p.Location {
		if len(l.Line) == 0 {
			t.Errorf("location %d has no function", l.ID)
		}
	}
}

func TestPprofTypes(t *testing.T) {
	t.Parallel()
	for typ, want := range map[libpf.SampleType]string{
		libpf.SampleOnCPU: "cpu/nanoseconds", libpf.SampleOffCPU: "off_cpu/nanoseconds", libpf.SampleEvent: "event/count",
		libpf.SampleWall: "wall/nanoseconds", libpf.SampleInuseSpace: "inuse_space/bytes", libpf.SampleGoroutines: "goroutine/count",
		libpf.SampleBlockContentions: "contentions/count", libpf.SampleMutexDelay: "delay/nanoseconds",
	} {
		var out bytes.Buffer
		if err := export.WritePprof(&out, &export.Profile{Type: typ}); err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(&out)
		if err != nil {
			t.Fatal(err)
		}
		last := p.SampleType[len(p.SampleType)-1]
		if got := last.Type + "/" + last.Unit; got != want {
			t.Errorf("%s: sample type %s instead of %s", typ, got, want)
		}
		if counted := typ <= libpf.SampleEvent; counted != (len(p.SampleType) == 2) {
			t.Errorf("%s: %d types of samples", typ, len(p.SampleType))
		}
		if p.DefaultSampleType != last.Type {
			t.Errorf("%s: default sample type %s", typ, p.DefaultSampleType)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	if err := export.WriteFolded(brokenWriter{}, testProfile()); err == nil {
		t.Error("WriteFolded hid the error of its writer")
	}
	if err := export.WritePprof(brokenWriter{}, testProfile()); err == nil {
		t.Error("WritePprof hid the error of its writer")
	}
}

func TestAppendLevelsIsNeverNameless(t *testing.T) {
	t.Parallel()
	frames := []libpf.Frame{
		{},
		{Type: libpf.NativeFrame, Lines: []libpf.SourceLine{{}}},
		{Type: libpf.NativeFrame, FileID: lostID, Lines: []libpf.SourceLine{{SystemName: "_Zx"}, {}}},
		{Type: libpf.PythonFrame, SourceFile: "/a/b.py", SourceLine: 3},
		{Type: libpf.AbortFrame},
		{Type: libpf.AbortFrame, FunctionName: "[truncated]"},
		{Type: 0x70},
	}
	var names []string
	for i := range frames {
		for _, l := range export.AppendLevels(nil, &frames[i], nil) {
			names = append(names, l.Name)
		}
	}
	want := []string{
		"[unknown]+0x0", "[native]+0x0", "_Zx", "deadbeef+0x0", "b.py:3", "[abort-marker]", "[truncated]",
		"[frametype(112)]+0x0",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkWriteFolded(b *testing.B) {
	p := testProfile()
	for range 10 {
		p.Samples = append(p.Samples, p.Samples...)
	}
	b.ReportAllocs()
	for b.Loop() {
		var out strings.Builder
		if err := export.WriteFolded(&out, p); err != nil {
			b.Fatal(err)
		}
	}
}
