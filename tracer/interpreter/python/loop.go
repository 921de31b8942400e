// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"sort"

	"golang.org/x/arch/x86/x86asm"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const (
	// maxLoop bounds the interpreter's loop: builds without optimisation have 200 KiB.
	maxLoop = 1 << 20
	// maxRanges is what the contract allows.
	maxRanges = 8
	// maxFunctions bounds the search table of a file.
	maxFunctions = 1 << 20
)

// span is a part of a file's code, by the file's addresses.
type span struct{ start, end uint64 }

func (s span) holds(v uint64) bool { return v >= s.start && v < s.end }

// loopRanges finds the parts of the interpreter's loop: the function, and what
// the compiler has put elsewhere because it is hardly ever used. Such parts have
// names in .symtab only, but unwind information of their own, and the code jumps
// there and back.
func loopRanges(f *pfelf.File, loop pfelf.Symbol) []interpreter.Range {
	starts := functionStarts(f)
	main := span{loop.Value, loop.Value + loop.Size}
	if loop.Size == 0 {
		part, ok := functionAt(starts, loop.Value)
		if !ok {
			return nil
		}
		main.end = part.end
	}
	if main.end-main.start > maxLoop {
		main.end = main.start + maxLoop
	}
	parts := append([]span{main}, coldParts(f, main, starts)...)
	var out []interpreter.Range
	for _, p := range append(parts, namedParts(f)...) {
		start, ok := f.VaddrToOffset(p.start)
		end, ok2 := f.VaddrToOffset(p.end - 1)
		if !ok || !ok2 || p.end <= p.start || len(out) == maxRanges {
			continue
		}
		known := false
		for _, r := range out {
			known = known || start >= r.Start && end < r.End
		}
		if !known {
			out = append(out, interpreter.Range{Start: start, End: end + 1})
		}
	}
	return out
}

// namedParts returns the parts that .symtab names, such as
// _PyEval_EvalFrameDefault.cold.
func namedParts(f *pfelf.File) (out []span) {
	if f.FindSection(".symtab") == nil {
		return nil
	}
	_ = f.EachSymbol(func(name []byte, s pfelf.Symbol) bool {
		rest, ok := bytes.CutPrefix(name, []byte(loopName+"."))
		if ok && s.Size > 0 && s.Size < maxLoop && (bytes.HasPrefix(rest, []byte("cold")) || bytes.HasPrefix(rest, []byte("part"))) {
			out = append(out, span{s.Value, s.Value + s.Size})
		}
		return len(out) < maxRanges
	})
	return out
}

// coldParts returns the functions, going by the unwind information, that the
// loop jumps to on a condition and that jump back into its middle.
func coldParts(f *pfelf.File, main span, starts []uint64) (out []span) {
	if len(starts) == 0 {
		return nil
	}
	counts := map[span]int{}
	jumps(f, main, true, func(to uint64) bool {
		if part, ok := functionAt(starts, to); ok && !main.holds(to) && part.end-part.start < maxLoop {
			counts[part]++
		}
		return true
	})
	for part := range counts {
		back := false
		jumps(f, part, false, func(to uint64) bool {
			back = main.holds(to) && to != main.start
			return !back
		})
		if back {
			out = append(out, part)
		}
	}
	// The most used first, should there be too many.
	sort.Slice(out, func(i, j int) bool {
		if counts[out[i]] != counts[out[j]] {
			return counts[out[i]] > counts[out[j]]
		}
		return out[i].start < out[j].start
	})
	return out
}

// jumps calls fn for the targets of jumps, or of those on a condition only,
// until it returns false.
func jumps(f *pfelf.File, in span, conditional bool, fn func(to uint64) bool) {
	instructions(f, in.start, in.end-in.start, func(next uint64, inst *x86asm.Inst) bool {
		if !isJump(inst.Op) || conditional && inst.Op == x86asm.JMP {
			return true
		}
		if d, ok := inst.Args[0].(x86asm.Rel); ok {
			return fn(next + uint64(d)) //nolint:gosec // wraps as the processor does
		}
		return true
	})
}

func isJump(op x86asm.Op) bool {
	switch op {
	case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE,
		x86asm.JNE, x86asm.JNO, x86asm.JNP, x86asm.JNS, x86asm.JO, x86asm.JP, x86asm.JS, x86asm.JMP:
		return true
	}
	return false
}

// functionAt returns the function that holds an address: up to the next one.
func functionAt(starts []uint64, v uint64) (span, bool) {
	i := sort.Search(len(starts), func(i int) bool { return starts[i] > v })
	if i == 0 || i == len(starts) {
		return span{}, false
	}
	return span{starts[i-1], starts[i]}, true
}

// functionStarts reads where functions start from the search table of the unwind
// information, nil if there is none of the usual form.
func functionStarts(f *pfelf.File) []uint64 {
	for _, p := range f.Progs {
		if p.Type != elf.PT_GNU_EH_FRAME || p.Filesz < 12 {
			continue
		}
		b, err := f.ReadRange(p.Off, min(p.Filesz, 12+8*maxFunctions))
		if err != nil {
			return nil
		}
		return parseStarts(b, p.Vaddr)
	}
	return nil
}

// parseStarts reads .eh_frame_hdr: version 1, the encodings that linkers write
// (the number as udata4, the table as pairs of sdata4 from the header on).
func parseStarts(b []byte, at uint64) []uint64 {
	if len(b) < 12 || b[0] != 1 || b[2] != 3 || b[3] != 0x3b {
		return nil
	}
	n := min(int(binary.LittleEndian.Uint32(b[8:])), (len(b)-12)/8)
	out := make([]uint64, 0, n)
	for i := range n {
		d := int32(binary.LittleEndian.Uint32(b[12+8*i:])) //nolint:gosec // signed in the file
		out = append(out, at+uint64(int64(d)))             //nolint:gosec // may lie before the header
	}
	if !sort.SliceIsSorted(out, func(i, j int) bool { return out[i] < out[j] }) {
		return nil
	}
	return out
}
