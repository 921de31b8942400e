// SPDX-License-Identifier: Apache-2.0

// Package python unwinds CPython, 2.7 and 3.6 to 3.14.
//
// support/ebpf/python.bpf.c walks the frames. It knows the interpreter's loop by
// the ranges that [loopRanges] finds, and the layout of structures from the
// process's record, which comes from the table that the runtime exports for
// debuggers (3.13 and later) or from [constants]. Where the state of a thread is
// found follows from the machine code of functions that every build exports.
// docs/runtimes/python.md tells more.
package python

import (
	"path"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Runtime implements [interpreter.Runtime].
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_PYTHON }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return "python" }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.PythonFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Names of the interpreter's loop: before 3.6 it had no default to replace.
const (
	loopName    = "_PyEval_EvalFrameDefault"
	oldLoopName = "PyEval_EvalFrameEx"
)

// Detect implements [interpreter.Runtime].
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	base := strings.ToLower(path.Base(e.Path))
	if strings.Contains(base, "pypy") {
		if _, ok := f.Symbol("pypy_execute_source"); ok {
			return nil, &interpreter.UnsupportedError{Runtime: "python", Version: "PyPy", Reason: "PyPy is not supported"}
		}
		return nil, nil //nolint:nilnil // the contract's way to say no
	}
	// A symbol that is not exported is looked for where the name says Python:
	// that takes a scan of the table.
	find := f.ExportedSymbol
	if strings.Contains(base, "python") {
		find = f.Symbol
	}
	loop, ok := find(loopName)
	if !ok {
		if loop, ok = find(oldLoopName); !ok {
			return nil, nil //nolint:nilnil // the contract's way to say no
		}
	}
	return readBinary(f, base, loop)
}

// build is an executable file that holds the interpreter. Addresses are the
// file's own.
type build struct {
	version version
	ranges  []interpreter.Range
	layout  layout
	// threadKey and interpreters are 0 when they were not found.
	threadKey, current, interpreters, codeType uint64
}

var _ interpreter.Binary = (*build)(nil)

// Version implements [interpreter.Binary].
func (b *build) Version() string { return b.version.String() }

// Ranges implements [interpreter.Binary].
func (b *build) Ranges() []interpreter.Range { return b.ranges }

func readBinary(f *pfelf.File, base string, loop pfelf.Symbol) (*build, error) {
	unsupported := func(v, reason string) error {
		return &interpreter.UnsupportedError{Runtime: "python", Version: v, Reason: reason}
	}
	b := &build{version: readVersion(f, base)}
	if b.version.major == 0 {
		return nil, unsupported("of unknown version", "version not found in the file")
	}
	text := b.version.String()
	state, hasState := f.Symbol("_PyRuntime")
	var err error
	if b.version.atLeast(3, 13) {
		if !hasState {
			return nil, unsupported(text, "_PyRuntime is not exported")
		}
		var head uint64
		if b.layout, head, err = readDebugOffsets(f, state.Value); err != nil {
			return nil, unsupported(text, "table of offsets not understood")
		}
		b.interpreters = state.Value + head
	} else {
		var head uint64
		if b.layout, head, err = constants(b.version); err != nil {
			return nil, unsupported(text, "version is not supported")
		}
		if hasState && head != 0 {
			b.interpreters = state.Value + head
		}
	}
	code, ok := f.Symbol("PyCode_Type")
	if !ok {
		return nil, unsupported(text, "PyCode_Type is not exported")
	}
	b.codeType = code.Value
	b.findThreads(f, state.Value)
	if b.threadKey == 0 && b.interpreters == 0 {
		return nil, unsupported(text, "threads not found in the file")
	}
	if b.ranges = loopRanges(f, loop); len(b.ranges) == 0 {
		return nil, unsupported(text, "interpreter's loop not found in the file")
	}
	return b, nil
}

// findThreads finds where the current thread's state is kept: under a key of
// pthread_getspecific(), in a variable as long as the thread holds the
// interpreter's lock, and in the list of all.
func (b *build) findThreads(f *pfelf.File, state uint64) {
	if s, ok := f.Symbol("PyGILState_GetThisThreadState"); ok {
		b.threadKey = findKey(f, s, state, b.version)
	}
	if s, ok := f.Symbol("_PyThreadState_Current"); ok {
		b.current = s.Value
	} else if d := b.version.currentBeforeKey(); d != 0 && b.threadKey != 0 {
		b.current = b.threadKey - d
	}
	if b.interpreters == 0 {
		if s, ok := f.Symbol("PyInterpreterState_Head"); ok {
			b.interpreters = findHead(f, s, state)
		}
	}
}
