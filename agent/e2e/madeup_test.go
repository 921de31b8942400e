// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// madeUp returns what a run of the tracer does not have, or not for sure: the types that
// it does not take, spans, pods, names of frames at the edges. Times are before now.
func madeUp(now time.Time) ([]*libpf.Executable, []*libpf.Sample) {
	m := &maker{now: libpf.UnixTimeNs(now.Add(-time.Minute).UnixNano())}
	gnu := libpf.Executable{FileID: libpf.NewFileID(0xabc1, 1), FileName: "checkout", BuildID: "5d41402abc4b2a76b9719d911017c592"}
	golang := libpf.Executable{FileID: libpf.NewFileID(0xabc2, 2), FileName: "gateway", BuildID: "Nl5vP/8XbGo/9e7/zZ-"}
	bare := libpf.Executable{FileID: libpf.NewFileID(0xabc3, 3), FileName: "no build id"}
	kernel := libpf.Executable{FileID: libpf.NewFileID(0xabc4, 4), FileName: "[kernel.kallsyms]", BuildID: "00ff"}

	named := func(t libpf.FrameType, file *libpf.Executable, address uint64, names ...string) libpf.Frame {
		f := libpf.Frame{Type: t, FileID: file.FileID, AddressOrLineno: libpf.AddressOrLineno(address)}
		for i, name := range names {
			f.Lines = append(f.Lines, libpf.SourceLine{
				Function: name, SystemName: "_Z" + name, File: "/src/" + name + ".cc",
				Line: libpf.SourceLineno(100 + i), StartLine: libpf.SourceLineno(90 + i), //nolint:gosec // small
			})
		}
		return f
	}
	interpreted := func(t libpf.FrameType, name, file string, line int) libpf.Frame {
		return libpf.Frame{Type: t, FunctionName: name, SourceFile: file, SourceLine: libpf.SourceLineno(line)} //nolint:gosec // small
	}
	main := named(libpf.NativeFrame, &gnu, 0x1000, "main")
	stacks := map[string]*libpf.Trace{
		"inlined": libpf.NewTrace([]libpf.Frame{named(libpf.NativeFrame, &gnu, 0x2000, "innermost", "inner", "outer"), main}),
		"futex":   libpf.NewTrace([]libpf.Frame{named(libpf.KernelFrame, &kernel, 0x30, "futex_wait"), named(libpf.KernelFrame, &kernel, 0x40, "do_syscall"), main}),
		"fault":   libpf.NewTrace([]libpf.Frame{named(libpf.KernelFrame, &kernel, 0x50, "page_fault"), main}),
		"go":      libpf.NewTrace([]libpf.Frame{named(libpf.GoFrame, &golang, 0x500, "main.serve", "net/http.(*conn).serve"), named(libpf.GoFrame, &golang, 0x600, "runtime.goexit")}),
		"unnamed": libpf.NewTrace([]libpf.Frame{
			{Type: libpf.NativeFrame, FileID: bare.FileID, AddressOrLineno: 0xbeef},
			{Type: libpf.NativeFrame, FileID: libpf.NewFileID(0xdead, 5), AddressOrLineno: 0xf00d}, // nobody told of the file
			{Type: libpf.NativeFrame, AddressOrLineno: 0x7fff1234}, main,
		}),
		"interpreters": libpf.NewTrace([]libpf.Frame{
			interpreted(libpf.PythonFrame, "work", "/app/a.py", 3), interpreted(libpf.PythonFrame, "work", "/app/b.py", 3),
			interpreted(libpf.PHPFrame, "index", "/www/i.php", 7), interpreted(libpf.PHPJITFrame, "jitted", "/www/i.php", 8),
			interpreted(libpf.RubyFrame, "Shop#pay", "shop.rb", 11), interpreted(libpf.PerlFrame, "main::run", "r.pl", 2),
			interpreted(libpf.V8Frame, "render", "file:///app/r.js", 5), interpreted(libpf.JVMFrame, "a.B.c(int; long)", "B.java", 9),
			interpreted(libpf.DotnetFrame, "N.C.M", "C.cs", 4), interpreted(libpf.BEAMFrame, "lists:map/2", "lists.erl", 1),
			interpreted(libpf.LuaJITFrame, "loop", "l.lua", 6), interpreted(libpf.NativeFrame, "jit stub", "", 0),
			interpreted(libpf.UnknownFrame, "who knows", "", 0), main,
		}),
		"errors": libpf.NewTrace([]libpf.Frame{
			interpreted(libpf.PythonFrame|libpf.ErrorBit, "[frame is gone]", "", 0), {Type: libpf.V8Frame | libpf.ErrorBit},
			interpreted(libpf.AbortFrame, "[stack too deep]", "", 0), main,
		}),
		"text": libpf.NewTrace([]libpf.Frame{
			named(libpf.NativeFrame, &bare, 0x77, "no \xff UTF-8"), interpreted(libpf.V8Frame, strings.Repeat("long", 1000), "", 1),
			interpreted(libpf.PythonFrame, "<module>; \t\n", "", 0),
		}),
		"deep": deepStack(1000),
	}
	shop := &libpf.Process{
		PID: 4242, StartTime: 77, Name: "checkout", Executable: "/app/bin/checkout-server", CommandLine: "checkout-server -x",
		ContainerID: strings.Repeat("c0ffee42", 8), ContainerName: "app", PodName: "checkout-7d9", Namespace: "shop", Service: "checkout",
		Labels: []libpf.Label{{Key: "app.kubernetes.io/name", Value: "checkout"}, {Key: "both", Value: "process"}, {Key: "suite", Value: "e2e"}},
	}
	// The same program with another name, in the same container, and a thread of the kernel.
	worker := &libpf.Process{
		PID: 4243, StartTime: 78, Name: "checkout: worke", Executable: "/app/bin/checkout-server", ContainerID: shop.ContainerID,
		ContainerName: "app", PodName: "checkout-7d9", Namespace: "shop", Service: "checkout",
	}
	thread := &libpf.Process{PID: 17, Name: "kworker/0:1-events", Service: "kernel"}
	nobody := &libpf.Process{PID: 4244, Service: "pid 4244"}

	const period = 20_040_080
	for name, stack := range stacks {
		for i, p := range []*libpf.Process{shop, worker, thread, nobody} {
			m.add(libpf.SampleOnCPU, 1, period, stack, p, i).Comm = name
		}
	}
	m.add(libpf.SampleOnCPU, 1, period, stacks["inlined"], shop, 0).Comm = "no \xff UTF-8"
	m.add(libpf.SampleOnCPU, 3, 3*period, stacks["inlined"], shop, 0)
	m.add(libpf.SampleOnCPU, 1, period/2, stacks["inlined"], shop, 0) // taken at another rate
	m.add(libpf.SampleOnCPU, 2, 2*period+7, stacks["inlined"], shop, 0)
	for i := range 40 {
		s := m.add(libpf.SampleOffCPU, 1, 1_000_000+int64(i)*999, stacks["futex"], shop, i%3)
		if i%4 == 0 {
			m.link(s, byte(i))
		}
	}
	m.add(libpf.SampleOffCPU, 5, 123_456_789, stacks["futex"], worker, 1) // five, in a queue that was full
	for i := range 20 {
		s := m.add(libpf.SampleEvent, 1, 1, stacks["fault"], worker, i%2)
		s.Labels = []libpf.Label{{Key: "device", Value: "sda"}}
	}
	m.add(libpf.SampleEvent, 7, 7, stacks["fault"], worker, 0)
	for i := range 20 {
		s := m.add(libpf.SampleOnCPU, 1, period, stacks["go"], shop, i%2)
		s.Labels = []libpf.Label{
			{Key: "both", Value: "thread"}, {Key: "http.route", Value: "/cart/{id};x=\"1\""}, {Key: "service.name", Value: "inner"},
		}
		m.link(s, byte(100+i))
	}
	// At the same moment, alike and not alike.
	twin := m.add(libpf.SampleOnCPU, 1, period, stacks["go"], shop, 0)
	m.again(twin)
	m.again(twin).TID++
	m.again(twin).Comm = "other"
	return []*libpf.Executable{&gnu, &golang, &bare, &kernel}, m.samples
}

// deepStack is as deep as the tracer unwinds, and more.
func deepStack(depth int) *libpf.Trace {
	frames := make([]libpf.Frame, depth)
	for i := range frames {
		frames[i] = libpf.Frame{
			Type: libpf.RubyFrame, FunctionName: "dive", SourceFile: "dive.rb", SourceLine: libpf.SourceLineno(i%7 + 1), //nolint:gosec // small
		}
	}
	return libpf.NewTrace(frames)
}

// maker makes samples, one after another in time.
type maker struct {
	now     libpf.UnixTimeNs
	samples []*libpf.Sample
}

func (m *maker) add(t libpf.SampleType, count uint32, value int64, stack *libpf.Trace, p *libpf.Process, thread int) *libpf.Sample {
	m.now += libpf.UnixTimeNs(7*time.Millisecond + 123)
	s := &libpf.Sample{
		Time: m.now, Type: t, Count: count, Value: value, Trace: stack, Process: p,
		TID: libpf.TID(int(p.PID) + thread), Comm: "thread", CPU: uint32(thread), //nolint:gosec // small
	}
	m.samples = append(m.samples, s)
	return s
}

// again adds a copy of a sample.
func (m *maker) again(s *libpf.Sample) *libpf.Sample {
	same := *s
	m.samples = append(m.samples, &same)
	return &same
}

// link makes a sample part of a span.
func (*maker) link(s *libpf.Sample, n byte) {
	s.TraceID, s.SpanID = [16]byte{0x0a, n, 15: 1}, [8]byte{0x0b, n, 7: 1}
}
