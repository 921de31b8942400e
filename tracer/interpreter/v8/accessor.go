// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"debug/elf"
	"encoding/binary"

	"golang.org/x/arch/x86/x86asm"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// Functions that do nothing but return a variable or its address. They are
// exported where the variables are not, and are followed in a straight line: what
// an instruction may do that is not known here makes the answer unknown.

// maxAccessor bounds such a function, in instructions. Compilers take two to six.
const maxAccessor = 12

// register is what is known of a general register.
type register struct {
	value uint64
	known bool
}

type registers [32]register

// readAccessor returns what the function at an address returns.
func readAccessor(f *pfelf.File, at uint64) (uint64, bool) {
	switch f.Machine {
	case elf.EM_X86_64:
		return accessorAMD64(f, at)
	case elf.EM_AARCH64:
		return accessorARM64(f, at)
	}
	return 0, false
}

// load reads what a function loads: a pointer after relocation, or an int.
func load(f *pfelf.File, at uint64, size int) (uint64, bool) {
	if size == 8 {
		return f.PointerAt(at)
	}
	var b [4]byte
	_, err := f.ReadVaddr(b[:], at)
	return uint64(binary.LittleEndian.Uint32(b[:])), err == nil
}

const endbr64 = "\xf3\x0f\x1e\xfa"

func accessorAMD64(f *pfelf.File, at uint64) (uint64, bool) {
	var code [maxAccessor * 15]byte
	n, _ := f.ReadVaddr(code[:], at)
	var regs registers
	b := code[:n]
	if len(b) > len(endbr64) && string(b[:len(endbr64)]) == endbr64 {
		b, at = b[len(endbr64):], at+uint64(len(endbr64))
	}
	for range maxAccessor {
		in, err := x86asm.Decode(b, 64)
		if err != nil || in.Len <= 0 || in.Len > len(b) {
			return 0, false
		}
		b, at = b[in.Len:], at+uint64(in.Len) //nolint:gosec // at most 15
		switch in.Op {
		case x86asm.RET:
			return regs[0].value, regs[0].known
		case x86asm.NOP, x86asm.PUSH:
			continue
		case x86asm.MOV, x86asm.LEA, x86asm.POP:
		default:
			return 0, false
		}
		to, ok := in.Args[0].(x86asm.Reg)
		if !ok {
			return 0, false
		}
		i, size := numberOf(to)
		if size == 0 {
			return 0, false
		}
		v := source(f, &in, at, size, &regs)
		if size == 4 {
			v.value &= 1<<32 - 1
		}
		regs[i] = v
	}
	return 0, false
}

// source returns what an instruction puts into a register of a size in bytes; next
// is where the next instruction is.
func source(f *pfelf.File, in *x86asm.Inst, next uint64, size int, regs *registers) (v register) {
	if in.Op == x86asm.POP {
		return v
	}
	switch from := in.Args[1].(type) {
	case x86asm.Imm:
		return register{uint64(from), true} //nolint:gosec // as the processor does
	case x86asm.Reg:
		if i, size := numberOf(from); size != 0 {
			return regs[i]
		}
	case x86asm.Mem:
		v.value, v.known = operand(from, next, regs)
		if v.known && in.Op == x86asm.MOV {
			v.value, v.known = load(f, v.value, size)
		}
	}
	return v
}

// operand returns the address of an operand in memory; next is where the next
// instruction is.
func operand(m x86asm.Mem, next uint64, regs *registers) (uint64, bool) {
	if m.Index != 0 || m.Segment != 0 {
		return 0, false
	}
	displacement := uint64(int64(int32(m.Disp))) //nolint:gosec // the decoder leaves some unsigned
	if m.Base == x86asm.RIP {
		return next + displacement, true
	}
	i, size := numberOf(m.Base)
	if size != 8 || !regs[i].known {
		return 0, false
	}
	return regs[i].value + displacement, true
}

// numberOf numbers a general register of 8 or 4 bytes. The size of others is 0.
func numberOf(r x86asm.Reg) (i, size int) {
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX), 8
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX), 4
	}
	return 0, 0
}

func accessorARM64(f *pfelf.File, at uint64) (uint64, bool) {
	var code [maxAccessor * 4]byte
	n, _ := f.ReadVaddr(code[:], at)
	var regs registers
	for b := code[:n]; len(b) >= 4; b, at = b[4:], at+4 {
		in := binary.LittleEndian.Uint32(b)
		to, from := int(in&31), int(in>>5&31)
		switch {
		case in == 0xd65f03c0: // ret
			return regs[0].value, regs[0].known
		case in&0xfffff01f == 0xd503201f: // nop, bti, paciasp
			continue
		case in&0x1f == 31: // the stack pointer or no register
			return 0, false
		case in&0x9f000000 == 0x90000000: // adrp to, page
			regs[to] = register{at&^4095 + signedPage(in)<<12, true}
		case in&0x9f000000 == 0x10000000: // adr to, address
			regs[to] = register{at + signedPage(in), true}
		case in&0xff800000 == 0x91000000: // add to, from, #n
			regs[to] = regs[from]
			regs[to].value += uint64(in>>10&0xfff) << (in >> 22 & 1 * 12)
			regs[to].known = regs[to].known && from != 31
		case in&0xffc00000 == 0xf9400000, in&0xffc00000 == 0xb9400000: // ldr to, [from, #n]
			size := 4 << (in >> 30 & 1)
			v, ok := load(f, regs[from].value+uint64(in>>10&0xfff)*uint64(size), size) //nolint:gosec // small
			regs[to] = register{v, ok && regs[from].known && from != 31}
		case in&0x7f800000 == 0x52800000: // mov to, #n
			regs[to] = register{uint64(in>>5&0xffff) << (in >> 21 & 3 * 16), true}
		case in&0x7f800000 == 0x72800000: // movk to, #n
			shift := in >> 21 & 3 * 16
			regs[to].value = regs[to].value&^(0xffff<<shift) | uint64(in>>5&0xffff)<<shift
		default:
			return 0, false
		}
	}
	return 0, false
}

// signedPage is the immediate of adr and adrp, 21 bits.
func signedPage(in uint32) uint64 {
	v := in>>29&3 | in>>3&0x1ffffc
	return uint64(int64(int32(v<<11) >> 11)) //nolint:gosec // signed
}
