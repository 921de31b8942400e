// SPDX-License-Identifier: Apache-2.0

package native

import "math"

// Operations of DWARF expressions that occur in call frame information.
const (
	opDeref      = 0x06
	opConst1u    = 0x08
	opConst1s    = 0x09
	opConst2u    = 0x0a
	opConst2s    = 0x0b
	opConst4u    = 0x0c
	opConst4s    = 0x0d
	opAnd        = 0x1a
	opMinus      = 0x1c
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opGe         = 0x2a
	opLit0       = 0x30
	opLit31      = 0x4f
	opBreg0      = 0x70
	opBreg31     = 0x8f
	opNop        = 0x96
)

// addressOf reads an expression of the form register + constants, if need be
// with one dereference: *(register + a) + b. These are what compilers and
// assembly code use: realigned stacks (breg6 -8; deref), OpenSSL's and glibc's
// assembly (breg7 152; deref; plus_uconst 8).
func addressOf(expr []byte) (a address, ok bool) {
	d := data{b: expr}
	op := d.u8()
	if op < opBreg0 || op > opBreg31 {
		return a, false
	}
	a.reg = op - opBreg0
	sum := d.sleb()
	var constant int64
	var pending bool // a constant is on top of the stack
	for d.more() {
		op := d.u8()
		if pending {
			switch op {
			case opPlus:
				sum += constant
			case opMinus:
				sum -= constant
			default:
				return a, false
			}
			pending = false
			continue
		}
		switch {
		case op == opPlusUconst:
			sum += int64(d.uleb()) //nolint:gosec // checked below
		case op == opDeref && !a.deref && fitsInt32(sum):
			a.off, a.deref = int32(sum), true
			sum = 0
		case op == opNop:
		default:
			if constant, pending = d.constant(op); !pending {
				return a, false
			}
		}
		if !fitsInt32(sum) {
			return a, false
		}
	}
	if d.bad || pending || !fitsInt32(sum) {
		return a, false
	}
	if a.deref {
		a.off2 = int32(sum)
	} else {
		a.off = int32(sum)
	}
	return a, true
}

// constant reads the operand of an operation that pushes a constant.
func (d *data) constant(op uint8) (v int64, ok bool) {
	switch op {
	case opConst1u:
		return int64(d.u8()), true
	case opConst1s:
		return int64(int8(d.u8())), true //nolint:gosec // two's complement
	case opConst2u:
		return int64(d.u16()), true
	case opConst2s:
		return int64(int16(d.u16())), true //nolint:gosec // two's complement
	case opConst4u:
		return int64(d.u32()), true
	case opConst4s:
		return int64(int32(d.u32())), true //nolint:gosec // two's complement
	}
	if op >= opLit0 && op <= opLit31 {
		return int64(op - opLit0), true
	}
	return 0, false
}

func fitsInt32(v int64) bool { return v >= math.MinInt32 && v <= math.MaxInt32 }

// cfaExpressionOf reads the expression of a CFA.
func cfaExpressionOf(expr []byte, a *isa) (address, uint8) {
	if isPLT(expr, a) {
		return address{}, cfaPLT
	}
	if addr, ok := addressOf(expr); ok {
		return addr, cfaAddress
	}
	return address{}, cfaUnknown
}

// isPLT recognises what linkers write for procedure linkage tables of x86-64:
// rsp + 8 + ((rip & 15) >= N) << 3. N is where an entry's push ends, 11; with
// indirect branch tracking it is 9 or 10, but that code is run once per symbol.
func isPLT(expr []byte, a *isa) bool {
	return a.sp == amd64SP && len(expr) == 11 &&
		expr[0] == opBreg0+7 && expr[1] == 8 && expr[2] == opBreg0+16 && expr[3] == 0 &&
		expr[4] == opLit0+15 && expr[5] == opAnd && expr[6] >= opLit0+9 && expr[6] <= opLit0+11 &&
		expr[7] == opGe && expr[8] == opLit0+3 && expr[9] == opShl && expr[10] == opPlus
}
