// SPDX-License-Identifier: Apache-2.0

package native

// Memory is what a stack is unwound from.
type Memory interface {
	// Uint64 returns the 8 bytes at an address; ok is false if they cannot be read.
	Uint64(addr uint64) (v uint64, ok bool)
}

// Registers are the registers of a frame.
type Registers struct {
	PC, SP, FP uint64
	// GPR are the registers by DWARF number. They are known, with LR, while
	// Leaf is set: in the frame that was interrupted, or that a signal was.
	GPR  [32]uint64
	LR   uint64
	Leaf bool
	// Exact says that PC was interrupted: it is no return address.
	Exact bool
}

// LookupPC returns the address by which the frame's row and name are looked up:
// inside the call, for return addresses.
func (r *Registers) LookupPC() uint64 {
	if r.Exact {
		return r.PC
	}
	return r.PC - 1
}

// End says what came of a step.
type End uint8

// What comes of a step.
const (
	EndNone         End = iota // the registers are those of the caller
	EndComplete                // this was the outermost frame
	EndStackRead               // the stack could not be read
	EndRegister                // the rule needs a register that is not known
	EndFramePointer            // there is no rule, and no frame pointer
	EndNoProgress              // the caller's frame would not be above this one
	EndCorrupt                 // the rule does not exist
)

// Stepper steps from frames to their callers, as the program in the kernel
// does. It is what the tests of the tables use, and the only way to exercise
// tables of a foreign architecture.
type Stepper struct {
	Memory Memory
	Rules  *Rules
	// ARM64 selects the rules' other meaning.
	ARM64 bool
	// GoStack returns the stack pointer that Go's scheduler saved when a
	// callback from C left the system stack. It may be nil.
	GoStack func() (sp uint64, ok bool)
}

// armAddressMask removes the signature of pointer authentication.
const armAddressMask = 1<<48 - 1

// Step changes the registers of a frame to those of its caller, by the rule
// that holds at [Registers.LookupPC].
func (s *Stepper) Step(rule uint16, r *Registers) End {
	if rule&ruleIndexed == 0 {
		if s.ARM64 {
			return s.inlineARM64(rule, r)
		}
		return s.inlineAMD64(rule, r)
	}
	switch rule {
	case RuleStop:
		return EndComplete
	case RuleInvalid, RuleFramePointer:
		return s.framePointer(r, false)
	case RuleGoSwitch:
		return s.framePointer(r, true)
	case RulePLT:
		return s.plt(r)
	case RuleSignal:
		if s.ARM64 {
			return s.signalARM64(r)
		}
		return s.signalAMD64(r)
	}
	i := int(rule &^ ruleIndexed)
	if s.Rules == nil || i < FirstRule || i >= s.Rules.Len() {
		return EndCorrupt
	}
	return s.interned(s.Rules.At(i), r)
}

// finish moves to the caller.
func (s *Stepper) finish(r *Registers, cfa, ra, fp uint64) End {
	if s.ARM64 {
		ra &= armAddressMask
	}
	if ra == 0 {
		return EndComplete
	}
	r.PC, r.SP, r.FP = ra, cfa, fp
	r.Exact, r.Leaf = false, false
	return EndNone
}

func (s *Stepper) inlineAMD64(rule uint16, r *Registers) End {
	cfa := r.SP
	if rule&ruleBaseFP != 0 {
		cfa = r.FP
	}
	cfa += uint64(rule>>ruleOffShift&ruleOffMask) * 8
	if cfa <= r.SP {
		return EndNoProgress
	}
	fp := r.FP
	if slot := uint64(rule & ruleSlotMask); slot != 0 {
		var ok bool
		if fp, ok = s.Memory.Uint64(cfa - 8 - 8*slot); !ok {
			return EndStackRead
		}
	}
	ra, ok := s.Memory.Uint64(cfa - 8)
	if !ok {
		return EndStackRead
	}
	return s.finish(r, cfa, ra, fp)
}

func (s *Stepper) inlineARM64(rule uint16, r *Registers) End {
	off := uint64(rule>>ruleOffShift&ruleOffMask) * 8
	cfa := r.SP + off
	if rule&ruleBaseFP != 0 {
		cfa = r.FP + off
	}
	if cfa < r.SP || cfa == r.SP && !r.Leaf {
		return EndNoProgress
	}
	slot := uint64(rule & ruleSlotMask)
	if slot == 0 {
		if !r.Leaf {
			return EndRegister
		}
		return s.finish(r, cfa, r.LR, r.FP)
	}
	record := cfa - 16*(slot-1)
	if slot == 1 {
		record = cfa - off
	}
	return s.record(r, record, cfa)
}

// record moves to the caller by a frame record {frame pointer, return address}.
func (s *Stepper) record(r *Registers, record, cfa uint64) End {
	fp, ok1 := s.Memory.Uint64(record)
	ra, ok2 := s.Memory.Uint64(record + 8)
	if !ok1 || !ok2 {
		return EndStackRead
	}
	return s.finish(r, cfa, ra, fp)
}

// framePointer steps by the frame pointer; switched: onto another stack.
func (s *Stepper) framePointer(r *Registers, switched bool) End {
	if r.FP == 0 { // how the outermost frame is marked
		return EndComplete
	}
	if r.FP&7 != 0 || !switched && r.FP < r.SP {
		return EndFramePointer
	}
	if end := s.record(r, r.FP, r.FP+16); end != EndStackRead {
		return end
	}
	return EndFramePointer
}

func (s *Stepper) plt(r *Registers) End {
	if s.ARM64 { // nothing is on the stack yet
		if !r.Leaf {
			return EndRegister
		}
		return s.finish(r, r.SP, r.LR, r.FP)
	}
	cfa := r.SP + 8
	if r.PC&15 >= 11 {
		cfa += 8
	}
	ra, ok := s.Memory.Uint64(cfa - 8)
	if !ok {
		return EndStackRead
	}
	return s.finish(r, cfa, ra, r.FP)
}

func (s *Stepper) interned(rule Rule, r *Registers) End {
	fpReg, spReg := uint8(amd64FP), uint8(amd64SP)
	if s.ARM64 {
		fpReg, spReg = arm64FP, arm64SP
	}
	var cfa uint64
	switched := rule.CFAKind == CFAGoCallback
	switch {
	case rule.CFAKind == CFAGoCall && s.ARM64:
		return s.goCall(r)
	case switched && s.ARM64:
		return s.framePointer(r, true)
	case switched:
		var ok bool
		if s.GoStack == nil {
			return EndStackRead
		}
		if cfa, ok = s.GoStack(); !ok {
			return EndStackRead
		}
	case rule.CFAReg == spReg:
		cfa = r.SP
	case rule.CFAReg == fpReg:
		cfa = r.FP
	case r.Leaf:
		cfa = r.GPR[rule.CFAReg&31]
	default:
		return EndRegister
	}
	cfa += offset(rule.CFAOff)
	if rule.CFAKind == CFADeref {
		var ok bool
		if cfa, ok = s.Memory.Uint64(cfa); !ok {
			return EndStackRead
		}
		cfa += offset(rule.CFAOff2)
	}
	if !switched && (cfa < r.SP || cfa == r.SP && !r.Leaf) {
		return EndNoProgress
	}
	fp, ok := r.FP, true
	switch rule.FPKind {
	case FPOffset:
		fp, ok = s.Memory.Uint64(cfa + offset(rule.FPOff))
	case FPDeref:
		fp, ok = s.Memory.Uint64(r.FP + offset(rule.FPOff))
	}
	if !ok {
		return EndStackRead
	}
	ra, end := s.returnAddress(rule, r, cfa)
	if end != EndNone {
		return end
	}
	if rule.CFAKind == CFAGoPreempt && s.ARM64 {
		return s.goPreempt(r, cfa, ra, fp)
	}
	return s.finish(r, cfa, ra, fp)
}

// goCall steps from asmcgocall, which has left the goroutine's stack, to its caller
// there. At SP are g and how deep its stack was, or 0 and the stack pointer.
func (s *Stepper) goCall(r *Registers) End {
	const stackHi = 8
	g, ok1 := s.Memory.Uint64(r.SP)
	sp, ok2 := s.Memory.Uint64(r.SP + 8)
	if ok1 && g != 0 {
		var hi uint64
		hi, ok1 = s.Memory.Uint64(g + stackHi)
		sp = hi - sp
	}
	if !ok1 || !ok2 {
		return EndStackRead
	}
	fp, ok1 := s.Memory.Uint64(sp - 8)
	ra, ok2 := s.Memory.Uint64(sp)
	if !ok1 || !ok2 {
		return EndStackRead
	}
	return s.finish(r, sp+16, ra, fp)
}

// goPreempt steps to the code that a signal handler of Go interrupted.
func (s *Stepper) goPreempt(r *Registers, cfa, ra, fp uint64) End {
	lr, ok := s.Memory.Uint64(cfa)
	if !ok {
		return EndStackRead
	}
	end := s.finish(r, cfa+16, ra, fp)
	r.LR, r.Exact, r.Leaf = lr&armAddressMask, true, true
	return end
}

// returnAddress finds the return address of a frame by an interned rule.
func (s *Stepper) returnAddress(rule Rule, r *Registers, cfa uint64) (ra uint64, end End) {
	off := offset(-8)
	switch rule.RAKind {
	case RAUndefined:
		return 0, EndComplete
	case RARegister:
		if !r.Leaf {
			return 0, EndRegister
		}
		return r.GPR[rule.RAOff&31], EndNone
	case RAOffset:
		off = offset(rule.RAOff)
	default:
		if s.ARM64 {
			if !r.Leaf {
				return 0, EndRegister
			}
			return r.LR, EndNone
		}
	}
	ra, ok := s.Memory.Uint64(cfa + off)
	if !ok {
		return 0, EndStackRead
	}
	return ra, EndNone
}

// offset extends a signed offset for the arithmetic of addresses.
func offset(off int32) uint64 { return uint64(int64(off)) } //nolint:gosec // two's complement
