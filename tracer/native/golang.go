// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"math"
	"strings"
	"sync"

	"github.com/strobe-profiler/strobe/libpf/gopclntab"
)

// goTable describes Go's code. The assembler keeps count of the stack pointer;
// where the frame pointer is follows from the prologue it writes.
type goTable struct {
	mu    sync.Mutex // table is for one goroutine at a time
	table *gopclntab.Table
}

// goKind is how a Go function treats its stack.
type goKind uint8

const (
	goNormal   goKind = iota
	goStop            // the root of its stack
	goSwitch          // changes to another stack and calls something there
	goCall            // the same, to call C
	goPreempt         // made to look as if it were called by what a signal interrupted
	goSignal          // returns from signal handlers
	goCallback        // called from C, runs Go on the goroutine's stack
	goCross           // called from C, before goCallback
)

// goKinds are functions of the runtime with a special part. Their names have
// been the same since Go 1.16 at least.
var goKinds = map[string]goKind{
	"runtime.goexit": goStop, "runtime.rt0_go": goStop, "runtime.mstart": goStop,
	// These have left the goroutine's stack for good, or have cleared the way back.
	"runtime.mcall": goStop, "runtime.morestack": goStop,

	"runtime.asmcgocall": goCall, "runtime.asyncPreempt": goPreempt, "runtime.systemstack": goSwitch, "runtime.asmcgocall_no_g": goSwitch,
	"runtime.sigreturn__sigaction": goSignal, "runtime.sigreturn": goSignal,
	"runtime.cgocallback": goCallback, "crosscall2": goCross,
	// Marked as roots for the runtime's own tracebacks, but the kernel has left
	// the registers of the interrupted code behind them.
	"runtime.sigtramp": goNormal, "runtime.cgoSigtramp": goNormal,
}

func goKindOf(f *gopclntab.Func) goKind {
	name := strings.TrimSuffix(f.Name, ".abi0")
	if kind, ok := goKinds[name]; ok {
		return kind
	}
	switch {
	case strings.HasPrefix(name, "_rt0_"), f.Flags&gopclntab.FlagTopFrame != 0:
		return goStop
	case f.Flags&gopclntab.FlagSPWrite != 0:
		return goSwitch
	}
	return goNormal
}

// goStep is a step of the stack pointer.
type goStep struct {
	pc    uint64
	delta int32
}

// golang describes [s.lo, s.hi) by the Go table, and calls gap for what is not Go.
func (b *builder) golang(g *goTable, s span, gap func(s span, padding bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.table.Funcs()
	first, _ := g.table.Bounds(0)
	_, last := g.table.Bounds(n - 1)
	lo, hi := max(s.lo, first), min(s.hi, last)
	if lo >= hi {
		gap(s, false)
		return
	}
	if s.lo < lo {
		gap(span{s.lo, lo}, false)
	}
	i, ok := g.table.Find(lo)
	for ; ok && i < n; i++ {
		entry, _ := g.table.Bounds(i)
		if entry > hi { // one at hi may reach a byte back
			break
		}
		if !b.spend(64) {
			b.t.stats.workCut.Add(1)
			break
		}
		b.floor = lo
		b.goFunc(g.table, i)
	}
	if hi < s.hi {
		gap(span{hi, s.hi}, false)
	}
}

// goFunc describes function i.
func (b *builder) goFunc(table *gopclntab.Table, i int) {
	f, err := table.Func(i)
	if err != nil {
		b.t.stats.badEntries.Add(1)
	}
	kind := goKindOf(&f)
	if kind == goSignal {
		// Handlers return to its first byte, and are looked up one byte before it.
		b.add(max(f.Entry, 1)-1, RuleSignal)
		return
	}
	if f.Entry >= b.hi || f.Entry == f.End {
		return
	}
	if kind == goStop {
		b.add(f.Entry, RuleStop)
		return
	}
	steps := b.goSteps[:0]
	if err == nil {
		err = table.PCSP(i, func(pc uint64, delta int32) bool {
			steps = append(steps, goStep{pc, delta})
			return len(steps) < maxPageWork/16
		})
	}
	b.goSteps = steps
	b.spend(8 * len(steps))
	if err != nil || len(steps) == 0 {
		// No frame is described; only the frame pointer can help.
		b.add(f.Entry, RuleInvalid)
		return
	}
	if steps[0].pc > f.Entry {
		b.add(f.Entry, RuleInvalid)
	}
	b.t.isa.goFrames(b, &f, kind, steps)
}

// goState returns the state in a Go function of x86-64 that has moved the
// stack pointer by delta.
func goState(delta int32, savedFP bool) state {
	s := state{cfa: address{reg: amd64SP, off: delta + 8}, ra: location{kind: locOffset, off: -8}}
	if savedFP {
		s.fp = location{kind: locOffset, off: -16}
	}
	return s
}

// goFramesAMD64 makes the rows of a Go function. The assembler's prologue is,
// since Go 1.21,
//
//	PUSHQ BP; MOVQ SP, BP; SUBQ $frame-8, SP
//
// and before
//
//	SUBQ $frame, SP; MOVQ BP, (frame-8)(SP); LEAQ (frame-8)(SP), BP
//
// Functions in assembly that have asked for no frame may move the stack pointer
// without either; then the caller's frame pointer stays in its register.
func (b *builder) goFramesAMD64(f *gopclntab.Func, kind goKind, steps []goStep) {
	var fp struct {
		known         bool
		saved, points uint64 // from where on it is in the frame, and from where on BP points to it
	}
	if kind == goCall {
		kind = goSwitch
	}
	largest := int32(0)
	for i, step := range steps {
		end := f.End
		if i+1 < len(steps) {
			end = steps[i+1].pc
		}
		if end <= b.lo && fp.known {
			continue
		}
		if step.delta < 0 || step.delta > math.MaxInt32-64 {
			b.addBefore(step.pc, RuleInvalid)
			continue
		}
		if step.delta > 0 && !fp.known {
			fp.known = true
			fp.saved, fp.points = b.goSaveAMD64(f, kind, step)
		}
		if step.pc >= b.hi {
			break
		}
		largest = max(largest, step.delta)
		st := goState(step.delta, false)
		saved := goState(step.delta, true)
		switch {
		case step.delta == 0:
			b.add(step.pc, b.rule(&st))
			continue
		case fp.saved <= step.pc:
			b.add(step.pc, b.rule(&saved))
		default:
			b.add(step.pc, b.rule(&st))
			if fp.saved < end {
				b.addBefore(fp.saved, b.rule(&saved))
			}
		}
		if kind == goSwitch && fp.points < end {
			b.addBefore(max(fp.points, step.pc), RuleGoSwitch)
		}
	}
	if kind == goCallback {
		b.goCallback(f, largest)
	}
}

// addBefore is add for an address that may be behind the part.
func (b *builder) addBefore(addr uint64, rule uint16) {
	if addr < b.hi {
		b.add(addr, rule)
	}
}

// goSaveAMD64 returns from which address on the caller's frame pointer is in
// the frame at CFA-16, and from which on BP points there; never is a high
// number. step is the function's first one that moves the stack pointer.
func (b *builder) goSaveAMD64(f *gopclntab.Func, kind goKind, step goStep) (saved, points uint64) {
	const never = math.MaxUint64
	pc := step.pc
	switch {
	case step.delta == 8 && b.has(pc-1, 0x55): // push %rbp
		if b.has(pc, 0x48, 0x89, 0xe5) { // mov %rsp,%rbp
			return pc, pc + 3
		}
		return pc, never
	case b.has(pc, 0x48, 0x89, 0x6c, 0x24): // mov %rbp,disp8(%rsp); lea disp8(%rsp),%rbp
		return pc + 5, pc + 10
	case b.has(pc, 0x48, 0x89, 0xac, 0x24): // the same with disp32
		return pc + 8, pc + 16
	case kind == goCross: // before Go 1.22: it saves the registers of C by itself
		return pc + 24, never
	case f.Flags&gopclntab.FlagAsm != 0:
		return never, never
	}
	// Compiled code, of which this part is not at hand: long after the prologue.
	return pc, pc
}

// goCallback marks the call in runtime.cgocallback that runs on the
// goroutine's stack. It is the second of three indirect calls: to get an M for
// a new thread, to run the callback, and to drop the M.
func (b *builder) goCallback(f *gopclntab.Func, delta int32) {
	callAX := []byte{0xff, 0xd0}
	code := b.codeAt(f.Entry, f.End)
	rule := b.intern(Rule{CFAKind: CFAGoCallback, CFAReg: amd64SP, CFAOff: delta + 8, FPKind: FPOffset, FPOff: -16})
	if bytes.Count(code, callAX) != 3 {
		// Another version. It spends its time in the callback.
		b.overlay(span{f.Entry, f.End}, rule)
		return
	}
	i := bytes.Index(code, callAX)
	i += 2 + bytes.Index(code[i+2:], callAX)
	call := f.Entry + uint64(i) //nolint:gosec // an index is not negative
	b.overlay(span{call, call + 2}, rule)
}
