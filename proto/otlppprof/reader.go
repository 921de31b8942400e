// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/pprof/profile"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// About how much memory things of pprof take.
const (
	profileBytes  = 600
	typeBytes     = 100
	sampleBytes   = 200
	labelBytes    = 100
	locationBytes = 160
	lineBytes     = 40
	functionBytes = 130
	mappingBytes  = 180
	pointerBytes  = 8
)

// reader is a message of which the dictionary was checked.
type reader struct {
	dictionary *profiles.ProfilesDictionary
	strings    []string
	attributes []label
	sizes      []int             // of attributes
	mappings   []profile.Mapping // without IDs
	folded     []bool            // of locations
	left       int64             // of the memory that may be taken
}

// charge takes memory for what a field becomes.
func (r *reader) charge(field string, bytes int) error {
	if r.left -= int64(bytes); r.left < 0 {
		return fmt.Errorf("%s: %w: its pprof profiles would take too much memory", field, ErrTooLarge)
	}
	return nil
}

// ref is an index into a table, in a field of what is checked.
type ref struct {
	field   string
	index   int32
	table   string
	entries int
}

// inRange reports whether the entry is there. 0 means none, even where the table is empty.
func (r ref) inRange() bool { return r.index >= 0 && int(r.index) < max(r.entries, 1) }

func (r ref) err(field string) error {
	return fmt.Errorf("%s: index %d out of range, dictionary.%s has %d entries", field, r.index, r.table, r.entries)
}

// check checks references. What names the field is only joined for one that is wrong.
func check(entry func() string, refs ...ref) error {
	for _, r := range refs {
		if !r.inRange() {
			return r.err(entry() + "." + r.field)
		}
	}
	return nil
}

// checkList checks a list of references to a table.
func checkList(entry func() string, field string, indices []int32, table string, entries int) error {
	for i, x := range indices {
		if r := (ref{field, x, table, entries}); !r.inRange() {
			return r.err(at(entry()+"."+field, i))
		}
	}
	return nil
}

func (r *reader) text(field string, i int32) ref {
	return ref{field, i, "string_table", len(r.dictionary.GetStringTable())}
}

func (r *reader) attributeList(entry func() string, indices []int32) error {
	return checkList(entry, "attribute_indices", indices, "attribute_table", len(r.dictionary.GetAttributeTable()))
}

// readDictionary checks the tables, so that their indices can be used.
func (r *reader) readDictionary() error {
	d := r.dictionary
	r.strings = d.GetStringTable()
	if len(r.strings) == 0 {
		r.strings = []string{""}
	}
	if r.strings[0] != "" {
		return errors.New("dictionary.string_table[0]: is not empty")
	}
	if err := r.readAttributes(); err != nil {
		return err
	}
	r.mappings = make([]profile.Mapping, len(d.GetMappingTable()))
	for i, m := range d.GetMappingTable() {
		entry := func() string { return at("dictionary.mapping_table", i) }
		if err := check(entry, r.text("filename_strindex", m.GetFilenameStrindex())); err != nil {
			return err
		}
		if err := r.attributeList(entry, m.GetAttributeIndices()); err != nil {
			return err
		}
		r.mappings[i] = r.readMapping(m)
	}
	for i, f := range d.GetFunctionTable() {
		err := check(func() string { return at("dictionary.function_table", i) }, r.text("name_strindex", f.GetNameStrindex()),
			r.text("system_name_strindex", f.GetSystemNameStrindex()), r.text("filename_strindex", f.GetFilenameStrindex()))
		if err != nil {
			return err
		}
	}
	r.folded = make([]bool, len(d.GetLocationTable()))
	for i, l := range d.GetLocationTable() {
		entry := func() string { return at("dictionary.location_table", i) }
		if err := check(entry, ref{"mapping_index", l.GetMappingIndex(), "mapping_table", len(d.GetMappingTable())}); err != nil {
			return err
		}
		if err := r.attributeList(entry, l.GetAttributeIndices()); err != nil {
			return err
		}
		r.folded[i] = r.flag(l.GetAttributeIndices(), keyIsFolded)
		for j, line := range l.GetLines() {
			function := ref{"function_index", line.GetFunctionIndex(), "function_table", len(d.GetFunctionTable())}
			if err := check(func() string { return at(entry()+".lines", j) }, function); err != nil {
				return err
			}
		}
	}
	for i, s := range d.GetStackTable() {
		entry := func() string { return at("dictionary.stack_table", i) }
		if err := checkList(entry, "location_indices", s.GetLocationIndices(), "location_table", len(d.GetLocationTable())); err != nil {
			return err
		}
	}
	for i, l := range d.GetLinkTable() {
		if n, m := len(l.GetTraceId()), len(l.GetSpanId()); n != 0 && n != 16 || m != 0 && m != 8 {
			return fmt.Errorf("%s: trace_id has %d bytes and span_id %d", at("dictionary.link_table", i), n, m)
		}
	}
	return nil
}

// readAttributes turns the attributes into labels.
func (r *reader) readAttributes() error {
	table := r.dictionary.GetAttributeTable()
	r.attributes, r.sizes = make([]label, max(len(table), 1)), make([]int, max(len(table), 1))
	for i, a := range table {
		entry := func() string { return at("dictionary.attribute_table", i) }
		err := check(entry, r.text("key_strindex", a.GetKeyStrindex()), r.text("unit_strindex", a.GetUnitStrindex()))
		if err != nil {
			return err
		}
		if err := r.checkValue(entry()+".value", a.GetValue()); err != nil {
			return err
		}
		l := &r.attributes[i]
		l.key = r.strings[a.GetKeyStrindex()]
		l.read(a.GetValue(), r.strings[a.GetUnitStrindex()], r)
		r.sizes[i] = l.bytes()
	}
	return nil
}

// checkValue checks the references to texts of a value and of those in its list. What is
// deeper is not looked up.
func (r *reader) checkValue(field string, v *common.AnyValue) error {
	text := func(v *common.AnyValue) ref {
		return ref{"string_value_strindex", v.GetStringValueStrindex(), "string_table", len(r.strings)}
	}
	for i, e := range v.GetArrayValue().GetValues() {
		if err := check(func() string { return at(field+".array_value.values", i) }, text(e)); err != nil {
			return err
		}
	}
	return check(func() string { return field }, text(v))
}

func (r *reader) checkProfile(field string, p *profiles.Profile) error {
	entry := func() string { return field }
	err := check(entry,
		r.text("sample_type.type_strindex", p.GetSampleType().GetTypeStrindex()),
		r.text("sample_type.unit_strindex", p.GetSampleType().GetUnitStrindex()),
		r.text("period_type.type_strindex", p.GetPeriodType().GetTypeStrindex()),
		r.text("period_type.unit_strindex", p.GetPeriodType().GetUnitStrindex()))
	if err != nil {
		return err
	}
	return r.attributeList(entry, p.GetAttributeIndices())
}

func (r *reader) checkSample(entry func() string, s *profiles.Sample) error {
	err := check(entry,
		ref{"stack_index", s.GetStackIndex(), "stack_table", len(r.dictionary.GetStackTable())},
		ref{"link_index", s.GetLinkIndex(), "link_table", len(r.dictionary.GetLinkTable())})
	if err != nil {
		return err
	}
	values, times := len(s.GetValues()), len(s.GetTimestampsUnixNano())
	if times == 0 && values != 1 || times > 0 && values != 0 && values != times {
		return fmt.Errorf("%s: has %d values and %d timestamps_unix_nano", entry(), values, times)
	}
	return r.attributeList(entry, s.GetAttributeIndices())
}

// flag reports whether one of the attributes is true.
func (r *reader) flag(indices []int32, key string) bool {
	return slices.ContainsFunc(indices, func(a int32) bool {
		return r.attributes[a].key == key && r.dictionary.GetAttributeTable()[a].GetValue().GetBoolValue()
	})
}

func (r *reader) readMapping(m *profiles.Mapping) profile.Mapping {
	attributes := m.GetAttributeIndices()
	return profile.Mapping{
		Start: m.GetMemoryStart(), Limit: m.GetMemoryLimit(), Offset: m.GetFileOffset(),
		File: r.strings[m.GetFilenameStrindex()], BuildID: r.buildID(attributes),
		HasFunctions: r.flag(attributes, keyHasFunctions), HasFilenames: r.flag(attributes, keyHasFilenames),
		HasLineNumbers: r.flag(attributes, keyHasLineNumbers), HasInlineFrames: r.flag(attributes, keyHasInlineFrames),
	}
}

// buildID returns the build ID that tools know a file by best.
func (r *reader) buildID(indices []int32) string {
	for _, key := range [...]string{otlpkey.BuildIDGNU, otlpkey.BuildIDGo, otlpkey.BuildIDHTLHash} {
		for _, a := range indices {
			if l := &r.attributes[a]; l.key == key && l.text() != "" {
				return l.text()
			}
		}
	}
	return ""
}
