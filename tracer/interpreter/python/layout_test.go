// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// table313 is the table of offsets of 3.13.0 behind the cookie.
var table313 = []uint64{
	0x030d00f0, 0, 283320, 608, 632, 194968, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16, 7752, 0, 7768, 7760,
	304, 0, 8, 16, 72, 152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 208, 112, 120, 128, 136, 68, 52, 96, 104, 200, 16, 8,
	416, 24, 88, 168, 32, 24, 16, 40, 24, 16, 48, 32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40, 240, 200,
}

// table314 is laid out as the headers of 3.14 say. Members were added to the
// sections for interpreters, frames and code, and one for sets.
func table314() []uint64 {
	t := slices.Clone(table313)
	t[0] = 0x030e00f0
	t = slices.Insert(t, 18, 7000, 0)   // interpreter_state: code_object_generation, tlbc_generation
	t = slices.Insert(t, 9, 7352)       // interpreter_state: threads_main
	t = slices.Insert(t, 21+9+6, 64, 0) // interpreter_frame: stackpointer, tlbc_index
	t = slices.Insert(t, 21+9+8+10, 0)  // code_object: co_tlbc
	t = slices.Insert(t, 21+9+8+11+2+4+3+3, 200, 24, 40, 32)
	return t
}

func encodeTable(words []uint64) []byte {
	b := []byte(debugCookie)
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return append(b, make([]byte, debugWords*8-len(b))...)
}

func TestDebugOffsets(t *testing.T) {
	t.Parallel()
	want := layout{
		InterpNext: 7264, InterpThreads: 7344, ThreadNext: 8, ThreadId: 152, ThreadFrame: 72, Link: linkShim,
		FrameSize: 72, FrameBack: 8, FrameInstr: 56, FrameOwner: 70, CodeSize: 144, CodeLine: 68, CodeName: 120,
		CodeQualname: 128, CodeFile: 112, CodeLines: 136, CodeVersion: 92, CodeStart: 200, TextLength: 16, TextData: 32,
		AsciiData: 40, WideData: 56, Type: 8,
	}
	for name, table := range map[string][]uint64{"3.13": table313, "3.14": table314()} {
		got, head, err := parseDebugOffsets(encodeTable(table))
		if err != nil || head != 632 || got != want {
			t.Errorf("%s: head %d, error %v, %s", name, head, err, cmp.Diff(want, got, cmpopts.EquateComparable(layout{})))
		}
	}
	broken := func(at int, v uint64) []byte {
		table := slices.Clone(table313)
		table[at] = v
		return encodeTable(table)
	}
	for name, b := range map[string][]byte{
		"empty":             nil,
		"no cookie":         make([]byte, 1024),
		"a later version":   broken(0, 0x031900f0),
		"an older version":  broken(0, 0x030c00f0),
		"cut":               encodeTable(table313)[:512],
		"huge offset":       broken(23, 1<<40),
		"frame out of read": broken(30, 4096),
		"shifted":           encodeTable(slices.Insert(slices.Clone(table313), 20, 1)),
	} {
		if _, _, err := parseDebugOffsets(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestConstants(t *testing.T) {
	t.Parallel()
	for _, v := range []version{{2, 6, 0}, {3, 0, 0}, {3, 5, 1}, {3, 13, 0}, {4, 0, 0}} {
		if _, _, err := constants(v); err == nil {
			t.Errorf("%s: no error", v)
		}
	}
	for _, v := range []version{{2, 7, 18}, {3, 6, 0}, {3, 7, 0}, {3, 8, 0}, {3, 9, 0}, {3, 10, 0}, {3, 11, 0}, {3, 12, 0}} {
		l, _, err := constants(v)
		// What the eBPF program has room for.
		if err != nil || l.FrameSize > 128 || l.CodeSize > 256 || l.FrameInstr%8 != 0 || l.TextData-l.TextLength > 20 {
			t.Errorf("%s: %+v, %v", v, l, err)
		}
	}
}

func FuzzDebugOffsets(f *testing.F) {
	f.Add(encodeTable(table313))
	f.Add(encodeTable(table314()))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, head, err := parseDebugOffsets(b)
		if err == nil && (l.FrameSize > 128 || l.CodeSize > 256 || l.TextData > 120 || head > 1<<24) {
			t.Errorf("accepted %+v, %d", l, head)
		}
	})
}
