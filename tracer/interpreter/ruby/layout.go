// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"strconv"
	"strings"
)

// version is a version of Ruby as a number: 3.1 is 301.
type version int

// Versions that are supported: the first, and the first after the last that is
// known. Structures change with every minor version.
const (
	firstVersion version = 205
	lastVersion  version = 400
)

// parseVersion reads "3.1.2".
func parseVersion(s string) (version, bool) {
	major, rest, ok := strings.Cut(s, ".")
	if !ok {
		return 0, false
	}
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if err1 != nil || err2 != nil || a < 1 || a > 99 || b < 0 || b > 99 {
		return 0, false
	}
	return version(a*100 + b), true
}

// layout holds offsets in the interpreter's structures, in bytes. They follow
// from vm_core.h, iseq.h, method.h and internal/class.h of each version; those
// that never changed are constants below.
type layout struct {
	// frame is the size of a control frame.
	frame uint16
	// wideLine: the first line of a location is an object, not an int.
	wideLine bool
	// local and info lie in the body of an instruction sequence: the sequence of
	// the method around it, which follows that of what is next around it, and the
	// table of lines.
	local, info uint64
	// infoSize is the offset in the body of the table's length.
	infoSize uint64
	// lineEntry and line are the size of an entry of the table, and where the line is.
	lineEntry, line uint64
	// succinct: positions are in a bit vector, at infoSuccinct of the table's head;
	// otherwise each entry begins with its position.
	succinct bool
	// shortLength: the length of an embedded string or array is among the flags
	// and has few bits.
	shortLength bool
	// singleton is the flag of singleton classes.
	singleton uint64
	// Where the name of a class is and what a singleton class is attached to.
	class classLayout
	// threadEC is the offset of the execution context in a thread, used where
	// the context is found through the thread.
	threadEC uint16
	// machine is the offset of the native stack's bounds in the context.
	machine uint16
}

// classLayout tells how to find the name of a class.
type classLayout struct {
	kind classKind
	// path and attached are offsets in the class: classFields.
	path, attached uint64
}

type classKind uint8

const (
	// classTable: the name is an instance variable in a hash table.
	classTable classKind = iota
	// classFirst: it is an instance variable too, the first in an array.
	classFirst
	// classFields: it is a member of its own.
	classFields
)

// Offsets that all versions share.
const (
	offFrameISeq = 16
	offISeqBody  = 16
	offBodyType  = 0
	offBodySize  = 4
	offEncoded   = 8
	offLocation  = 64
	offPath      = offLocation + 0
	offLabel     = offLocation + 16
	offFirstLine = offLocation + 24

	offInfoSuccinct = 24 // in the head of the table of lines

	offMethodDef   = 16
	offMethodOwner = 32
	offDefISeq     = 8
	offDefID       = 32

	offClassExt   = 24 // classTable: pointer to the extension
	offExtIvars   = 8
	offClassIvars = 32 // classFirst: pointer to the values
)

// Types and flags of objects: include/ruby/internal/value_type.h, fl_type.h.
const (
	typeMask   = 0x1f
	typeClass  = 0x02
	typeModule = 0x03
	typeString = 0x05
	typeArray  = 0x07
	typeIMemo  = 0x1a

	flagShift    = 12
	flagNoEmbed  = 0x2000 // strings: the bytes are elsewhere
	flagEmbedded = 0x2000 // arrays: the elements are here

	imemoMask   = 0xf
	imemoSvar   = 2
	imemoMethod = 6
)

// Kinds of methods and of instruction sequences.
const (
	methodMask    = 0xf
	methodISeq    = 0
	methodCFunc   = 1
	methodBMethod = 4

	iseqMethod = 1
	iseqBlock  = 2
	iseqRescue = 4
	iseqEnsure = 5
	iseqEval   = 6
	iseqPlain  = 8
)

// layoutOf returns the layout of a supported version.
func layoutOf(v version) layout {
	l := layout{
		frame: 56, wideLine: v < 302, local: 168, info: 112, lineEntry: 12, succinct: true,
		shortLength: v < 302, singleton: 0x1000,
	}
	switch {
	case v == 205:
		l.frame, l.succinct, l.local, l.line = 48, false, 144, 4
		l.infoSize = 200
		l.threadEC, l.machine = 32, 168
	case v <= 207:
		l.local, l.info, l.lineEntry = 176, 120, 8
		l.threadEC, l.machine = 32, 152
	case v == 300:
		l.local, l.info, l.lineEntry = 176, 120, 8
	case v == 301:
		l.frame, l.local, l.info = 64, 176, 120
	case v == 302:
		l.frame = 64
	case v >= 400:
		l.local = 176
	}
	if l.infoSize == 0 {
		l.infoSize = l.info + 16
	}
	if v >= 304 {
		l.singleton = 0x2000
	}
	switch {
	case v < 302:
	case v == 302:
		l.class.kind = classFirst
	case v < 400:
		l.class = classLayout{kind: classFields, path: 32 + 120, attached: 32 + 96}
	default:
		l.class = classLayout{kind: classFields, path: 24 + 128, attached: 24 + 112}
	}
	return l
}
