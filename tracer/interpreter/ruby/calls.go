// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"debug/elf"
	"slices"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// maxCalls is the most places at which methods in C are called that are marked.
// There are two in all versions seen: for calls by Ruby and for calls by C.
const maxCalls = 4

// callsOfC returns the return addresses of the calls of methods that are written
// in C. They are told by their form: the method's definition has a pointer to the
// function at its offset 8 and one to a helper that calls it with as many
// arguments as it has at 16, and the function is the helper's fourth or, before
// Ruby 3.0, its first argument:
//
//	mov 0x8(%def),%rcx
//	...
//	call *0x10(%def)
func callsOfC(f *pfelf.File) []uint64 {
	if f.Machine != elf.EM_X86_64 {
		return nil
	}
	var out []uint64
	for _, s := range f.ExecSegments() {
		if s.Filesz > maxText {
			continue
		}
		eachChunk(f, s.Vaddr, s.Filesz, callWindow+8, func(at uint64, b []byte) {
			for i := 1; i+4 <= len(b); i++ {
				if b[i] != 0xff || b[i+1]&0xf8 != 0x50 {
					continue
				}
				n := callThrough(b, i)
				if n > 0 && !slices.Contains(out, at+uint64(i+n)) {
					out = append(out, at+uint64(i+n))
				}
			}
		})
	}
	if len(out) > maxCalls {
		return nil // it is not what it looks like
	}
	return out
}

// callWindow is how far before the call the function is loaded, in bytes.
const callWindow = 40

// callThrough returns the length of the call at b[i] if it is one of that form.
func callThrough(b []byte, i int) int {
	rex := byte(0)
	if b[i-1]&0xf0 == 0x40 {
		rex = b[i-1]
	}
	def, disp, n := memory(b[i+1:], rex)
	if n == 0 || disp != 0x10 || def == 4 { // a variable on the stack
		return 0
	}
	for k := max(0, i-callWindow); k+4 < i; k++ {
		if b[k]&0xfa != 0x48 || b[k+1] != 0x8b { // REX.W without an upper destination
			continue
		}
		to := b[k+2] >> 3 & 7
		base, disp, m := memory(b[k+2:], b[k])
		if m > 0 && base == def && disp == 8 && (to == 1 || to == 7) {
			return 1 + n
		}
	}
	return 0
}

// memory decodes an operand disp8(%reg). It returns the register, the
// displacement and the operand's length, 0 if it is of another form.
func memory(b []byte, rex byte) (reg, disp byte, n int) {
	if len(b) < 3 || b[0]>>6 != 1 {
		return 0, 0, 0
	}
	reg = b[0]&7 | rex&1<<3
	if b[0]&7 != 4 {
		return reg, b[1], 2
	}
	if b[1] != 0x24 { // more than a base register
		return 0, 0, 0
	}
	return reg, b[2], 3
}
