// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Tags of ranges, as in support/ebpf/ruby.bpf.c.
const (
	tagOuter = 1 // vm_exec()
	tagCore  = 2 // vm_exec_core()
	tagCall  = 3 // where a method in C is called
)

// span is a part of a file's address space.
type span struct{ start, end uint64 }

func (s span) contains(v uint64) bool { return v >= s.start && v < s.end }

// code is where the interpreter's functions are.
type code struct {
	ranges []interpreter.Range
	// core are the addresses of the interpreter's loop, if it is a function of
	// its own; outer says whether the function around it is known.
	core  span
	outer bool
	// calls says whether the places are known at which methods in C are called,
	// and are in neither of the two.
	calls bool
}

// maxOuter is the most parts that vm_exec() is believed to have: the function,
// a helper that was not inlined, and the parts that are rarely run.
const maxOuter = 4

var errNoCode = errors.New("interpreter's function not found")

// findCode finds the interpreter's functions. Where they are not exported, as
// since Ruby 3.3, the loop is found through its table of instructions, which
// holds addresses of labels in it, and the function around it by its calls.
func findCode(f *pfelf.File) (code, error) {
	var c code
	fdes, err := readFDEs(f)
	if err != nil {
		return c, err
	}
	var outer []span
	if s, ok := f.Symbol("rb_vm_exec"); ok {
		outer = append(outer, function(s, fdes))
	} else if s, ok := f.Symbol("vm_exec"); ok {
		outer = append(outer, function(s, fdes))
	}
	core, ok := findCore(f, fdes)
	if ok {
		callers := callersOf(f, core, fdes)
		switch {
		case slices.Contains(outer, core):
			ok = false // inlined
		case len(outer) == 0 && (len(callers) == 0 || len(callers) > maxOuter):
			// The loop is part of vm_exec(), which many call.
			outer, ok = []span{core}, false
		case len(callers) <= maxOuter:
			for _, s := range callers {
				if !slices.Contains(outer, s) {
					outer = append(outer, s)
				}
			}
		}
	}
	if len(outer) == 0 {
		return c, errNoCode
	}
	for _, s := range outer {
		c.outer = c.add(f, s, tagOuter) || c.outer
	}
	if ok && c.add(f, core, tagCore) {
		c.core = core
	}
	calls := callsOfC(f)
	c.calls = len(calls) > 0
	for _, at := range calls {
		c.add(f, span{at - 1, at}, tagCall)
		for _, s := range append(outer, core) {
			c.calls = c.calls && !s.contains(at)
		}
	}
	if len(c.ranges) == 0 {
		return c, errNoCode
	}
	return c, nil
}

func (c *code) add(f *pfelf.File, s span, tag uint32) bool {
	off, ok := f.VaddrToOffset(s.start)
	if !ok || s.end <= s.start {
		return false
	}
	c.ranges = append(c.ranges, interpreter.Range{Start: off, End: off + s.end - s.start, Tag: tag})
	return true
}

// function returns the extent of a function: that of its unwind information,
// which is there for all, or its symbol's.
func function(s pfelf.Symbol, fdes []span) span {
	if x, ok := fdeAt(fdes, s.Value); ok && x.start == s.Value {
		return x
	}
	return span{s.Value, s.Value + s.Size}
}

// minInstructions is the least number of entries of the table of instructions:
// every version has more, and no other table of labels in one function is as long.
const minInstructions = 150

// findCore returns the function that the longest table of addresses lies in.
func findCore(f *pfelf.File, fdes []span) (span, bool) {
	var best, current span
	n, most := 0, 0
	var last uint64
	eachPointer(f, func(at, value uint64) {
		if at == last+8 && current.contains(value) {
			n++
		} else {
			x, ok := fdeAt(fdes, value)
			if ok && at == last+8 && x == current {
				n++
			} else {
				current, n = x, 1
			}
		}
		last = at
		if n > most && current.end > current.start {
			best, most = current, n
		}
	})
	return best, most >= minInstructions
}

// Bounds of what is read of a file.
const (
	maxData = 64 << 20
	maxText = 256 << 20
	chunk   = 1 << 20
)

// eachPointer calls fn for the pointers in a file's read-only data, by address:
// from the relocations that fill them in, or as the file holds them.
func eachPointer(f *pfelf.File, fn func(at, value uint64)) {
	relative := uint32(elf.R_X86_64_RELATIVE)
	if f.Machine == elf.EM_AARCH64 {
		relative = uint32(elf.R_AARCH64_RELATIVE)
	}
	f.EachRelocation(func(r pfelf.Relocation) bool {
		if r.Type == relative && r.Addend > 0 {
			fn(r.Vaddr, uint64(r.Addend)) //nolint:gosec // positive
		}
		return true
	})
	for _, s := range f.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Flags&elf.SHF_EXECINSTR != 0 || s.Size > maxData ||
			strings.HasPrefix(s.Name, ".got") { // addresses of stubs
			continue
		}
		eachChunk(f, s.Addr, s.Size, 0, func(at uint64, b []byte) {
			for ; len(b) >= 8; b, at = b[8:], at+8 {
				if v := binary.LittleEndian.Uint64(b); v != 0 {
					fn(at, v)
				}
			}
		})
	}
}

// eachChunk reads a part of the file in pieces that overlap by some bytes.
func eachChunk(f *pfelf.File, at, size uint64, overlap int, fn func(at uint64, b []byte)) {
	buf := make([]byte, min(size, chunk)+uint64(overlap)) //nolint:gosec // small
	for size > 0 {
		n, _ := f.ReadVaddr(buf[:min(size, uint64(len(buf)))], at)
		if n == 0 {
			return
		}
		fn(at, buf[:n])
		step := min(size, chunk)
		at, size = at+step, size-step
	}
}

// callersOf returns the functions that call one directly.
func callersOf(f *pfelf.File, callee span, fdes []span) []span {
	var out []span
	for _, s := range f.ExecSegments() {
		if s.Filesz > maxText {
			continue
		}
		at := func(v uint64) {
			if x, ok := fdeAt(fdes, v); ok && x != callee && len(out) <= maxOuter && !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
		eachChunk(f, s.Vaddr, s.Filesz, 4, func(v uint64, b []byte) {
			switch f.Machine {
			case elf.EM_X86_64: // call rel32
				for i := 0; i+5 <= len(b); i++ {
					if b[i] == 0xe8 {
						rel := int32(binary.LittleEndian.Uint32(b[i+1:]))     //nolint:gosec // signed
						if v+uint64(i)+5+uint64(int64(rel)) == callee.start { //nolint:gosec // two's complement
							at(v + uint64(i))
						}
					}
				}
			case elf.EM_AARCH64: // bl imm26
				for i := 0; i+4 <= len(b); i += 4 {
					in := binary.LittleEndian.Uint32(b[i:])
					if in&0xfc000000 == 0x94000000 {
						rel := int64(int32(in<<6)) >> 4              //nolint:gosec // signed
						if v+uint64(i)+uint64(rel) == callee.start { //nolint:gosec // wraps around as the program does
							at(v + uint64(i))
						}
					}
				}
			}
		})
	}
	return out
}

// writable returns the parts of the address space that the program writes to.
func writable(f *pfelf.File) []span {
	var out []span
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W != 0 && p.Memsz < maxData {
			out = append(out, span{p.Vaddr, p.Vaddr + p.Memsz})
		}
	}
	return out
}
