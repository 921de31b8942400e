// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"debug/elf"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// maxStart bounds the code of _start.
const maxStart = 64

// pltEntry is the size of an entry of a procedure linkage table, and of its head.
const pltEntry = 16

// pltSection is a procedure linkage table.
type pltSection struct {
	span
	lazy bool // its entries push an index
}

// findPLTs finds the procedure linkage tables. Linkers other than GNU's write
// no unwind information for them.
func (t *Tables) findPLTs() {
	for _, name := range [...]string{".plt", ".iplt", ".plt.sec", ".plt.got"} {
		s := t.file.FindSection(name)
		if s == nil || s.Addr+s.FileSize < s.Addr {
			continue
		}
		t.plts = append(t.plts, pltSection{
			span: span{s.Addr, s.Addr + s.FileSize},
			lazy: name == ".plt" || name == ".iplt",
		})
	}
}

// sigreturns are the machine codes of functions that return from signal
// handlers. The C library gives their address to the kernel; glibc describes
// its own, others do not.
var sigreturns = map[uint8][][]byte{
	amd64SP: {
		{0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05}, // mov $15,%rax; syscall
		{0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05},             // mov $15,%eax; syscall
	},
	arm64SP: {
		{0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4}, // mov x8,#139; svc #0
	},
}

// mayRestore reports whether the file may have a function that returns from
// signal handlers: a C library or a static program, which need at most the
// dynamic linker. The code of others is not searched for one.
func mayRestore(f *pfelf.File) bool {
	const maxDynamic = 64 << 10
	needed := 0
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC {
			continue
		}
		b, err := f.ReadRange(p.Off, min(p.Filesz, maxDynamic))
		if err != nil {
			continue
		}
		for d := (data{b: b}); d.more(); d.u64() {
			if elf.DynTag(d.u64()) == elf.DT_NEEDED { //nolint:gosec // tags are small
				needed++
			}
		}
	}
	return needed <= 1
}

// gap describes a range that no table describes.
func (b *builder) gap(s span, padding bool) {
	if !padding {
		b.floor = s.lo
		b.add(s.lo, RuleInvalid)
		b.gapPLT(s)
		b.gapStart(s)
	}
	if b.t.restorer && s.hi-s.lo >= 7 { // room for a signal return
		b.gapSignal(s)
	}
}

// gapPLT describes the entries of linkage tables in a gap.
func (b *builder) gapPLT(s span) {
	for _, p := range b.t.plts {
		at := span{max(s.lo, p.lo), min(s.hi, p.hi)}
		if at.lo >= at.hi {
			continue
		}
		switch {
		case b.t.isa.sp == arm64SP, p.lazy:
			b.overlay(at, RulePLT)
		default: // a jump, perhaps behind an endbr64
			b.overlay(at, inlineRule(false, 1, 0))
		}
		// The head pushes a word and jumps to the dynamic linker. On entry the
		// index has been pushed by the entry.
		if p.lazy && b.t.isa.sp == amd64SP && p.lo >= at.lo && b.has(p.lo, 0xff, 0x35) {
			b.overlay(span{p.lo, min(p.lo+6, at.hi)}, inlineRule(false, 2, 0))
			b.overlay(span{min(p.lo+6, at.hi), min(p.lo+pltEntry, at.hi)}, inlineRule(false, 3, 0))
		}
	}
}

// gapStart marks the entry point, if it is in a gap, as the root.
func (b *builder) gapStart(s span) {
	entry := b.t.entry
	if entry == 0 || entry >= s.hi || entry+maxStart <= s.lo {
		return
	}
	if entry < s.lo && s.lo != b.lo {
		return // described itself; the gap is behind it
	}
	hi := min(entry+maxStart, s.hi)
	if b.t.isa.sp == amd64SP && entry >= s.lo {
		hi = b.startEnd(entry, hi)
	}
	b.overlay(span{entry, hi}, RuleStop)
}

// startEnd returns where _start ends: behind the hlt that follows the call of
// __libc_start_main, or at hi.
func (b *builder) startEnd(entry, hi uint64) uint64 {
	code := b.codeAt(entry, hi)
	for i := range code {
		switch {
		case code[i] == 0xe8 && i+5 < len(code) && code[i+5] == 0xf4: // call; hlt
			return entry + uint64(i) + 6 //nolint:gosec // an index is not negative
		case code[i] == 0xff && i+6 < len(code) && code[i+1] == 0x15 && code[i+6] == 0xf4: // call *(rip); hlt
			return entry + uint64(i) + 7 //nolint:gosec // an index is not negative
		}
	}
	return hi
}

// gapSignal marks signal returns. Their rule begins one byte early: the handler
// returns to their first byte, so they are looked up one byte before it.
func (b *builder) gapSignal(s span) {
	lo, hi := s.lo, s.hi
	if lo == b.lo {
		lo = max(b.lo-codeMargin, b.segmentStart())
	}
	if hi == b.hi {
		hi = b.hi + codeMargin
	}
	code := b.codeAt(lo, hi)
	if code == nil {
		lo = s.lo
		if code = b.codeAt(s.lo, s.hi); code == nil {
			return
		}
	}
	for _, pattern := range sigreturns[b.t.isa.sp] {
		for i := 0; ; {
			j := bytes.Index(code[i:], pattern)
			if j < 0 {
				break
			}
			i += j
			at := lo + uint64(i) //nolint:gosec // an index is not negative
			b.overlay(span{max(at, 1) - 1, at + uint64(len(pattern))}, RuleSignal)
			i += len(pattern)
		}
	}
}

// segmentStart returns the lowest address of the code that is being read.
func (b *builder) segmentStart() uint64 {
	b.codeAt(b.lo, b.lo)
	return b.code.start
}
