// SPDX-License-Identifier: Apache-2.0

package native

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// words is memory at the given addresses.
type words map[uint64]uint64

// Uint64 implements [Memory].
func (w words) Uint64(addr uint64) (uint64, bool) {
	v, ok := w[addr]
	return v, ok
}

// leafAt returns the registers of an interrupted leaf.
func leafAt(pc, sp, fp uint64) Registers {
	return Registers{PC: pc, SP: sp, FP: fp, Leaf: true, Exact: true}
}

// callerAt returns the registers of a frame that made a call.
func callerAt(pc, sp, fp uint64) Registers { return Registers{PC: pc, SP: sp, FP: fp} }

func TestStepAMD64(t *testing.T) {
	t.Parallel()
	rules := NewRules()
	rule := func(r Rule) uint16 {
		i, _ := rules.Intern(r)
		return ruleIndexed | i
	}
	withGPR := leafAt(1, 0x1000, 7)
	withGPR.GPR[10], withGPR.GPR[5] = 0x1100, 0x77
	for name, c := range map[string]struct {
		rule uint16
		in   Registers
		mem  words
		want Registers
		end  End
	}{
		"leaf":              {inlineRule(false, 1, 0), leafAt(1, 0x1000, 7), words{0x1000: 0x42}, callerAt(0x42, 0x1008, 7), EndNone},
		"saved FP":          {inlineRule(false, 4, 2), callerAt(1, 0x1000, 7), words{0x1018: 0x42, 0x1008: 9}, callerAt(0x42, 0x1020, 9), EndNone},
		"by FP":             {inlineRule(true, 2, 1), callerAt(1, 0x1000, 0x1100), words{0x1100: 9, 0x1108: 0x42}, callerAt(0x42, 0x1110, 9), EndNone},
		"FP below the SP":   {inlineRule(true, 2, 1), callerAt(1, 0x1000, 0x100), words{}, Registers{}, EndNoProgress},
		"no stack":          {inlineRule(false, 1, 0), leafAt(1, 0x1000, 7), words{}, Registers{}, EndStackRead},
		"no saved FP":       {inlineRule(false, 2, 1), leafAt(1, 0x1000, 7), words{0x1008: 1}, Registers{}, EndStackRead},
		"returns to 0":      {inlineRule(false, 1, 0), leafAt(1, 0x1000, 7), words{0x1000: 0}, Registers{}, EndComplete},
		"stop":              {RuleStop, leafAt(1, 0x1000, 7), words{}, Registers{}, EndComplete},
		"frame pointer":     {RuleFramePointer, leafAt(1, 0x1000, 0x1100), words{0x1100: 9, 0x1108: 0x42}, callerAt(0x42, 0x1110, 9), EndNone},
		"FP 0":              {RuleInvalid, leafAt(1, 0x1000, 0), words{}, Registers{}, EndComplete},
		"FP odd":            {RuleInvalid, leafAt(1, 0x1000, 0x1101), words{}, Registers{}, EndFramePointer},
		"FP astray":         {RuleInvalid, leafAt(1, 0x1000, 0x100), words{0x100: 9, 0x108: 1}, Registers{}, EndFramePointer},
		"Go's other stack":  {RuleGoSwitch, leafAt(1, 0x1000, 0x100), words{0x100: 9, 0x108: 0x42}, callerAt(0x42, 0x110, 9), EndNone},
		"linkage table":     {RulePLT, leafAt(0x20, 0x1000, 7), words{0x1000: 0x42}, callerAt(0x42, 0x1008, 7), EndNone},
		"behind its push":   {RulePLT, leafAt(0x2b, 0x1000, 7), words{0x1000: 1, 0x1008: 0x42}, callerAt(0x42, 0x1010, 7), EndNone},
		"realigned":         {rule(Rule{CFAKind: CFADeref, CFAReg: 6, CFAOff: -8, FPKind: FPDeref}), callerAt(1, 0x1000, 0x1100), words{0x10f8: 0x1200, 0x11f8: 0x42, 0x1100: 9}, callerAt(0x42, 0x1200, 9), EndNone},
		"by r10":            {rule(Rule{CFAReg: 10}), withGPR, words{0x10f8: 0x42}, callerAt(0x42, 0x1100, 7), EndNone},
		"by r10, no leaf":   {rule(Rule{CFAReg: 10}), callerAt(1, 0x1000, 7), words{0x10f8: 0x42}, Registers{}, EndRegister},
		"vfork":             {rule(Rule{CFAReg: 7, RAKind: RARegister, RAOff: 5}), withGPR, words{}, callerAt(0x77, 0x1000, 7), EndNone},
		"vfork, no leaf":    {rule(Rule{CFAReg: 7, CFAOff: 8, RAKind: RARegister, RAOff: 5}), callerAt(1, 0x1000, 7), words{}, Registers{}, EndRegister},
		"no progress":       {rule(Rule{CFAReg: 7}), callerAt(1, 0x1000, 7), words{}, Registers{}, EndNoProgress},
		"RA elsewhere":      {rule(Rule{CFAReg: 7, CFAOff: 64, RAKind: RAOffset, RAOff: -24, FPKind: FPOffset, FPOff: -32}), callerAt(1, 0x1000, 7), words{0x1028: 0x42, 0x1020: 9}, callerAt(0x42, 0x1040, 9), EndNone},
		"undefined RA":      {rule(Rule{CFAReg: 7, CFAOff: 64, RAKind: RAUndefined}), callerAt(1, 0x1000, 7), words{}, Registers{}, EndComplete},
		"callback from C":   {rule(Rule{CFAKind: CFAGoCallback, CFAReg: 7, CFAOff: 0x28, FPKind: FPOffset, FPOff: -16}), callerAt(1, 0x9000, 7), words{0x520: 0x42, 0x518: 9}, callerAt(0x42, 0x528, 9), EndNone},
		"no such rule":      {ruleIndexed | 0x7ff, leafAt(1, 0x1000, 7), words{}, Registers{}, EndCorrupt},
		"a reserved rule":   {ruleIndexed | 9, leafAt(1, 0x1000, 7), words{}, Registers{}, EndCorrupt},
		"no memory of CFA":  {rule(Rule{CFAKind: CFADeref, CFAReg: 6}), callerAt(1, 0x1000, 0x1100), words{}, Registers{}, EndStackRead},
		"no memory of FP":   {rule(Rule{CFAReg: 7, CFAOff: 16, FPKind: FPDeref}), callerAt(1, 0x1000, 0x1100), words{0x1008: 1}, Registers{}, EndStackRead},
		"no frame pointer":  {RuleFramePointer, leafAt(1, 0x1000, 0x1100), words{0x1100: 9}, Registers{}, EndFramePointer},
		"no linkage memory": {RulePLT, leafAt(0x20, 0x1000, 7), words{}, Registers{}, EndStackRead},
	} {
		s := Stepper{Memory: c.mem, Rules: rules, GoStack: func() (uint64, bool) { return 0x500, true }}
		got := c.in
		if end := s.Step(c.rule, &got); end != c.end {
			t.Errorf("%s: end %d, want %d", name, end, c.end)
			continue
		}
		got.GPR, got.LR = [32]uint64{}, 0
		if diff := cmp.Diff(c.want, got); c.end == EndNone && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestStepARM64(t *testing.T) {
	t.Parallel()
	rules := NewRules()
	rule := func(r Rule) uint16 {
		i, _ := rules.Intern(r)
		return ruleIndexed | i
	}
	leaf := leafAt(1, 0x1000, 7)
	leaf.LR = 0x42
	leaf.GPR[9] = 0x43
	const signed = 0x7f<<48 | 0x42
	for name, c := range map[string]struct {
		rule uint16
		in   Registers
		mem  words
		want Registers
		end  End
	}{
		"leaf":           {inlineRule(false, 0, 0), leaf, words{}, callerAt(0x42, 0x1000, 7), EndNone},
		"leaf with room": {inlineRule(false, 4, 0), leaf, words{}, callerAt(0x42, 0x1020, 7), EndNone},
		"no leaf":        {inlineRule(false, 4, 0), callerAt(1, 0x1000, 7), words{}, Registers{}, EndRegister},
		"stands still":   {inlineRule(false, 0, 0), callerAt(1, 0x1000, 7), words{}, Registers{}, EndNoProgress},
		"bottom":         {inlineRule(false, 6, 1), callerAt(1, 0x1000, 7), words{0x1000: 9, 0x1008: 0x42}, callerAt(0x42, 0x1030, 9), EndNone},
		"bottom, by FP":  {inlineRule(true, 6, 1), callerAt(1, 0x1000, 0x1010), words{0x1010: 9, 0x1018: signed}, callerAt(0x42, 0x1040, 9), EndNone},
		"top":            {inlineRule(false, 6, 2), callerAt(1, 0x1000, 7), words{0x1020: 9, 0x1028: 0x42}, callerAt(0x42, 0x1030, 9), EndNone},
		"lower":          {inlineRule(false, 6, 3), callerAt(1, 0x1000, 7), words{0x1010: 9, 0x1018: 0x42}, callerAt(0x42, 0x1030, 9), EndNone},
		"no record":      {inlineRule(false, 6, 3), callerAt(1, 0x1000, 7), words{}, Registers{}, EndStackRead},
		"lr saved":       {rule(Rule{CFAReg: 31, CFAOff: 32, RAKind: RAOffset, RAOff: -32}), callerAt(1, 0x1000, 7), words{0x1000: 0x42}, callerAt(0x42, 0x1020, 7), EndNone},
		"in lr":          {rule(Rule{CFAReg: 31, CFAOff: 8192}), leaf, words{}, callerAt(0x42, 0x3000, 7), EndNone},
		"in lr, no leaf": {rule(Rule{CFAReg: 31, CFAOff: 8192}), callerAt(1, 0x1000, 7), words{}, Registers{}, EndRegister},
		"in x9":          {rule(Rule{CFAReg: 31, RAKind: RARegister, RAOff: 9}), leaf, words{}, callerAt(0x43, 0x1000, 7), EndNone},
		"linkage table":  {RulePLT, leaf, words{}, callerAt(0x42, 0x1000, 7), EndNone},
		"no linkage":     {RulePLT, callerAt(1, 0x1000, 7), words{}, Registers{}, EndRegister},
		"call of C":      {rule(Rule{CFAKind: CFAGoCall, CFAReg: 31}), callerAt(1, 0x1000, 7), words{0x1000: 0x700, 0x1008: 0x100, 0x708: 0x600, 0x4f8: 9, 0x500: 0x42}, callerAt(0x42, 0x510, 9), EndNone},
		"call on g0":     {rule(Rule{CFAKind: CFAGoCall, CFAReg: 31}), callerAt(1, 0x1000, 7), words{0x1000: 0, 0x1008: 0x1030, 0x1028: 9, 0x1030: 0x42}, callerAt(0x42, 0x1040, 9), EndNone},
		"call, no g":     {rule(Rule{CFAKind: CFAGoCall, CFAReg: 31}), callerAt(1, 0x1000, 7), words{0x1000: 0x700, 0x1008: 0x100}, Registers{}, EndStackRead},
		"preempted":      {rule(Rule{CFAKind: CFAGoPreempt, CFAReg: 31, CFAOff: 16, RAKind: RAOffset, RAOff: -16}), callerAt(1, 0x1000, 7), words{0x1000: 0x42, 0x1010: 0x99}, Registers{PC: 0x42, SP: 0x1020, FP: 7, Exact: true, Leaf: true}, EndNone},
		"callback":       {rule(Rule{CFAKind: CFAGoCallback}), callerAt(1, 0x1000, 0x500), words{0x500: 9, 0x508: 0x42}, callerAt(0x42, 0x510, 9), EndNone},
	} {
		s := Stepper{Memory: c.mem, Rules: rules, ARM64: true}
		got := c.in
		if end := s.Step(c.rule, &got); end != c.end {
			t.Errorf("%s: end %d, want %d", name, end, c.end)
			continue
		}
		got.GPR, got.LR = [32]uint64{}, 0
		if diff := cmp.Diff(c.want, got); c.end == EndNone && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestStepSignal(t *testing.T) {
	t.Parallel()
	// struct ucontext of x86-64: flags, link, stack (3 words), then the registers.
	mem := words{}
	for i := range 17 {
		mem[0x1000+40+8*uint64(i)] = 0x100 + uint64(i)
	}
	r := callerAt(1, 0x1000, 7)
	if end := (&Stepper{Memory: mem}).Step(RuleSignal, &r); end != EndNone {
		t.Fatal(end)
	}
	// Their order is r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
	if r.PC != 0x110 || r.SP != 0x10f || r.FP != 0x10a || !r.Exact || !r.Leaf || r.LookupPC() != r.PC {
		t.Errorf("%+v", r)
	}
	for reg, i := range map[int]uint64{8: 0, 15: 7, 5: 8, 4: 9, 6: 10, 3: 11, 1: 12, 0: 13, 2: 14, 7: 15} {
		if r.GPR[reg] != 0x100+i {
			t.Errorf("r%d = %#x", reg, r.GPR[reg])
		}
	}
	delete(mem, 0x1000+40+8*16)
	r = callerAt(1, 0x1000, 7)
	if end := (&Stepper{Memory: mem}).Step(RuleSignal, &r); end != EndStackRead || r.PC != 1 {
		t.Errorf("%d, %+v", end, r)
	}

	// arm64: siginfo (128 bytes), ucontext up to uc_mcontext (176), fault_address.
	mem = words{}
	for i := range 33 {
		mem[0x1000+128+176+8+8*uint64(i)] = 0x100 + uint64(i)
	}
	r = callerAt(1, 0x1000, 7)
	if end := (&Stepper{Memory: mem, ARM64: true}).Step(RuleSignal, &r); end != EndNone {
		t.Fatal(end)
	}
	if r.PC != 0x120 || r.SP != 0x11f || r.FP != 0x11d || r.LR != 0x11e || r.GPR[19] != 0x113 || !r.Exact || !r.Leaf {
		t.Errorf("%+v", r)
	}
}
