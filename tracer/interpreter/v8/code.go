// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Bounds on the search for the head of compiled code.
const (
	maxCode       = 2 << 20 // bytes of instructions
	searchChunk   = 8 << 10
	maxCandidates = 256
)

// maxInlining is how deep functions may be inlined into each other; V8's limits
// are far below.
const maxInlining = 64

// code is a compiled function.
type code struct {
	object     uint64 // address of the Code object
	head       []byte // what is compared to know it again
	start, end uint64
	baseline   bool

	table     []byte // of positions; of baseline code: of bytecodes
	bytecode  uint64 // of baseline code
	shared    uint64 // the function's address, 0 for baseline code
	inlined   []inlining
	functions []uint64 // that were inlined: words, 0 where none was found
}

// inlining is a call that was replaced by what it called.
type inlining struct {
	at       position
	function int
}

// headSize is how much of a Code object is read.
func (p *instance) headSize() uint64 {
	return max(p.codeSize, p.codeFlags, p.codeStart, p.codePositions, p.codeDeopt) + pointerSize
}

// codeAt returns the compiled code that holds an address.
func (p *instance) codeAt(pc uint64) (*code, error) {
	i, found := slices.BinarySearchFunc(p.codes, pc, func(c *code, pc uint64) int {
		switch {
		case pc < c.start:
			return 1
		case pc >= c.end:
			return -1
		}
		return 0
	})
	if found {
		c := p.codes[i]
		b := make([]byte, len(c.head))
		if p.mem.Read(b, c.object) == nil && slices.Equal(b, c.head) {
			return c, nil
		}
		p.codes = slices.Delete(p.codes, i, i+1)
	}
	c, err := p.findCode(pc)
	if err != nil {
		return nil, err
	}
	p.readCode(c)
	p.keepCode(c)
	return c, nil
}

// keepCode adds code to those that are known and drops what it overlaps.
func (p *instance) keepCode(c *code) {
	if len(p.codes) >= maxCodes {
		p.codes = nil
	}
	p.codes = slices.DeleteFunc(p.codes, func(o *code) bool { return o.start < c.end && c.start < o.end })
	i, _ := slices.BinarySearchFunc(p.codes, c.start, func(o *code, at uint64) int {
		if o.start < at {
			return -1
		}
		return 1
	})
	p.codes = slices.Insert(p.codes, i, c)
}

// findCode looks for the head of the object whose instructions hold an address. A
// function's current code would be easier to find, but a frame runs what was
// current when it was entered, or what replaced a running loop. Instructions lie
// behind a head that begins with a pointer to the map of its type.
func (p *instance) findCode(pc uint64) (*code, error) {
	want := p.instructionStream
	if want == 0 {
		want = p.code
	}
	types := map[uint64]bool{}
	var buffer [searchChunk]byte
	// Heads are where the instructions behind them are aligned.
	for hi := pc &^ 7; hi > searchChunk && pc-hi < maxCode; {
		lo := (hi - 1) &^ (searchChunk - 1)
		b := buffer[:hi-lo]
		if err := p.mem.Read(b, lo); err != nil {
			return nil, err
		}
		for at := hi - 8; at >= lo; at -= 8 {
			w := binary.LittleEndian.Uint64(b[at-lo:])
			if !isObject(w) || (at+p.streamStart)&31 != 0 {
				continue
			}
			is, known := types[w]
			if !known {
				if len(types) >= maxCandidates {
					return nil, fmt.Errorf("%w: no head of code", errObject)
				}
				typ, err := p.mem.Uint16(w - 1 + p.mapType)
				is = err == nil && typ == want
				types[w] = is
			}
			if !is {
				continue
			}
			if c := p.codeOf(at); c != nil && pc >= c.start && pc < c.end {
				return c, nil
			}
		}
		hi = lo
	}
	return nil, fmt.Errorf("%w: no head of code", errObject)
}

// codeOf returns the code whose instructions are in the object at addr.
func (p *instance) codeOf(addr uint64) *code {
	object := addr
	if p.instructionStream != 0 {
		// The pointer to its Code is one of the first fields.
		words, err := p.words(addr, 4)
		if err != nil {
			return nil
		}
		object = 0
		for _, w := range words[1:] {
			if a, err := p.objectOf(w, p.code); err == nil {
				object = a
				break
			}
		}
		if object == 0 {
			return nil
		}
	}
	head, err := p.mem.Bytes(object, p.headSize(), 1024)
	if err != nil {
		return nil
	}
	c := &code{object: object, head: head, start: addr + p.streamStart}
	if p.instructionStream != 0 && binary.LittleEndian.Uint64(head[p.codeStart:]) != c.start {
		return nil
	}
	size := binary.LittleEndian.Uint32(head[p.codeSize:])
	if size > maxCode {
		return nil
	}
	c.end = c.start + uint64(size)
	kind := binary.LittleEndian.Uint32(head[p.codeFlags:]) & p.kindMask
	c.baseline = p.kindMask != 0 && kind == p.kindBaseline
	return c
}

// readCode reads what tells the source positions in c. What cannot be read is
// left out: the function's name is known without.
func (p *instance) readCode(c *code) {
	word := func(off uint64) uint64 { return binary.LittleEndian.Uint64(c.head[off:]) }
	c.table, _ = p.bytes(word(p.codePositions))
	deopt := word(p.codeDeopt)
	if c.baseline {
		c.bytecode, _ = p.bytecodeOf(deopt)
		return
	}
	d, err := p.array(deopt, max(p.deoptShared, p.deoptPositions)+1)
	if err != nil || len(d) <= max(p.deoptShared, p.deoptPositions) {
		return
	}
	c.shared, _ = p.sharedOf(d[p.deoptShared])
	n, ok := smi(d[p.deoptInlined])
	if !ok || n <= 0 || n > 1<<14 {
		return
	}
	table, err := p.bytes(d[p.deoptPositions])
	if err != nil {
		return
	}
	for ; len(table) >= 16; table = table[16:] {
		c.inlined = append(c.inlined, inlining{
			at:       position(binary.LittleEndian.Uint64(table)),
			function: int(int32(binary.LittleEndian.Uint32(table[8:]))), //nolint:gosec // an index or -1
		})
	}
	literals, _ := p.array(d[p.deoptLiterals], int(n))
	var protected []uint64
	if p.deoptProtected > 0 {
		protected, _ = p.array(d[p.deoptProtected], int(n))
	}
	c.functions = make([]uint64, n)
	for i := range c.functions {
		for _, list := range [][]uint64{literals, protected} {
			if i < len(list) && c.functions[i] == 0 {
				c.functions[i], _ = p.sharedOf(strong(list[i]))
			}
		}
	}
}

// sharedOf returns the address of a SharedFunctionInfo, or of the one that a
// wrapper points to.
func (p *instance) sharedOf(w uint64) (uint64, error) {
	addr, typ, err := p.object(w)
	if err != nil {
		return 0, err
	}
	if typ == p.sharedWrapper && p.sharedWrapper != 0 {
		if w, err = p.field(addr, wrapperShared); err != nil {
			return 0, err
		}
		return p.objectOf(w, p.shared)
	}
	if typ != p.shared {
		return 0, fmt.Errorf("%w: no function", errObject)
	}
	return addr, nil
}

// bytecodeOf returns the address of the bytecode that a word points to, maybe
// through an InterpreterData.
func (p *instance) bytecodeOf(w uint64) (uint64, error) {
	addr, typ, err := p.object(w)
	if err == nil && typ == p.interpreterData && typ != 0 {
		if w, err = p.field(addr, interpreterCode); err == nil {
			return p.objectOf(w, p.bytecodeArray)
		}
	}
	if err != nil {
		return 0, err
	}
	if typ != p.bytecodeArray {
		return 0, fmt.Errorf("%w: no bytecode", errObject)
	}
	return addr, nil
}

// bytecodePosition returns the position of an offset in the bytecode at addr.
func (p *instance) bytecodePosition(addr uint64, offset int64) (position, bool) {
	w, err := p.field(addr, p.bytecodePositions)
	if err != nil {
		return 0, false
	}
	table, err := p.bytes(w)
	if err != nil {
		return 0, false
	}
	n, err := p.bytecodeLength(addr)
	if err != nil {
		return 0, false
	}
	return p.findPosition(table, int64(n), offset)
}

// findPosition looks an offset up in a table of code of a size. Between the
// versions that are known the encoding is told by what fits.
func (p *instance) findPosition(table []byte, size, offset int64) (position, bool) {
	for i := range encodings {
		if e := (p.encoding + i) % encodings; e.fits(table, size) {
			return findPosition(table, e, offset)
		}
	}
	return 0, false
}

// sharedBytecode returns the address of a function's bytecode. In between may be
// data of the baseline compiler, whose fields differ from version to version.
func (p *instance) sharedBytecode(shared uint64) (uint64, error) {
	data, err := p.field(shared, sharedData)
	if err != nil {
		return 0, err
	}
	at, err := p.bytecodeOf(data)
	if err == nil || !isObject(data) {
		return at, err
	}
	fields, err := p.words(data-1, 3)
	if err != nil {
		return 0, err
	}
	for _, w := range fields[1:] {
		if at, err = p.bytecodeOf(w); err == nil {
			break
		}
	}
	return at, err
}

// baselinePosition returns the position of an offset in baseline code of a function.
func (p *instance) baselinePosition(c *code, shared, pc uint64) (position, bool) {
	if c.bytecode == 0 {
		// Before V8 10 the code does not say.
		at, err := p.sharedBytecode(shared)
		if err != nil {
			return 0, false
		}
		c.bytecode = at
	}
	n, err := p.bytecodeLength(c.bytecode)
	if err != nil {
		return 0, false
	}
	body, err := p.mem.Bytes(c.bytecode+p.bytecodeData, uint64(n), maxArray) //nolint:gosec // not negative
	if err != nil {
		return 0, false
	}
	offset, ok := findBytecode(c.table, body, &p.sizes, pc)
	if !ok {
		return 0, false
	}
	return p.bytecodePosition(c.bytecode, offset)
}
