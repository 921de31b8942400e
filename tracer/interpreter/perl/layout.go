// SPDX-License-Identifier: Apache-2.0

package perl

import (
	"debug/elf"
	"encoding/binary"
)

// Versions whose layouts are known.
const (
	oldest = 28
	newest = 42
)

// layout is what differs between versions in Perl's structures: struct context
// and struct stackinfo (cop.h), struct interpreter (intrpvar.h), struct xpvhv_aux
// (hv.h). Builds with and without threads agree in it.
type layout struct {
	contextSize uint8
	// Words in a context: blk_sub.cv, blk_eval.old_namesv.
	subCV, evalName uint8
	stackType       uint8 // offset of si_type
	// curstackinfo is the offset in the interpreter of an ordinary build.
	curstackinfo uint64
	// auxInBody says that the name of a package is kept behind the body of its
	// hash, not behind the hash's array.
	auxInBody bool
}

func layoutOf(version string, revision, minor byte) (layout, error) {
	switch {
	case revision != 5 || minor < oldest:
		return layout{}, unsupported(version, "version is too old")
	case minor > newest:
		return layout{}, unsupported(version, "version is too new")
	case minor%2 != 0:
		return layout{}, unsupported(version, "development version")
	}
	l := layout{contextSize: 104, subCV: 9, evalName: 8, stackType: 44, curstackinfo: 224, auxInBody: minor >= 36}
	if minor < 34 {
		l.curstackinfo = 240
	}
	if minor < 32 {
		l.contextSize, l.subCV, l.evalName, l.stackType = 96, 8, 7, 40
	}
	return l, nil
}

// Bound on where a member of the interpreter may be, in bytes.
const maxMember = 4096

// firstMember returns the offset of the first word that a function loads from
// its first argument, which is the interpreter.
func firstMember(machine elf.Machine, code []byte) (uint64, bool) {
	if machine != elf.EM_X86_64 {
		return 0, false
	}
	// mov disp(%rdi),%r64: REX.W (or with R), 8b, modrm with rm = 7.
	for i := 0; i+3 <= len(code); i++ {
		if code[i]&0xfb != 0x48 || code[i+1] != 0x8b || code[i+2]&7 != 7 {
			continue
		}
		var off uint64
		switch {
		case code[i+2]>>6 == 1 && i+4 <= len(code):
			off = uint64(code[i+3])
		case code[i+2]>>6 == 2 && i+7 <= len(code):
			off = uint64(binary.LittleEndian.Uint32(code[i+3:]))
		default:
			continue
		}
		return off, off >= 16 && off < maxMember && off%8 == 0
	}
	return 0, false
}
