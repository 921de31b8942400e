// SPDX-License-Identifier: Apache-2.0

// Package perl unwinds Perl: subs, formats, evals and required files, from the
// context stacks of the interpreter of each thread. How its frames are found is
// in docs/runtimes/perl.md.
package perl

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/libc"
)

const name = "perl"

// Tags of ranges; see support/ebpf/perl.bpf.c.
const (
	tagLoop  = 0
	tagMain  = 1
	tagSort  = 2
	tagCatch = 3
)

// Where my_perl is; see struct perl_process.
const (
	inThread  = 0
	inPointer = 1
	inGlobals = 2
)

// marked are the functions that the eBPF program knows. The loop must be there.
var marked = []struct {
	symbol string
	tag    uint32
}{
	{"Perl_runops_standard", tagLoop},
	{"perl_run", tagMain},
	{"perl_parse", tagMain},
	{"Perl_sortsv_flags", tagSort},
}

// maxRanges is how many ranges a file may have; MAX_CODE_RANGES of support/ebpf/types.h.
const maxRanges = 8

// Runtime recognises perl programs, libperl, and programs that embed it.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_PERL }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return name }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.PerlFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime]. The interpreter's functions are
// exported, because extensions need them.
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	base := path.Base(e.Path)
	if strings.Contains(base, ".so") && !strings.HasPrefix(base, "libperl") {
		return nil, nil //nolint:nilnil // some library
	}
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, ok := f.ExportedSymbol("Perl_runops_standard"); !ok {
		return nil, nil //nolint:nilnil // not Perl
	}
	return read(f)
}

// engine is a perl or libperl.
type engine struct {
	version string
	layout  layout
	ranges  []interpreter.Range
	where   uint8
	// Virtual addresses in the file; curcop and curstackinfo are offsets in the
	// interpreter unless it is in globals.
	key, current, curcop, curstackinfo uint64
}

func read(f *pfelf.File) (*engine, error) {
	var number [3]byte
	for i, symbol := range []string{"PL_revision", "PL_version", "PL_subversion"} {
		s, ok := f.ExportedSymbol(symbol)
		if !ok {
			return nil, unsupported("unknown", "version not found")
		}
		if _, err := f.ReadVaddr(number[i:i+1], s.Value); err != nil {
			return nil, fmt.Errorf("read %s: %w", symbol, err)
		}
	}
	b := &engine{version: fmt.Sprintf("%d.%d.%d", number[0], number[1], number[2])}
	var err error
	if b.layout, err = layoutOf(b.version, number[0], number[1]); err != nil {
		return nil, err
	}
	for _, m := range marked {
		s, ok := f.ExportedSymbol(m.symbol)
		if !ok || s.Size == 0 {
			continue
		}
		if off, ok := f.VaddrToOffset(s.Value); ok {
			b.ranges = append(b.ranges, interpreter.Range{Start: off, End: off + s.Size, Tag: m.tag})
		}
	}
	if len(b.ranges) == 0 || b.ranges[0].Tag != tagLoop {
		return nil, unsupported(b.version, "interpreter loop not found")
	}
	b.ranges = append(b.ranges, catchRanges(f)...)
	if s, ok := f.ExportedSymbol("Perl_runops_debug"); ok && s.Size > 0 && len(b.ranges) < maxRanges {
		if off, ok := f.VaddrToOffset(s.Value); ok { // used with perl -D only
			b.ranges = append(b.ranges, interpreter.Range{Start: off, End: off + s.Size, Tag: tagLoop})
		}
	}
	b.ranges = b.ranges[:min(len(b.ranges), maxRanges)]
	if !b.findInterpreter(f) {
		return nil, unsupported(b.version, "interpreter not found")
	}
	return b, nil
}

// findInterpreter decides how a thread's interpreter is found.
func (b *engine) findInterpreter(f *pfelf.File) bool {
	current, ok := f.ExportedSymbol("PL_curinterp")
	if ok {
		b.current = current.Value
	}
	cop, okCop := f.ExportedSymbol("PL_curcop")
	stack, okStack := f.ExportedSymbol("PL_curstackinfo")
	if okCop && okStack {
		b.where, b.curcop, b.curstackinfo = inGlobals, cop.Value, stack.Value
		return true
	}
	if !ok {
		return false
	}
	b.where, b.curstackinfo = inPointer, b.layout.curstackinfo
	if key, ok := f.ExportedSymbol("PL_thr_key"); ok {
		b.where, b.key = inThread, key.Value
	}
	// Options of the build may move members: an accessor knows better.
	if s, ok := f.ExportedSymbol("Perl_block_gimme"); ok {
		code := make([]byte, min(s.Size, 64))
		if _, err := f.ReadVaddr(code, s.Value); err == nil {
			if off, ok := firstMember(f.Machine, code); ok {
				b.curstackinfo = off
			}
		}
	}
	b.curcop = b.curstackinfo - 16 // with curstack in between, in every version
	return true
}

// Version implements [interpreter.Binary].
func (b *engine) Version() string { return b.version }

// Ranges implements [interpreter.Binary].
func (b *engine) Ranges() []interpreter.Range { return b.ranges }

// Attach implements [interpreter.Binary].
func (b *engine) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	r := bpfPerlProcess{
		Curcop: b.curcop, Curstackinfo: b.curstackinfo, Where: b.where, ContextSize: b.layout.contextSize,
		SubCv: b.layout.subCV, EvalName: b.layout.evalName, StackType: b.layout.stackType,
	}
	switch b.where {
	case inGlobals:
		r.Curcop += m.Bias
		r.Curstackinfo += m.Bias
	case inPointer:
		r.Variable = b.current + m.Bias
	case inThread:
		// The key is made before the first interpreter.
		first, err := p.Memory.Uint64(b.current + m.Bias)
		if err != nil {
			return nil, err
		}
		if first == 0 {
			return nil, interpreter.ErrNotReady
		}
		if r.Key, err = p.Memory.Uint32(b.key + m.Bias); err != nil {
			return nil, err
		}
		l, err := libc.Of(p)
		if errors.Is(err, interpreter.ErrNotReady) {
			return nil, err
		} else if err != nil {
			return nil, unsupported(b.version, "C library not known")
		}
		if r.Key >= l.TSD.Keys {
			return nil, unsupported(b.version, "too many thread-specific keys")
		}
		r.Tsd.Offset, r.Tsd.Stride, r.Tsd.Indirect, r.Tsd.Keys = l.TSD.Offset, l.TSD.Stride, l.TSD.Indirect, l.TSD.Keys
	}
	return &instance{
		record: r,
		names:  decoder{memory: p.Memory, layout: b.layout, fileIsGlob: b.where != inThread},
		cache:  map[interpreter.Frame]libpf.Frame{},
	}, nil
}

func unsupported(version, reason string) error {
	return &interpreter.UnsupportedError{Runtime: name, Version: version, Reason: reason}
}

// instance is Perl in a process.
type instance struct {
	record bpfPerlProcess
	names  decoder
	// cache holds frames by their words, which change with what they mean.
	cache map[interpreter.Frame]libpf.Frame
}

const maxCached = 4096

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return &i.record }

// Refresh implements [interpreter.Instance]: nothing moves.
func (i *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	frame, ok := i.cache[f]
	if !ok {
		var err error
		if frame, err = i.names.frame(f); err != nil {
			return out, err
		}
		if len(i.cache) >= maxCached {
			clear(i.cache)
		}
		i.cache[f] = frame
	}
	return append(out, frame), nil
}

// Close implements [interpreter.Instance].
func (i *instance) Close() {}
