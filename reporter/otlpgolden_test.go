// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/golden"
)

// dump writes a message as text that is stable and easy to compare.
func dump(m protoreflect.Message) string {
	var b strings.Builder
	dumpMessage(&b, "", m)
	return b.String()
}

func dumpMessage(b *strings.Builder, indent string, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		name := indent + string(f.Name())
		switch v := m.Get(f); {
		case f.IsList() && f.Message() == nil && f.Kind() != protoreflect.StringKind:
			fmt.Fprintf(b, "%s:", name)
			for j := range v.List().Len() {
				fmt.Fprintf(b, " %v", v.List().Get(j))
			}
			b.WriteByte('\n')
		case f.IsList():
			for j := range v.List().Len() {
				dumpField(b, fmt.Sprintf("%s[%d]", name, j), indent, f, v.List().Get(j))
			}
		default:
			dumpField(b, name, indent, f, v)
		}
	}
}

func dumpField(b *strings.Builder, name, indent string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		fmt.Fprintf(b, "%s\n", name)
		dumpMessage(b, indent+"  ", v.Message())
	case protoreflect.BytesKind:
		fmt.Fprintf(b, "%s: %x\n", name, v.Bytes())
	case protoreflect.StringKind:
		fmt.Fprintf(b, "%s: %q\n", name, v.String())
	default:
		fmt.Fprintf(b, "%s: %v\n", name, v)
	}
}

// Files of testSamples.
var (
	testKernel  = &libpf.Executable{FileID: libpf.FileIDFromBuildID("0102aabb"), FileName: "[kernel.kallsyms]", BuildID: "0102aabb"}
	testLibrary = &libpf.Executable{FileID: libpf.NewFileID(0x11, 0x12), FileName: "libc.so.6", BuildID: "cc"}
	testRuntime = &libpf.Executable{FileID: libpf.NewFileID(0x21, 0x22), FileName: "python3.12", BuildID: "dd", Runtime: "python"}
	testGo      = &libpf.Executable{FileID: libpf.NewFileID(0x31, 0x32), FileName: "server", BuildID: "Bq/x/y"}
)

// testSamples is a bit of everything that a sample can be.
func testSamples() []libpf.Sample {
	name := func(function, file string, line libpf.SourceLineno) libpf.SourceLine {
		return libpf.SourceLine{Function: function, File: file, Line: line}
	}
	python := func(function string, line libpf.SourceLineno) libpf.Frame {
		return libpf.Frame{Type: libpf.PythonFrame, FunctionName: function, SourceFile: "app.py", SourceLine: line}
	}
	syscall := libpf.Frame{
		Type: libpf.KernelFrame, FileID: testKernel.FileID, AddressOrLineno: 0x1000, Lines: []libpf.SourceLine{name("do_syscall_64", "", 0)},
	}
	inlined := libpf.Frame{Type: libpf.NativeFrame, FileID: testLibrary.FileID, AddressOrLineno: 0x2000, Lines: []libpf.SourceLine{
		name("inlined", "a.h", 3),
		{Function: "outer(int)", SystemName: "_Z5outeri", File: "a.cc", Line: 30, StartLine: 20},
	}}
	unnamed := libpf.Frame{Type: libpf.NativeFrame, FileID: testLibrary.FileID, AddressOrLineno: 0x2a3, Lines: []libpf.SourceLine{name("libc.so.6+0x2a3", "", 0)}}
	interpreter := libpf.Frame{Type: libpf.NativeFrame, FileID: testRuntime.FileID, AddressOrLineno: 0x40, Lines: []libpf.SourceLine{name("PyEval", "", 0)}}
	golang := libpf.Frame{Type: libpf.GoFrame, FileID: testGo.FileID, AddressOrLineno: 0x99, Lines: []libpf.SourceLine{name("main.main", "main.go", 7)}}
	native := libpf.NewTrace([]libpf.Frame{syscall, inlined, unnamed})
	script := libpf.NewTrace([]libpf.Frame{python("f", 4), interpreter, {Type: libpf.AbortFrame, FunctionName: "stack too deep"}})
	other := libpf.NewTrace([]libpf.Frame{
		{Type: libpf.PHPJITFrame, FunctionName: "run", SourceFile: "x.php", SourceLine: 9},
		{Type: libpf.V8Frame | libpf.ErrorBit, FunctionName: "no code"},
		{Type: libpf.NativeFrame, AddressOrLineno: 0x77},
		{Type: libpf.UnknownFrame},
		{Type: libpf.JVMFrame, FileID: libpf.NewFileID(7, 8), AddressOrLineno: 5},
		golang,
	})
	shop := &libpf.Process{
		PID: 100, StartTime: 5e9, Name: "gunicorn", Executable: "/usr/bin/python3.12", ExecutableID: testRuntime.FileID, CommandLine: "gunicorn shop",
		ContainerID: "c1", ContainerName: "web", PodName: "shop-1", Namespace: "prod", CgroupID: 12, Service: "shop",
		Labels: []libpf.Label{{Key: "deployment.environment.name", Value: "prod"}, {Key: "host.name", Value: "not this one"}},
	}
	server := &libpf.Process{PID: 200, Name: "server", Executable: "/server", ExecutableID: testGo.FileID, Service: "server", ContainerName: "db"}
	cpu := func(at int64, trace *libpf.Trace, p *libpf.Process) libpf.Sample {
		return libpf.Sample{
			Time: testTime + libpf.UnixTimeNs(at), Type: libpf.SampleOnCPU, Count: 1, Value: 50_000_000, Trace: trace, Process: p,
			TID: libpf.TID(p.PID + 1), Comm: "worker", CPU: 1,
		}
	}
	again := cpu(3_000_007, native, shop)
	spanned := cpu(4_000_000, script, shop)
	spanned.TraceID, spanned.SpanID = [16]byte{0xaa, 1}, [8]byte{0xbb, 2}
	spanned.Labels = []libpf.Label{{Key: "route", Value: "/x"}, {Key: "tenant", Value: "t1"}}
	slower := cpu(5_000_000, other, server)
	slower.Value = 10_000_000
	blocked := cpu(6_000_000, script, shop)
	blocked.Type, blocked.Value = libpf.SampleOffCPU, 12_345_678
	event := cpu(7_000_000, native, server)
	event.Type, event.Value = libpf.SampleEvent, 1
	return []libpf.Sample{cpu(0, native, shop), cpu(2_000_000, script, shop), again, spanned, slower, blocked, event}
}

func keepTestFiles(c *catalogue) {
	for _, e := range []*libpf.Executable{testKernel, testLibrary, testRuntime, testGo} {
		c.executables.keep(e.FileID, e, contentOfExecutable, nil)
	}
}

func TestEncodeGolden(t *testing.T) {
	t.Parallel()
	x := newTestExport(t, testSamples()...)
	keepTestFiles(x.catalogue)
	var e profileEncoder
	golden.Equal(t, "testdata/otlp/everything.txt", dump(encodeChecked(t, &e, x).ProtoReflect()))

	// What was reported by name and number alone, as by the first agents of the field.
	plain := newPlainProcesses()
	stack := libpf.NewTrace([]libpf.Frame{{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: 3}})
	row := func(hash libpf.TraceHash, second int64) libpf.Sample {
		return libpf.Sample{
			Time: testTime + libpf.UnixTimeNs(second*1e9), Type: libpf.SampleOnCPU, Count: 3, Trace: &libpf.Trace{Hash: hash},
			Process: plain.get("comm", "pod", "container"), Comm: "comm",
		}
	}
	x = newTestExport(t, row(stack.Hash, 0), row(libpf.NewTraceHash(9, 9), 1), row(stack.Hash, 2))
	x.catalogue.stacks.keep(stack.Hash, stack, func(*libpf.Trace) uint64 { return noteUnnamed }, nil)
	x.catalogue.symbols.keep(stack.Frames[0].ID(), "fallback", contentOfSymbol, nil)
	golden.Equal(t, "testdata/otlp/plain.txt", dump(encodeChecked(t, &e, x).ProtoReflect()))
}
