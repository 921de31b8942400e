// SPDX-License-Identifier: Apache-2.0

package luajit

import (
	"encoding/binary"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// Instructions of 2.1, by number (lj_bc.h).
const (
	opISTC  = 12
	opISFC  = 13
	opMOV   = 18
	opKPRI  = 43
	opKNIL  = 44
	opUGET  = 45
	opFNEW  = 51
	opTNEW  = 52
	opTDUP  = 53
	opGGET  = 54
	opTGETV = 56
	opTGETS = 57
	opTGETR = 59
	opTSETM = 63
	opCALLM = 65
	opCALL  = 66
	opITERC = 69
	opITERN = 70
	opVARG  = 71
	opISNXT = 72
	opFORI  = 77
	opJITRL = 84
)

// operands of an instruction: A, B, C are bytes, D is B and C.
type operands struct{ op, a, b, c, d uint32 }

func decode(ins uint32) operands {
	return operands{ins & 0xff, ins >> 8 & 0xff, ins >> 24, ins >> 16 & 0xff, ins >> 16}
}

// writes reports whether an instruction sets slot A.
func (o operands) writes() bool {
	switch {
	case o.op == opISTC, o.op == opISFC, o.op >= opMOV && o.op <= opKPRI, o.op == opUGET, o.op >= opFNEW && o.op <= opGGET,
		o.op >= opTGETV && o.op <= opTGETR:
		return true
	}
	return false
}

// writesFrom reports whether an instruction sets slots from A on.
func (o operands) writesFrom() bool {
	switch {
	case o.op == opKNIL, o.op == opTSETM, o.op >= opCALLM && o.op <= opISNXT, o.op >= opFORI && o.op <= opJITRL:
		return true
	}
	return false
}

// calledAs returns the name by which an instruction of a function calls another:
// of the variable, the upvalue, the global or the field that it takes it from.
func (d *decoder) calledAs(at uint64, pc uint32) string {
	p, err := d.proto(at)
	if err != nil || pc >= p.count {
		return ""
	}
	// Of a long function only the end is read.
	first := uint32(0)
	if pc > maxBack {
		first = pc - maxBack
	}
	b, err := d.memory.Bytes(p.code+4*uint64(first), 4*uint64(pc-first+1), 4*(maxBack+1))
	if err != nil {
		return ""
	}
	ins := func(i uint32) operands { return decode(binary.LittleEndian.Uint32(b[4*(i-first):])) }
	call := ins(pc)
	slot := call.a
	switch call.op {
	case opCALLM, opCALL:
	case opITERC, opITERN:
		return "(for iterator)"
	default:
		return ""
	}
	if name := d.local(&p, pc, slot); name != "" {
		return name
	}
	for i := pc; i > first+1; {
		i--
		o := ins(i)
		switch {
		case o.writesFrom():
			if slot >= o.a && (o.op != opKNIL || slot <= o.d) {
				return ""
			}
		case o.writes() && o.a == slot:
			switch o.op {
			case opMOV:
				slot = o.d
				if name := d.local(&p, i, slot); name != "" {
					return name
				}
			case opGGET:
				return d.constant(&p, o.d)
			case opTGETS:
				return d.constant(&p, o.c)
			case opUGET:
				return d.upvalue(&p, o.d)
			default:
				return ""
			}
		}
	}
	return ""
}

// constant returns a constant of a function that is a string.
func (d *decoder) constant(p *proto, i uint32) string {
	size := uint64(4)
	if d.layout.wide {
		size = 8
	}
	b := make([]byte, size)
	if p.constants == 0 || d.memory.Read(b, p.constants-uint64(i+1)*size) != nil {
		return ""
	}
	s, err := d.text(d.ref(b))
	if err != nil {
		return ""
	}
	return s
}

// upvalue returns the name of an upvalue: they are one after the other.
func (d *decoder) upvalue(p *proto, i uint32) string {
	at := p.upvalues
	if at == 0 || i > 255 {
		return ""
	}
	for {
		s, err := d.memory.String(at)
		if err != nil {
			return ""
		}
		if i == 0 {
			return s
		}
		i--
		at += uint64(len(s)) + 1
	}
}

// local returns the name of the variable that a slot is at an instruction.
func (d *decoder) local(p *proto, pc, slot uint32) string {
	// The information lies at the end of the function.
	end := p.at + uint64(p.debug)
	if p.variables == 0 || p.variables >= end || end-p.variables > maxDebug {
		return ""
	}
	b, err := d.memory.Bytes(p.variables, end-p.variables, maxDebug)
	if err != nil {
		return ""
	}
	return localName(b, pc, slot)
}

// localName decodes the names of variables and the instructions that they live
// for: a name or a number for the hidden ones, and two numbers.
func localName(b []byte, pc, slot uint32) string {
	const hidden = 7 // numbers below stand for the variables of loops; 0 ends
	var last uint32
	for len(b) > 0 && b[0] != 0 {
		var name []byte
		if b[0] < hidden {
			b = b[1:]
		} else {
			n := 0
			for n < len(b) && b[n] != 0 {
				n++
			}
			if n == len(b) {
				return ""
			}
			name, b = b[:n], b[n+1:]
		}
		from, n := uleb(b)
		b = b[n:]
		length, m := uleb(b)
		b = b[m:]
		if n == 0 || m == 0 {
			return ""
		}
		last += from
		if last > pc {
			return ""
		}
		if pc < last+length {
			if slot == 0 {
				return process.Clean(name)
			}
			slot--
		}
	}
	return ""
}

// uleb decodes a number; n is 0 if there is none.
func uleb(b []byte) (v uint32, n int) {
	for n < len(b) && n < 5 {
		c := b[n]
		v |= uint32(c&0x7f) << (7 * n)
		n++
		if c < 0x80 {
			return v, n
		}
	}
	return 0, 0
}
