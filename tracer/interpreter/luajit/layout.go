// SPDX-License-Identifier: Apache-2.0

package luajit

import (
	"bytes"
	"encoding/binary"
	"regexp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// layout is what is read from the code of the virtual machine.
type layout struct {
	// wide: references have 8 bytes (GC64), not 4.
	wide bool
	// Offsets in global_State; 0 without the compiler.
	jitBase, vmstate, traces int32
	// startPC is an offset in GCtrace.
	startPC uint16
}

// record returns what the eBPF program needs. Offsets in structures have been the
// same all through 2.1 (lj_obj.h, lj_frame.h).
func (l *layout) record() bpfLuajitProcess {
	r := bpfLuajitProcess{JitBase: l.jitBase, Vmstate: l.vmstate, Traces: l.traces, StartPc: l.startPC}
	if l.wide {
		r.Ref, r.StateGlobal, r.StateBase, r.StateMaxstack, r.StateStack, r.StateCframe = 8, 16, 32, 48, 56, 80
		r.SaveState, r.SavePc, r.ObjectType, r.FunctionPc = 16, 24, 9, 32
		r.ProtoSize, r.ProtoCount, r.ProtoChunk = 104, 12, 64
	} else {
		r.Ref, r.StateGlobal, r.StateBase, r.StateMaxstack, r.StateStack, r.StateCframe = 4, 8, 16, 32, 36, 48
		r.SaveState, r.SavePc, r.ObjectType, r.FunctionPc = 24, 28, 5, 16
		r.ProtoSize, r.ProtoCount, r.ProtoChunk = 64, 8, 40
	}
	return r
}

// The unwind information that the virtual machine has as a whole: the frame of
// 80 bytes and the places of rbp, rbx, r15 and r14. A compiler would tell step by
// step how they come about.
var wholeFrame = []byte{0x0e, 80, 0x86, 2, 0x83, 3, 0x8f, 4, 0x8e, 5}

// fdeHead is the size of what precedes that: length, CIE, start, size, and the
// length of nothing.
const fdeHead = 17

// Bounds on the machine code of the virtual machine; it has some 20 KiB.
const (
	minMachine = 4 << 10
	maxMachine = 256 << 10
)

// virtualMachine finds the assembler code by its unwind information, which a
// stripped file has too. code is nil if there is none.
func virtualMachine(f *pfelf.File, frame []byte) (start uint64, code []byte, err error) {
	s := f.FindSection(".eh_frame")
	if s == nil {
		return 0, nil, nil
	}
	b, err := f.SectionUpTo(".eh_frame", maxRodata)
	if err != nil {
		return 0, nil, err
	}
	start, size := machineBounds(b, frame, s.Addr)
	if size == 0 {
		return 0, nil, nil
	}
	code = make([]byte, size)
	if _, err := f.ReadVaddr(code, start); err != nil {
		return 0, nil, err
	}
	return start, code, nil
}

// machineBounds searches unwind information that lies at an address.
func machineBounds(b, frame []byte, at uint64) (start, size uint64) {
	for from := 0; ; {
		i := bytes.Index(b[from:], frame)
		if i < 0 {
			return 0, 0
		}
		i += from
		from = i + 1
		if i < fdeHead || b[i-1] != 0 {
			continue
		}
		u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
		size := u32(i - 5)
		if size >= minMachine && size <= maxMachine {
			// Relative to where it is written.
			field := i - 9
			return at + uint64(field) + uint64(int64(int32(u32(field)))), uint64(size) //nolint:gosec // arithmetic modulo 2^64
		}
	}
}

// Instructions of the virtual machine with the offsets that are looked for.
var (
	// add DISPATCH, GG_G2DISP
	wideDispatch   = regexp.MustCompile(`(?s)\x49\x81\xc6(....)`)
	narrowDispatch = regexp.MustCompile(`(?s)\x41\x81\xc6(....)`)
	// mov dword [DISPATCH+vmstate], ~LJ_VMST_INTERP
	interpreting = regexp.MustCompile(`(?s)\x41\xc7\x86(....)\xff\xff\xff\xff`)
	// The instruction JLOOP: load the table of traces, an element, its code, and
	// L; store BASE as jit_base.
	wideLoop   = regexp.MustCompile(`(?s)\x49\x8b\x8e(....)\x48\x8b\x04\xc1\x48\x8b\x40(.)\x48\x8b\x6c\x24\x10\x49\x89\x96(....)`)
	narrowLoop = regexp.MustCompile(`(?s)\x41\x8b\x8e(....)\x8b\x04\x81\x48\x8b\x40(.)\x8b\x6c\x24\x18\x41\x89\x96(....)`)
)

// findLayout reads the code of the virtual machine.
func findLayout(code []byte) (layout, bool) {
	// Every byte is a character to the expressions.
	text := make([]rune, len(code))
	for i, c := range code {
		text[i] = rune(c)
	}
	s := string(text)
	l := layout{wide: true}
	dispatch, loop := wideDispatch.FindStringSubmatch(s), wideLoop
	if dispatch == nil {
		l.wide = false
		dispatch, loop = narrowDispatch.FindStringSubmatch(s), narrowLoop
	}
	if dispatch == nil {
		return layout{}, false
	}
	global := number(dispatch[1])
	vmstate, trace := interpreting.FindStringSubmatch(s), loop.FindStringSubmatch(s)
	if vmstate == nil || trace == nil {
		return l, true // without the compiler
	}
	ref := 4
	if l.wide {
		ref = 8
	}
	l.vmstate = global + number(vmstate[1])
	l.traces = global + number(trace[1])
	l.jitBase = global + number(trace[3])
	// startpc, startins, szmcode, mcode
	mcode := int([]rune(trace[2])[0])
	if mcode < 8+ref {
		return layout{}, false
	}
	l.startPC = uint16(mcode - 8 - ref) //nolint:gosec // below 256
	const most = 1 << 16
	for _, off := range []int32{l.vmstate, l.traces, l.jitBase} {
		if off <= 0 || off > most {
			return layout{}, false
		}
	}
	return l, true
}

// number reads 4 bytes that are characters.
func number(s string) int32 {
	var v uint32
	for i, c := range []rune(s) {
		v |= uint32(c) << (8 * i) //nolint:gosec // a byte
	}
	return int32(v) //nolint:gosec // it is signed
}
