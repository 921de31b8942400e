// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/libc"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Where a thread's execution context is found; see support/ebpf/ruby.bpf.c.
const (
	ecStatic = 0
	ecDTV    = 1
	ecTSD    = 2
	ecGlobal = 3
)

// context is how the file finds the current thread's execution context.
type context struct {
	kind contextKind
	// value is the offset of the variable in its module's block, or from the
	// thread pointer, or the address of a variable.
	value uint64
	// slot is the address of what the loader fills in: the module's number, or an
	// offset from the thread pointer.
	slot uint64
}

type contextKind uint8

const (
	contextNone contextKind = iota
	// contextOffset: at a constant offset from the thread pointer.
	contextOffset
	// contextModule: slot holds the module's number.
	contextModule
	// contextOffsetSlot: slot holds the offset from the thread pointer.
	contextOffsetSlot
	// contextDescriptor: slot holds a TLS descriptor: function and argument.
	contextDescriptor
	// contextKey: value is the address of a pthread key, whose value is the thread.
	// It is set by the time that the pointer at slot is.
	contextKey
	// contextGlobal: value is the address of a pointer to the context of the
	// thread that holds the lock.
	contextGlobal
)

var errNoContext = errors.New("variable of the execution context not found")

// firstThreadLocal is the first version that has a thread-local variable.
const firstThreadLocal version = 300

func findContext(f *pfelf.File, v version) (context, error) {
	if v < firstThreadLocal {
		return findGlobal(f)
	}
	if s, ok := f.Symbol("ruby_current_ec"); ok && s.Type() == elf.STT_TLS {
		if c, err := threadLocal(f, s); err == nil {
			return c, nil
		}
	}
	if f.Machine == elf.EM_X86_64 {
		// Hidden and stripped, as in Debian's library: this exported function reads it.
		if s, ok := f.ExportedSymbol("rb_thread_current"); ok {
			b := make([]byte, 96)
			n, _ := f.ReadVaddr(b, s.Value)
			return accessIn(f, b[:n], s.Value)
		}
	}
	return context{}, errNoContext
}

// findGlobal is for versions in which one variable holds the context of whoever
// holds the lock. The thread's own is found through the key under which threads
// are kept, which this exported function uses.
func findGlobal(f *pfelf.File) (context, error) {
	current, ok := f.Symbol("ruby_current_execution_context_ptr")
	if !ok {
		return context{}, errNoContext
	}
	if s, ok := f.ExportedSymbol("ruby_native_thread_p"); ok && f.Machine == elf.EM_X86_64 {
		b := make([]byte, 32)
		n, _ := f.ReadVaddr(b, s.Value)
		if at, ok := keyIn(b[:n], s.Value); ok {
			return context{kind: contextKey, value: at, slot: current.Value}, nil
		}
	}
	return context{kind: contextGlobal, value: current.Value}, nil
}

// keyIn finds the variable of the key in code that hands it to
// pthread_getspecific(): mov disp(%rip),%edi; call.
func keyIn(b []byte, at uint64) (uint64, bool) {
	for i := 0; i+11 <= len(b); i++ {
		if b[i] == 0x8b && b[i+1] == 0x3d && (b[i+6] == 0xe8 || b[i+6] == 0xe9 || b[i+6] == 0xff) {
			return at + uint64(i) + 6 + signed(b[i+2:]), true
		}
	}
	return 0, false
}

func signed(b []byte) uint64 {
	return uint64(int64(int32(binary.LittleEndian.Uint32(b)))) //nolint:gosec // signed
}

// tlsRelocs are the types of relocations of thread-local variables.
type tlsRelocs struct{ module, offset, descriptor uint32 }

func tlsRelocsOf(m elf.Machine) tlsRelocs {
	if m == elf.EM_AARCH64 {
		return tlsRelocs{uint32(elf.R_AARCH64_TLS_DTPMOD64), uint32(elf.R_AARCH64_TLS_TPREL64), uint32(elf.R_AARCH64_TLSDESC)}
	}
	return tlsRelocs{uint32(elf.R_X86_64_DTPMOD64), uint32(elf.R_X86_64_TPOFF64), uint32(elf.R_X86_64_TLSDESC)}
}

// threadLocal tells how a thread-local variable of the file is accessed.
func threadLocal(f *pfelf.File, s pfelf.Symbol) (context, error) {
	if f.Type == elf.ET_EXEC || isProgram(f) {
		// The program's own block is at a constant place.
		if off, ok := localExec(f, s.Value); ok {
			return context{kind: contextOffset, value: off}, nil
		}
	}
	types := tlsRelocsOf(f.Machine)
	var c context
	// The module's number is the same in every slot of the file. A slot for the
	// offset or a descriptor is for one variable; it is told by its addend, or by
	// what the exported symbol's name is.
	f.EachRelocation(func(r pfelf.Relocation) bool {
		named := r.Symbol == 0 && uint64(r.Addend) == s.Value || r.Symbol != 0 && exportedAs(f, r.Symbol, s) //nolint:gosec // an offset
		switch {
		case r.Type == types.module:
			c = context{kind: contextModule, value: s.Value, slot: r.Vaddr}
			return false
		case r.Type == types.offset && named:
			c = context{kind: contextOffsetSlot, slot: r.Vaddr}
		case r.Type == types.descriptor && named:
			c = context{kind: contextDescriptor, slot: r.Vaddr}
		}
		return true
	})
	if c.kind == contextNone {
		return c, errNoContext
	}
	return c, nil
}

// exportedAs reports whether entry i of the table of exported symbols is s.
func exportedAs(f *pfelf.File, i uint32, s pfelf.Symbol) bool {
	for _, sec := range f.Sections {
		if sec.Type != elf.SHT_DYNSYM {
			continue
		}
		b, err := f.ReadRange(sec.Offset+uint64(i)*24, 24)
		return err == nil && b[4]&0xf == byte(elf.STT_TLS) && binary.LittleEndian.Uint64(b[8:]) == s.Value
	}
	return false
}

// isProgram reports whether the file is a program, not a library: it names its loader.
func isProgram(f *pfelf.File) bool {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}

// localExec returns the offset from the thread pointer of a variable in the
// program's own block.
func localExec(f *pfelf.File, value uint64) (uint64, bool) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_TLS {
			continue
		}
		align := max(p.Align, 1)
		if align&(align-1) != 0 || align > 1<<20 || p.Memsz > 1<<30 {
			return 0, false
		}
		if f.Machine == elf.EM_AARCH64 { // after the two words of the thread's head
			return (16+align-1)&^(align-1) + value, true
		}
		return value - (p.Memsz+align-1)&^(align-1), true
	}
	return 0, false
}

// accessIn finds the thread-local variable that code reads first, by the ways in
// which compilers access one.
func accessIn(f *pfelf.File, b []byte, at uint64) (context, error) {
	for i := 0; i+16 <= len(b); i++ {
		in := b[i:]
		switch {
		case in[0] == 0x64 && in[1]&0xf8 == 0x48 && in[2] == 0x8b && in[3]&0xc7 == 0x04 && in[4] == 0x25:
			// mov %fs:disp,%reg. An offset of the stack protector is positive.
			if off := signed(in[5:]); int64(off) < 0 { //nolint:gosec // signed
				return context{kind: contextOffset, value: off}, nil
			}
		case in[0] == 0x48 && in[1] == 0x8b && in[2]&0xc7 == 0x05 && readsThread(in[7:]):
			// mov slot(%rip),%reg; mov %fs:(%reg),%reg
			return context{kind: contextOffsetSlot, slot: at + uint64(i) + 7 + signed(in[3:])}, nil
		case in[0] == 0x48 && in[1] == 0x8d && in[2] == 0x05 && in[7] == 0xff && in[8] == 0x10:
			// lea slot(%rip),%rax; call *(%rax)
			return context{kind: contextDescriptor, slot: at + uint64(i) + 7 + signed(in[3:])}, nil
		case in[0] == 0x48 && in[1] == 0x8d && in[2] == 0x3d:
			// lea slot(%rip),%rdi; call __tls_get_addr; mov disp(%rax),%reg
			slot := at + uint64(i) + 7 + signed(in[3:])
			disp, ok := loadAfterCall(in[7:])
			if !ok || !holdsModule(f, slot) {
				continue
			}
			var word [8]byte // offset in the block, known when the file was linked
			if _, err := f.ReadVaddr(word[:], slot+8); err != nil {
				return context{}, fmt.Errorf("read slot of a thread-local variable: %w", err)
			}
			return context{kind: contextModule, slot: slot, value: binary.LittleEndian.Uint64(word[:]) + disp}, nil
		}
	}
	return context{}, errNoContext
}

// readsThread reports whether code begins with mov %fs:(%reg),%reg.
func readsThread(b []byte) bool {
	return len(b) >= 4 && b[0] == 0x64 && b[1]&0xf8 == 0x48 && b[2] == 0x8b && b[3]&0xc0 == 0
}

// loadAfterCall returns the displacement of the first load through the result of
// a call that code begins with: call (with prefixes); mov disp(%rax),%reg.
func loadAfterCall(b []byte) (uint64, bool) {
	i := 0
	for i < 4 && i < len(b) && (b[i] == 0x66 || b[i] == 0x48) {
		i++
	}
	switch {
	case i+5 < len(b) && b[i] == 0xe8:
		i += 5
	case i+6 < len(b) && b[i] == 0xff && b[i+1] == 0x15:
		i += 6
	default:
		return 0, false
	}
	b = b[i:]
	if len(b) < 7 || b[0]&0xf8 != 0x48 || b[1] != 0x8b || b[2]&7 != 0 {
		return 0, false
	}
	switch b[2] >> 6 {
	case 0:
		return 0, true
	case 1:
		return uint64(int64(int8(b[3]))), true //nolint:gosec // signed
	case 2:
		return signed(b[3:]), true
	}
	return 0, false
}

// holdsModule reports whether the loader writes the module's number to a slot.
func holdsModule(f *pfelf.File, slot uint64) bool {
	found := false
	types := tlsRelocsOf(f.Machine)
	f.EachRelocation(func(r pfelf.Relocation) bool {
		found = r.Vaddr == slot && r.Type == types.module
		return !found
	})
	return found
}

// record fills in how the context is found in a process.
func (c context) record(r *bpfRubyProcess, p *interpreter.Process, bias uint64) error {
	switch c.kind {
	case contextOffset:
		r.Kind, r.Ec = ecStatic, int64(c.value) //nolint:gosec // signed
	case contextOffsetSlot:
		v, err := p.Memory.Uint64(bias + c.slot)
		if err != nil || v == 0 {
			return notReady(err)
		}
		r.Kind, r.Ec = ecStatic, int64(v) //nolint:gosec // signed
	case contextModule:
		v, err := p.Memory.Uint64(bias + c.slot)
		if err != nil || v == 0 {
			return notReady(err)
		}
		return c.module(r, p, v, c.value)
	case contextDescriptor:
		return c.descriptor(r, p, bias)
	case contextKey:
		if v, err := p.Memory.Uint64(bias + c.slot); err != nil || v == 0 {
			return notReady(err)
		}
		l, err := libc.Of(p)
		if err != nil {
			return err
		}
		key, err := p.Memory.Uint32(bias + c.value)
		if err != nil {
			return err
		}
		r.Kind, r.Ec = ecTSD, int64(key)
		r.Tsd.Offset, r.Tsd.Stride, r.Tsd.Indirect, r.Tsd.Keys = l.TSD.Offset, l.TSD.Stride, l.TSD.Indirect, l.TSD.Keys
	case contextGlobal:
		r.Kind, r.Ec = ecGlobal, int64(bias+c.value) //nolint:gosec // an address
	default:
		return errNoContext
	}
	return nil
}

func (c context) module(r *bpfRubyProcess, p *interpreter.Process, module, offset uint64) error {
	l, err := libc.Of(p)
	if err != nil {
		return err
	}
	r.Kind, r.Ec, r.Module = ecDTV, int64(offset), module //nolint:gosec // signed
	r.Dtv.Offset, r.Dtv.Stride = l.DTV.Offset, l.DTV.Stride
	return nil
}

// maxOffset bounds an offset from the thread pointer; addresses are above it.
const maxOffset = 1 << 30

// descriptor reads a TLS descriptor that the loader has filled in. Its argument
// is the offset from the thread pointer, or points to module and offset.
func (c context) descriptor(r *bpfRubyProcess, p *interpreter.Process, bias uint64) error {
	var pair [2]uint64
	for i := range pair {
		v, err := p.Memory.Uint64(bias + c.slot + uint64(i)*8) //nolint:gosec // small
		if err != nil {
			return err
		}
		pair[i] = v
	}
	if pair[0] == 0 {
		return interpreter.ErrNotReady
	}
	if off := int64(pair[1]); off > -maxOffset && off < maxOffset { //nolint:gosec // signed
		r.Kind, r.Ec = ecStatic, off
		return nil
	}
	module, err := p.Memory.Uint64(pair[1])
	if err != nil {
		return err
	}
	offset, err := p.Memory.Uint64(pair[1] + 8)
	if err != nil {
		return err
	}
	return c.module(r, p, module, offset)
}

func notReady(err error) error {
	if err == nil || errors.Is(err, process.ErrMemory) {
		return interpreter.ErrNotReady
	}
	return err
}
