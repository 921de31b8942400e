// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// tables are what the dictionary of a request is converted to. Each table has as
// many entries as that of the message.
type tables struct {
	// strings are the texts that were needed as strings so far.
	strings []string
	kinds   []attribute
	files   []mapping
	sums    []uint64 // of the texts and first lines of functions, for symbolKey
	places  []location
	keys    []contentKey // of locations
	hashes  []stack
	frames  []frame
	symbols symbols
	scratch []byte
	entries [tableCount]int // of the tables as they came
	// identities are what is hashed of the frames of locations, one after the other.
	identities []byte
}

// attribute is what is known of an entry of the attribute table.
type attribute struct {
	text     string // of the value, if it was needed
	hasText  bool
	key      keyKind
	frame    libpf.FrameType
	hasFrame bool // that is known
}

// keyKind is what a key of an attribute is, as far as the dictionary has a use for it.
type keyKind uint8

const (
	otherKey keyKind = iota
	frameTypeKey
	htlHashKey
	gnuKey
	goKey
	exactTypeKey
	runtimeKey
)

func keyKindOf(key []byte) keyKind {
	switch string(key) {
	case otlpkey.FrameType:
		return frameTypeKey
	case otlpkey.BuildIDHTLHash:
		return htlHashKey
	case otlpkey.BuildIDGNU:
		return gnuKey
	case otlpkey.BuildIDGo:
		return goKey
	case otlpkey.ExactFrameType:
		return exactTypeKey
	case otlpkey.Runtime:
		return runtimeKey
	}
	return otherKey
}

// mapping is a file.
type mapping struct {
	executable libpf.Executable
	identified bool // by a build ID
	kernel     bool
}

// location is a range of frames and, once it was needed, of identities.
type location struct {
	frame, frames, identity, identityEnd uint32
	// known: a stack with it is known by its content, and so are its names.
	known bool
}

// stack is a stack that may have been hashed.
type stack struct {
	hash libpf.TraceHash
	key  contentKey
	// done: hash is set. known: by its content, with all names of its frames.
	done, known bool
}

func (t *tables) reset() {
	clear(t.strings)
	clear(t.kinds)
	clear(t.files)
	t.symbols.list = t.symbols.list[:0]
	*t = tables{
		strings: t.strings[:0], kinds: t.kinds[:0], files: t.files[:0], sums: t.sums[:0], places: t.places[:0], keys: t.keys[:0], hashes: t.hashes[:0],
		frames: t.frames[:0], symbols: t.symbols, scratch: t.scratch[:0], identities: t.identities[:0],
	}
}

func (t *tables) size() int {
	return capacity(t.strings) + capacity(t.kinds) + capacity(t.files) + capacity(t.sums) + capacity(t.places) + capacity(t.keys) + capacity(t.hashes) +
		capacity(t.frames) + capacity(t.symbols.list) + capacity(t.symbols.places) + capacity(t.scratch) + capacity(t.identities)
}

// sized returns a table of n entries that are zero.
func sized[T any](table []T, n int) []T {
	table = slices.Grow(table[:0], n)[:n]
	clear(table)
	return table
}

// notEmpty gives an empty table its entry 0, which means none.
func notEmpty[T any](table []T) []T {
	if len(table) == 0 {
		var none T
		return append(table, none)
	}
	return table
}

// dictionary checks and converts the tables, but for the hashes of stacks.
func (d *Message) dictionary() error {
	d.entries = [tableCount]int{
		attributeTable: len(d.attributes), mappingTable: len(d.mappings), functionTable: len(d.functions),
		locationTable: len(d.locations), linkTable: len(d.links), stackTable: len(d.stacks),
	}
	d.texts, d.attributes, d.mappings, d.functions = notEmpty(d.texts), notEmpty(d.attributes), notEmpty(d.mappings), notEmpty(d.functions)
	d.locations, d.links, d.stacks = notEmpty(d.locations), notEmpty(d.links), notEmpty(d.stacks)
	if len(d.texts[0]) != 0 {
		return invalid("dictionary.string_table[0]", "is not empty")
	}
	texts := int64(0)
	for i, s := range d.texts {
		if len(s) > d.MaxTextBytes {
			return invalid(at("dictionary.string_table", i), "has %d bytes, at most %d are allowed", len(s), d.MaxTextBytes)
		}
		texts += int64(len(s))
	}
	if err := d.charge("dictionary.string_table", 1, texts); err != nil { // of strings
		return err
	}
	d.strings = sized(d.strings, len(d.texts))
	for _, step := range []func() error{d.attributeTable, d.mappingTable, d.functionTable, d.linkTable, d.locationTable, d.stackTable} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// textOf returns a text whose index was checked. Texts of the tables refer to the
// bytes of the request and must not leave it; this one may.
func (d *Message) textOf(i int32) string {
	s := &d.strings[i]
	if *s == "" {
		*s = string(d.texts[i])
	}
	return *s
}

// checkText checks the index of a text. What names the field is only joined when
// there is something wrong.
func (d *Message) checkText(i int32, table string, entry int, field string) error {
	if i < 0 || int(i) >= len(d.texts) {
		return index(at("dictionary."+table, entry)+field, i, "string_table", len(d.texts))
	}
	return nil
}

func (d *Message) attributeTable() error {
	d.kinds = sized(d.kinds, len(d.attributes))
	for i := range d.attributes {
		a, kind := &d.attributes[i], &d.kinds[i]
		if err := d.checkText(a.key, "attribute_table", i, ".key_strindex"); err != nil {
			return err
		}
		if err := d.checkText(a.unit, "attribute_table", i, ".unit_strindex"); err != nil {
			return err
		}
		if err := d.checkValue(&a.value, func() string { return at("dictionary.attribute_table", i) + ".value" }); err != nil {
			return err
		}
		if kind.key = keyKindOf(d.texts[a.key]); kind.key == frameTypeKey || kind.key == exactTypeKey {
			kind.frame, kind.hasFrame = parseFrameType(d.attributeText(int32(i))) //nolint:gosec // an index of 32 bits
		}
	}
	return nil
}

// attributeText returns the value of an attribute as text.
func (d *Message) attributeText(i int32) string {
	a := &d.kinds[i]
	if !a.hasText {
		a.text, a.hasText = d.valueText(&d.attributes[i].value), true
	}
	return a.text
}

func (d *Message) mappingTable() error {
	d.files = sized(d.files, len(d.mappings))
	for i := range d.mappings {
		m, out := &d.mappings[i], &d.files[i]
		if m.start > m.limit {
			return invalid(at("dictionary.mapping_table", i)+".memory_start", "%#x is after memory_limit, %#x", m.start, m.limit)
		}
		if err := d.checkText(m.filename, "mapping_table", i, ".filename_strindex"); err != nil {
			return err
		}
		if err := d.work("dictionary.mapping_table", len(d.texts[m.filename])); err != nil {
			return err
		}
		name := d.textOf(m.filename)
		exe := &out.executable
		if name != "" {
			exe.FileName = path.Base(name)
		}
		out.kernel = exe.FileName == "[kernel.kallsyms]"
		var htl, gnu, golang string
		for j, a := range d.indices[m.attributes.from:m.attributes.to] {
			if a < 0 || int(a) >= len(d.attributes) {
				return index(at(at("dictionary.mapping_table", i)+".attribute_indices", j), a, "attribute_table", d.entries[attributeTable])
			}
			switch d.kinds[a].key {
			case htlHashKey:
				htl = d.attributeText(a)
			case gnuKey:
				gnu = d.attributeText(a)
			case goKey:
				golang = d.attributeText(a)
			case runtimeKey:
				exe.Runtime = d.attributeText(a)
			}
		}
		if err := d.work("dictionary.mapping_table", len(exe.Runtime)); err != nil {
			return err
		}
		htl, gnu, golang = d.buildID(htl), d.buildID(gnu), d.buildID(golang)
		if id, err := libpf.ParseFileID(htl); err == nil {
			exe.FileID = id
		}
		// Each mapping may have a copy of its own.
		if err := d.owe("dictionary.mapping_table", len(gnu)); err != nil {
			return err
		}
		exe.BuildID = strings.ToLower(gnu)
		if gnu == "" {
			exe.BuildID = golang
		}
		out.identified = true
		switch {
		case !exe.FileID.IsZero():
		case exe.BuildID != "":
			exe.FileID = libpf.FileIDFromBuildID(exe.BuildID)
		case name != "":
			exe.FileID, out.identified = libpf.FileIDFromIdentity("otlp", name), false
		default:
			out.identified = false
		}
	}
	return nil
}

// maxBuildID bounds build IDs, of which those of Go are the longest, with 83 bytes.
const maxBuildID = 256

// buildID returns a build ID, "" for what is too long to be one: a text of 64 KiB must not
// be worked on for each mapping that refers to it.
func (d *Message) buildID(text string) string {
	if len(text) > maxBuildID {
		d.out.note("build IDs of more than %d bytes are left out", maxBuildID)
		return ""
	}
	return text
}

// inFileOf returns the address in the file for one of a process.
func (m *mappingEntry) inFileOf(a uint64) libpf.AddressOrLineno {
	if m.start > 0 && a >= m.start && a < m.limit {
		a = a - m.start + m.offset
	}
	return libpf.AddressOrLineno(a)
}

func (d *Message) functionTable() error {
	d.sums = sized(d.sums, len(d.functions))
	for i := range d.functions {
		f := &d.functions[i]
		if err := d.checkText(f.name, "function_table", i, ".name_strindex"); err != nil {
			return err
		}
		if err := d.checkText(f.system, "function_table", i, ".system_name_strindex"); err != nil {
			return err
		}
		if err := d.checkText(f.file, "function_table", i, ".filename_strindex"); err != nil {
			return err
		}
		// Text 0 is empty.
		if len(d.texts[f.name]) == 0 {
			f.name = f.system
		}
		if f.system == f.name || bytes.Equal(d.texts[f.system], d.texts[f.name]) {
			f.system = 0
		}
		if f.startLine < 0 {
			return invalid(at("dictionary.function_table", i)+".start_line", "is %d, must not be negative", f.startLine)
		}
		if err := d.work("dictionary.function_table", d.textBytes(f)); err != nil {
			return err
		}
		d.sums[i], d.scratch = functionSum(d.scratch, d.texts[f.name], d.texts[f.system], d.texts[f.file], uint64(f.startLine)) //nolint:gosec // not negative
	}
	return nil
}

// named reports whether a function has a name or a file.
func (d *Message) named(f *functionEntry) bool {
	return len(d.texts[f.name]) > 0 || len(d.texts[f.file]) > 0
}

// textBytes returns the length of the texts of a function.
func (d *Message) textBytes(f *functionEntry) int {
	return len(d.texts[f.name]) + len(d.texts[f.system]) + len(d.texts[f.file])
}

func (d *Message) linkTable() error {
	for i := range d.links {
		l := &d.links[i]
		if l.traceLen != 0 && l.traceLen != len(l.trace) {
			return invalid(at("dictionary.link_table", i)+".trace_id", "has %d bytes instead of %d", l.traceLen, len(l.trace))
		}
		if l.spanLen != 0 && l.spanLen != len(l.span) {
			return invalid(at("dictionary.link_table", i)+".span_id", "has %d bytes instead of %d", l.spanLen, len(l.span))
		}
	}
	return nil
}
