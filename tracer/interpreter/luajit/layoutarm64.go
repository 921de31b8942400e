// SPDX-License-Identifier: Apache-2.0

package luajit

import "encoding/binary"

// wholeFrameARM64 is [wholeFrame] of arm64: the places of x30, x29, x19 and x20. Its size,
// 208 bytes, is not told: x29 is the frame pointer there.
var wholeFrameARM64 = []byte{0x9e, 1, 0x9d, 2, 0x93, 3, 0x94, 4}

// armWord is an instruction but for an offset in its bits 10 to 21, in units.
type armWord struct {
	code uint32
	unit int32 // 0: the instruction has no offset
}

const armOffset = 0xfff << 10

// armLoop is the instruction JLOOP, with the global_State in x22: load the table of
// traces; set vmstate, to 0 since the trace's number is not known; load an element and its
// code; store BASE as jit_base.
var armLoop = []armWord{
	{0xf94002c0, 8}, // ldr x0, [x22, #traces]
	{0x52800001, 0}, // mov w1, #0
	{0xf87c781c, 0}, // ldr x28, [x0, x28, lsl #3]
	{0xb90002c1, 4}, // str w1, [x22, #vmstate]
	{0xf940039b, 8}, // ldr x27, [x28, #mcode]
	{0xf90002d3, 8}, // str x19, [x22, #jit_base]
}

// findLayoutARM64 is [findLayout] of arm64, where references have always 8 bytes.
func findLayoutARM64(code []byte) (layout, bool) {
	l := layout{wide: true}
	for ; len(code) >= 4*len(armLoop); code = code[4:] {
		var offsets [6]int32
		found := true
		for i, w := range armLoop {
			ins := binary.LittleEndian.Uint32(code[4*i:])
			if w.unit != 0 {
				offsets[i] = int32(ins&armOffset>>10) * w.unit //nolint:gosec // 12 bits
				ins &^= armOffset
			}
			if ins != w.code {
				found = false
				break
			}
		}
		if !found {
			continue
		}
		l.traces, l.vmstate, l.jitBase = offsets[0], offsets[3], offsets[5]
		const ref = 8
		if mcode := offsets[4]; mcode >= 8+ref && mcode < 256 { // behind startpc, startins, szmcode
			l.startPC = uint16(mcode - 8 - ref) //nolint:gosec // below 256
			return l, l.traces > 0 && l.vmstate > 0 && l.jitBase > 0
		}
		return layout{}, false
	}
	return l, true // without the compiler
}
