// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"fmt"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Kinds of frames: enum v8_frame of the eBPF program.
const (
	frameInterpreted = 1
	frameCompiled    = 2
	frameMarker      = 3
	frameUnknown     = 4
)

// pcExact marks an address that was interrupted, where others are behind a call.
const pcExact = 1 << 63

// Bounds on what is kept per process.
const (
	maxFunctions = 8192
	maxCodes     = 4096
	maxScripts   = 512
	maxLines     = 2 << 20 // of all scripts
)

// instance is V8 in a process. It keeps what it has read of functions, code and
// scripts; all of it is compared with what is there now before it is used.
type instance struct {
	heap
	sizes bytecodeSizes

	functions map[uint64]*function
	scripts   map[uint64]*script
	lines     int
	codes     []*code // by address
	buffer    []byte
}

func newInstance(l *layout, sizes bytecodeSizes, mem process.Memory) *instance {
	return &instance{
		heap: heap{layout: l, mem: mem}, sizes: sizes,
		functions: map[uint64]*function{}, scripts: map[uint64]*script{}, buffer: make([]byte, sourceChunk),
	}
}

// Record implements [interpreter.Instance].
func (p *instance) Record() any {
	return &bpfV8Process{
		FirstFunction: p.firstFunction, LastFunction: p.lastFunction, BytecodeArray: p.bytecodeArray, Shared: p.shared,
		MapType:        uint8(p.mapType),        //nolint:gosec // offsets are at most 128
		FunctionShared: uint8(p.functionShared), //nolint:gosec // see above
		SharedName:     uint8(p.sharedName),     //nolint:gosec // see above
		SharedScript:   uint8(p.sharedScript),   //nolint:gosec // see above
		FrameBytecode:  uint8(p.frameBytecode),  //nolint:gosec // see above
		FrameOffset:    uint8(p.frameOffset),    //nolint:gosec // see above
	}
}

// Refresh implements [interpreter.Instance]. New code needs nothing.
func (p *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }

// Close implements [interpreter.Instance].
func (p *instance) Close() {}

// Symbolize implements [interpreter.Instance].
func (p *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	check := uint32(f.W1 >> 32) //nolint:gosec // the upper half
	switch f.Subtype {
	case frameInterpreted:
		fn, err := p.function(f.Addr, check)
		if err != nil {
			return out, err
		}
		var at position
		if addr, err := p.objectOf(f.W2+1, p.bytecodeArray); err == nil {
			// The offset is from the pointer to the bytecode, which is odd.
			at, _ = p.bytecodePosition(addr, int64(f.W1&0xffffffff)-int64(p.bytecodeData)+1) //nolint:gosec // small
		}
		return append(out, fn.frame(at)), nil
	case frameCompiled:
		return p.compiled(f, check, out)
	case frameMarker:
		return append(out, libpf.Frame{Type: libpf.V8Frame, FunctionName: p.markers.name(f.W1)}), nil
	case frameUnknown:
		return append(out, libpf.Frame{Type: libpf.V8Frame, FunctionName: "(native code)"}), nil
	}
	return out, fmt.Errorf("frame of unknown kind %d", f.Subtype)
}

// compiled names a frame of compiled code and what was inlined there.
func (p *instance) compiled(f interpreter.Frame, check uint32, out []libpf.Frame) ([]libpf.Frame, error) {
	fn, err := p.function(f.Addr, check)
	if err != nil {
		return out, err
	}
	pc := f.W2 &^ pcExact
	if pc == 0 { // not known
		return append(out, fn.frame(0)), nil
	}
	if f.W2&pcExact == 0 {
		pc-- // behind the call
	}
	c, err := p.codeAt(pc)
	if err != nil {
		return append(out, fn.frame(0)), nil //nolint:nilerr // the code is gone, but the function is known
	}
	if c.baseline {
		at, _ := p.baselinePosition(c, f.Addr, pc+1-c.start)
		return append(out, fn.frame(at)), nil
	}
	if c.shared != 0 && c.shared != f.Addr {
		// What the frame says is of the frame below: this one is not complete.
		if fn, err = p.function(c.shared, 0); err != nil {
			return out, err
		}
	}
	at, _ := p.findPosition(c.table, int64(c.end-c.start), int64(pc-c.start)) //nolint:gosec // of code
	for range maxInlining {
		i, ok := at.inlined()
		if !ok || i >= len(c.inlined) {
			break
		}
		call := c.inlined[i]
		if call.function >= 0 && call.function < len(c.functions) && c.functions[call.function] != 0 {
			if inner, err := p.function(c.functions[call.function], 0); err == nil {
				out = append(out, inner.frame(at))
			}
		}
		at = call.at
	}
	return append(out, fn.frame(at)), nil
}

// frame is the function at a position.
func (f *function) frame(at position) libpf.Frame {
	out := libpf.Frame{Type: libpf.V8Frame, FunctionName: f.name}
	if f.script == nil {
		return out
	}
	out.SourceFile = f.script.name
	place, ok := at.script()
	if !ok {
		place = f.start
	}
	if line := lineOf(f.script.ends, place); line > 0 {
		out.SourceLine = libpf.SourceLineno(line + f.script.line) //nolint:gosec // positive
	}
	return out
}
