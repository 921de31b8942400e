// SPDX-License-Identifier: Apache-2.0

package php

import (
	"errors"

	"golang.org/x/arch/x86/x86asm"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// threadLocal tells where a thread-local variable is, relative to the thread
// pointer: at a fixed offset, or at one that the loader has written somewhere.
type threadLocal struct {
	fixed int64
	slot  uint64 // ELF address of the loader's offset, 0: fixed
}

var errThreadLocal = errors.New("offset of a thread-local variable makes no sense")

// offset returns the offset in a process.
func (t threadLocal) offset(mem process.Memory, bias uint64) (int64, error) {
	v := t.fixed
	if t.slot != 0 {
		u, err := mem.Uint64(t.slot + bias)
		if err != nil {
			return 0, err
		}
		v = int64(u) //nolint:gosec // offsets are negative
	}
	if v < -1<<30 || v > 1<<30 {
		return 0, errThreadLocal
	}
	return v, nil
}

// threadLocal reads a function that returns a thread-local variable.
func (m *image) threadLocal(f *pfelf.File, name string) (t threadLocal, ok bool) {
	s, found := f.ExportedSymbol(name)
	if !found {
		return t, false
	}
	var slots map[x86asm.Arg]uint64
	var base x86asm.Reg // holds the thread pointer
	m.each(m.function(s), 64, func(at uint64, in x86asm.Inst) bool {
		mem, isMem := in.Args[1].(x86asm.Mem)
		if in.Op != x86asm.MOV || !isMem {
			return in.Op == x86asm.PUSH || in.Op == x86asm.MOV
		}
		switch a, relative := target(at, in); {
		case relative:
			slots = map[x86asm.Arg]uint64{in.Args[0]: a}
			return true
		case mem.Segment == x86asm.FS && mem.Base == 0 && mem.Index == 0 && mem.Disp == 0:
			base, _ = in.Args[0].(x86asm.Reg)
			return true
		case base != 0 && mem.Base == base && mem.Index == 0:
			t.fixed, ok = int64(int32(mem.Disp)), true //nolint:gosec // an offset of 32 bits
		case mem.Segment == x86asm.FS && mem.Base == 0 && mem.Index == 0:
			t.fixed, ok = int64(int32(mem.Disp)), true //nolint:gosec // an offset of 32 bits
		case mem.Segment == x86asm.FS && slots[mem.Base] != 0 && mem.Disp == 0:
			t.slot, ok = slots[mem.Base], true
		}
		return false
	})
	return t, ok
}

// fiberEntry finds the function at the bottom of a fiber's stack, which is not
// exported: the function that makes a fiber hands its address on. registers are
// the bytes that a switch between fibers puts on the stack, with the return address.
func (m *image) fiberEntry(f *pfelf.File) (entry span, registers uint16, ok bool) {
	s, found := f.ExportedSymbol("zend_fiber_init_context")
	if !found {
		return span{}, 0, false
	}
	m.each(m.function(s), maxFiberEntry, func(at uint64, in x86asm.Inst) bool {
		if in.Op != x86asm.LEA {
			return true
		}
		t, relative := target(at, in)
		if !relative || !m.text.contains(t) {
			return true
		}
		if e, found := m.frameAt(t); found && e.start == t {
			entry, ok = e, true
			return in.Args[0] != x86asm.RDX // the third argument of make_fcontext()
		}
		return true
	})
	return entry, m.switchedRegisters(f), ok
}

// fiberRegisters is what jump_fcontext() of Boost saves on x86-64: control words,
// a place for the stack guard, six registers, and the return address.
const fiberRegisters = 0x48

func (m *image) switchedRegisters(f *pfelf.File) uint16 {
	s, found := f.ExportedSymbol("jump_fcontext")
	if !found {
		return fiberRegisters
	}
	size := int64(8)
	m.each(m.function(s), 128, func(_ uint64, in x86asm.Inst) bool {
		if mem, isMem := in.Args[1].(x86asm.Mem); isMem && in.Op == x86asm.LEA && in.Args[0] == x86asm.RSP && mem.Base == x86asm.RSP {
			if int32(mem.Disp) >= 0 { //nolint:gosec // 32 bits, signed
				return false
			}
			size -= int64(int32(mem.Disp)) //nolint:gosec // 32 bits, signed
		}
		return in.Op != x86asm.MOV || in.Args[1] != x86asm.RSP
	})
	if size <= 8 || size > 256 {
		return fiberRegisters
	}
	return uint16(size)
}
