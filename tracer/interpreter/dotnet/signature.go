// SPDX-License-Identifier: Apache-2.0

package dotnet

import "strconv"

// signature reads the compressed form of types: ECMA-335 II.23.2, with what
// ahead-of-time compilation adds to it.
type signature struct {
	b    []byte
	at   int
	bad  bool
	meta *metadata // that tokens are rows of; nil: of an assembly that is not known
}

func (s *signature) byte() byte {
	if s.at >= len(s.b) {
		s.bad = true
		return 0
	}
	s.at++
	return s.b[s.at-1]
}

// number reads an unsigned number of 1, 2 or 4 bytes.
func (s *signature) number() uint32 {
	c := uint32(s.byte())
	switch {
	case c&0x80 == 0:
		return c
	case c&0x40 == 0:
		return c&0x3f<<8 | uint32(s.byte())
	case c&0x20 == 0:
		c = c&0x1f<<8 | uint32(s.byte())
		c = c<<8 | uint32(s.byte())
		return c<<8 | uint32(s.byte())
	}
	s.bad = true
	return 0
}

// Kinds of types: ELEMENT_TYPE of ECMA-335 II.23.1.16 and of src/coreclr/inc/cor.h.
const (
	elementPointer      = 0x0f
	elementReference    = 0x10
	elementValueType    = 0x11
	elementClass        = 0x12
	elementVariable     = 0x13
	elementArray        = 0x14
	elementGeneric      = 0x15
	elementFunction     = 0x1b
	elementSimpleArray  = 0x1d
	elementMethodVar    = 0x1e
	elementRequired     = 0x1f
	elementOptional     = 0x20
	elementVariableZap  = 0x3b
	elementNative       = 0x3d
	elementCanonical    = 0x3e
	elementOtherModule  = 0x3f
	elementPinned       = 0x45
	maxSignatureDepth   = 16
	maxSignatureNumbers = 64
)

var elementNames = map[byte]string{
	0x01: "void", 0x02: "bool", 0x03: "char", 0x04: "sbyte", 0x05: "byte", 0x06: "short", 0x07: "ushort", 0x08: "int",
	0x09: "uint", 0x0a: "long", 0x0b: "ulong", 0x0c: "float", 0x0d: "double", 0x0e: "string", 0x16: "System.TypedReference",
	0x18: "nint", 0x19: "nuint", 0x1c: "object", elementCanonical: canonical,
}

// canonical stands for all reference types, which share compiled code.
const canonical = "System.__Canon"

// unknownType is the name of a type that is described in another assembly.
const unknownType = "?"

// typ reads a type and returns its name.
func (s *signature) typ(depth int) string {
	if depth > maxSignatureDepth {
		s.bad = true
	}
	if s.bad {
		return unknownType
	}
	kind := s.byte()
	if name, ok := elementNames[kind]; ok {
		return name
	}
	switch kind {
	case elementPointer:
		return s.typ(depth+1) + "*"
	case elementReference:
		return s.typ(depth+1) + "&"
	case elementClass, elementValueType:
		return s.token(depth)
	case elementVariable, elementVariableZap:
		return "T" + strconv.FormatUint(uint64(s.number()), 10)
	case elementMethodVar:
		return "M" + strconv.FormatUint(uint64(s.number()), 10)
	case elementSimpleArray:
		return s.typ(depth+1) + "[]"
	case elementArray:
		return s.array(depth)
	case elementGeneric:
		return s.generic(depth)
	case elementRequired, elementOptional:
		s.number()
		return s.typ(depth + 1)
	case elementNative, elementPinned:
		return s.typ(depth + 1)
	case elementFunction:
		return s.function(depth)
	case elementOtherModule:
		s.number()
		outer := s.meta
		s.meta = nil
		name := s.typ(depth + 1)
		s.meta = outer
		return name
	}
	s.bad = true
	return unknownType
}

func (s *signature) token(depth int) string {
	coded := s.number()
	if s.bad || s.meta == nil {
		return unknownType
	}
	name, err := s.meta.token(coded, depth)
	if err != nil {
		return unknownType
	}
	if k, ok := keywords[name]; ok {
		return k
	}
	return name
}

func (s *signature) generic(depth int) string {
	s.typeKind()
	name := s.token(depth)
	return instantiate(name, s.list(depth))
}

// typeKind skips what says whether a generic type is a class, which may be in
// another module.
func (s *signature) typeKind() {
	if s.byte() == elementOtherModule {
		s.number()
		s.byte()
		s.meta = nil
	}
}

// list reads a number and as many types.
func (s *signature) list(depth int) []string {
	n := s.number()
	if n > maxSignatureNumbers {
		s.bad = true
	}
	var out []string
	for range n {
		if s.bad {
			break
		}
		out = append(out, s.typ(depth+1))
	}
	return out
}

func (s *signature) array(depth int) string {
	name := s.typ(depth+1) + "["
	rank := s.number()
	for range 2 { // sizes and lower bounds
		n := s.number()
		if n > maxSignatureNumbers {
			s.bad = true
		}
		for range n {
			if s.bad {
				return unknownType
			}
			s.number()
		}
	}
	for i := uint32(1); i < min(rank, 32); i++ {
		name += ","
	}
	return name + "]"
}

func (s *signature) function(depth int) string {
	s.byte()
	n := s.number()
	if n > maxSignatureNumbers {
		s.bad = true
	}
	name := s.typ(depth+1) + "("
	for i := range n {
		if s.bad {
			break
		}
		if i > 0 {
			name += ", "
		}
		name += s.typ(depth + 1)
	}
	return name + ")*"
}
