// SPDX-License-Identifier: Apache-2.0

// Package ruby unwinds Ruby (CRuby, also called MRI), 2.5 to 4.0.
//
// A thread's execution context holds control frames; support/ebpf/ruby.bpf.c
// tells how they are put between the native ones. This package finds the
// interpreter's function in the binary and the context in the thread, and names
// the frames.
package ruby

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const name = "ruby"

// Runtime is Ruby.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_RUBY }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return name }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.RubyFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime]: libruby, or a program that holds the
// interpreter itself. Both export the version for extensions.
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sym, ok := f.ExportedSymbol("ruby_version")
	if !ok {
		return nil, nil //nolint:nilnil // not Ruby
	}
	if _, ok := f.ExportedSymbol("rb_thread_current"); !ok {
		return nil, nil //nolint:nilnil // something else that has a version of Ruby
	}
	return detect(f, sym)
}

func detect(f *pfelf.File, sym pfelf.Symbol) (interpreter.Binary, error) {
	text, err := versionText(f, sym)
	if err != nil {
		return nil, err
	}
	unsupported := func(reason string) error {
		return &interpreter.UnsupportedError{Runtime: name, Version: text, Reason: reason}
	}
	v, ok := parseVersion(text)
	if !ok || v < firstVersion || v > lastVersion {
		return nil, unsupported("version is not known")
	}
	b := &library{text: text, version: v, layout: layoutOf(v)}
	if b.code, err = findCode(f); err != nil {
		return nil, unsupported("interpreter's function not found")
	}
	if b.context, err = findContext(f, v); err != nil {
		return nil, unsupported("thread's execution context not found")
	}
	b.data = writable(f)
	return b, nil
}

// versionText reads the version that the file exports, such as "3.1.2".
func versionText(f *pfelf.File, sym pfelf.Symbol) (string, error) {
	var buf [16]byte
	n, err := f.ReadVaddr(buf[:], sym.Value)
	end := bytes.IndexByte(buf[:n], 0)
	if end < 0 {
		return "", fmt.Errorf("read version of Ruby: %w", err)
	}
	for _, c := range buf[:end] {
		if c != '.' && (c < '0' || c > '9') {
			return "", errors.New("version of Ruby is not a version")
		}
	}
	return string(buf[:end]), nil
}

// library is a file that holds the interpreter.
type library struct {
	text    string
	version version
	layout  layout
	code    code
	context context
	// data are the file's writable segments, in which the table of symbols is.
	data []span
	// symbols is the address of that table in the file, 0 until a process has shown it.
	symbols atomic.Uint64
}

func (b *library) Version() string             { return b.text }
func (b *library) Ranges() []interpreter.Range { return b.code.ranges }
