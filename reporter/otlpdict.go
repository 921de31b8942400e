// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"encoding/hex"
	"math"
	"slices"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/libpf"
)

// dictionary builds the tables of a request. Entry 0 of each is the zero value and
// means "none"; everything else stands once and only when something refers to it.
type dictionary struct {
	out       *profiles.ProfilesDictionary
	catalogue *catalogue

	texts     map[string]int32
	functions map[functionKey]int32
	mappings  map[libpf.FileID]int32
	locations map[locationKey]int32
	stacks    map[libpf.TraceHash]int32
	links     map[spanKey]int32
	attrs     map[attributeKey]int32
}

type functionKey struct {
	name, system, file int32
	start              libpf.SourceLineno
}

type locationKey struct {
	frame frameKey
	lines uint64
}

type attributeKey struct {
	key, text string
	number    int64
	isNumber  bool
}

func newDictionary(c *catalogue) *dictionary {
	return &dictionary{
		catalogue: c,
		out: &profiles.ProfilesDictionary{
			MappingTable: []*profiles.Mapping{{}}, LocationTable: []*profiles.Location{{}},
			FunctionTable: []*profiles.Function{{}}, LinkTable: []*profiles.Link{{}}, StringTable: []string{""},
			AttributeTable: []*profiles.KeyValueAndUnit{{}}, StackTable: []*profiles.Stack{{}},
		},
		texts: map[string]int32{"": 0}, functions: map[functionKey]int32{}, mappings: map[libpf.FileID]int32{},
		locations: map[locationKey]int32{}, stacks: map[libpf.TraceHash]int32{}, links: map[spanKey]int32{},
		attrs: map[attributeKey]int32{},
	}
}

// next appends to a table and returns the index.
func next[T any](tab *[]T, entry T) int32 {
	*tab = append(*tab, entry)
	return int32(len(*tab) - 1) //nolint:gosec // bounded by the size of a request
}

func (d *dictionary) text(s string) int32 {
	s = cleanText(s)
	i, ok := d.texts[s]
	if !ok {
		i = next(&d.out.StringTable, s)
		d.texts[s] = i
	}
	return i
}

func (d *dictionary) attribute(key attributeKey) int32 {
	i, ok := d.attrs[key]
	if ok {
		return i
	}
	var value *common.AnyValue
	if key.isNumber {
		value = intValue(key.number)
	} else {
		value = textValue(key.text)
	}
	i = next(&d.out.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: d.text(key.key), Value: value})
	d.attrs[key] = i
	return i
}

func (d *dictionary) link(row *libpf.Sample) int32 {
	key := spanKey{traceID: row.TraceID, spanID: row.SpanID}
	if key == (spanKey{}) {
		return 0
	}
	i, ok := d.links[key]
	if !ok {
		i = next(&d.out.LinkTable, &profiles.Link{TraceId: slices.Clone(key.traceID[:]), SpanId: slices.Clone(key.spanID[:])})
		d.links[key] = i
	}
	return i
}

// sampleAttributes returns the attributes of a sample, keys unique.
func (d *dictionary) sampleAttributes(row *libpf.Sample) []int32 {
	var out []int32
	if row.Comm != "" {
		out = append(out, d.attribute(attributeKey{key: "thread.name", text: row.Comm}))
	}
	if row.TID != 0 {
		out = append(out, d.attribute(attributeKey{key: "thread.id", number: int64(row.TID), isNumber: true}))
		out = append(out, d.attribute(attributeKey{key: "cpu.logical_number", number: int64(row.CPU), isNumber: true}))
	}
	for i, l := range row.Labels {
		if l.Key == "" || (i > 0 && row.Labels[i-1].Key == l.Key) {
			continue
		}
		out = append(out, d.attribute(attributeKey{key: "process.context.label." + l.Key, text: l.Value}))
	}
	return out
}

// unreported stands for a stack of which only the hash was reported.
var unreported = []libpf.Frame{{Type: libpf.AbortFrame, FunctionName: "[stack not reported]"}}

func (d *dictionary) stack(t *libpf.Trace, p *libpf.Process) int32 {
	hash, frames := t.Hash, t.Frames
	if len(frames) == 0 {
		if def, ok := d.catalogue.stacks.lookup(hash); ok {
			frames = def.value.Frames
		} else {
			hash, frames = libpf.TraceHash{}, unreported
		}
	}
	if i, ok := d.stacks[hash]; ok {
		return i
	}
	s := &profiles.Stack{LocationIndices: make([]int32, len(frames))}
	for i := range frames {
		s.LocationIndices[i] = d.location(&frames[i], p)
	}
	i := next(&d.out.StackTable, s)
	d.stacks[hash] = i
	return i
}

func (d *dictionary) location(f *libpf.Frame, p *libpf.Process) int32 {
	lines := d.lines(f)
	key := locationKey{lines: contentOfLines(lines), frame: frameKey{
		kind: f.Type, file: f.FileID, address: f.AddressOrLineno,
		function: f.FunctionName, sourceFile: f.SourceFile, sourceLine: f.SourceLine,
	}}
	if i, ok := d.locations[key]; ok {
		return i
	}
	loc := &profiles.Location{
		AttributeIndices: []int32{d.attribute(attributeKey{key: "profile.frame.type", text: frameTypeName(f.Type)})},
	}
	if isNative(f.Type) {
		loc.Address = uint64(f.AddressOrLineno)
		loc.MappingIndex = d.mapping(f, p)
	}
	for i := range lines {
		loc.Lines = append(loc.Lines, &profiles.Line{
			FunctionIndex: d.function(&lines[i]), Line: lineNumber(lines[i].Line),
		})
	}
	i := next(&d.out.LocationTable, loc)
	d.locations[key] = i
	return i
}

// lines returns the names of a frame, innermost first; none when it has no name.
func (d *dictionary) lines(f *libpf.Frame) []libpf.SourceLine {
	if f.FunctionName != "" {
		return []libpf.SourceLine{{Function: f.FunctionName, File: f.SourceFile, Line: f.SourceLine}}
	}
	if len(f.Lines) > 0 {
		return f.Lines
	}
	switch def, symbol, kind := d.catalogue.namesOf(f); kind {
	case byLines:
		return def.value
	case bySymbol:
		return []libpf.SourceLine{{Function: symbol.value}}
	}
	if f.Type.IsError() {
		return []libpf.SourceLine{{Function: "<" + f.Type.String() + ">"}}
	}
	return nil
}

func (d *dictionary) function(l *libpf.SourceLine) int32 {
	key := functionKey{name: d.text(l.Function), system: d.text(l.SystemName), file: d.text(l.File), start: l.StartLine}
	if key == (functionKey{}) {
		return 0
	}
	i, ok := d.functions[key]
	if !ok {
		i = next(&d.out.FunctionTable, &profiles.Function{
			NameStrindex: key.name, SystemNameStrindex: key.system, FilenameStrindex: key.file,
			StartLine: lineNumber(key.start),
		})
		d.functions[key] = i
	}
	return i
}

// lineNumber keeps what debug information claims within what a reader accepts.
func lineNumber(l libpf.SourceLineno) int64 {
	return int64(min(l, math.MaxInt32)) //nolint:gosec // limited
}

// mapping describes the file of a native frame. Addresses are those of the ELF
// file, so the mapping has no place in memory.
func (d *dictionary) mapping(f *libpf.Frame, p *libpf.Process) int32 {
	if f.FileID.IsZero() {
		return 0
	}
	if i, ok := d.mappings[f.FileID]; ok {
		return i
	}
	m := &profiles.Mapping{AttributeIndices: []int32{
		d.attribute(attributeKey{key: "process.executable.build_id.htlhash", text: f.FileID.String()}),
	}}
	if def, ok := d.catalogue.executable(f.FileID, p); ok {
		m.FilenameStrindex = d.text(def.value.FileName)
		if id := def.value.BuildID; id != "" {
			key := "process.executable.build_id.go"
			if _, err := hex.DecodeString(id); err == nil {
				key = "process.executable.build_id.gnu"
			}
			m.AttributeIndices = append(m.AttributeIndices, d.attribute(attributeKey{key: key, text: id}))
		}
	} else if f.Type == libpf.KernelFrame {
		m.FilenameStrindex = d.text("[kernel.kallsyms]")
	}
	i := next(&d.out.MappingTable, m)
	d.mappings[f.FileID] = i
	return i
}

// isNative reports whether addresses of the type are those of an ELF file.
func isNative(t libpf.FrameType) bool {
	switch t {
	case libpf.NativeFrame, libpf.KernelFrame, libpf.GoFrame:
		return true
	default:
		return false
	}
}

// frameTypeName is the value of profile.frame.type. Types that the conventions do
// not know keep their name here.
func frameTypeName(t libpf.FrameType) string {
	if t == libpf.AbortFrame {
		return t.String()
	}
	switch t &^ libpf.ErrorBit {
	case libpf.PythonFrame:
		return "cpython"
	case libpf.V8Frame:
		return "v8js"
	case libpf.PHPJITFrame:
		return "php"
	default:
		return (t &^ libpf.ErrorBit).String()
	}
}
