// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"bytes"
	"errors"
	"strings"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// The interpreter is a row of codelets: one for each bytecode, and before them those
// that enter a method. While such an entry makes the method's frame, the caller is
// not where it is otherwise; the eBPF program must know how far it is.

// Bounds on what is read of the interpreter. It has some 280 codelets.
const (
	maxCodelets    = 1024
	maxCodeletText = 64
	maxEntryCode   = 512 // bytes that are searched for the making of the frame
)

// entryDescription is what the descriptions of codelets that enter a method have in
// common: "method entry point (kind = zerolocals)", "native method entry point ...".
const entryDescription = "method entry point"

// errCodelets reports codelets that cannot be.
var errCodelets = errors.New("codelets are not as expected")

// readEntries fills in the entries to methods.
func (l *layout) readEntries(memory process.Memory, r *bpfHotspotProcess) error {
	size := r.InterpreterHigh - r.InterpreterLow
	header := make([]byte, l.codelet.size)
	n := 0
	r.EntriesLow, r.EntriesHigh = 0, 0
	for off, k := uint64(0), 0; off+l.codelet.size < size && k < maxCodelets; k++ {
		at := r.InterpreterLow + off
		if err := memory.Read(header, at); err != nil {
			return err
		}
		length := l.codelet.length.in(header)
		if length < l.codelet.size || length > size-off {
			return errCodelets
		}
		description, err := memory.Text(l.codelet.description.in(header), maxCodeletText)
		if err == nil && strings.Contains(description, entryDescription) {
			if r.EntriesLow == 0 {
				r.EntriesLow = at
			}
			r.EntriesHigh = at + length
			code, err := memory.Bytes(at, min(length, maxEntryCode), maxEntryCode)
			if err != nil {
				return err
			}
			if e := &r.Entry[n]; findFrame(code, &e.Popped, &e.Pushed, &e.Done) {
				e.Start, e.Size = at, uint32(length) //nolint:gosec // at most the size of the interpreter
				if n++; n == len(r.Entry) {
					return nil
				}
			}
		} else if r.EntriesLow != 0 {
			return nil
		}
		off += length
	}
	return nil
}

// Instructions of an entry for x86-64, generate_fixed_frame() of
// templateInterpreterGenerator_x86.cpp: push rax, push rbp, mov rbp, rsp, push r13.
// Some way before, pop rax and lea r14, [rsp+rcx*8-8]; behind, push rbx.
var (
	makesFrame  = []byte{0x50, 0x55, 0x48, 0x8b, 0xec, 0x41, 0x55}
	popsAddress = []byte{0x58, 0x4c, 0x8d, 0x74, 0xcc, 0xf8}
)

const pushesMethod = 0x53

// findFrame finds where an entry makes its frame.
func findFrame(code []byte, popped, pushed, done *uint32) bool {
	f := bytes.Index(code, makesFrame)
	if f < 0 {
		return false
	}
	// The first push of rbx behind can be a byte of another instruction; the whole
	// sequence has few bytes before it, and none of that value.
	m := bytes.IndexByte(code[f+len(makesFrame):], pushesMethod)
	if m < 0 {
		return false
	}
	*pushed = uint32(f + 1)                     //nolint:gosec // an index
	*done = uint32(f + len(makesFrame) + m + 1) //nolint:gosec // an index
	*popped = uint32(f + 1)                     //nolint:gosec // an index
	if p := bytes.LastIndex(code[:f], popsAddress); p >= 0 {
		*popped = uint32(p) //nolint:gosec // an index
	}
	return true
}
