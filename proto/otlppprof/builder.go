// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/google/pprof/profile"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

// builder makes one pprof profile.
type builder struct {
	*reader
	out     *profile.Profile
	samples map[string]*profile.Sample
	key     []byte

	stacks    map[int32][]*profile.Location
	locations map[int32]*profile.Location
	mappings  map[int32]*profile.Mapping
	functions map[int32]*profile.Function
}

func newBuilder(r *reader, out *profile.Profile) *builder {
	return &builder{
		reader: r, out: out, samples: map[string]*profile.Sample{},
		stacks: map[int32][]*profile.Location{}, locations: map[int32]*profile.Location{},
		mappings: map[int32]*profile.Mapping{}, functions: map[int32]*profile.Function{},
	}
}

// sample adds the value of a sample to that of the same identity.
func (b *builder) sample(s *profiles.Sample, typ int) error {
	attributes := slices.Clone(s.GetAttributeIndices())
	slices.Sort(attributes)
	b.key = binary.AppendVarint(b.key[:0], int64(s.GetStackIndex()))
	b.key = binary.AppendVarint(b.key, int64(s.GetLinkIndex()))
	for _, a := range attributes {
		b.key = binary.AppendVarint(b.key, int64(a))
	}
	out, ok := b.samples[string(b.key)]
	if !ok {
		if err := b.charge("samples", sampleBytes+len(b.key)+8*len(b.out.SampleType)); err != nil {
			return err
		}
		stack, err := b.stack(s.GetStackIndex())
		if err != nil {
			return err
		}
		out = &profile.Sample{Location: stack, Value: make([]int64, len(b.out.SampleType))}
		if err := b.addLabels(out, s); err != nil {
			return err
		}
		b.samples[string(b.key)] = out
		b.out.Sample = append(b.out.Sample, out)
	}
	if len(s.GetValues()) == 0 {
		out.Value[typ] = addBounded(out.Value[typ], int64(len(s.GetTimestampsUnixNano())))
	}
	for _, v := range s.GetValues() {
		out.Value[typ] = addBounded(out.Value[typ], v)
	}
	return nil
}

func (b *builder) addLabels(out *profile.Sample, s *profiles.Sample) error {
	for _, a := range s.GetAttributeIndices() {
		l := &b.attributes[a]
		// Each will be written out with the profile.
		if err := b.charge("samples.attribute_indices", b.sizes[a]); err != nil {
			return err
		}
		l.addTo(out)
	}
	if link := b.link(s.GetLinkIndex()); len(link.GetTraceId())+len(link.GetSpanId()) > 0 {
		if err := b.charge("samples.attribute_indices", 2*labelBytes); err != nil {
			return err
		}
		(&label{key: "trace_id", texts: []string{hex.EncodeToString(link.GetTraceId())}}).addTo(out)
		(&label{key: "span_id", texts: []string{hex.EncodeToString(link.GetSpanId())}}).addTo(out)
	}
	return nil
}

func (r *reader) link(i int32) *profiles.Link {
	if i == 0 {
		return nil
	}
	return r.dictionary.GetLinkTable()[i]
}

// stack returns the locations of a stack, which samples share.
func (b *builder) stack(i int32) ([]*profile.Location, error) {
	if i == 0 {
		return nil, nil
	}
	indices := b.dictionary.GetStackTable()[i].GetLocationIndices()
	// Each will be written out with the sample, whoever it is shared with.
	if err := b.charge("dictionary.stack_table", pointerBytes*len(indices)); err != nil {
		return nil, err
	}
	if s, ok := b.stacks[i]; ok {
		return s, nil
	}
	s := make([]*profile.Location, len(indices))
	for j, l := range indices {
		var err error
		if s[j], err = b.location(l); err != nil {
			return nil, err
		}
	}
	b.stacks[i] = s
	return s, nil
}

func (b *builder) location(i int32) (*profile.Location, error) {
	if l, ok := b.locations[i]; ok {
		return l, nil
	}
	out := &profile.Location{ID: uint64(len(b.out.Location) + 1)}
	b.locations[i] = out
	b.out.Location = append(b.out.Location, out)
	if i == 0 {
		return out, b.charge("dictionary.location_table", locationBytes)
	}
	in := b.dictionary.GetLocationTable()[i]
	if err := b.charge("dictionary.location_table", locationBytes+lineBytes*len(in.GetLines())); err != nil {
		return nil, err
	}
	out.Address, out.IsFolded = in.GetAddress(), b.folded[i]
	var err error
	if out.Mapping, err = b.mapping(in.GetMappingIndex()); err != nil {
		return nil, err
	}
	for _, line := range in.GetLines() {
		f, err := b.function(line.GetFunctionIndex())
		if err != nil {
			return nil, err
		}
		out.Line = append(out.Line, profile.Line{Function: f, Line: line.GetLine(), Column: line.GetColumn()})
	}
	return out, nil
}

func (b *builder) function(i int32) (*profile.Function, error) {
	if f, ok := b.functions[i]; ok {
		return f, nil
	}
	out := &profile.Function{ID: uint64(len(b.out.Function) + 1)}
	if i != 0 {
		in := b.dictionary.GetFunctionTable()[i]
		out.Name, out.SystemName = b.strings[in.GetNameStrindex()], b.strings[in.GetSystemNameStrindex()]
		out.Filename, out.StartLine = b.strings[in.GetFilenameStrindex()], in.GetStartLine()
	}
	b.functions[i] = out
	b.out.Function = append(b.out.Function, out)
	return out, b.charge("dictionary.function_table", functionBytes+len(out.Name)+len(out.SystemName)+len(out.Filename))
}

func (b *builder) mapping(i int32) (*profile.Mapping, error) {
	if i == 0 {
		return nil, nil
	}
	if m, ok := b.mappings[i]; ok {
		return m, nil
	}
	out := &profile.Mapping{}
	*out = b.reader.mappings[i]
	b.mappings[i] = out
	return out, b.charge("dictionary.mapping_table", mappingBytes+len(out.File)+len(out.BuildID))
}

// numberMappings lists the mappings in the order of the message: the first is the program.
func (b *builder) numberMappings() {
	for _, i := range slices.Sorted(maps.Keys(b.mappings)) {
		m := b.mappings[i]
		b.out.Mapping = append(b.out.Mapping, m)
		m.ID = uint64(len(b.out.Mapping))
	}
}
