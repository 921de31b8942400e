// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"strings"
)

// A virtual thread that waits has its frames in objects of the heap, chunks of
// stack. When it goes on, the innermost few are copied to the stack of the thread
// that carries it; the others follow when they are returned to. So most samples of
// a virtual thread have frames in both places.

const (
	continuationClass = "jdk/internal/vm/Continuation"
	chunkClass        = "jdk/internal/vm/StackChunk"
	maxWellKnown      = 256 // classes that the virtual machine itself knows
	maxFields         = 64  // of the two
	maxFieldStream    = 4096
)

// Flags of a field: what they say follows in the description.
const (
	fieldInitialized = 1 << 0
	fieldInjected    = 1 << 1
	fieldGeneric     = 1 << 2
	fieldContended   = 1 << 4
)

// readFrozen fills in where the frames of virtual threads are. Without it, these
// frames are missing, and a stub shows where; so nothing here is an error.
func (i *instance) readFrozen(r *bpfHotspotProcess) {
	l := i.layout
	if l.wellKnown == 0 || l.continuationPC == 0 || !l.frozenKnown() {
		return
	}
	table, err := i.memory.Bytes(l.wellKnown+i.bias, maxWellKnown*8, maxWellKnown*8)
	if err != nil {
		return
	}
	var continuation, chunk uint64
	for ; len(table) >= 8 && (continuation == 0 || chunk == 0); table = table[8:] {
		klass := member{0, 8}.in(table)
		at, err := l.klass.name.at(i.memory, klass)
		if err != nil {
			continue
		}
		switch name, _ := i.symbol(at); name {
		case continuationClass:
			continuation = klass
		case chunkClass:
			chunk = klass
		}
	}
	if continuation == 0 || chunk == 0 {
		return
	}
	c, s := i.fieldsOf(continuation), i.fieldsOf(chunk)
	tail, ok1 := c.offsets["tail"]
	parent, ok2 := s.offsets["parent"]
	size, ok3 := s.offsets["size"]
	sp, ok4 := s.offsets["sp"]
	if !ok1 || !ok2 || !ok3 || !ok4 || c.referenceSize == 0 {
		return
	}
	instanceSize, err := l.klass.layoutHelper.at(i.memory, chunk)
	if err != nil || instanceSize == 0 || instanceSize > maxOffset {
		return
	}
	if c.referenceSize == 4 {
		base, err := i.memory.Uint64(l.oopBase + i.bias)
		if err != nil {
			return
		}
		shift, err := i.memory.Uint32(l.oopShift + i.bias)
		if err != nil || shift > 31 {
			return
		}
		r.OopBase, r.OopShift = base, uint8(shift)
	}
	r.OopSize = c.referenceSize
	r.EntryContinuation, r.EntrySize, r.ThreadEntry = entryContinuation(l.continuationEntry), 0, 0
	if l.continuationEntry <= maxOffset && l.threadEntry.there() {
		r.EntrySize = uint16((l.continuationEntry + 15) &^ 15) //nolint:gosec // bounded above
		r.ThreadEntry = uint16(l.threadEntry.offset)           //nolint:gosec // at most maxOffset
	}
	r.ContinuationTail, r.ChunkParent, r.ChunkSize, r.ChunkSp = tail, parent, size, sp
	r.ChunkStack = uint16(instanceSize &^ 7) //nolint:gosec // at most maxOffset
}

// entryContinuation returns where ContinuationEntry has its continuation: behind the
// pointer to its parent, and where it has grown to 64 bytes (25) one word further.
func entryContinuation(size uint64) uint16 {
	if size >= 64 {
		return 16
	}
	return 8
}

// frozenKnown reports whether the version describes what is needed.
func (l *layout) frozenKnown() bool {
	return l.klass.layoutHelper.there() && l.klass.fieldInfo.there() && l.klass.constants.there() &&
		l.bytes.there() && l.oopBase != 0 && l.oopShift != 0
}

// fields are where the fields of a class are in its objects.
type fields struct {
	offsets map[string]uint16
	// referenceSize is how many bytes a reference takes.
	referenceSize uint8
}

// fieldsOf reads the fields that a class declares.
func (i *instance) fieldsOf(klass uint64) (f fields) {
	l := i.layout
	f.offsets = map[string]uint16{}
	pool, err := l.klass.constants.at(i.memory, klass)
	if err != nil {
		return f
	}
	stream, err := l.klass.fieldInfo.at(i.memory, klass)
	if err != nil {
		return f
	}
	length, err := i.memory.Uint32(stream)
	if err != nil {
		return f
	}
	b, err := i.memory.Bytes(stream+l.bytes.offset, uint64(length), maxFieldStream)
	if err != nil {
		return f
	}
	var references []uint16
	eachField(b, l.unsigned5Skip, func(name, signature, offset uint32) {
		n, err := i.poolSymbol(pool, uint64(name))
		if err != nil {
			return
		}
		s, err := i.poolSymbol(pool, uint64(signature))
		if err != nil || s == "" {
			return
		}
		f.offsets[n] = uint16(offset) //nolint:gosec // bounded by eachField
		if strings.HasPrefix(s, "L") {
			references = append(references, uint16(offset)) //nolint:gosec // bounded by eachField
		}
	})
	for _, a := range references {
		for _, b := range references {
			if d := int(a) - int(b); d == 4 || d == 8 && f.referenceSize == 0 {
				f.referenceSize = uint8(d)
			}
		}
	}
	return f
}

// eachField reads the compressed description of the fields of a class, since 21:
// the number of fields and of injected ones, then for each the index of its name and
// signature, its offset, flags for access and for the virtual machine.
func eachField(b []byte, skip byte, fn func(name, signature, offset uint32)) {
	c := compressed{b: b, skip: skip}
	n := c.uint()
	c.uint()
	for range min(n, maxFields) {
		name, signature, offset := c.uint(), c.uint(), c.uint()
		access, flags := c.uint(), c.uint()
		for _, has := range []uint32{fieldInitialized, fieldGeneric, fieldContended} {
			if flags&has != 0 {
				c.uint()
			}
		}
		if c.failed {
			return
		}
		const static = 0x0008
		if flags&fieldInjected == 0 && access&static == 0 && offset <= maxOffset {
			fn(name, signature, offset)
		}
	}
}
