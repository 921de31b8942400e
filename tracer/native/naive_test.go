// SPDX-License-Identifier: Apache-2.0

package native

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// naiveFDE is call frame information as a simple reader sees it: the rules of
// all registers for each range of addresses, in text. It shares no code with
// the tables and takes the whole section, for the encodings that compilers of
// the day write.
type naiveFDE struct {
	start, end uint64
	signal     bool
	rows       []naiveRow
}

type naiveRow struct {
	addr uint64
	cfa  string // "r7+8", or "expr"
	regs map[uint64]string
}

type naiveReader struct {
	b []byte
	i int
}

func (r *naiveReader) u(n int) (v uint64) {
	for k := range n {
		v |= uint64(r.b[r.i+k]) << (8 * k)
	}
	r.i += n
	return v
}

func (r *naiveReader) leb() uint64 {
	v, n := binary.Uvarint(r.b[r.i:])
	r.i += n
	return v
}

func (r *naiveReader) sleb() int64 {
	var v int64
	for shift := 0; ; {
		c := r.b[r.i]
		r.i++
		v |= int64(c&0x7f) << shift
		if shift += 7; c < 0x80 {
			if c&0x40 != 0 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// naiveFrames reads a section of FDEs in encodings pcrel|sdata4 or absptr: one
// in so many.
func naiveFrames(b []byte, vaddr uint64, debug bool, oneIn int) (out []naiveFDE) {
	type common struct {
		code   uint64
		data   int64
		signal bool
		z      bool
		enc    uint64
		init   []byte
	}
	cies := map[uint64]common{}
	count := 0
	for off := 0; off+4 <= len(b); {
		r := naiveReader{b, off}
		size := int(r.u(4))
		if size == 0 {
			off += 4
			continue
		}
		end := off + 4 + size
		at := r.i
		id := r.u(4)
		if id == 0 && !debug || id == 0xffffffff {
			var c common
			version := r.u(1)
			aug := ""
			for r.b[r.i] != 0 {
				aug += string(rune(r.b[r.i]))
				r.i++
			}
			r.i++
			if version == 4 {
				r.i += 2
			}
			c.code, c.data = r.leb(), r.sleb()
			r.leb() // return address
			for _, ch := range aug {
				switch ch {
				case 'z':
					c.z = true
					r.leb()
				case 'R':
					c.enc = r.u(1)
				case 'S':
					c.signal = true
				case 'P':
					if enc := r.u(1); enc&0xf == 0xb {
						r.i += 4
					} else {
						r.i += 8
					}
				case 'L':
					r.i++
				}
			}
			c.init = b[r.i:end]
			cies[uint64(off)] = c
		} else if count++; count%oneIn == 0 {
			key := id
			if !debug {
				key = uint64(at) - id
			}
			c := cies[key]
			f := naiveFDE{signal: c.signal}
			if c.enc == 0x1b {
				here := vaddr + uint64(r.i)
				f.start = here + uint64(int64(int32(r.u(4))))
				f.end = f.start + r.u(4)
			} else {
				f.start = r.u(8)
				f.end = f.start + r.u(8)
			}
			if c.z {
				n := int(r.leb())
				r.i += n
			}
			f.rows = naiveRun(c.init, b[r.i:end], f.start, c.code, c.data)
			out = append(out, f)
		}
		off = end
	}
	return out
}

// naiveRun interprets instructions the plain way.
func naiveRun(init, prog []byte, addr, codeAlign uint64, dataAlign int64) (rows []naiveRow) {
	cfaReg, cfaOff, cfaExpr := uint64(0), int64(0), false
	regs := map[uint64]string{}
	clone := func(m map[uint64]string) map[uint64]string {
		c := map[uint64]string{}
		maps.Copy(c, m)
		return c
	}
	var initial map[uint64]string
	type saved struct {
		reg  uint64
		off  int64
		expr bool
		regs map[uint64]string
	}
	var stack []saved
	cfa := func() string {
		if cfaExpr {
			return "expr"
		}
		return fmt.Sprintf("r%d%+d", cfaReg, cfaOff)
	}
	for pass, code := range [][]byte{init, prog} {
		if pass == 1 {
			initial = clone(regs)
		}
		r := naiveReader{code, 0}
		emit := func(delta uint64) {
			rows = append(rows, naiveRow{addr, cfa(), clone(regs)})
			addr += delta * codeAlign
		}
		for r.i < len(code) {
			op := r.u(1)
			arg := op & 0x3f
			switch {
			case op>>6 == 1:
				emit(arg)
			case op>>6 == 2:
				regs[arg] = fmt.Sprintf("c%+d", int64(r.leb())*dataAlign)
			case op>>6 == 3:
				regs[arg] = initial[arg]
			case op == 2:
				emit(r.u(1))
			case op == 3:
				emit(r.u(2))
			case op == 4:
				emit(r.u(4))
			case op == 5:
				reg := r.leb()
				regs[reg] = fmt.Sprintf("c%+d", int64(r.leb())*dataAlign)
			case op == 6:
				reg := r.leb()
				regs[reg] = initial[reg]
			case op == 7:
				regs[r.leb()] = "undefined"
			case op == 8:
				regs[r.leb()] = ""
			case op == 9:
				reg := r.leb()
				regs[reg] = fmt.Sprintf("r%d", r.leb())
			case op == 0xa:
				stack = append(stack, saved{cfaReg, cfaOff, cfaExpr, clone(regs)})
			case op == 0xb:
				s := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				cfaReg, cfaOff, cfaExpr, regs = s.reg, s.off, s.expr, s.regs
			case op == 0xc:
				cfaReg, cfaOff, cfaExpr = r.leb(), int64(r.leb()), false
			case op == 0xd:
				cfaReg = r.leb()
			case op == 0xe:
				cfaOff = int64(r.leb())
			case op == 0xf:
				cfaExpr = true
				n := int(r.leb())
				r.i += n
			case op == 0x10 || op == 0x16:
				regs[r.leb()] = "expr"
				n := int(r.leb())
				r.i += n
			case op == 0x11:
				reg := r.leb()
				regs[reg] = fmt.Sprintf("c%+d", r.sleb()*dataAlign)
			case op == 0x12:
				cfaReg, cfaOff, cfaExpr = r.leb(), r.sleb()*dataAlign, false
			case op == 0x13:
				cfaOff = r.sleb() * dataAlign
			case op == 0x14:
				reg := r.leb()
				regs[reg] = "val"
				if r.leb() == 0 {
					regs[reg] = "" // of the stack pointer: it is the CFA
				}
			case op == 0x2e:
				r.leb()
			}
		}
		if pass == 1 {
			emit(0)
		}
	}
	return rows
}

// naiveRule returns the row's rule as text, "" where only an expression tells.
func naiveRule(machine elf.Machine, row naiveRow) string {
	sp, fp, ra := uint64(amd64SP), uint64(amd64FP), uint64(amd64RA)
	if machine == elf.EM_AARCH64 {
		sp, fp, ra = arm64SP, arm64FP, arm64LR
	}
	if row.regs[ra] == "undefined" {
		return "stop"
	}
	if row.cfa == "expr" || row.regs[fp] == "expr" || row.regs[ra] == "expr" || row.regs[sp] != "" {
		return ""
	}
	return fmt.Sprintf("cfa=%s ra=%s fp=%s", row.cfa, row.regs[ra], row.regs[fp])
}

// describe returns a rule of a table in the terms of naiveRule.
func describe(machine elf.Machine, rules *Rules, rule uint16) string {
	base, ra := "r7", "c-8"
	if machine == elf.EM_AARCH64 {
		base, ra = "r31", ""
	}
	fp := ""
	if rule&ruleIndexed == 0 {
		off, slot := int(rule>>ruleOffShift&ruleOffMask)*8, int(rule&ruleSlotMask)
		if rule&ruleBaseFP != 0 {
			base = map[string]string{"r7": "r6", "r31": "r29"}[base]
		}
		switch {
		case slot == 0:
		case machine == elf.EM_X86_64:
			fp = fmt.Sprintf("c%+d", -8-8*slot)
		case slot == 1:
			fp, ra = fmt.Sprintf("c%+d", -off), fmt.Sprintf("c%+d", -off+8)
		default:
			fp, ra = fmt.Sprintf("c%+d", -16*(slot-1)), fmt.Sprintf("c%+d", -16*(slot-1)+8)
		}
		return fmt.Sprintf("cfa=%s%+d ra=%s fp=%s", base, off, ra, fp)
	}
	if int(rule&^ruleIndexed) < FirstRule {
		return FormatRule(rule)
	}
	r := rules.At(int(rule &^ ruleIndexed))
	switch r.RAKind {
	case RAOffset:
		ra = fmt.Sprintf("c%+d", r.RAOff)
	case RARegister:
		ra = fmt.Sprintf("r%d", r.RAOff)
	}
	switch r.FPKind {
	case FPOffset:
		fp = fmt.Sprintf("c%+d", r.FPOff)
	case FPUndefined:
		fp = "lost"
	}
	return fmt.Sprintf("cfa=r%d%+d ra=%s fp=%s", r.CFAReg, r.CFAOff, ra, fp)
}

// TestAgainstNaive compares the tables of the machine's libraries to what the
// simple reader finds, at the first and the last byte of each row.
func TestAgainstNaive(t *testing.T) {
	t.Parallel()
	for name, oneIn := range map[string]int{"libc": 1, "ld.so": 1, "crypto": 7} { // crypto is large
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables, rules := openSystem(t, name)
			b, err := tables.file.SectionData(".eh_frame")
			if err != nil {
				t.Skip(err)
			}
			compareNaive(t, tables, rules, naiveFrames(b, tables.file.FindSection(".eh_frame").Addr, false, oneIn), nil)
		})
	}
}

// compareNaive checks all rows that the tables can hold. accept may allow
// differences.
func compareNaive(t *testing.T, tables *Tables, rules *Rules, fdes []naiveFDE, accept func(off uint64, want, got string) bool) {
	t.Helper()
	pages := map[uint64][]Row{}
	at := func(addr uint64) (string, bool) {
		off, ok := tables.file.VaddrToOffset(addr)
		if !ok {
			return "", false
		}
		rows, ok := pages[off>>PageShift]
		if !ok {
			var err error
			if rows, err = tables.Page(off >> PageShift); err != nil {
				t.Fatal(err)
			}
			pages[off>>PageShift] = rows
		}
		return describe(tables.file.Machine, rules, Lookup(rows, uint16(off&(PageSize-1)))), true
	}
	checked, bad := 0, 0
	for _, f := range fdes {
		for i, row := range f.rows {
			end := f.end
			if i+1 < len(f.rows) {
				end = f.rows[i+1].addr
			}
			if row.addr >= min(end, f.end) {
				continue
			}
			want := naiveRule(tables.file.Machine, row)
			if f.signal {
				want = "signal"
			}
			if want == "" {
				continue
			}
			for _, addr := range []uint64{row.addr, min(end, f.end) - 1} {
				got, ok := at(addr)
				if !ok {
					continue
				}
				checked++
				got = strings.Replace(got, "fp=lost", "fp="+row.regs[uint64(amd64FP)], 1) // in another register
				if got == want || accept != nil && accept(addr, want, got) {
					continue
				}
				if bad++; bad < 10 {
					t.Errorf("%#x: got %s, want %s", addr, got, want)
				}
			}
		}
	}
	t.Logf("%d places checked, %d differ", checked, bad)
	if checked < 100 {
		t.Error("too few places")
	}
}
