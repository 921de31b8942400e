// SPDX-License-Identifier: Apache-2.0

package native

import "fmt"

// Instructions of call frame information, DWARF 5 section 6.4.2 and the
// extensions of GNU and ARM.
const (
	cfaAdvanceLoc = 0x40 // the lower 6 bits are the operand
	cfaOffset     = 0x80
	cfaRestore    = 0xc0

	cfaNop              = 0x00
	cfaSetLoc           = 0x01
	cfaAdvanceLoc1      = 0x02
	cfaAdvanceLoc2      = 0x03
	cfaAdvanceLoc4      = 0x04
	cfaOffsetExtended   = 0x05
	cfaRestoreExtended  = 0x06
	cfaUndefined        = 0x07
	cfaSameValue        = 0x08
	cfaRegister         = 0x09
	cfaRememberState    = 0x0a
	cfaRestoreState     = 0x0b
	cfaDefCFA           = 0x0c
	cfaDefCFARegister   = 0x0d
	cfaDefCFAOffset     = 0x0e
	cfaDefCFAExpression = 0x0f
	cfaExpression       = 0x10
	cfaOffsetExtendedSF = 0x11
	cfaDefCFASF         = 0x12
	cfaDefCFAOffsetSF   = 0x13
	cfaValOffset        = 0x14
	cfaValOffsetSF      = 0x15
	cfaValExpression    = 0x16
	cfaAdvanceLoc8      = 0x1d // MIPS
	cfaNegateRAStatePC  = 0x2c // AArch64
	cfaWindowSave       = 0x2d // GNU; AArch64: negate_ra_state
	cfaArgsSize         = 0x2e // GNU
	cfaNegativeOffset   = 0x2f // GNU
)

// maxRemembered bounds the stack of remembered states. Compilers use two.
const maxRemembered = 64

// cie is a common information entry.
type cie struct {
	codeAlign uint64
	dataAlign int64
	raReg     uint64
	pcEnc     uint8
	wide      bool // 8-byte addresses
	augmented bool // FDEs have the length of augmentation data
	signal    bool
	initial   state
}

// machine runs call frame instructions.
type machine struct {
	isa *isa
	cie *cie
	st  state
	// addr is where st holds from.
	addr uint64
	// base is the address of the first byte of the instructions.
	base uint64
	// out takes the states; it may be nil.
	out        *builder
	remembered []state
}

// run executes a program up to the address limit. It tells out where each state
// begins, in ascending order.
func (m *machine) run(prog []byte, limit uint64) error {
	d := data{b: prog}
	dirty := true
	m.remembered = m.remembered[:0]
	for d.more() {
		op := d.u8()
		next := m.addr
		switch op & 0xc0 {
		case cfaAdvanceLoc:
			next += uint64(op&0x3f) * m.cie.codeAlign
		case cfaOffset:
			m.offset(uint64(op&0x3f), int64(d.uleb())*m.cie.dataAlign) //nolint:gosec // two's complement
			dirty = true
			continue
		case cfaRestore:
			m.restore(uint64(op & 0x3f))
			dirty = true
			continue
		default:
			switch op {
			case cfaNop:
				continue
			case cfaDefCFAOffset: // by far the most frequent
				if off := d.uleb(); m.hasRegister() {
					m.defCFA(uint64(m.st.cfa.reg), int64(off)) //nolint:gosec // checked there
				}
				dirty = true
				continue
			case cfaSetLoc:
				next = d.pointer(m.cie.pcEnc, m.base, 0)
			case cfaAdvanceLoc1:
				next += uint64(d.u8()) * m.cie.codeAlign
			case cfaAdvanceLoc2:
				next += uint64(d.u16()) * m.cie.codeAlign
			case cfaAdvanceLoc4:
				next += uint64(d.u32()) * m.cie.codeAlign
			case cfaAdvanceLoc8:
				next += d.u64() * m.cie.codeAlign
			default:
				if !m.change(op, &d) {
					return fmt.Errorf("%w: instruction %#x", errFormat, op)
				}
				dirty = true
				continue
			}
		}
		if d.bad {
			break
		}
		if next == m.addr {
			continue
		}
		if next < m.addr {
			return fmt.Errorf("%w: location goes back", errFormat)
		}
		if dirty {
			dirty = false
			m.emit()
		}
		if m.addr = next; next >= limit {
			return nil
		}
	}
	if d.bad {
		return fmt.Errorf("%w: instructions end early", errFormat)
	}
	if dirty {
		m.emit()
	}
	return nil
}

// emit says that the state holds from the location on.
func (m *machine) emit() {
	if m.out != nil {
		m.out.add(m.addr, m.out.rule(&m.st))
	}
}

// change executes an instruction that does not move the location.
func (m *machine) change(op uint8, d *data) bool {
	c := m.cie
	switch op {
	case cfaOffsetExtended:
		reg := d.uleb()
		m.offset(reg, int64(d.uleb())*c.dataAlign) //nolint:gosec // two's complement
	case cfaOffsetExtendedSF:
		reg := d.uleb()
		m.offset(reg, d.sleb()*c.dataAlign)
	case cfaNegativeOffset:
		reg := d.uleb()
		m.offset(reg, -int64(d.uleb())*c.dataAlign) //nolint:gosec // two's complement
	case cfaRestoreExtended:
		m.restore(d.uleb())
	case cfaUndefined:
		m.set(d.uleb(), location{kind: locUndefined})
	case cfaSameValue:
		m.set(d.uleb(), location{kind: locSame})
	case cfaRegister:
		reg, other := d.uleb(), d.uleb()
		loc := location{kind: locRegister, reg: uint8(other)} //nolint:gosec // checked
		if other > 31 {
			loc.kind = locLost
		}
		if other == reg {
			loc.kind = locSame
		}
		m.set(reg, loc)
	case cfaValOffset, cfaValOffsetSF:
		reg := d.uleb()
		off := d.uleb() // of the same length whether signed or not
		if reg == uint64(m.isa.sp) && off == 0 {
			m.st.spOdd = false // said aloud: it is the CFA
		} else {
			m.set(reg, location{kind: locLost})
		}
	case cfaRememberState:
		if len(m.remembered) == maxRemembered {
			return false
		}
		m.remembered = append(m.remembered, m.st)
	case cfaRestoreState:
		n := len(m.remembered)
		if n == 0 {
			return false
		}
		m.st = m.remembered[n-1]
		m.remembered = m.remembered[:n-1]
	case cfaDefCFA:
		reg := d.uleb()
		m.defCFA(reg, int64(d.uleb())) //nolint:gosec // checked there
	case cfaDefCFASF:
		reg := d.uleb()
		m.defCFA(reg, d.sleb()*c.dataAlign)
	case cfaDefCFARegister:
		if reg := d.uleb(); m.hasRegister() {
			m.defCFA(reg, int64(m.st.cfa.off))
		}
	case cfaDefCFAOffsetSF:
		if off := d.sleb() * c.dataAlign; m.hasRegister() {
			m.defCFA(uint64(m.st.cfa.reg), off)
		}
	case cfaDefCFAExpression:
		m.st.cfa, m.st.cfaKind = cfaExpressionOf(d.take(d.uleb()), m.isa)
	case cfaExpression:
		reg := d.uleb()
		loc := location{kind: locAddress}
		var ok bool
		if loc.addr, ok = addressOf(d.take(d.uleb())); !ok {
			loc = location{kind: locLost}
		}
		m.set(reg, loc)
	case cfaValExpression:
		reg := d.uleb()
		d.take(d.uleb())
		m.set(reg, location{kind: locLost})
	case cfaArgsSize:
		d.uleb()
	case cfaWindowSave, cfaNegateRAStatePC:
		// Signed return addresses: the signature is masked when they are read.
	default:
		return false
	}
	return true
}

// target returns the location of a register if it is one that matters.
func (m *machine) target(s *state, reg uint64) *location {
	switch reg {
	case m.cie.raReg:
		return &s.ra
	case uint64(m.isa.fp):
		return &s.fp
	}
	return nil
}

func (m *machine) set(reg uint64, loc location) {
	if p := m.target(&m.st, reg); p != nil {
		*p = loc
	} else if reg == uint64(m.isa.sp) {
		m.st.spOdd = loc.kind != locSame
	}
}

func (m *machine) offset(reg uint64, off int64) {
	loc := location{kind: locOffset, off: int32(off)} //nolint:gosec // checked
	if !fitsInt32(off) {
		loc = location{kind: locLost}
	}
	m.set(reg, loc)
}

func (m *machine) restore(reg uint64) {
	if p := m.target(&m.st, reg); p != nil {
		*p = *m.target(&m.cie.initial, reg)
	} else if reg == uint64(m.isa.sp) {
		m.st.spOdd = m.cie.initial.spOdd
	}
}

// hasRegister reports whether the CFA is a register and an offset, one of which
// may then be changed. If it is not, the CFA is unknown from here on.
func (m *machine) hasRegister() bool {
	if m.st.cfaKind == cfaAddress && !m.st.cfa.deref {
		return true
	}
	m.st.cfa, m.st.cfaKind = address{}, cfaUnknown
	return false
}

func (m *machine) defCFA(reg uint64, off int64) {
	m.st.cfa = address{reg: uint8(reg), off: int32(off)} //nolint:gosec // checked
	m.st.cfaKind = cfaAddress
	if reg > 31 || !fitsInt32(off) {
		m.st.cfa, m.st.cfaKind = address{}, cfaUnknown
	}
}
