// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// anonymous is how developer tools show a function without a name, and the body
// of a script.
const anonymous = "(anonymous)"

// function is a SharedFunctionInfo: what all closures of a function share.
type function struct {
	check  uint32
	name   string
	start  int // place in the script, -1 when unknown
	script *script
}

// fold is that of the kernel side.
func fold(a, b uint64) uint32 {
	x := (a ^ 0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	x = (x ^ x>>32 ^ b) * 0xc4ceb9fe1a85ec53
	return uint32(x >> 32) //nolint:gosec // folding
}

// function returns the function at addr. check is what it must have, unless it
// is 0.
func (p *instance) function(addr uint64, check uint32) (*function, error) {
	name, err := p.field(addr, p.sharedName)
	if err != nil {
		return nil, err
	}
	where, err := p.field(addr, p.sharedScript)
	if err != nil {
		return nil, err
	}
	now := fold(name, where)
	if check != 0 && check != now {
		return nil, interpreter.ErrStale
	}
	if f := p.functions[addr]; f != nil && f.check == now {
		return f, nil
	}
	if _, err := p.objectOf(addr+1, p.shared); err != nil {
		return nil, fmt.Errorf("%w: %w", interpreter.ErrStale, err)
	}
	f := &function{check: now, start: -1}
	_, typ, err := p.object(name)
	switch {
	case err != nil: // a small integer: no name, or not compiled yet
	case p.isString(typ):
		f.name, _ = p.text(name)
	case typ == p.scopeInfo:
		f.name, f.start = p.readScope(name - 1)
	}
	f.script = p.scriptOf(where)
	if f.name == "" && f.script != nil && f.start > 0 {
		f.name = p.assignedName(f.script.id[0], f.start)
	}
	if f.name == "" {
		f.name = anonymous
		if f.script == nil {
			f.name = "(builtin)"
		}
	}
	if len(p.functions) >= maxFunctions {
		clear(p.functions)
	}
	p.functions[addr] = f
	return f, nil
}

// maxBefore is how much of the source in front of a function is looked at.
const maxBefore = 160

// assignment is the text in front of a function that is assigned to something, up
// to where V8 says that the function starts: at its parameters.
var assignment = regexp.MustCompile(`([A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)(?:\[['"]([^'"]+)['"]\])?\s*[=:]\s*(?:async\s*)?(?:function\s*\*?\s*)?$`)

// assignedName returns the name of what an anonymous function is assigned to, as
// V8 itself inferred it up to version 11: A.b for A.prototype.b = function () {}.
func (p *instance) assignedName(source uint64, start int) string {
	parts, err := p.parts(source, maxShapes)
	if err != nil {
		return ""
	}
	n := uint64(min(start, maxBefore)) //nolint:gosec // the caller asked that start is positive
	skip := uint64(start) - n          //nolint:gosec // start is positive
	var text []byte
	for _, part := range parts {
		if skip >= part.chars {
			skip -= part.chars
			continue
		}
		width := uint64(2)
		if part.oneByte {
			width = 1
		}
		part.at += skip * width
		take := min(part.chars-skip, n)
		if text, err = p.appendChars(text, part, take); err != nil {
			return ""
		}
		n -= take
		skip = 0
		if n == 0 {
			break
		}
	}
	m := assignment.FindSubmatch(text)
	if m == nil {
		return ""
	}
	name := strings.ReplaceAll(process.Clean(m[1]), ".prototype.", ".")
	if len(m[2]) > 0 {
		name += "." + process.Clean(m[2])
	}
	return name
}

// maxScopeSlots bounds how much of a ScopeInfo is read behind its variables.
const maxScopeSlots = 8

// maxInlineNames is how many variables' names a ScopeInfo holds itself; more are
// in a table of their own (since V8 9.x).
const maxInlineNames = 75

// readScope reads a function's name and where it starts from its ScopeInfo. Behind
// the variables come, each of them in some functions only: a number, the name (0
// if there is none) and its variable, the name that was inferred from what the
// function was assigned to, and, in older versions, start and end.
func (p *instance) readScope(addr uint64) (name string, start int) {
	start = -1
	slots := addr + p.scopeInfoSlots
	head, err := p.words(slots, p.scopeInfoVars)
	if err != nil || len(head) <= sharedVariables {
		return "", start
	}
	if p.scopeInfoStart > 0 {
		if n, ok := smi(head[p.scopeInfoStart]); ok {
			start = int(n)
		}
	}
	n, ok := smi(head[sharedVariables])
	if !ok || n < 0 || n > 1<<16 {
		return "", start
	}
	skip := 2 * uint64(n)
	if n >= maxInlineNames && !p.version.less(9, 6, 0) {
		skip = uint64(n) + 1
	}
	rest, err := p.words(slots+(uint64(p.scopeInfoVars)+skip)*pointerSize, maxScopeSlots) //nolint:gosec // small
	if err != nil {
		return "", start
	}
	names, numbers := p.scopeNames(rest)
	if start < 0 && numbers[0] >= 0 && numbers[0] < numbers[1] {
		start = int(numbers[0])
	}
	for _, w := range names {
		if text, err := p.text(w); err == nil && text != "" {
			return text, start
		}
	}
	return "", start
}

// scopeNames tells what is in the slots behind the variables. names are the
// function's own and the inferred one, in this order.
func (p *instance) scopeNames(slots []uint64) (names []uint64, position [2]int32) {
	kinds := make([]byte, 0, maxScopeSlots+8)
	for _, w := range slots {
		kind := byte('?')
		if _, ok := smi(w); ok {
			kind = 'i'
		} else if _, typ, err := p.object(w); err == nil && p.isString(typ) {
			kind = 's'
		}
		kinds = append(kinds, kind)
	}
	kinds = append(kinds, "????????"...)
	at := -1
	for base := range 2 {
		// The name or 0, its variable, the inferred name or undefined.
		k := kinds[base:]
		if k[1] == 'i' && k[2] != 'i' && (k[0] == 's' || k[0] == 'i' && slots[base] == 0) {
			for _, i := range []int{base, base + 2} {
				if kinds[i] == 's' {
					names = append(names, slots[i])
				}
			}
			at = base + 3
			break
		}
	}
	if at < 0 {
		// Not a function's: the body of a script.
		for at = 0; kinds[at] == 'i' || kinds[at] == 's'; at++ {
			if kinds[at] == 's' {
				names = append(names, slots[at])
			}
		}
		at -= 2
	}
	if at >= 0 && kinds[at] == 'i' && kinds[at+1] == 'i' {
		position[0], _ = smi(slots[at])
		position[1], _ = smi(slots[at+1])
	}
	return names, position
}

// script is a source file.
type script struct {
	id   [3]uint64 // what tells it from another at the same address
	name string
	line int      // added to every line
	ends []uint32 // where lines end
}

// scriptOf returns the script that a function's field points to, nil if there is
// none: V8's own functions have no source.
func (p *instance) scriptOf(w uint64) *script {
	addr, typ, err := p.object(w)
	if err != nil {
		return nil
	}
	if typ != p.heap.script {
		// In older versions a debugger's data may be in between; its script is one
		// of the first fields.
		two, err := p.words(addr+pointerSize, 3)
		if err != nil {
			return nil
		}
		addr = 0
		for _, w := range two {
			if a, err := p.objectOf(w, p.heap.script); err == nil {
				addr = a
			}
		}
		if addr == 0 {
			return nil
		}
	}
	return p.readScript(addr)
}

func (p *instance) readScript(addr uint64) *script {
	head, err := p.words(addr, scriptLineEnds/pointerSize+1)
	if err != nil {
		return nil
	}
	id := [3]uint64{head[scriptSource/pointerSize], head[scriptName/pointerSize], head[scriptLine/pointerSize]}
	if s := p.scripts[addr]; s != nil && s.id == id {
		return s
	}
	s := &script{id: id}
	if _, typ, err := p.object(id[1]); err == nil && p.isString(typ) {
		s.name, _ = p.text(id[1])
		// Modules are known by a URL.
		s.name = strings.TrimPrefix(s.name, "file://")
	}
	if n, ok := smi(id[2]); ok && n > 0 {
		s.line = int(n)
	}
	s.ends = p.readLines(head[scriptLineEnds/pointerSize], id[0])
	p.keepScript(addr, s)
	return s
}

// keepScript keeps scripts while their lines are not too many.
func (p *instance) keepScript(addr uint64, s *script) {
	if p.lines+len(s.ends) > maxLines || len(p.scripts) >= maxScripts {
		clear(p.scripts)
		p.lines = 0
	}
	if old := p.scripts[addr]; old != nil {
		p.lines -= len(old.ends)
	}
	p.scripts[addr] = s
	p.lines += len(s.ends)
}

// readLines returns where a script's lines end: V8's list if it has made one,
// which it does when it first needs it, or the result of looking for them.
func (p *instance) readLines(ends, source uint64) []uint32 {
	if addr, err := p.objectOf(ends, p.fixedArray); err == nil {
		if n, err := p.length(addr); err == nil && n > 0 && n <= maxArray/pointerSize {
			if list, err := p.words(addr+arrayData, n); err == nil {
				out := make([]uint32, n)
				for i, w := range list {
					v, _ := smi(w)
					out[i] = uint32(v) //nolint:gosec // an offset
				}
				return out
			}
		}
	}
	parts, err := p.parts(source, maxRopeShapes)
	if err != nil {
		return nil
	}
	var f lineFinder
	for _, part := range parts {
		if !p.findLines(&f, part) {
			return nil
		}
	}
	return append(f.ends, f.at)
}

// lineFinder looks for the ends of lines in characters that come in pieces.
type lineFinder struct {
	ends []uint32
	at   uint32
	last uint16
}

func (f *lineFinder) add(c uint16) {
	switch {
	case c == '\n' && f.last == '\r':
		f.ends[len(f.ends)-1] = f.at // the two are one end
	case c == '\n', c == '\r', c == 0x2028, c == 0x2029:
		f.ends = append(f.ends, f.at)
	}
	f.last = c
	f.at++
}

func (p *instance) findLines(f *lineFinder, part stringPart) bool {
	width := uint64(2)
	if part.oneByte {
		width = 1
	}
	for left, at := part.chars, part.at; left > 0; {
		n := min(left, sourceChunk/width)
		if uint64(f.at)+n > maxSource {
			return false
		}
		b := p.buffer[:n*width]
		if p.mem.Read(b, at) != nil {
			return false
		}
		for i := uint64(0); i < uint64(len(b)); i += width {
			c := uint16(b[i])
			if width == 2 {
				c |= uint16(b[i+1]) << 8
			}
			f.add(c)
		}
		if len(f.ends) > maxLines {
			return false
		}
		at += n * width
		left -= n
	}
	return true
}
