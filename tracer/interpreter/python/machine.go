// SPDX-License-Identifier: Apache-2.0

package python

import (
	"debug/elf"

	"golang.org/x/arch/x86/x86asm"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// maxSmall bounds the functions that are read for the addresses in them.
const maxSmall = 256

// value is what is known of a register.
type value struct {
	kind valueKind
	at   uint64
}

type valueKind uint8

const (
	unknown valueKind = iota
	// address is the address at.
	address
	// loaded is what the memory at the address at holds.
	loaded
)

// instructions calls fn for the instructions of a function, until it returns
// false. What cannot be decoded is passed over byte by byte.
func instructions(f *pfelf.File, at, size uint64, fn func(pc uint64, in *x86asm.Inst) bool) {
	if f.Machine != elf.EM_X86_64 {
		return
	}
	b := make([]byte, size)
	n, err := f.ReadVaddr(b, at)
	if err != nil && n == 0 {
		return
	}
	b = b[:n]
	for pc := at; len(b) > 0; {
		n := 1
		if len(b) >= 4 && b[0] == 0xf3 && b[1] == 0x0f && b[2] == 0x1e && b[3] == 0xfa { // endbr64
			n = 4
		} else if in, err := x86asm.Decode(b, 64); err == nil && in.Len > 0 {
			n = in.Len
			if !fn(pc+uint64(n), &in) { //nolint:gosec // small
				return
			}
		}
		b = b[n:]
		pc += uint64(n) //nolint:gosec // small
	}
}

// memoryAt returns the address of a memory operand whose base is known. state
// is _PyRuntime: what a function loads from the file's own data and uses as a
// base is taken for its address, as it comes from the table of global offsets.
func memoryAt(m x86asm.Mem, next, state uint64, regs *[16]value) (uint64, bool) {
	if m.Index != 0 || m.Segment != 0 {
		return 0, false
	}
	d := uint64(int64(int32(m.Disp))) //nolint:gosec // 32 bits, signed: the decoder leaves long ones unsigned
	switch {
	case m.Base == x86asm.RIP:
		return next + d, true
	case m.Base == 0:
		return d, true
	}
	r, ok := register(m.Base)
	if !ok {
		return 0, false
	}
	switch v := regs[r]; {
	case v.kind == address:
		return v.at + d, true
	case v.kind == loaded && state != 0:
		return state + d, true
	}
	return 0, false
}

// register numbers the general registers, of any width but 8 and 16 bits.
func register(r x86asm.Reg) (int, bool) {
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX), true
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX), true
	}
	return 0, false
}

// trace follows a small function in a straight line. It calls fn before every
// call, jump to another function and return, with what is known of the registers,
// until fn returns false.
func trace(f *pfelf.File, s pfelf.Symbol, state uint64, fn func(op x86asm.Op, regs *[16]value) bool) {
	size := s.Size
	if size == 0 || size > maxSmall {
		size = maxSmall
	}
	var regs [16]value
	instructions(f, s.Value, size, func(next uint64, in *x86asm.Inst) bool {
		switch in.Op {
		case x86asm.CALL, x86asm.RET, x86asm.JMP:
			if !fn(in.Op, &regs) {
				return false
			}
			if in.Op == x86asm.CALL { // keeps rbx, rsp, rbp, r12 to r15
				for _, r := range []int{0, 1, 2, 6, 7, 8, 9, 10, 11} {
					regs[r] = value{}
				}
			}
			return true
		}
		to, ok := in.Args[0].(x86asm.Reg)
		if !ok {
			return true
		}
		r, ok := register(to)
		if !ok || in.Op == x86asm.CMP || in.Op == x86asm.TEST || in.Op == x86asm.PUSH {
			return true
		}
		v := value{}
		switch from := in.Args[1].(type) {
		case x86asm.Mem:
			if at, ok := memoryAt(from, next, state, &regs); ok {
				switch in.Op {
				case x86asm.LEA:
					v = value{address, at}
				case x86asm.MOV:
					v = value{loaded, at}
				}
			}
		case x86asm.Reg:
			if i, ok := register(from); ok && in.Op == x86asm.MOV {
				v = regs[i]
			}
		case x86asm.Imm:
			switch {
			case in.Op == x86asm.MOV:
				v = value{address, uint64(from)} //nolint:gosec // an address
			case in.Op == x86asm.ADD && regs[r].kind != unknown:
				if at, ok := memoryAt(x86asm.Mem{Base: x86asm.RAX + x86asm.Reg(r), Disp: int64(from)}, next, state, &regs); ok { //nolint:gosec // below 16
					v = value{address, at}
				}
			}
		}
		regs[r] = v
		return true
	})
}

const regRAX, regRDI = 0, 7

// findKey finds the key of the thread's state, which
// PyGILState_GetThisThreadState() hands to pthread_getspecific() as it is, or in
// a Py_tss_t to PyThread_tss_get(). It returns 0 when it is not found.
func findKey(f *pfelf.File, s pfelf.Symbol, state uint64, v version) (key uint64) {
	trace(f, s, state, func(op x86asm.Op, regs *[16]value) bool {
		switch arg := regs[regRDI]; {
		case op == x86asm.RET:
			return true
		case arg.kind == loaded:
			key = arg.at
		case arg.kind == address && v.atLeast(3, 7):
			key = arg.at + 4
		}
		return key == 0
	})
	return key
}

// findHead finds the pointer to the list of interpreters, which
// PyInterpreterState_Head() returns. It returns 0 when it is not found.
func findHead(f *pfelf.File, s pfelf.Symbol, state uint64) (head uint64) {
	trace(f, s, state, func(op x86asm.Op, regs *[16]value) bool {
		if r := regs[regRAX]; op == x86asm.RET && r.kind == loaded {
			head = r.at
		}
		return false
	})
	return head
}

// addresses returns the addresses that a small function refers to.
func addresses(f *pfelf.File, s pfelf.Symbol) (out []uint64) {
	size := s.Size
	if size == 0 || size > maxSmall {
		size = maxSmall
	}
	instructions(f, s.Value, size, func(next uint64, in *x86asm.Inst) bool {
		switch from := in.Args[1].(type) {
		case x86asm.Mem:
			if in.Op == x86asm.LEA && from.Base == x86asm.RIP {
				out = append(out, next+uint64(int64(int32(from.Disp)))) //nolint:gosec // 32 bits, signed, as in memoryAt
			}
		case x86asm.Imm:
			if in.Op == x86asm.MOV {
				out = append(out, uint64(from)) //nolint:gosec // an address
			}
		}
		return true
	})
	return out
}
