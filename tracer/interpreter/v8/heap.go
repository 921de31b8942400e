// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// Bounds on what is read of a process.
const (
	maxArray      = 8 << 20 // bytes of a fixed array
	maxName       = 1024    // characters of a name
	maxSource     = 64 << 20
	maxShapes     = 64 // strings that a string may be made of, for a name
	sourceChunk   = 64 << 10
	maxRopeShapes = 1 << 16 // the same for a source
)

// errObject reports that something is not the kind of object that was expected.
var errObject = errors.New("not the object that was expected")

// heap reads objects of V8.
type heap struct {
	*layout
	mem process.Memory
}

// isObject reports whether a word is a strong pointer to an object. Addresses have up to
// 48 bits, on arm64.
func isObject(w uint64) bool { return w&3 == 1 && w > 4096 && w>>48 == 0 }

// strong makes a strong pointer of one that may be weak.
func strong(w uint64) uint64 { return w &^ 2 }

// smi returns the value of a small integer.
func smi(w uint64) (int32, bool) { return int32(w >> 32), w&0xffffffff == 0 } //nolint:gosec // the upper half

// object returns the address and the type of what a word points to.
func (h *heap) object(w uint64) (addr uint64, typ uint16, err error) {
	if !isObject(w) {
		return 0, 0, fmt.Errorf("%w: no pointer", errObject)
	}
	m, err := h.mem.Uint64(w - 1)
	if err != nil {
		return 0, 0, err
	}
	if !isObject(m) {
		return 0, 0, fmt.Errorf("%w: no map", errObject)
	}
	typ, err = h.mem.Uint16(m - 1 + h.mapType)
	return w - 1, typ, err
}

// objectOf returns the address of an object of one of some types.
func (h *heap) objectOf(w uint64, types ...uint16) (uint64, error) {
	addr, typ, err := h.object(w)
	if err != nil {
		return 0, err
	}
	for _, t := range types {
		if typ == t && t != 0 {
			return addr, nil
		}
	}
	return 0, fmt.Errorf("%w: type is %d", errObject, typ)
}

// field reads a word of the object at addr.
func (h *heap) field(addr, off uint64) (uint64, error) { return h.mem.Uint64(addr + off) }

// words reads n words.
func (h *heap) words(addr uint64, n int) ([]uint64, error) {
	b, err := h.mem.Bytes(addr, uint64(n)*pointerSize, maxArray) //nolint:gosec // n is bounded by the callers
	if err != nil {
		return nil, err
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(b[i*pointerSize:])
	}
	return out, nil
}

// length reads how many elements an array has.
func (h *heap) length(addr uint64) (int, error) {
	w, err := h.field(addr, arrayLength)
	if err != nil {
		return 0, err
	}
	if h.plainLengths {
		w <<= 32 // the upper half is not used
	}
	return lengthOf(w)
}

// bytecodeLength does the same for bytecode, whose length is a small integer in
// all versions.
func (h *heap) bytecodeLength(addr uint64) (int, error) {
	w, err := h.field(addr, arrayLength)
	if err != nil {
		return 0, err
	}
	return lengthOf(w)
}

func lengthOf(w uint64) (int, error) {
	n, ok := smi(w)
	if !ok || n < 0 || n > maxArray {
		return 0, fmt.Errorf("%w: length of an array", errObject)
	}
	return int(n), nil
}

// array reads at most limit elements of a fixed array of pointers. Its type is
// for the caller to know: there are many kinds, alike in layout.
func (h *heap) array(w uint64, limit int) ([]uint64, error) {
	if !isObject(w) {
		return nil, fmt.Errorf("%w: no array", errObject)
	}
	n, err := h.length(w - 1)
	if err != nil {
		return nil, err
	}
	return h.words(w-1+arrayData, min(n, limit, maxArray/pointerSize))
}

// bytes reads an array of bytes.
func (h *heap) bytes(w uint64) ([]byte, error) {
	addr, err := h.objectOf(w, h.byteArray, h.trustedByteArray)
	if err != nil {
		return nil, err
	}
	n, err := h.length(addr)
	if err != nil {
		return nil, err
	}
	return h.mem.Bytes(addr+arrayData, uint64(n), maxArray) //nolint:gosec // not negative
}

// isString reports whether a type is that of a string.
func (h *heap) isString(typ uint16) bool { return typ < h.firstNonString }

// stringPart is a piece of a string that lies in one place.
type stringPart struct {
	at      uint64
	chars   uint64
	oneByte bool
}

// parts finds the pieces of a string, in order, at most max of them.
func (h *heap) parts(w uint64, limit int) ([]stringPart, error) {
	var out []stringPart
	type todo struct{ w, skip, chars uint64 }
	stack := []todo{{w, 0, maxSource}}
	for steps := 0; len(stack) > 0; steps++ {
		if steps > 2*limit {
			return nil, fmt.Errorf("%w: string in too many parts", errObject)
		}
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		addr, typ, err := h.object(t.w)
		if err != nil {
			return nil, err
		}
		if !h.isString(typ) {
			return nil, fmt.Errorf("%w: no string", errObject)
		}
		n32, err := h.mem.Uint32(addr + stringLength)
		if err != nil {
			return nil, err
		}
		n := uint64(n32)
		if t.skip > n {
			return nil, fmt.Errorf("%w: part of a string outside of it", errObject)
		}
		oneByte := typ&stringOneByte != 0
		part := stringPart{chars: min(n-t.skip, t.chars), oneByte: oneByte}
		width := uint64(2)
		if oneByte {
			width = 1
		}
		switch typ & stringShape {
		case shapeSeq:
			part.at = addr + stringData + t.skip*width
			out = append(out, part)
		case shapeExternal:
			if typ&stringUncached != 0 {
				return nil, fmt.Errorf("%w: string without address", errObject)
			}
			data, err := h.field(addr, externalData)
			if err != nil {
				return nil, err
			}
			part.at = data + t.skip*width
			out = append(out, part)
		case shapeThin:
			actual, err := h.field(addr, thinActual)
			if err != nil {
				return nil, err
			}
			stack = append(stack, todo{actual, t.skip, part.chars})
		case shapeSliced:
			two, err := h.words(addr+slicedParent, 2)
			if err != nil {
				return nil, err
			}
			off, ok := smi(two[1])
			if !ok || off < 0 {
				return nil, fmt.Errorf("%w: slice of a string", errObject)
			}
			stack = append(stack, todo{two[0], uint64(off) + t.skip, part.chars})
		case shapeCons:
			if t.skip != 0 || t.chars != maxSource { // V8 flattens what it slices
				return nil, fmt.Errorf("%w: slice of a string", errObject)
			}
			two, err := h.words(addr+consFirst, 2)
			if err != nil {
				return nil, err
			}
			stack = append(stack, todo{two[1], 0, maxSource}, todo{two[0], 0, maxSource})
		default:
			return nil, fmt.Errorf("%w: shape of a string", errObject)
		}
		if len(stack) > limit {
			return nil, fmt.Errorf("%w: string in too many parts", errObject)
		}
	}
	return out, nil
}

// text reads a short string, cleaned and cut at [maxName] characters.
func (h *heap) text(w uint64) (string, error) {
	parts, err := h.parts(w, maxShapes)
	if err != nil {
		return "", err
	}
	var out []byte
	left := uint64(maxName)
	for _, p := range parts {
		n := min(p.chars, left)
		left -= n
		if out, err = h.appendChars(out, p, n); err != nil {
			return "", err
		}
	}
	return process.Clean(out), nil
}

// appendChars appends n characters of a part as UTF-8.
func (h *heap) appendChars(out []byte, p stringPart, n uint64) ([]byte, error) {
	if n == 0 {
		return out, nil
	}
	if p.oneByte {
		b, err := h.mem.Bytes(p.at, n, maxName)
		if err != nil {
			return nil, err
		}
		for _, c := range b { // Latin-1
			out = utf8.AppendRune(out, rune(c))
		}
		return out, nil
	}
	b, err := h.mem.Bytes(p.at, 2*n, 2*maxName)
	if err != nil {
		return nil, err
	}
	u := make([]uint16, n)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return append(out, strings.ToValidUTF8(string(utf16.Decode(u)), "?")...), nil
}
