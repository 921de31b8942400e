// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// code is what is needed of a code object.
type code struct {
	name, file string
	first      int
	table      []byte
	decode     func(table []byte, first int, at int64) int
	scale      int64 // bytes in a unit of the frame's position
}

// maxTable bounds the table of lines of a function; beyond it the first line is
// shown for all.
const maxTable = 256 << 10

var errNoCode = errors.New("no code object")

// object is a code object as it was read: the bytes from its start.
type object struct {
	b []byte
	r *bpfPythonProcess
}

func (o object) word(off uint16) uint64 { return binary.LittleEndian.Uint64(o.b[off:]) }
func (o object) u32(off uint16) uint32  { return binary.LittleEndian.Uint32(o.b[off:]) }

func (o object) name() uint64 {
	if o.r.CodeQualname != 0 {
		return o.word(o.r.CodeQualname)
	}
	return o.word(o.r.CodeName)
}

func readObject(m process.Memory, r *bpfPythonProcess, addr uint64) (object, error) {
	b, err := m.Bytes(addr, uint64(r.CodeSize), 256)
	if err != nil {
		return object{}, fmt.Errorf("read code object: %w", err)
	}
	o := object{b, r}
	if o.word(r.Type) != r.CodeType {
		return o, errNoCode
	}
	return o, nil
}

func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// cookie is code_cookie() of support/ebpf/python.bpf.c.
func (o object) cookie(m process.Memory) uint64 {
	r := o.r
	name, file, lines := o.name(), o.word(r.CodeFile), o.word(r.CodeLines)
	h := mix(mix(mix(uint64(o.u32(r.CodeLine)), name), file), lines)
	if r.CodeVersion != 0 {
		if v := o.u32(r.CodeVersion); v != 0 {
			return mix(h, uint64(v))
		}
	}
	var b [36]byte
	word := func(i uint16) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	if m.Read(b[:16], name+uint64(r.TextLength)) == nil {
		h = mix(mix(h, word(0)), word(8))
	}
	if m.Read(b[:24], file+uint64(r.TextLength)) == nil {
		length, state := word(0), word(16)
		data := file + uint64(r.TextData)
		if r.AsciiData != 0 {
			data = file + uint64(r.WideData)
			if state&64 != 0 {
				data = file + uint64(r.AsciiData)
			}
			length *= state >> 2 & 7
		}
		if length > 16 {
			data += length - 16
		}
		var tail [16]byte
		if m.Read(tail[:min(length, 16)], data) != nil {
			clear(tail[:])
		}
		h = mix(mix(mix(h, length), binary.LittleEndian.Uint64(tail[:])), binary.LittleEndian.Uint64(tail[8:]))
	}
	data := r.TextData - r.TextLength
	if data <= 20 && m.Read(b[:data+16], lines+uint64(r.TextLength)) == nil {
		length, first, second := word(0), word(data), word(data+8)
		if length < 8 {
			first &= 1<<(length*8) - 1
		}
		if length < 16 {
			second = 0
		}
		h = mix(mix(mix(h, length), first), second)
	}
	return h
}

// readCode reads a code object that was sampled with a cookie. It returns
// [interpreter.ErrStale] for one that has become another.
func (i *instance) readCode(addr, cookie uint64) (*code, error) {
	m, r := i.memory, &i.record
	o, err := readObject(m, r, addr)
	if errors.Is(err, errNoCode) || err == nil && o.cookie(m) != cookie {
		return nil, interpreter.ErrStale
	}
	if err != nil {
		return nil, err
	}
	c := &code{first: int(int32(o.u32(r.CodeLine))), scale: 1} //nolint:gosec // signed in C
	if c.name, err = readText(m, r, o.name()); err != nil {
		return nil, fmt.Errorf("read name: %w", err)
	}
	if c.file, err = readText(m, r, o.word(r.CodeFile)); err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if c.table, err = readBytes(m, r, o.word(r.CodeLines)); err != nil {
		return nil, fmt.Errorf("read table of lines: %w", err)
	}
	switch {
	case i.version.atLeast(3, 11):
		c.decode = locationLine
	case i.version.atLeast(3, 10):
		c.decode, c.scale = rangeLine, 2
	case i.version.atLeast(3, 0):
		c.decode = lnotabLine
	default:
		c.decode = oldLnotabLine
	}
	// It may have been freed while it was read.
	if o, err = readObject(m, r, addr); err != nil || o.cookie(m) != cookie {
		return nil, interpreter.ErrStale
	}
	return c, nil
}

// line returns the line of a position: where the frame's instruction is. It is 0 when
// none is known, and never negative.
func (c *code) line(at uint64) int {
	pos := int64(at) //nolint:gosec // -1 and the like before the first instruction
	if c.scale != 1 || at>>32 == 0 {
		pos = int64(int32(at)) //nolint:gosec // a C int
	}
	if pos >= 0 {
		if line := c.decode(c.table, c.first, pos*c.scale); line > 0 {
			return line
		}
	}
	// Code that was compiled from a tree has what lines the tree says, negative ones too.
	return max(c.first, 0)
}
