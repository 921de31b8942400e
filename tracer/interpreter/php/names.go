// SPDX-License-Identifier: Apache-2.0

package php

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// nameKey is what the names of a frame depend on: all of it but the line.
type nameKey struct {
	kind         uint8
	addr, w1, w2 uint64
}

// names are those of a function.
type names struct {
	function, file string
	start          uint32
}

var errKind = errors.New("frame of an unknown kind")

// Offsets in zend_function, zend_class_entry and zend_string that no version changed.
const (
	functionName  = 8
	functionScope = 16
	className     = 8
	stringHash    = 8
	stringText    = 24
	internal      = 1 // zend_function.type of what is written in C
	maxString     = 1024
)

// mix is mix() of php.bpf.c.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// text is a zend_string: what the kernel side mixes into its cookie, and the
// place of the bytes.
type text struct{ hash, length, at uint64 }

func (i *instance) text(addr uint64) (t text, err error) {
	if addr == 0 {
		return t, nil
	}
	var b [16]byte
	if err := i.memory.Read(b[:], addr+stringHash); err != nil {
		return t, err
	}
	return text{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:]), addr + stringText}, nil
}

func (t text) mix(h uint64) uint64 { return mix(mix(h, t.hash), t.length) }

// read returns the bytes, cleaned and cut.
func (t text) read(mem process.Memory) (string, error) {
	if t.at == 0 {
		return "", nil
	}
	b, err := mem.Bytes(t.at, min(t.length, maxString), maxString)
	if err != nil {
		return "", err
	}
	return process.Clean(b), nil
}

// read reads the names of a function and verifies that it still is the one that
// the kernel side saw.
func (i *instance) read(key nameKey) (names, error) {
	if key.kind&kindParts != 0 {
		return i.readParts(key)
	}
	var b [24]byte
	if err := i.memory.Read(b[:], key.addr); err != nil {
		return names{}, fmt.Errorf("read function: %w", err)
	}
	if (b[0] == internal) != (key.kind == kindInternal) {
		return names{}, interpreter.ErrStale
	}
	name, err := i.text(binary.LittleEndian.Uint64(b[functionName:]))
	if err != nil {
		return names{}, fmt.Errorf("read function's name: %w", err)
	}
	cookie := name.mix(1)
	class, cookie, err := i.class(binary.LittleEndian.Uint64(b[functionScope:]), cookie)
	if err != nil {
		return names{}, err
	}
	var file text
	var lines uint64
	if key.kind != kindInternal {
		var l [16]byte
		if err := i.memory.Read(l[:], key.addr+uint64(i.layout.filename)); err != nil {
			return names{}, fmt.Errorf("read function's file: %w", err)
		}
		if file, err = i.text(binary.LittleEndian.Uint64(l[:])); err != nil {
			return names{}, fmt.Errorf("read file's name: %w", err)
		}
		lines = binary.LittleEndian.Uint64(l[8:])
		cookie = mix(file.mix(cookie), lines)
	}
	if cookie != key.w2 {
		return names{}, interpreter.ErrStale
	}
	return i.assemble(name, class, file, uint32(lines)) //nolint:gosec // the lower half
}

// class returns the name of a class, and the cookie with it mixed in.
func (i *instance) class(addr, cookie uint64) (text, uint64, error) {
	if addr == 0 {
		return text{}, cookie, nil
	}
	at, err := i.memory.Uint64(addr + className)
	if err != nil {
		return text{}, 0, fmt.Errorf("read class: %w", err)
	}
	t, err := i.text(at)
	if err != nil {
		return text{}, 0, fmt.Errorf("read class's name: %w", err)
	}
	return t, t.mix(cookie), nil
}

// readParts names what may be gone by now, by its file, its name and its class:
// a closure went with its object, the code of an included file when it was done. The engine
// remembers what it has included.
func (i *instance) readParts(key nameKey) (names, error) {
	file, fileErr := i.text(key.addr) // the code of a file may have taken its copy with it
	name, err := i.text(unpackPointer(key.w1))
	if err != nil {
		return names{}, fmt.Errorf("read function's name: %w", err)
	}
	class, cookie, err := i.class(unpackPointer(key.w2), name.mix(1))
	if err != nil {
		return names{}, err
	}
	if fileErr != nil || (file.mix(cookie)^key.w2)&packedMask != 0 {
		known := false
		if name.at == 0 {
			file, known = i.findIncluded(cookie, key.w2)
		}
		switch {
		case known:
		case fileErr != nil:
			return names{}, fmt.Errorf("read file's name: %w", fileErr)
		default:
			return names{}, interpreter.ErrStale
		}
	}
	n, err := i.assemble(name, class, file, 0)
	if err == nil && n.function == mainCode && key.kind&kindNested != 0 {
		n.function = includedCode
	}
	return n, err
}

// packedMask and unpackPointer undo pack_pointer() of php.bpf.c.
const packedMask = 0x7ffff

func unpackPointer(w uint64) uint64 { return w >> 16 &^ 7 }

// assemble makes the names that people know. Code outside of functions has none:
// it is the main program or a file that was included.
func (i *instance) assemble(name, class, file text, start uint32) (n names, err error) {
	n.start = start
	if n.file, err = file.read(i.memory); err != nil {
		return n, fmt.Errorf("read file's name: %w", err)
	}
	if n.function, err = name.read(i.memory); err != nil {
		return n, fmt.Errorf("read function's name: %w", err)
	}
	c, err := class.read(i.memory)
	if err != nil {
		return n, fmt.Errorf("read class's name: %w", err)
	}
	switch {
	case n.function == "":
		n.function = mainCode
	case c == "" || strings.HasPrefix(n.function, longClosure):
		// A closure is named after the method that it is in from 8.4 on.
	default:
		n.function = shortClass(c) + "::" + n.function
	}
	return n, nil
}

const (
	mainCode     = "{main}"
	includedCode = "{include}"
	longClosure  = "{closure:"
)

// shortClass cuts what PHP puts behind the name of an anonymous class, to tell it
// from others: a zero byte, cleaned to a question mark, and where it is.
func shortClass(c string) string {
	if k := strings.Index(c, "@anonymous"); k >= 0 {
		return c[:k+len("@anonymous")]
	}
	return c
}
