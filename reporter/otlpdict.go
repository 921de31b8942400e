// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/strobe-profiler/strobe/libpf"
)

// Fields of ProfilesDictionary.
const (
	mappingTable   protowire.Number = 1
	locationTable  protowire.Number = 2
	functionTable  protowire.Number = 3
	linkTable      protowire.Number = 4
	stringTable    protowire.Number = 5
	attributeTable protowire.Number = 6
	stackTable     protowire.Number = 7
)

// dictionary builds the tables of a request. Entry 0 of each is the zero value and
// means "none"; everything else stands once and only when something refers to it.
// Its memory is used again for the next request.
type dictionary struct {
	catalogue *catalogue

	mappings, locations, functions, links, texts, attributes, stacks entryTable

	// What was found by the way in this request. Pointers stand for what they point
	// to, which does not change; what they miss, the tables find by its content.
	stackOf   map[*libpf.Trace]int32
	frames    seenFrames
	mappingOf map[libpf.FileID]int32
	linkOf    map[spanKey]int32
	typeOf    [256][]byte // attributes of locations, packed

	entry    wire   // of a table that is none of the two below
	location wire   // while its functions are written
	stack    wire   // while its locations are written
	packed   []byte // attributes of a mapping
	raw      []byte // a text
	line     [1]libpf.SourceLine
}

// firstOf returns what tells a list that does not change from others, with its length.
func firstOf[T any](list []T) *T {
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}

// reset begins a request.
func (d *dictionary) reset(c *catalogue) {
	d.mappings.reset(mappingTable)
	d.locations.reset(locationTable)
	d.functions.reset(functionTable)
	d.links.reset(linkTable)
	d.texts.reset(stringTable)
	d.attributes.reset(attributeTable)
	d.stacks.reset(stackTable)
	d.forget()
	d.catalogue = c
	d.typeOf = [256][]byte{}
}

// forget lets go of what the maps refer to.
func (d *dictionary) forget() {
	d.frames.reset()
	d.stackOf, d.mappingOf, d.linkOf = emptiedMap(d.stackOf), emptiedMap(d.mappingOf), emptiedMap(d.linkOf)
	d.catalogue, d.line[0] = nil, libpf.SourceLine{}
}

// size returns the bytes of all tables.
func (d *dictionary) size() (n int) {
	for _, t := range d.tables() {
		n += len(t.buf)
	}
	return n
}

func (d *dictionary) tables() [7]*entryTable {
	return [...]*entryTable{&d.mappings, &d.locations, &d.functions, &d.links, &d.texts, &d.attributes, &d.stacks}
}

func (d *dictionary) text(s string) int32 {
	if s == "" {
		return 0
	}
	d.raw = append(d.raw[:0], cleanText(s)...)
	return d.texts.add(d.raw)
}

// Fields of KeyValueAndUnit, and of KeyValue. No attribute has a unit: texts and IDs have none.
const (
	attributeKey   protowire.Number = 1
	attributeValue protowire.Number = 2
)

// textAttribute returns the index of an attribute with a text.
func (d *dictionary) textAttribute(key, value string) int32 {
	i := d.text(key)
	d.entry = d.entry[:0]
	d.entry.index(attributeKey, i)
	from := d.entry.open()
	d.entry.textValue(cleanText(value))
	d.entry.close(attributeValue, from)
	return d.attributes.add(d.entry)
}

// numberAttribute returns the index of an attribute with a number.
func (d *dictionary) numberAttribute(key string, value uint64) int32 {
	i := d.text(key)
	d.entry = d.entry[:0]
	d.entry.index(attributeKey, i)
	from := d.entry.open()
	d.entry.numberValue(value)
	d.entry.close(attributeValue, from)
	return d.attributes.add(d.entry)
}

// linkTo returns the index of a link to a span, 0 for none. An ID of zeros is none.
func (d *dictionary) linkTo(row *libpf.Sample) int32 {
	key := spanKey{traceID: row.TraceID, spanID: row.SpanID}
	if key.traceID == [16]byte{} || key.spanID == [8]byte{} {
		return 0
	}
	i, ok := d.linkOf[key]
	if !ok {
		d.entry = d.entry[:0]
		d.entry.bytes(1, row.TraceID[:])
		d.entry.bytes(2, row.SpanID[:])
		i = d.links.add(d.entry)
		d.linkOf[key] = i
	}
	return i
}

// unreported stands for a stack of which only the hash was reported.
var unreported = []libpf.Frame{{Type: libpf.AbortFrame, FunctionName: "[stack not reported]"}}

// stackOfRow returns the index of the stack of a row.
func (d *dictionary) stackOfRow(row *libpf.Sample) int32 {
	if i, ok := d.stackOf[row.Trace]; ok {
		return i
	}
	frames := row.Trace.Frames
	if len(frames) == 0 {
		frames = unreported
		if def, ok := d.catalogue.stacks.lookup(row.Trace.Hash); ok {
			frames = def.value.Frames
		}
	}
	d.stack = d.stack[:0]
	for i := range frames {
		d.stack = protowire.AppendVarint(d.stack, uint64(d.locationOf(&frames[i], row.Process))) //nolint:gosec // not negative
	}
	// The list is the only field, so that its tag and length can be put before it at the end.
	d.stack.close(1, 0)
	i := d.stacks.add(d.stack)
	d.stackOf[row.Trace] = i
	return i
}
