// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Subtypes of frames, as in support/ebpf/ruby.bpf.c.
const (
	frameISeq  = 1
	frameCFunc = 2
)

// noPosition stands for a position in a frame that is not known.
const noPosition = 1<<24 - 1

// mix is that of support/ebpf/ruby.bpf.c.
func mix(h, w uint64) uint64 {
	h = (h ^ w) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	var x libpf.Frame
	var err error
	switch f.Subtype {
	case frameISeq:
		x, err = i.sequence(f)
	case frameCFunc:
		x, err = i.cfunc(f)
	default:
		err = errObject
	}
	if err != nil {
		return out, stale(err)
	}
	x.Type = libpf.RubyFrame
	return append(out, x), nil
}

// sequence names a frame of Ruby code.
func (i *instance) sequence(f interpreter.Frame) (libpf.Frame, error) {
	var x libpf.Frame
	l := &i.lib.layout
	body, err := i.mem.Uint64(f.Addr + offISeqBody)
	if err != nil {
		return x, err
	}
	head, err := i.mem.Uint64(body)
	if err != nil {
		return x, err
	}
	place, err := i.mem.words(body+offLocation, 4) // path, base label, label, first line
	if err != nil {
		return x, err
	}
	first := place[3]
	if !l.wideLine {
		first &= 1<<32 - 1
	}
	h := mix(mix(mix(head, place[0]), place[2]), first)
	if h>>24 != f.W1&(1<<40-1) || h&0xffff != f.W2>>48 {
		return x, interpreter.ErrStale
	}
	if l.wideLine {
		first >>= 1 // a small integer is twice its value and one
	}
	label, err := i.mem.string(place[2])
	if err != nil {
		return x, err
	}
	kind := head & 0xffffffff
	named := body
	if kind == iseqEval {
		// It runs in a method's frame, as the backtraces say. What the compiler
		// called it depends on the version.
		if k, b, l, err := i.around(body); err == nil {
			kind, named, label = k, b, l
		}
	}
	x.FunctionName = i.qualify(label, kind, named, f.Addr, f.W2&(1<<48-1))
	x.SourceFile = i.path(place[0])
	line := first
	if position := f.W1 >> 40; position != noPosition {
		// The program counter is at the next instruction.
		if position > 0 {
			position--
		}
		if n := i.lineAt(body, position); n != 0 {
			line = n
		}
	}
	x.SourceLine = libpf.SourceLineno(line & 0xffffffff)
	return x, nil
}

// maxEvals bounds calls of eval within evaluated code.
const maxEvals = 8

// around returns kind, body and label of the sequence around an evaluated one.
func (i *instance) around(body uint64) (kind, outer uint64, label string, err error) {
	for range maxEvals {
		parent, err := i.mem.Uint64(body + i.lib.layout.local - 8)
		if err != nil {
			return 0, 0, "", err
		}
		if body, err = i.mem.Uint64(parent + offISeqBody); err != nil {
			return 0, 0, "", err
		}
		w, err := i.mem.Uint32(body)
		if err != nil {
			return 0, 0, "", err
		}
		if w == iseqEval {
			continue
		}
		v, err := i.mem.Uint64(body + offLabel)
		if err != nil {
			return 0, 0, "", err
		}
		label, err = i.mem.string(v)
		return uint64(w), body, label, err
	}
	return 0, 0, "", errObject
}

// path returns the file of a sequence: a path as given, or a pair of that and the
// absolute one.
func (i *instance) path(v uint64) string {
	if s, err := i.mem.string(v); err == nil {
		return s
	}
	for _, n := range []uint64{1, 0} {
		if e, err := i.mem.element(v, n); err == nil {
			if s, err := i.mem.string(e); err == nil {
				return s
			}
		}
	}
	return ""
}

// qualify puts the class of the method before its name, as Ruby does in
// backtraces from 3.4 on: "block in Foo#bar".
func (i *instance) qualify(label string, kind, body, iseq, me uint64) string {
	at := 0
	switch kind {
	case iseqMethod:
	case iseqBlock, iseqRescue, iseqEnsure, iseqEval, iseqPlain:
		n := strings.LastIndex(label, " in ")
		if n < 0 {
			return label
		}
		at = n + len(" in ")
	default:
		return label
	}
	bare := label[at:]
	if bare == "" || bare[0] == '<' || strings.ContainsAny(bare, "#.") {
		return label
	}
	if owner := i.ownerOf(body, iseq, me); owner != "" {
		return label[:at] + owner + bare
	}
	return label
}

// ownerOf returns the class of a method with the separator, if it is the method
// that the sequence belongs to.
func (i *instance) ownerOf(body, iseq, me uint64) string {
	if t, err := i.mem.imemo(me); err != nil {
		return ""
	} else if t == imemoSvar { // special variables come before the method
		if me, err = i.mem.Uint64(me + 8); err != nil {
			return ""
		}
	}
	if t, err := i.mem.imemo(me); err != nil || t != imemoMethod {
		return ""
	}
	w, err := i.mem.words(me, 5) // flags, class, definition, called id, owner
	if err != nil {
		return ""
	}
	kind, err := i.mem.Uint32(w[2])
	if err != nil {
		return ""
	}
	switch kind & methodMask {
	case methodISeq:
		local, err := i.mem.Uint64(body + i.lib.layout.local)
		if err != nil {
			return ""
		}
		is, err := i.mem.Uint64(w[2] + offDefISeq)
		if err != nil || is != iseq && is != local {
			return ""
		}
	case methodBMethod:
	default:
		return ""
	}
	return i.owner(w[4])
}

// cfunc names a frame of a method that is written in C.
func (i *instance) cfunc(f interpreter.Frame) (libpf.Frame, error) {
	var x libpf.Frame
	if t, err := i.mem.imemo(f.Addr); err != nil {
		return x, err
	} else if t != imemoMethod {
		return x, interpreter.ErrStale
	}
	w, err := i.mem.words(f.Addr, 5)
	if err != nil {
		return x, err
	}
	if mix(mix(mix(1, w[2]), w[3]), w[4]) != f.W1 {
		return x, interpreter.ErrStale
	}
	id, err := i.mem.Uint64(w[2] + offDefID)
	if err != nil {
		return x, err
	}
	method := i.symbol(id)
	if method == "" {
		method = i.symbol(w[3])
	}
	if method == "" {
		method = "(unnamed)"
	}
	x.FunctionName = i.owner(w[4]) + method
	return x, nil
}

// owner returns what comes before the name of a class's method: "Foo#" or, for
// methods of the class itself, "Foo.".
func (i *instance) owner(class uint64) string {
	name, single := i.class(class)
	switch {
	case name == "":
		return ""
	case single:
		return name + "."
	}
	return name + "#"
}
