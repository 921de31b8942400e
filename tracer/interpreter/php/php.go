// SPDX-License-Identifier: Apache-2.0

// Package php unwinds PHP 7.3 to 8.5: the command, FPM, Apache's module and
// whatever else embeds it, interpreted or compiled by opcache.
//
// The engine keeps its calls in a list that starts in executor_globals, an
// exported variable. support/ebpf/php.bpf.c tells how the list and the native
// stack go together; docs/runtimes/php.md is for people.
package php

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Runtime is PHP.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_PHP }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return "php" }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.PHPFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime]. Every program that embeds PHP exports
// the engine's loop, because extensions are linked against it.
func (r Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	loop, ok := f.ExportedSymbol("execute_ex")
	if !ok {
		return nil, nil //nolint:nilnil // not PHP
	}
	if _, ok := f.ExportedSymbol("zend_call_function"); !ok {
		return nil, nil //nolint:nilnil // not PHP
	}
	return newBinary(f, loop)
}

// Tags of the parts of the executable; see php.bpf.c.
const (
	tagLoop  = 1
	tagCall  = 2
	tagFiber = 3
	tagLeaf  = 4
)

// Flags of a record; see php.bpf.c.
const (
	flagZTS          = 1
	flagHybrid       = 2
	flagFramePointer = 4
)

// program is an executable that holds PHP.
type program struct {
	version version
	layout  layout
	ranges  []interpreter.Range
	// Addresses of the ELF file.
	globals        uint64 // executor_globals, without ZTS
	globalsOffset  uint64 // ZTS: the variable with the offset of the globals
	tls            threadLocal
	currentCall    uint64 // offset of current_execute_data in the globals
	loop           span
	prologue       prologue
	hybrid         bool
	fiberRegisters uint16
	text           span
}

func unsupported(v, reason string) error {
	return &interpreter.UnsupportedError{Runtime: "php", Version: v, Reason: reason}
}

func newBinary(f *pfelf.File, loop pfelf.Symbol) (interpreter.Binary, error) {
	v, err := findVersion(f)
	if err != nil {
		return nil, unsupported("of unknown version", "version not found")
	}
	l, ok := layoutOf(v)
	if !ok {
		return nil, unsupported(v.String(), "version not supported")
	}
	b := &program{version: v, layout: l}
	img, err := newImage(f)
	if err != nil {
		return nil, unsupported(v.String(), "code could not be read")
	}
	b.text = img.text
	b.loop = img.function(loop)
	if b.loop.size() < 256 {
		return nil, unsupported(v.String(), "extent of the interpreter's loop not found")
	}
	b.addRange(f, b.loop, tagLoop)
	for _, cold := range img.coldParts(b.loop) {
		b.addRange(f, cold, tagLoop)
	}
	if s, ok := f.ExportedSymbol("zend_call_function"); ok {
		b.addRange(f, img.function(s), tagCall)
	}
	if err := b.findGlobals(f, img); err != nil {
		return nil, err
	}
	b.hybrid = img.returnsConstant(f, "zend_vm_kind") == vmHybrid
	if b.prologue, ok = img.prologue(b.loop); !ok {
		b.hybrid = false
	}
	if at, registers, ok := img.fiberEntry(f); ok && l.fiberCaller != 0 {
		b.fiberRegisters = registers
		b.addRange(f, at, tagFiber)
		if s, ok := f.ExportedSymbol("make_fcontext"); ok && s.Size != 0 {
			b.addRange(f, img.function(s), tagLeaf)
		}
	}
	return b, nil
}

// vmHybrid is what zend_vm_kind() returns for a loop that jumps from handler to
// handler within one function.
const vmHybrid = 4

func (b *program) addRange(f *pfelf.File, s span, tag uint32) {
	off, ok := f.VaddrToOffset(s.start)
	if !ok || s.size() == 0 || len(b.ranges) == maxRanges {
		return
	}
	b.ranges = append(b.ranges, interpreter.Range{Start: off, End: off + s.size(), Tag: tag})
}

// findGlobals finds where the newest call of a thread is kept.
func (b *program) findGlobals(f *pfelf.File, img *image) error {
	b.currentCall = b.layout.currentCall
	if s, ok := f.ExportedSymbol("executor_globals"); ok {
		b.globals = s.Value
		got, ok := img.firstField(f, "zend_get_executed_scope", s)
		if ok && got != b.currentCall {
			// A build whose globals are laid out in another way: believe its code.
			b.currentCall = got
		}
		return nil
	}
	s, ok := f.ExportedSymbol("executor_globals_offset")
	if !ok {
		return unsupported(b.version.String(), "thread-safe build without an offset of its globals")
	}
	b.globalsOffset = s.Value
	tls, ok := img.threadLocal(f, "tsrm_get_ls_cache")
	if !ok {
		return unsupported(b.version.String(), "thread-safe build whose thread-local storage was not understood")
	}
	b.tls = tls
	return nil
}

// Version implements [interpreter.Binary].
func (b *program) Version() string { return b.version.String() }

// Ranges implements [interpreter.Binary].
func (b *program) Ranges() []interpreter.Range { return b.ranges }

// Attach implements [interpreter.Binary].
func (b *program) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	r := &bpfPhpProcess{
		Globals:           b.globals + m.Bias + b.currentCall,
		TextStart:         b.text.start + m.Bias,
		TextEnd:           b.text.end + m.Bias,
		LoopStart:         b.loop.start + m.Bias,
		LoopEnd:           b.loop.end + m.Bias,
		LoopPc:            b.prologue.end + m.Bias,
		LoopReturn:        b.prologue.returnAddress,
		Filename:          b.layout.filename,
		Opcodes:           b.layout.opcodes,
		Last:              b.layout.last,
		GeneratorCall:     b.layout.generatorCall,
		GeneratorChildren: b.layout.generatorChildren,
		GeneratorChild:    b.layout.generatorChild,
	}
	if b.fiberRegisters != 0 {
		r.FiberCaller, r.FiberFrame = b.layout.fiberCaller, b.fiberRegisters
	}
	if b.hybrid {
		r.Flags |= flagHybrid
	}
	if b.prologue.framePointer {
		r.Flags |= flagFramePointer
	}
	if b.globalsOffset != 0 {
		if err := b.attachThreads(p, m, r); err != nil {
			return nil, err
		}
	}
	i := &instance{memory: p.Memory, layout: b.layout, record: r}
	if b.globals != 0 && b.currentCall == b.layout.currentCall { // all threads have the same, and they are laid out as is known
		i.included = b.globals + m.Bias + includedFiles
	}
	i.findCompiled(p)
	return i, nil
}

// attachThreads fills in how a thread finds its globals in a thread-safe build.
func (b *program) attachThreads(p *interpreter.Process, m *interpreter.Module, r *bpfPhpProcess) error {
	off, err := p.Memory.Uint64(b.globalsOffset + m.Bias)
	if err != nil {
		return fmt.Errorf("read the offset of the globals: %w", err)
	}
	if off == 0 { // set at start-up
		return interpreter.ErrNotReady
	}
	if off > 1<<24 {
		return unsupported(b.version.String(), "offset of the globals makes no sense")
	}
	tls, err := b.tls.offset(p.Memory, m.Bias)
	if err != nil {
		return unsupported(b.version.String(), "thread-local storage is not where the program was linked to have it")
	}
	r.Flags |= flagZTS
	r.Tls = tls
	r.Globals = off + b.currentCall
	return nil
}
