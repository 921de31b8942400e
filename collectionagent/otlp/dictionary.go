// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"path"
	"strings"

	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/libpf"
)

// tables are the dictionary of a request, checked.
type tables struct {
	texts      []string
	attributes []attribute
	mappings   []mapping
	functions  []function
	locations  []location
	links      []link
	stacks     []stack
	raw        *profiles.ProfilesDictionary

	// frames are those of all locations, identities what is hashed of them.
	frames     []libpf.Frame
	identities []byte
	symbols    symbols
}

// attribute is an entry of the attribute table.
type attribute struct {
	key, value string
	// frameType is set for the type of a frame, if it is one that is known.
	isFrameType, known bool
	frameType          libpf.FrameType
}

// mapping is a file.
type mapping struct {
	executable           libpf.Executable
	identified           bool // by a build ID
	start, limit, offset uint64
}

// function is an entry of the function table: a line without its number.
type function struct {
	line libpf.SourceLine
	sum  uint64 // of its texts and first line, for symbolKey
}

// location is a range of frames and of identities.
type location struct{ frame, frames, identity, identityEnd uint32 }

type link struct {
	trace [16]byte
	span  [8]byte
}

// stack is a stack that may have been hashed.
type stack struct {
	hash libpf.TraceHash
	done bool
}

// Keys of attributes of the dictionary.
const (
	keyFrameType = "profile.frame.type"
	keyHTLHash   = "process.executable.build_id.htlhash"
	keyGNU       = "process.executable.build_id.gnu"
	keyGo        = "process.executable.build_id.go"
)

// dictionary checks and converts the tables, but for stacks.
func (d *decoder) dictionary(r *profiles.ProfilesDictionary) error {
	if r == nil {
		r = &profiles.ProfilesDictionary{}
	}
	d.raw, d.texts = r, r.StringTable
	if len(d.texts) == 0 {
		d.texts = []string{""}
	}
	if d.texts[0] != "" {
		return invalid("dictionary.string_table[0]", "is not empty")
	}
	for i, s := range d.texts {
		if len(s) > d.MaxTextBytes {
			return invalid(at("dictionary.string_table", i), "has %d bytes, at most %d are allowed", len(s), d.MaxTextBytes)
		}
	}
	for _, step := range []func() error{d.attributeTable, d.mappingTable, d.functionTable, d.linkTable, d.locationTable, d.stackTable} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// text returns a text. field is only made when there is something wrong.
func (d *decoder) text(i int32, table string, entry int, field string) (string, error) {
	if i < 0 || int(i) >= len(d.texts) {
		return "", index(at("dictionary."+table, entry)+field, i, "string_table", len(d.texts))
	}
	return d.texts[i], nil
}

func (d *decoder) attributeTable() (err error) {
	table := d.raw.AttributeTable
	if err := d.charge("dictionary.attribute_table", len(table), entryBytes); err != nil {
		return err
	}
	d.attributes = make([]attribute, max(len(table), 1))
	for i, a := range table {
		if a == nil {
			continue
		}
		if d.attributes[i].key, err = d.text(a.KeyStrindex, "attribute_table", i, ".key_strindex"); err != nil {
			return err
		}
		if _, err = d.text(a.UnitStrindex, "attribute_table", i, ".unit_strindex"); err != nil {
			return err
		}
		if d.attributes[i].value, err = d.anyValue(a.Value, func() string { return at("dictionary.attribute_table", i) + ".value" }); err != nil {
			return err
		}
		if d.attributes[i].key == keyFrameType {
			d.attributes[i].isFrameType = true
			d.attributes[i].frameType, d.attributes[i].known = parseFrameType(d.attributes[i].value)
		}
	}
	return nil
}

func (d *decoder) mappingTable() error {
	table := d.raw.MappingTable
	if err := d.charge("dictionary.mapping_table", len(table), 3*entryBytes); err != nil {
		return err
	}
	d.mappings = make([]mapping, max(len(table), 1))
	for i, m := range table {
		if m == nil {
			continue
		}
		if m.MemoryStart > m.MemoryLimit {
			return invalid(at("dictionary.mapping_table", i)+".memory_start", "%#x is after memory_limit, %#x", m.MemoryStart, m.MemoryLimit)
		}
		name, err := d.text(m.FilenameStrindex, "mapping_table", i, ".filename_strindex")
		if err != nil {
			return err
		}
		out := &d.mappings[i]
		out.start, out.limit, out.offset = m.MemoryStart, m.MemoryLimit, m.FileOffset
		exe := &out.executable
		if name != "" {
			exe.FileName = path.Base(name)
		}
		var gnu, golang string
		for j, a := range m.AttributeIndices {
			if err := index(at(at("dictionary.mapping_table", i)+".attribute_indices", j), a, "attribute_table", len(d.raw.AttributeTable)); err != nil {
				return err
			}
			switch v := d.attributes[a].value; d.attributes[a].key {
			case keyHTLHash:
				if id, err := libpf.ParseFileID(v); err == nil {
					exe.FileID = id
				}
			case keyGNU:
				gnu = strings.ToLower(v)
			case keyGo:
				golang = v
			}
		}
		exe.BuildID = gnu
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

// address returns the address in the file for one of a process.
func (m *mapping) address(a uint64) libpf.AddressOrLineno {
	if m.start > 0 && a >= m.start && a < m.limit {
		a = a - m.start + m.offset
	}
	return libpf.AddressOrLineno(a)
}

func (d *decoder) functionTable() (err error) {
	var scratch []byte
	table := d.raw.FunctionTable
	if err := d.charge("dictionary.function_table", len(table), 2*entryBytes); err != nil {
		return err
	}
	d.functions = make([]function, max(len(table), 1))
	for i, f := range table {
		if f == nil {
			continue
		}
		out := &d.functions[i].line
		if out.Function, err = d.text(f.NameStrindex, "function_table", i, ".name_strindex"); err != nil {
			return err
		}
		if out.SystemName, err = d.text(f.SystemNameStrindex, "function_table", i, ".system_name_strindex"); err != nil {
			return err
		}
		if out.File, err = d.text(f.FilenameStrindex, "function_table", i, ".filename_strindex"); err != nil {
			return err
		}
		if out.Function == "" {
			out.Function = out.SystemName
		}
		if out.SystemName == out.Function {
			out.SystemName = ""
		}
		if f.StartLine < 0 {
			return invalid(at("dictionary.function_table", i)+".start_line", "is %d, must not be negative", f.StartLine)
		}
		out.StartLine = libpf.SourceLineno(f.StartLine)
		d.functions[i].sum, scratch = functionSum(scratch, out)
	}
	return nil
}

func (d *decoder) linkTable() error {
	table := d.raw.LinkTable
	if err := d.charge("dictionary.link_table", len(table), entryBytes); err != nil {
		return err
	}
	d.links = make([]link, max(len(table), 1))
	for i, l := range table {
		t, s := l.GetTraceId(), l.GetSpanId()
		if len(t) != 0 && len(t) != 16 {
			return invalid(at("dictionary.link_table", i)+".trace_id", "has %d bytes instead of 16", len(t))
		}
		if len(s) != 0 && len(s) != 8 {
			return invalid(at("dictionary.link_table", i)+".span_id", "has %d bytes instead of 8", len(s))
		}
		copy(d.links[i].trace[:], t)
		copy(d.links[i].span[:], s)
	}
	return nil
}
