// SPDX-License-Identifier: Apache-2.0

package native

import (
	"math"

	"github.com/strobe-profiler/strobe/libpf/gopclntab"
)

// The ways in which call frame information describes where a register is.
const (
	locSame      = iota // in the register itself
	locUndefined        // nowhere
	locOffset           // *(CFA + off)
	locRegister         // in another register
	locAddress          // *(address)
	locLost             // in a way that rules cannot tell
)

// The ways in which it describes the CFA.
const (
	cfaAddress = iota // address
	cfaPLT            // the expression of procedure linkage tables
	cfaUnknown        // in a way that rules cannot tell
)

// address is a register + off, or what is in memory there + off2.
type address struct {
	off, off2 int32
	reg       uint8
	deref     bool
}

// location says where the caller's value of a register is.
type location struct {
	kind uint8
	off  int32 // locOffset
	reg  uint8 // locRegister
	addr address
}

// state is a row of call frame information, for the registers that matter.
type state struct {
	cfaKind uint8
	// spOdd is set where the caller's stack pointer is not the CFA, as in code
	// that restores all registers from a structure (longjmp, setcontext).
	spOdd  bool
	cfa    address
	fp, ra location
}

// isa is what differs between processor architectures.
type isa struct {
	sp, fp, ra uint8
	// encode returns the inline or fixed rule for a state, or the rule to intern.
	encode func(s *state) (rule uint16, intern Rule, inline bool)
	// goFrames makes the rows of a Go function.
	goFrames func(b *builder, f *gopclntab.Func, kind goKind, steps []goStep)
}

// DWARF numbers of registers.
const (
	amd64FP, amd64SP, amd64RA = 6, 7, 16
	arm64FP, arm64LR, arm64SP = 29, 30, 31
)

var (
	amd64 = isa{sp: amd64SP, fp: amd64FP, ra: amd64RA, encode: encodeAMD64, goFrames: (*builder).goFramesAMD64}
	arm64 = isa{sp: arm64SP, fp: arm64FP, ra: arm64LR, encode: encodeARM64, goFrames: (*builder).goFramesARM64}
)

// maxInlineOff is the largest offset of an inline rule, in bytes.
const maxInlineOff = ruleOffMask * 8

// fixed returns the rules that do not depend on the architecture.
func (s *state) fixed() (rule uint16, ok bool) {
	switch {
	case s.ra.kind == locUndefined:
		return RuleStop, true
	case s.cfaKind == cfaPLT:
		return RulePLT, true
	case s.cfaKind != cfaAddress, s.spOdd, s.ra.kind == locLost:
		return RuleInvalid, true
	}
	return 0, false
}

// inlineAMD64 returns the inline rule for a state that has one, as 997 of 1,000 do.
func inlineAMD64(s *state) (rule uint16, ok bool) {
	cfa := &s.cfa
	if s.cfaKind != cfaAddress || s.spOdd || cfa.deref || s.ra.kind != locOffset || s.ra.off != -8 || cfa.off&7 != 0 ||
		uint32(cfa.off) > maxInlineOff { //nolint:gosec // negative becomes large
		return 0, false
	}
	rule = uint16(cfa.off>>3) << ruleOffShift //nolint:gosec // at most maxInlineOff
	switch cfa.reg {
	case amd64SP:
	case amd64FP:
		rule |= ruleBaseFP
	default:
		return 0, false
	}
	switch off := s.fp.off; s.fp.kind {
	case locSame:
		return rule, true
	case locOffset:
		if off&7 == 0 && off <= -16 && off >= -8-8*ruleSlotMask {
			return rule | uint16(-off-8)>>3, true //nolint:gosec // positive
		}
	}
	return 0, false
}

func encodeAMD64(s *state) (rule uint16, intern Rule, inline bool) {
	if rule, ok := inlineAMD64(s); ok {
		return rule, Rule{}, true
	}
	c := *s
	c.resolveRA()
	if c.ra.kind == locSame {
		c.ra.kind = locLost // x86-64 has no link register
	}
	if c.cfa == (address{reg: amd64SP, off: 8}) && c.fp == (location{kind: locAddress, addr: address{reg: amd64FP}}) {
		// At the end of a function with a realigned stack gcc does not say
		// that the frame pointer is back in its register.
		c.fp = location{}
		if rule, ok := inlineAMD64(&c); ok {
			return rule, Rule{}, true
		}
	}
	if rule, ok := c.fixed(); ok {
		return rule, Rule{}, true
	}
	r := c.rule(amd64FP)
	if r.RAKind == RAOffset && r.RAOff == -8 {
		r.RAKind, r.RAOff = RADefault, 0
	}
	return 0, r, false
}

func encodeARM64(s *state) (rule uint16, intern Rule, inline bool) {
	c := *s
	c.resolveRA()
	if rule, ok := c.fixed(); ok {
		return rule, Rule{}, true
	}
	cfa := &c.cfa
	if c.ra.kind == locOffset && c.ra.off == 8 && cfa.reg == arm64SP && !cfa.deref {
		// glibc's _dl_runtime_resolve does not count the two words that the linkage
		// table pushed, the return address being the second. No other return address
		// is above the CFA.
		const pushed = 16
		cfa.off, c.ra.off = cfa.off+pushed, c.ra.off-pushed
		if c.fp.kind == locOffset {
			c.fp.off -= pushed
		}
	}
	if !cfa.deref && (cfa.reg == arm64SP || cfa.reg == arm64FP) && cfa.off&7 == 0 && uint32(cfa.off) <= maxInlineOff { //nolint:gosec // negative becomes large
		base, units := cfa.reg == arm64FP, uint16(cfa.off>>3) //nolint:gosec // at most maxInlineOff
		fp, ra := &c.fp, &c.ra
		switch {
		case ra.kind == locSame && fp.kind == locSame:
			return inlineRule(base, units, 0), Rule{}, true
		case ra.kind != locOffset || fp.kind != locOffset || ra.off != fp.off+8:
		case fp.off == -cfa.off:
			return inlineRule(base, units, 1), Rule{}, true
		case fp.off&15 == 0 && fp.off <= -16 && fp.off >= -16*(ruleSlotMask-1):
			return inlineRule(base, units, uint16(1-fp.off>>4)), Rule{}, true //nolint:gosec // positive
		}
	}
	return 0, c.rule(arm64FP), false
}

// rule returns the state as a [Rule].
func (s *state) rule(fpReg uint8) Rule {
	r := Rule{CFAReg: s.cfa.reg, CFAOff: s.cfa.off}
	if s.cfa.deref {
		r.CFAKind, r.CFAOff2 = CFADeref, s.cfa.off2
	}
	switch fp := s.fp; fp.kind {
	case locSame:
	case locOffset:
		r.FPKind, r.FPOff = FPOffset, fp.off
	case locAddress:
		if off, ok := s.fromCFA(&fp.addr); ok {
			r.FPKind, r.FPOff = FPOffset, off
		} else if !fp.addr.deref && fp.addr.reg == fpReg {
			r.FPKind, r.FPOff = FPDeref, fp.addr.off
		} else {
			r.FPKind = FPUndefined
		}
	default:
		r.FPKind = FPUndefined
	}
	switch ra := s.ra; ra.kind {
	case locSame:
	case locOffset:
		r.RAKind, r.RAOff = RAOffset, ra.off
	case locRegister:
		r.RAKind, r.RAOff = RARegister, int32(ra.reg)
	}
	return r
}

// resolveRA turns a return address given by an expression into one relative to
// the CFA, if it can.
func (s *state) resolveRA() {
	if s.ra.kind != locAddress {
		return
	}
	if off, ok := s.fromCFA(&s.ra.addr); ok && s.cfaKind == cfaAddress {
		s.ra = location{kind: locOffset, off: off}
	} else {
		s.ra = location{kind: locLost}
	}
}

// fromCFA returns the distance of an address from the CFA if both are computed
// from the same place.
func (s *state) fromCFA(a *address) (off int32, ok bool) {
	c := &s.cfa
	if s.cfaKind != cfaAddress || a.reg != c.reg || a.deref != c.deref || (a.deref && a.off != c.off) {
		return 0, false
	}
	d := int64(a.off) - int64(c.off)
	if a.deref {
		d = int64(a.off2) - int64(c.off2)
	}
	if d < math.MinInt32 || d > math.MaxInt32 {
		return 0, false
	}
	return int32(d), true
}
