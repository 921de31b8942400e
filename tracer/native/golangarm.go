// SPDX-License-Identifier: Apache-2.0

package native

import (
	"math"

	"github.com/strobe-profiler/strobe/libpf/gopclntab"
)

// Instructions of Go's arm64 prologues and epilogues.
const (
	insnSaveFP    = 0xf81f83fd // stur x29, [sp, #-8]
	insnSetFP     = 0xd10023fd // sub x29, sp, #8
	insnPopLR     = 0xf84007fe // ldr x30, [sp], #imm9
	insnPopLRMask = 0xffe00fff
	insnAddSP     = 0x910003ff // add sp, sp, #imm12
	insnAddSPMask = 0xff8003ff
	insnAddSPReg  = 0x8b3b63ff // add sp, sp, x27
	insnReturn    = 0xd65f03c0 // ret
	insnCall      = 0xd63f0000 // blr xN
	insnCallMask  = 0xfffffc1f
	insnSetSP     = 0x9100001f // mov sp, xN
	insnSetSPMask = 0xfffffc1f
)

// goFramesARM64 makes the rows of a Go function. The return address is at SP
// and the caller's frame pointer below it, at SP-8, where X29 points to:
//
//	str x30, [sp, #-frame]!; stur x29, [sp, #-8]; sub x29, sp, #8
//
// or, when the frame is large,
//
//	sub x20, sp, #frame; stp x29, x30, [x20, #-8]; mov sp, x20; sub x29, sp, #8
//
// Up to the end of the prologue the return address is in LR as well.
func (b *builder) goFramesARM64(f *gopclntab.Func, kind goKind, steps []goStep) {
	rule := b.rule
	if kind == goPreempt {
		rule = func(s *state) uint16 {
			r := s.rule(arm64FP)
			r.CFAKind = CFAGoPreempt
			return b.intern(r)
		}
	}
	for i, step := range steps {
		end := f.End
		if i+1 < len(steps) {
			end = steps[i+1].pc
		}
		if end <= b.lo {
			continue
		}
		if step.pc >= b.hi {
			break
		}
		if step.delta < 0 || step.delta > math.MaxInt32-64 {
			b.add(step.pc, RuleInvalid)
			continue
		}
		leaf := state{cfa: address{reg: arm64SP, off: step.delta}}
		if step.delta == 0 {
			b.add(step.pc, rule(&leaf))
			continue
		}
		body := b.goPrologueEndARM64(step.pc)
		if kind == goCross {
			// It saves the registers of C, the frame record on top.
			saved := leaf
			saved.fp = location{kind: locOffset, off: -16}
			saved.ra = location{kind: locOffset, off: -8}
			b.add(step.pc, rule(&saved))
			continue
		}
		if body == step.pc && i > 0 && steps[i-1].delta == 0 && f.Flags&gopclntab.FlagAsm != 0 && b.instruction(step.pc-4) != insnReturn {
			b.add(step.pc, rule(&leaf)) // without a frame record
			continue
		}
		if body > step.pc {
			b.add(step.pc, rule(&leaf))
		}
		in := uint16(RuleGoSwitch)
		if kind != goSwitch && kind != goCall {
			frame := state{cfa: address{reg: arm64FP, off: step.delta + 8}}
			frame.fp = location{kind: locOffset, off: -step.delta - 8}
			frame.ra = location{kind: locOffset, off: -step.delta}
			in = rule(&frame)
		}
		b.addBefore(body, in)
		if kind == goCall {
			b.goCallsARM64(max(body, step.pc), end)
		}
		if i+1 < len(steps) && steps[i+1].delta == 0 {
			b.goEpilogueARM64(max(body, step.pc), end, step.delta)
		}
	}
}

// goCallsARM64 describes the calls in asmcgocall, from each to where the stack pointer
// is set again: the frame pointer is not the goroutine's there.
func (b *builder) goCallsARM64(lo, end uint64) {
	called := false
	for at := lo; at < min(end, b.hi); at += 4 {
		switch in := b.instruction(at); {
		case in&insnCallMask == insnCall:
			called = true
			b.add(at, b.intern(Rule{CFAKind: CFAGoCall, CFAReg: arm64SP}))
		case called && in&insnSetSPMask == insnSetSP:
			called = false
			b.add(at+4, RuleGoSwitch)
		}
	}
}

// goPrologueEndARM64 returns where X29 has been set, for a step of the stack
// pointer at pc.
func (b *builder) goPrologueEndARM64(pc uint64) uint64 {
	if b.instruction(pc) == insnSaveFP {
		pc += 4
		if b.instruction(pc) == insnSetFP {
			return pc + 4
		}
		return pc
	}
	if b.instruction(pc) == insnSetFP {
		return pc + 4
	}
	return pc
}

// goEpilogueARM64 describes the last instructions before the stack pointer
// goes back by delta, at end: X29 has been restored already.
func (b *builder) goEpilogueARM64(lo, end uint64, delta int32) {
	if end > b.hi || end < lo+8 {
		return
	}
	leaf := state{cfa: address{reg: arm64SP, off: delta}}
	switch insn := b.instruction(end - 4); {
	case insn&insnPopLRMask == insnPopLR:
		leaf.ra = location{kind: locOffset, off: -delta}
		b.add(end-4, b.rule(&leaf))
	case insn&insnAddSPMask == insnAddSP:
		b.add(end-4, b.rule(&leaf))
	case insn == insnAddSPReg:
		b.add(end-8, b.rule(&leaf))
	}
}
