// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"
)

// wire is a message under construction. Fields that have their default value are
// left out, as proto3 has it, unless said otherwise.
type wire []byte

func (w *wire) varint(field protowire.Number, v uint64) {
	if v != 0 {
		*w = protowire.AppendVarint(protowire.AppendTag(*w, field, protowire.VarintType), v)
	}
}

// index writes an index into a table, or another number that is not negative.
func (w *wire) index(field protowire.Number, i int32) { w.varint(field, uint64(i)) } //nolint:gosec // not negative

func (w *wire) fixed64(field protowire.Number, v uint64) {
	if v != 0 {
		*w = protowire.AppendFixed64(protowire.AppendTag(*w, field, protowire.Fixed64Type), v)
	}
}

func (w *wire) text(field protowire.Number, s string) {
	if s != "" {
		*w = protowire.AppendString(protowire.AppendTag(*w, field, protowire.BytesType), s)
	}
}

// bytes writes b, also when it is empty.
func (w *wire) bytes(field protowire.Number, b []byte) {
	*w = protowire.AppendBytes(protowire.AppendTag(*w, field, protowire.BytesType), b)
}

// textValue and numberValue write what an AnyValue holds, which is never left out.
func (w *wire) textValue(s string) {
	*w = protowire.AppendString(protowire.AppendTag(*w, 1, protowire.BytesType), s)
}

func (w *wire) numberValue(n uint64) {
	*w = protowire.AppendVarint(protowire.AppendTag(*w, 3, protowire.VarintType), n)
}

// packed writes indices that are packed already.
func (w *wire) packed(field protowire.Number, b []byte) {
	if len(b) > 0 {
		w.bytes(field, b)
	}
}

// open begins a message in the message; close ends the one that began at from.
// Between the two its fields are written.
func (w *wire) open() (from int) { return len(*w) }

func (w *wire) close(field protowire.Number, from int) {
	n := len(*w) - from
	*w = protowire.AppendVarint(protowire.AppendTag(*w, field, protowire.BytesType), uint64(n)) //nolint:gosec // not negative
	head := len(*w) - from - n
	// The tag and the length belong before what they are about.
	var tag [2 * 10]byte
	copy(tag[:head], (*w)[from+n:])
	copy((*w)[from+head:], (*w)[from:from+n])
	copy((*w)[from:], tag[:head])
}

// maxKept bounds the memory of each table and buffer that is kept from one request
// to the next. A host of 64 CPUs needs a few hundred kilobytes.
const maxKept = 1 << 20

// emptied returns a buffer to use again, unless it has grown too large to be kept.
func emptied[T any](b []T, size int) []T {
	if cap(b)*size > maxKept {
		return nil
	}
	return b[:0]
}

// entryTable is a table of messages or texts as they stand in a request, each of
// them once: it is the bytes of entries that are compared, so nothing that differs
// is ever merged. Entry 0 is the empty one.
type entryTable struct {
	field  protowire.Number
	buf    wire // the table as it stands in the dictionary
	bounds []entryBounds
	slots  []entrySlot // a hash table with a power of two of slots
}

type entryBounds struct{ from, to uint32 }

// entrySlot is an entry and 32 bits of its hash; next is its index + 1, 0 for none.
type entrySlot struct{ sum, next uint32 }

// minSlots is the size of a table that nothing is in.
const minSlots = 64

func (t *entryTable) reset(field protowire.Number) {
	t.field = field
	t.buf, t.bounds, t.slots = emptied(t.buf, 1), emptied(t.bounds, 8), emptied(t.slots, 8)
	if t.slots = t.slots[:cap(t.slots)]; len(t.slots) == 0 {
		t.slots = make([]entrySlot, minSlots)
	}
	clear(t.slots)
	t.add(nil)
}

// add returns the index of an entry, which it appends when it is new.
func (t *entryTable) add(entry []byte) int32 {
	if 4*len(t.bounds) >= 3*len(t.slots) {
		t.grow()
	}
	sum := uint32(xxh3.Hash(entry))  //nolint:gosec // the lower half
	mask := uint32(len(t.slots) - 1) //nolint:gosec // bounded by the size of a request
	for at := sum & mask; ; at = (at + 1) & mask {
		slot := &t.slots[at]
		if slot.next == 0 {
			t.buf.bytes(t.field, entry)
			to := len(t.buf)
			t.bounds = append(t.bounds, entryBounds{uint32(to - len(entry)), uint32(to)}) //nolint:gosec // see above
			*slot = entrySlot{sum: sum, next: uint32(len(t.bounds))}                      //nolint:gosec // see above
			return int32(slot.next - 1)                                                   //nolint:gosec // see above
		}
		if i := int32(slot.next - 1); slot.sum == sum && bytes.Equal(t.entry(i), entry) { //nolint:gosec // see above
			return i
		}
	}
}

// entry returns the bytes of an entry, until the next one is added.
func (t *entryTable) entry(i int32) []byte { return t.buf[t.bounds[i].from:t.bounds[i].to] }

func (t *entryTable) grow() {
	old := t.slots
	t.slots = make([]entrySlot, 2*len(old))
	mask := uint32(len(t.slots) - 1) //nolint:gosec // see add
	for _, slot := range old {
		if slot.next == 0 {
			continue
		}
		at := slot.sum & mask
		for t.slots[at].next != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = slot
	}
}

// emptiedMap returns a map to use again, unless it has grown too large to be kept.
func emptiedMap[K comparable, V any](m map[K]V) map[K]V {
	if m == nil || len(m) > maxKept/128 {
		return map[K]V{}
	}
	clear(m)
	return m
}

// appendIndices appends indices packed.
func appendIndices(b []byte, indices ...int32) []byte {
	for _, i := range indices {
		b = protowire.AppendVarint(b, uint64(i)) //nolint:gosec // not negative
	}
	return b
}
