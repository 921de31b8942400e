// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"errors"
	"fmt"
)

// layout says where things are in the runtime's structures. Offsets are in bytes.
type layout struct {
	// list is set where the sections of code are a list: before .NET 8.
	list    bool
	section struct{ begin, end, next, flags, heap, module, ranges uint16 }
	// rangeKind is the kind of stub in a list of ranges, 0 when unknown.
	rangeKind uint16
	heap      struct{ base, nibbles uint16 }
	code      struct{ method, functions uint16 }
	method    struct {
		tokenBits                  uint
		name                       uint16 // of a dynamic method
		instance, instanceArgCount uint16 // of a generic method
	}
	module struct {
		base       uint16 // of its image; 0: only a pointer to its name is known
		simpleName uint16
	}
	// tokenInFlags is set where a type's token is in the upper 24 bits of its
	// second word of flags, since .NET 9.
	tokenInFlags bool
	// loaderModule is set where a type tells only who loaded it, before .NET 9: that
	// is another module for some generic types.
	loaderModule bool
	// slotBytes is the size of an entry of the debugger's table: 4 where it holds
	// addresses relative to the library, in .NET 6.
	slotBytes uint64
}

// Offsets that are the same in .NET 6 to 10.
const (
	chunkHeader      = 24 // of a chunk of method descriptors; its type is at 0
	chunkTokenRange  = 18
	methodAlignment  = 8
	typeFlags        = 0
	typeFlags2       = 8
	typeToken        = 10 // 16 bits, before .NET 9
	typeModule       = 24
	typeCanonical    = 40
	typeInstance     = 48 // type arguments; of an array: its element
	dictionaryHeader = 8  // before a type's dictionaries: at 4 their number, at 6 that of type arguments
)

// errLayout reports a version whose structures are not known.
var errLayout = errors.New("layout of this version is not known")

// layoutOf returns what is known of a version without its own description. The
// numbers follow from src/coreclr/vm of the version: codeman.h (RangeSection,
// HeapList, RealCodeHeader), method.hpp (MethodDesc and its descendants) and
// ceeload.h (Module). .NET 9 describes a part of them itself.
func layoutOf(major int) (*layout, error) {
	l := &layout{slotBytes: 8}
	l.section.begin, l.section.end = 0, 8
	l.heap.base, l.heap.nibbles = 32, 40
	l.code.method, l.code.functions = 24, 32
	l.method.tokenBits = 12
	switch major {
	case 6, 7:
		l.list = true
		l.section.next, l.section.flags, l.section.heap, l.section.module = 24, 40, 48, 48
	case 8, 9, 10:
		l.section.flags, l.section.module, l.section.heap, l.section.ranges = 16, 32, 40, 48
		l.rangeKind = 288
	default:
		return nil, errLayout
	}
	if major <= 8 {
		l.loaderModule = true
		l.method.name, l.method.instance, l.method.instanceArgCount = 24, 16, 26
	} else {
		l.tokenInFlags = true
		l.method.name, l.method.instance, l.method.instanceArgCount = 32, 24, 34
	}
	switch major {
	case 6:
		l.slotBytes = 4
		l.method.tokenBits = 14
		l.module.simpleName = 8
	case 7:
		l.method.tokenBits = 13
		l.module.simpleName = 0x100
	case 8:
		l.module.simpleName = 0x108
	case 9:
		l.module.base = 288
	case 10:
		l.module.base = 224
	}
	return l, nil
}

// describe replaces what the runtime's own description says.
func (l *layout) describe(d *description) error {
	set := func(to *uint16, typ, field string) {
		if v, ok := d.offset(typ, field); ok {
			*to = v
		}
	}
	set(&l.section.begin, "RangeSection", "RangeBegin")
	set(&l.section.end, "RangeSection", "RangeEndOpen")
	set(&l.section.flags, "RangeSection", "Flags")
	set(&l.section.heap, "RangeSection", "HeapList")
	set(&l.section.module, "RangeSection", "R2RModule")
	set(&l.heap.base, "CodeHeapListNode", "MapBase")
	set(&l.heap.nibbles, "CodeHeapListNode", "HeaderMap")
	set(&l.code.method, "RealCodeHeader", "MethodDesc")
	set(&l.code.functions, "RealCodeHeader", "NumUnwindInfos")
	set(&l.method.name, "DynamicMethodDesc", "MethodName")
	set(&l.method.instance, "InstantiatedMethodDesc", "PerInstInfo")
	set(&l.method.instanceArgCount, "InstantiatedMethodDesc", "NumGenericArgs")
	set(&l.module.base, "Module", "Base")
	if bits, ok := d.number("MethodDescTokenRemainderBitCount"); ok && bits > 0 && bits < 24 {
		l.method.tokenBits = uint(bits)
	}
	return l.check()
}

// check refuses what the eBPF program cannot use.
func (l *layout) check() error {
	for _, v := range []uint16{l.section.begin, l.section.end, l.section.next, l.section.flags, l.section.heap, l.section.ranges} {
		if v%8 != 0 || v > 64 {
			return fmt.Errorf("section of code with a field at %d: %w", v, errLayout)
		}
	}
	for _, v := range []uint16{l.heap.base, l.heap.nibbles, l.code.method} {
		if v%8 != 0 || v > 56 {
			return fmt.Errorf("heap of code with a field at %d: %w", v, errLayout)
		}
	}
	if l.code.functions%4 != 0 || l.code.functions > 52 {
		return fmt.Errorf("header of code with a field at %d: %w", l.code.functions, errLayout)
	}
	return nil
}
