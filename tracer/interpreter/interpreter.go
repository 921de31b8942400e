// SPDX-License-Identifier: Apache-2.0

// Package interpreter is the contract between the tracer and the runtimes
// whose code is interpreted or compiled at run time: Python, the JVM, and so on.
// Each has a package below this one and an eBPF program in support/ebpf, which
// is loaded when the first process is seen that needs it. docs/runtimes.md
// tells how to add one.
//
// The data's way: the tracer shows every executable file that is sampled to
// [Runtime.Detect]. A process that maps one that was recognised is attached
// ([Binary.Attach]): what its eBPF program must know goes into the runtime's map
// of processes as a record. The program pushes frames as words, and
// [Instance.Symbolize] turns them into names.
package interpreter

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// ID names a runtime in the eBPF programs: enum runtime_id of support/ebpf/types.h.
type ID = support.StrobeRuntimeId

// Runtime recognises a runtime and owns its eBPF program. Implementations are
// stateless values, safe for concurrent use.
type Runtime interface {
	// ID is the index of the runtime's program.
	ID() ID
	// Name is lower case, for logs, metrics and frames: "python".
	Name() string
	// FrameType is the type of its frames.
	FrameType() libpf.FrameType
	// Detect looks at an executable file. It returns nil and no error for a file
	// that is not the runtime's, and an [*UnsupportedError] for one that is but
	// cannot be unwound: that is reported to the user. It is called once per file,
	// for every file, so that what is not the runtime's must be told cheaply: by
	// the name, then by an exported symbol. It must not keep e's file open.
	Detect(e *Executable) (Binary, error)
	// Spec returns the runtime's eBPF object. It holds one program, unwind_<Name>,
	// and the map <Name>_processes from record keys (u32) to records.
	Spec() (*ebpf.CollectionSpec, error)
	// Object returns that object's file, which must not be changed.
	Object() []byte
}

// Binary is what is known of one executable file of a runtime: version, layout
// of structures, places of code. It serves every process that maps the file and
// is safe for concurrent use.
type Binary interface {
	// Version is for people: "3.11.2".
	Version() string
	// Ranges are the parts of the file whose frames the eBPF program's
	// interpreter function is to be called for, at most 8. File offsets.
	Ranges() []Range
	// Attach gets ready for a process that maps the file as m. [ErrNotReady] means
	// that the process has not come far enough yet; it is tried again.
	// Reading must be bounded and must not depend on the process's good will.
	Attach(p *Process, m *Module) (Instance, error)
}

// Range is a part of an executable file, in bytes from its start.
type Range struct {
	Start, End uint64
	// Tag tells the runtime's own program which part this is.
	Tag uint32
}

// Instance is a runtime in one process. Its methods are called by one goroutine
// at a time.
type Instance interface {
	// Record returns the value for the runtime's map of processes, a pointer to a
	// structure generated from the eBPF object. It is asked for after Attach and
	// after every Refresh that reports a change.
	Record() any
	// Refresh is called when the process has mapped new code or was met in code
	// that is not known. changed asks for the record to be published again.
	Refresh(p *Process) (changed bool, err error)
	// Symbolize appends the frames that f stands for to out, innermost first: more
	// than one where the compiler inlined. With an error nothing is appended; the
	// tracer shows a frame that says why. Names and files must be
	// cleaned ([process.Clean]). Nothing of the process's memory may be logged.
	Symbolize(f Frame, out []libpf.Frame) ([]libpf.Frame, error)
	// Close releases what the instance holds.
	Close()
}

// Frame is a frame as the eBPF program pushed it; see push_runtime1() and
// push_runtime2() in support/ebpf/runtime.h.
type Frame struct {
	// Subtype has 5 bits, Addr 48.
	Subtype uint8
	Addr    uint64
	// W1 and W2 are the further words, 0 where there is none.
	W1, W2 uint64
}

// ErrNotReady is returned by Attach when the process has not come far enough:
// a library is not mapped, a variable not set yet.
var ErrNotReady = errors.New("runtime is not initialized yet")

// ErrStale is returned by Symbolize when what the frame pointed to has become
// something else since the sample was taken.
var ErrStale = errors.New("code was replaced before its name was read")

// UnsupportedError says that a runtime was recognised and cannot be unwound.
type UnsupportedError struct {
	// Runtime and Version name it; Reason is a short phrase that is the same for
	// all processes and files with the same cause, fit for a metric's label.
	Runtime, Version, Reason string
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s %s cannot be unwound: %s", e.Runtime, e.Version, e.Reason)
}

// Executable is a file that processes map.
type Executable struct {
	// Path is as a process saw it, "" when unknown.
	Path   string
	FileID libpf.FileID
	// Open opens the file; the caller closes it.
	Open func() (*pfelf.File, error)
}

// Module is a file in the address space of a process.
type Module struct {
	*Executable
	// Bias is what is added to the ELF file's virtual addresses.
	Bias uint64
	// Start and End bound its executable mapping.
	Start, End uint64
}

// Process is a process that a runtime is attached to or refreshed in.
type Process struct {
	PID libpf.PID
	// StartTime is in ns since boot, 0 when it is not known.
	StartTime uint64
	Memory    process.Memory
	// Modules are the mapped files that are executables, by address.
	Modules []*Module
	// Mappings are all its executable mappings, by address.
	Mappings []process.Mapping
	// Maps are those of the runtime's own eBPF object, by name.
	Maps map[string]*ebpf.Map
}

// Module returns the first module that ok accepts, nil if there is none.
func (p *Process) Module(ok func(*Module) bool) *Module {
	for _, m := range p.Modules {
		if ok(m) {
			return m
		}
	}
	return nil
}

// ErrorText says what an error of the eBPF side means to people.
func ErrorText(e support.StrobeRuntimeError) string {
	switch e {
	case support.StrobeRuntimeErrorRTERR_NO_RECORD:
		return "process is not known yet"
	case support.StrobeRuntimeErrorRTERR_READ:
		return "memory unreadable"
	case support.StrobeRuntimeErrorRTERR_THREAD:
		return "thread state not found"
	case support.StrobeRuntimeErrorRTERR_BAD_FRAME:
		return "frame is corrupt"
	case support.StrobeRuntimeErrorRTERR_LOOP:
		return "list of frames does not end"
	case support.StrobeRuntimeErrorRTERR_UNSUPPORTED:
		return "kind of frame not supported"
	case support.StrobeRuntimeErrorRTERR_CODE:
		return "compiled code of unknown origin"
	case support.StrobeRuntimeErrorRTERR_STACK:
		return "native stack does not fit the frames"
	}
	return fmt.Sprintf("error %d", e)
}
