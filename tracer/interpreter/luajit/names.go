// SPDX-License-Identifier: Apache-2.0

package luajit

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Kinds of frames; see support/ebpf/luajit.bpf.c.
const (
	kindFunction = 0
	kindTrace    = 1
)

// The words of a frame: pointers, without their lowest 3 bits, and above them the
// index of an instruction.
const (
	pointerBits = 44
	pointerMask = 1<<pointerBits - 1
	noPC        = 0xfffff
)

// Bounds on what is read of a function.
const (
	maxCode  = 1 << 20 // instructions
	maxBack  = 512     // instructions looked at to find a name
	maxDebug = 64 << 10
)

// decoder names functions. Everything that it reads may be anything.
type decoder struct {
	memory process.Memory
	layout layout
}

func mix(h, w uint64) uint64 {
	h = (h ^ w) * 0xff51afd7ed558ccd
	return h ^ h>>32
}

// proto is the part of a GCproto that is used.
type proto struct {
	at, code                      uint64
	count, first, lines, debug    uint32 // instructions; line of definition, number of lines; bytes in all
	constants, chunk              uint64
	lineInfo, upvalues, variables uint64
}

func (d *decoder) ref(b []byte) uint64 {
	if d.layout.wide {
		return binary.LittleEndian.Uint64(b)
	}
	return uint64(binary.LittleEndian.Uint32(b))
}

func (d *decoder) proto(at uint64) (proto, error) {
	b := make([]byte, 104)
	p := proto{at: at}
	if !d.layout.wide {
		b = b[:64]
	}
	if err := d.memory.Read(b, at); err != nil {
		return p, err
	}
	p.code = at + uint64(len(b))
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
	if d.layout.wide {
		p.count, p.constants, p.debug, p.chunk, p.first, p.lines = u32(12), d.ref(b[32:]), u32(56), d.ref(b[64:]), u32(72), u32(76)
		p.lineInfo, p.upvalues, p.variables = d.ref(b[80:]), d.ref(b[88:]), d.ref(b[96:])
	} else {
		p.count, p.constants, p.debug, p.chunk, p.first, p.lines = u32(8), d.ref(b[16:]), u32(32), d.ref(b[40:]), u32(44), u32(48)
		p.lineInfo, p.upvalues, p.variables = d.ref(b[52:]), d.ref(b[56:]), d.ref(b[60:])
	}
	if p.count > maxCode {
		return p, fmt.Errorf("%w: a function of %d instructions", process.ErrMemory, p.count)
	}
	return p, nil
}

// text reads a string object. It ends with a zero byte; its header is 4 bytes
// longer from 2020 on, which shows with narrow references only.
func (d *decoder) text(at uint64) (string, error) {
	if at == 0 {
		return "", nil
	}
	if d.layout.wide {
		return d.memory.String(at + 24)
	}
	// hash and length, or ID, hash and length.
	var b [20]byte
	if err := d.memory.Read(b[:], at); err != nil {
		return "", err
	}
	old, now := binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[16:])
	if old < process.MaxString && now >= process.MaxString {
		return d.memory.String(at + 16)
	}
	return d.memory.String(at + 20)
}

// function is what a frame says of a function.
type function struct {
	called string // "" if it cannot be told
	file   string
	first  uint32
	line   uint32
}

// defined names a function by where it is defined, as tracebacks of Lua do.
func (f *function) defined() string {
	if f.first == 0 {
		return "main chunk"
	}
	return fmt.Sprintf("function <%s:%d>", path.Base(f.file), f.first)
}

// function reads what a frame stands for, if that is still there.
func (d *decoder) function(f interpreter.Frame) (function, error) {
	if f.Subtype != kindFunction {
		return function{}, fmt.Errorf("kind %d of frame is not known", f.Subtype)
	}
	p, err := d.proto(f.W1 & pointerMask << 3)
	if err != nil {
		return function{}, err
	}
	const addrMask = 1<<48 - 1
	if mix(mix(mix(0, p.chunk), uint64(p.count)), uint64(p.first)<<32|uint64(p.lines))&addrMask != f.Addr {
		return function{}, interpreter.ErrStale
	}
	chunk, err := d.text(p.chunk)
	if err != nil {
		return function{}, err
	}
	out := function{file: fileName(chunk), first: p.first, line: d.line(&p, uint32(f.W1>>pointerBits))} //nolint:gosec // 20 bits
	if caller := f.W2 & pointerMask << 3; caller != 0 && p.first != 0 {
		out.called = d.calledAs(caller, uint32(f.W2>>pointerBits)) //nolint:gosec // 20 bits
	}
	return out, nil
}

// fileName makes a file of a chunk's name: "@file", "=what", or the source itself.
func fileName(chunk string) string {
	switch {
	case strings.HasPrefix(chunk, "@"), strings.HasPrefix(chunk, "="):
		return chunk[1:]
	}
	return "[string]"
}

// line returns the line of an instruction, or that of the definition.
func (d *decoder) line(p *proto, pc uint32) uint32 {
	if pc == noPC || pc >= p.count || p.lineInfo == 0 || pc == 0 {
		return p.first
	}
	pc--
	switch {
	case p.lines < 1<<8:
		v, err := d.memory.Uint8(p.lineInfo + uint64(pc))
		return p.first + lineOr0(uint32(v), err)
	case p.lines < 1<<16:
		v, err := d.memory.Uint16(p.lineInfo + 2*uint64(pc))
		return p.first + lineOr0(uint32(v), err)
	}
	v, err := d.memory.Uint32(p.lineInfo + 4*uint64(pc))
	return p.first + lineOr0(v, err)
}

func lineOr0(v uint32, err error) uint32 {
	if err != nil {
		return 0
	}
	return v
}
