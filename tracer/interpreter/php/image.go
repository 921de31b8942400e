// SPDX-License-Identifier: Apache-2.0

package php

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// span is a range of addresses of the ELF file.
type span struct{ start, end uint64 }

func (s span) size() uint64 {
	if s.end < s.start {
		return 0
	}
	return s.end - s.start
}

func (s span) contains(a uint64) bool { return a >= s.start && a < s.end }

// image reads functions of a program without symbols for what is not exported.
type image struct {
	f    *pfelf.File
	text span
	x86  bool
	// frames is the search table of .eh_frame_hdr: pairs of a function's start
	// and the place of its entry.
	frames []framePair
}

type framePair struct{ start, entry uint64 }

// Bounds on what is read of a foreign file.
const (
	maxFunction   = 1 << 20 // bytes of the loop, which has 30 to 60 KiB
	maxFrames     = 1 << 20
	maxColdParts  = 2
	maxStep       = 64 // instructions of a short function
	maxFiberEntry = 1 << 10
)

var errNoText = errors.New("no executable segment")

func newImage(f *pfelf.File) (*image, error) {
	img := &image{f: f, x86: f.Machine == elf.EM_X86_64}
	for _, s := range f.ExecSegments() {
		if img.text.end == 0 {
			img.text.start = s.Vaddr
		}
		img.text.end = max(img.text.end, s.Vaddr+s.Filesz)
	}
	if img.text.size() == 0 {
		return nil, errNoText
	}
	img.readFrames()
	return img, nil
}

// readFrames reads the search table if it has the one form that linkers make.
func (m *image) readFrames() {
	var hdr uint64
	for _, p := range m.f.Progs {
		if p.Type == elf.PT_GNU_EH_FRAME {
			hdr = p.Vaddr
		}
	}
	var head [12]byte
	if _, err := m.f.ReadVaddr(head[:], hdr); hdr == 0 || err != nil {
		return
	}
	// Version 1, count in 4 bytes, pairs of offsets from the header.
	if head[0] != 1 || head[2] != 0x03 || head[3] != 0x3b {
		return
	}
	n := uint64(binary.LittleEndian.Uint32(head[8:]))
	if n > maxFrames {
		return
	}
	b := make([]byte, n*8)
	if _, err := m.f.ReadVaddr(b, hdr+12); err != nil {
		return
	}
	m.frames = make([]framePair, n)
	for i := range m.frames {
		m.frames[i] = framePair{
			start: relative(hdr, b[8*i:]),
			entry: relative(hdr, b[8*i+4:]),
		}
	}
}

// relative adds a signed offset of 4 bytes to an address.
func relative(base uint64, b []byte) uint64 {
	return base + uint64(int64(int32(binary.LittleEndian.Uint32(b)))) //nolint:gosec // wraps as the format does
}

// frameAt returns the function that has an address, by its unwind information.
func (m *image) frameAt(a uint64) (span, bool) {
	lo, hi := 0, len(m.frames)
	for lo < hi {
		mid := (lo + hi) / 2
		if m.frames[mid].start <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return span{}, false
	}
	p := m.frames[lo-1]
	var b [16]byte // length, CIE, start, size
	if _, err := m.f.ReadVaddr(b[:], p.entry); err != nil {
		return span{}, false
	}
	size := uint64(binary.LittleEndian.Uint32(b[12:]))
	if relative(p.entry+8, b[8:]) != p.start || size == 0 || size > maxFunction {
		return span{}, false
	}
	s := span{p.start, p.start + size}
	return s, s.contains(a)
}

// function returns the extent of an exported function.
func (m *image) function(s pfelf.Symbol) span {
	if !m.text.contains(s.Value) {
		return span{}
	}
	if s.Size != 0 && s.Size <= maxFunction {
		return span{s.Value, s.Value + s.Size}
	}
	f, _ := m.frameAt(s.Value)
	return f
}

// each decodes the instructions of a function until fn returns false. Bytes that
// are none are skipped.
func (m *image) each(s span, limit uint64, fn func(at uint64, in x86asm.Inst) bool) {
	if !m.x86 {
		return
	}
	b := make([]byte, min(s.size(), limit))
	if _, err := m.f.ReadVaddr(b, s.start); err != nil {
		return
	}
	for at := s.start; len(b) > 0; {
		in, n := decode(b)
		if in.Op != 0 && !fn(at, in) {
			return
		}
		at += uint64(n) //nolint:gosec // 1 to 15
		b = b[n:]
	}
}

// decode decodes an instruction; one that is not known has no Op and length 1.
func decode(b []byte) (in x86asm.Inst, n int) {
	// endbr64, which the decoder does not know.
	if len(b) >= 4 && binary.LittleEndian.Uint32(b) == 0xfa1e0ff3 {
		return x86asm.Inst{}, 4
	}
	in, err := x86asm.Decode(b, 64)
	if err != nil || in.Len <= 0 || in.Len > len(b) {
		return x86asm.Inst{}, 1
	}
	return in, in.Len
}

// target returns the address that an instruction refers to relative to itself.
func target(at uint64, in x86asm.Inst) (uint64, bool) {
	next := at + uint64(in.Len) //nolint:gosec // 1 to 15
	for _, a := range in.Args {
		switch a := a.(type) {
		case x86asm.Rel:
			return next + uint64(int64(a)), true //nolint:gosec // wraps as the format does
		case x86asm.Mem:
			if a.Base == x86asm.RIP {
				return next + uint64(int64(int32(a.Disp))), true //nolint:gosec // 32 bits, signed
			}
		}
	}
	return 0, false
}

// coldParts finds the parts of a function that the compiler put elsewhere: where
// it jumps into the middle or to the start of code that no symbol is for.
func (m *image) coldParts(f span) []span {
	var out []span
	m.each(f, maxFunction, func(at uint64, in x86asm.Inst) bool {
		if in.Op == x86asm.CALL || in.Op == x86asm.JMP {
			return true
		}
		if _, ok := in.Args[0].(x86asm.Rel); !ok {
			return true
		}
		t, ok := target(at, in)
		if !ok || f.contains(t) || !m.text.contains(t) {
			return true
		}
		s, ok := m.frameAt(t)
		if !ok {
			return true
		}
		if slices.Contains(out, s) {
			return true
		}
		out = append(out, s)
		return len(out) < maxColdParts
	})
	return out
}

// prologue is what a function does to the stack before it begins.
type prologue struct {
	end           uint64 // address of the first instruction behind it
	returnAddress uint32 // where the return address then is, from the stack pointer
	framePointer  bool
}

// prologue reads the start of a function, up to where it has taken its frame.
func (m *image) prologue(f span) (p prologue, ok bool) {
	steps := 0
	m.each(f, 128, func(at uint64, in x86asm.Inst) bool {
		steps++
		switch in.Op {
		case x86asm.PUSH:
			p.returnAddress += 8
		case x86asm.MOV:
			if in.Args[0] == x86asm.RBP && in.Args[1] == x86asm.RSP && p.returnAddress == 8 {
				p.framePointer = true
			}
		case x86asm.SUB:
			if n, is := in.Args[1].(x86asm.Imm); is && in.Args[0] == x86asm.RSP && n > 0 && n < 4096 {
				p.returnAddress += uint32(n)
				p.end = at + uint64(in.Len) //nolint:gosec // 1 to 15
				ok = true
				return false
			}
		case x86asm.LEA, x86asm.XOR, x86asm.TEST:
		default:
			return false
		}
		return steps < maxStep
	})
	return p, ok
}

// returnsConstant returns what a function returns that does nothing else, 0 if
// it is another.
func (m *image) returnsConstant(f *pfelf.File, name string) (value int64) {
	s, ok := f.ExportedSymbol(name)
	if !ok {
		return 0
	}
	m.each(m.function(s), 32, func(_ uint64, in x86asm.Inst) bool {
		if in.Op != x86asm.MOV || in.Args[0] != x86asm.EAX {
			return false
		}
		if n, ok := in.Args[1].(x86asm.Imm); ok {
			value = int64(n)
		}
		return false
	})
	return value
}

// firstField finds the offset of the first member of a global variable that a
// function reads.
func (m *image) firstField(f *pfelf.File, name string, global pfelf.Symbol) (offset uint64, ok bool) {
	s, found := f.ExportedSymbol(name)
	if !found {
		return 0, false
	}
	bases := map[x86asm.Arg]bool{}
	steps := 0
	m.each(m.function(s), 256, func(at uint64, in x86asm.Inst) bool {
		steps++
		mem, isMem := in.Args[1].(x86asm.Mem)
		if !isMem || in.Op != x86asm.MOV && in.Op != x86asm.LEA {
			return steps < maxStep
		}
		t, relative := target(at, in)
		switch {
		case in.Op == x86asm.LEA && relative && t == global.Value:
			bases[in.Args[0]] = true
		case in.Op == x86asm.MOV && relative && t > global.Value && t-global.Value < global.Size:
			offset, ok = t-global.Value, true
		case in.Op == x86asm.MOV && relative: // the variable's address from the table of addresses
			bases[in.Args[0]] = true
		case in.Op == x86asm.MOV && bases[mem.Base] && mem.Index == 0 && mem.Disp > 0 && uint64(mem.Disp) < global.Size:
			offset, ok = uint64(mem.Disp), true
		}
		return !ok && steps < maxStep
	})
	return offset, ok
}
