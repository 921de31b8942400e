// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/strobe-profiler/strobe/libpf"
)

const (
	// pcdataInlTree and funcdataInlTree number the tables that belong to
	// inlining; PCDATA_InlTreeIndex and FUNCDATA_InlTree in internal/abi.
	pcdataInlTree   = 2
	funcdataInlTree = 3

	// maxInline bounds how many calls are inlined into one another. The
	// compiler stops far earlier.
	maxInline = 512

	// gofuncProofs is how many trees must read well before a base of the trees
	// is believed, and gofuncTries how many functions are looked at for them.
	gofuncProofs = 16
	gofuncTries  = 20000
)

// inlinedCall is an entry of an inline tree: one call that was inlined.
type inlinedCall struct {
	nameoff   uint32
	parentPC  uint32 // offset from the entry of an instruction of the caller's
	startLine int32
}

// Inlined returns the source lines that the instruction at pc in function i
// stands for, the innermost inlined function first and the function itself
// last: each with its own name and with the place where it was, for callers the
// place of the call. pc must lie inside the call instruction where it comes
// from a return address. At least one line is returned, if need be without a
// file.
func (t *Table) Inlined(i int, pc uint64) ([]libpf.SourceLine, error) {
	r, err := t.record(i)
	if err != nil {
		return nil, err
	}
	name, err := t.name(uint64(r.nameoff))
	if err != nil {
		return nil, err
	}
	lines := make([]libpf.SourceLine, 0, 1)
	tree, pctable, hasTree := t.inlineTree(&r)
	entry, end := t.Bounds(i)
	last := int32(math.MaxInt32)
	for hasTree && t.gofunc != nil && len(lines) < maxInline {
		index, err := t.value(i, pctable, pc)
		if err != nil || index < 0 || index >= last {
			break // the compiler adds callers before what they call
		}
		last = index
		call, err := t.inlinedCall(tree, uint32(index))
		if err != nil || uint64(call.parentPC) >= end-entry {
			break
		}
		inner, err := t.name(uint64(call.nameoff))
		if err != nil {
			break
		}
		lines = append(lines, t.sourceLine(i, &r, pc, inner, call.startLine))
		pc = entry + uint64(call.parentPC)
	}
	return append(lines, t.sourceLine(i, &r, pc, name, r.startLine)), nil
}

// sourceLine returns the line of pc under a function's name. A place that
// cannot be read is left out: the name is worth more.
func (t *Table) sourceLine(i int, r *record, pc uint64, name string, startLine int32) libpf.SourceLine {
	l := libpf.SourceLine{Function: name, StartLine: libpf.SourceLineno(max(startLine, 0))} //nolint:gosec // not negative
	if file, line, err := t.line(i, r, pc); err == nil {
		l.File, l.Line = file, libpf.SourceLineno(line) //nolint:gosec // not negative
	}
	return l
}

// inlineTree returns the place of a function's inline tree in gofunc and its
// table of indices into it.
func (t *Table) inlineTree(r *record) (tree uint64, pctable uint32, ok bool) {
	if r.npcdata <= pcdataInlTree || r.nfuncdata <= funcdataInlTree {
		return 0, 0, false
	}
	var buf [8]byte
	if err := t.blob.read(buf[:4], r.pcdata+4*pcdataInlTree); err != nil {
		return 0, 0, false
	}
	if pctable = binary.LittleEndian.Uint32(buf[:]); pctable == 0 {
		return 0, 0, false
	}
	// The function data are offsets from gofunc, up to Go 1.17 pointers.
	field, at := t.header.fieldSize(), r.pcdata+4*uint64(r.npcdata)
	at = (at + field - 1) / field * field
	if err := t.blob.read(buf[:field], at+field*funcdataInlTree); err != nil {
		return 0, 0, false
	}
	if tree = pointer(buf[:], field); t.header.version >= ver118 {
		return tree, pctable, tree != math.MaxUint32
	}
	return tree - t.gofuncVaddr, pctable, tree >= t.gofuncVaddr && tree != 0
}

// inlinedCall reads an entry of an inline tree; type inlinedCall in
// runtime/symtabinl.go, with the call's file and line in it up to Go 1.19.
func (t *Table) inlinedCall(tree uint64, index uint32) (inlinedCall, error) {
	var buf [20]byte
	size, nameoff, parentPC := uint64(16), 4, 8
	if t.header.version < ver120 {
		size, nameoff, parentPC = 20, 12, 16
	}
	if err := t.gofunc.read(buf[:size], tree+uint64(index)*size); err != nil {
		return inlinedCall{}, fmt.Errorf("inline tree: %w", err)
	}
	c := inlinedCall{
		nameoff:  binary.LittleEndian.Uint32(buf[nameoff:]),
		parentPC: binary.LittleEndian.Uint32(buf[parentPC:]),
	}
	if t.header.version >= ver120 {
		c.startLine = int32(binary.LittleEndian.Uint32(buf[12:])) //nolint:gosec // it is signed in the runtime
	}
	return c, nil
}

// findInlineTrees sets gofunc to the word of the module data from which the
// inline trees of some functions read well.
func (t *Table) findInlineTrees(m image, md *moduledata) {
	for _, word := range gofuncWords[t.header.version] {
		if t.gofunc = m.blob(md.words[word]); t.gofunc != nil && t.proveInlineTrees() {
			return
		}
	}
	t.gofunc = nil
}

// findInlineTreePointers sets gofunc to the segment that the functions' own
// pointers to their inline trees point into.
func (t *Table) findInlineTreePointers(m image) {
	for i := range min(t.header.nfunc, gofuncTries) {
		r, err := t.record(i)
		if err != nil {
			return
		}
		tree, _, ok := t.inlineTree(&r)
		if !ok {
			continue
		}
		if p, _ := m.segment(tree); p != nil {
			t.gofunc, t.gofuncVaddr = m.blob(p.Vaddr), p.Vaddr
			if !t.proveInlineTrees() {
				t.gofunc, t.gofuncVaddr = nil, 0
			}
		}
		return
	}
}

// proveInlineTrees reads the first entry of some trees and reports whether all
// make sense: their names begin where a name begins, and the calls lie inside
// their function.
func (t *Table) proveInlineTrees() bool {
	proofs := 0
	for i := range min(t.header.nfunc, gofuncTries) {
		r, err := t.record(i)
		if err != nil {
			return false
		}
		tree, _, ok := t.inlineTree(&r)
		if !ok {
			continue
		}
		call, err := t.inlinedCall(tree, 0)
		entry, end := t.Bounds(i)
		if err != nil || uint64(call.parentPC) >= end-entry || call.startLine < 0 || !t.nameBegins(call.nameoff) {
			return false
		}
		if proofs++; proofs == gofuncProofs {
			break
		}
	}
	return proofs > 0
}

// nameBegins reports whether a function name begins at an offset.
func (t *Table) nameBegins(off uint32) bool {
	if off == 0 || uint64(off) >= t.header.cutab-t.header.funcnames {
		return false
	}
	var before [2]byte
	err := t.blob.read(before[:], t.header.funcnames+uint64(off)-1)
	return err == nil && before[0] == 0 && before[1] != 0
}
