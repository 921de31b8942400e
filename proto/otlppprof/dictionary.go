// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"encoding/hex"
	"strings"

	"github.com/google/pprof/profile"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// Keys of attributes.
const (
	keyIsFolded        = "pprof.location.is_folded"
	keyHasFunctions    = "pprof.mapping.has_functions"
	keyHasFilenames    = "pprof.mapping.has_filenames"
	keyHasLineNumbers  = "pprof.mapping.has_line_numbers"
	keyHasInlineFrames = "pprof.mapping.has_inline_frames"
	keyComment         = "pprof.profile.comment"
	keyDocURL          = "pprof.profile.doc_url"
	keyDropFrames      = "pprof.profile.drop_frames"
	keyKeepFrames      = "pprof.profile.keep_frames"
	keyDefaultType     = "pprof.scope.default_sample_type"
	keyTypeOrder       = "pprof.scope.sample_type_order"
)

// table is a table of the dictionary in which each entry stands once. Its entry 0
// is the zero value, whose encoding is empty.
type table[T proto.Message] struct {
	entries []T
	known   map[string]int32 // by encoding
	encoded []byte
}

func newTable[T proto.Message](zero T) table[T] {
	return table[T]{entries: []T{zero}, known: map[string]int32{"": 0}}
}

// add returns the index of an entry, all of whose texts are valid.
func (t *table[T]) add(entry T) int32 {
	t.encoded, _ = proto.MarshalOptions{Deterministic: true}.MarshalAppend(t.encoded[:0], entry) // fails only for invalid texts
	i, ok := t.known[string(t.encoded)]
	if !ok {
		i = int32(len(t.entries)) //nolint:gosec // as many as a profile in memory has
		t.entries = append(t.entries, entry)
		t.known[string(t.encoded)] = i
	}
	return i
}

// dictionary makes the tables of a message.
type dictionary struct {
	frameType  string
	strings    []string
	texts      map[string]int32
	attributes table[*profiles.KeyValueAndUnit]
	functions  table[*profiles.Function]
	mappings   table[*profiles.Mapping]
	locations  table[*profiles.Location]
	stacks     table[*profiles.Stack]

	// What labels and the pointers of the profile became.
	singles    map[single]int32
	functionOf map[*profile.Function]int32
	mappingOf  map[*profile.Mapping]int32
	locationOf map[*profile.Location]int32
}

func newDictionary(frameType string) *dictionary {
	return &dictionary{
		frameType: frameType, strings: []string{""}, texts: map[string]int32{"": 0},
		attributes: newTable(&profiles.KeyValueAndUnit{}), functions: newTable(&profiles.Function{}),
		mappings: newTable(&profiles.Mapping{}), locations: newTable(&profiles.Location{}), stacks: newTable(&profiles.Stack{}),
		singles: map[single]int32{}, functionOf: map[*profile.Function]int32{}, mappingOf: map[*profile.Mapping]int32{}, locationOf: map[*profile.Location]int32{},
	}
}

func (d *dictionary) message() *profiles.ProfilesDictionary {
	return &profiles.ProfilesDictionary{
		MappingTable: d.mappings.entries, LocationTable: d.locations.entries, FunctionTable: d.functions.entries,
		LinkTable: []*profiles.Link{{}}, StringTable: d.strings, AttributeTable: d.attributes.entries, StackTable: d.stacks.entries,
	}
}

// clean makes a text valid.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (d *dictionary) text(s string) int32 {
	s = clean(s)
	i, ok := d.texts[s]
	if !ok {
		i = int32(len(d.strings)) //nolint:gosec // see table
		d.strings = append(d.strings, s)
		d.texts[s] = i
	}
	return i
}

func (d *dictionary) attribute(key string, value *common.AnyValue, unit string) int32 {
	return d.attributes.add(&profiles.KeyValueAndUnit{KeyStrindex: d.text(key), Value: value, UnitStrindex: d.text(unit)})
}

// texted appends an attribute unless its text is empty.
func (d *dictionary) texted(list []int32, key, value string) []int32 {
	if value == "" {
		return list
	}
	return append(list, d.attribute(key, textValue(value), ""))
}

// flagged appends an attribute that is true, if it is.
func (d *dictionary) flagged(list []int32, key string, set bool) []int32 {
	if !set {
		return list
	}
	return append(list, d.attribute(key, &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}, ""))
}

func (d *dictionary) stack(locations []*profile.Location) int32 {
	s := &profiles.Stack{LocationIndices: make([]int32, len(locations))}
	for i, l := range locations {
		s.LocationIndices[i] = d.location(l)
	}
	return d.stacks.add(s)
}

func (d *dictionary) location(l *profile.Location) int32 {
	if i, ok := d.locationOf[l]; ok {
		return i
	}
	out := &profiles.Location{Address: l.Address, MappingIndex: d.mapping(l.Mapping)}
	for _, line := range l.Line {
		l := &profiles.Line{FunctionIndex: d.function(line.Function), Line: max(line.Line, 0), Column: max(line.Column, 0)}
		if l.GetFunctionIndex() != 0 || l.GetLine() != 0 || l.GetColumn() != 0 {
			out.Lines = append(out.Lines, l)
		}
	}
	out.AttributeIndices = d.flagged(nil, keyIsFolded, l.IsFolded)
	out.AttributeIndices = d.texted(out.AttributeIndices, otlpkey.FrameType, d.frameType)
	i := d.locations.add(out)
	d.locationOf[l] = i
	return i
}

func (d *dictionary) function(f *profile.Function) int32 {
	if f == nil {
		return 0
	}
	i, ok := d.functionOf[f]
	if !ok {
		i = d.functions.add(&profiles.Function{
			NameStrindex: d.text(f.Name), SystemNameStrindex: d.text(f.SystemName), FilenameStrindex: d.text(f.Filename),
			StartLine: max(f.StartLine, 0),
		})
		d.functionOf[f] = i
	}
	return i
}

func (d *dictionary) mapping(m *profile.Mapping) int32 {
	if m == nil {
		return 0
	}
	if i, ok := d.mappingOf[m]; ok {
		return i
	}
	out := &profiles.Mapping{FileOffset: m.Offset, FilenameStrindex: d.text(m.File)}
	if m.Start < m.Limit {
		out.MemoryStart, out.MemoryLimit = m.Start, m.Limit
	}
	list := d.texted(nil, buildIDKey(m.BuildID), m.BuildID)
	list = d.flagged(list, keyHasFunctions, m.HasFunctions)
	list = d.flagged(list, keyHasFilenames, m.HasFilenames)
	list = d.flagged(list, keyHasLineNumbers, m.HasLineNumbers)
	out.AttributeIndices = d.flagged(list, keyHasInlineFrames, m.HasInlineFrames)
	i := d.mappings.add(out)
	d.mappingOf[m] = i
	return i
}

// buildIDKey tells by its form which kind of build ID it is: GNU's are bytes in
// hexadecimal, Go's have parts between slashes.
func buildIDKey(id string) string {
	if _, err := hex.DecodeString(id); err == nil {
		return otlpkey.BuildIDGNU
	}
	return otlpkey.BuildIDGo
}
