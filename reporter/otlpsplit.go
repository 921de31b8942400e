// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// A request of an earlier run is bytes. They passed a checksum, but another version of the
// agent may have written them, so every index is checked.

var errIndivisible = errors.New("the request holds a single observation")

// countProfiles returns the number of profiles in a request, 0 if it cannot be read.
func countProfiles(payload []byte) (n int) {
	var req collector.ExportProfilesServiceRequest
	if proto.Unmarshal(payload, &req) != nil {
		return 0
	}
	for _, r := range req.GetResourceProfiles() {
		for _, s := range r.GetScopeProfiles() {
			n += len(s.GetProfiles())
		}
	}
	return n
}

// splitProfiles cuts a request in two with about as many observations each. Each half has
// what it refers to in its dictionary, and nothing else.
func splitProfiles(payload []byte) (first, second []byte, err error) {
	var req collector.ExportProfilesServiceRequest
	if err := proto.Unmarshal(payload, &req); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSpooled, err)
	}
	n := 0
	for _, r := range req.GetResourceProfiles() {
		for _, s := range r.GetScopeProfiles() {
			for _, p := range s.GetProfiles() {
				for _, sample := range p.GetSamples() {
					n += observations(sample)
				}
			}
		}
	}
	if n < 2 {
		return nil, nil, errIndivisible
	}
	if first, err = cutProfiles(&req, 0, n/2); err != nil {
		return nil, nil, err
	}
	second, err = cutProfiles(&req, n/2, n)
	return first, second, err
}

// observations is how many things a sample says were seen.
func observations(s *profiles.Sample) int { return max(len(s.GetTimestampsUnixNano()), 1) }

// cutProfiles makes a request of the observations from..to-1 of another.
func cutProfiles(req *collector.ExportProfilesServiceRequest, from, to int) ([]byte, error) {
	c := &cutter{from: req.GetDictionary(), known: map[tableKey]int32{}, to: &profiles.ProfilesDictionary{
		MappingTable: []*profiles.Mapping{{}}, LocationTable: []*profiles.Location{{}}, FunctionTable: []*profiles.Function{{}},
		LinkTable: []*profiles.Link{{}}, StringTable: []string{""}, AttributeTable: []*profiles.KeyValueAndUnit{{}},
		StackTable: []*profiles.Stack{{}},
	}}
	out := &collector.ExportProfilesServiceRequest{Dictionary: c.to}
	at := 0
	for _, r := range req.GetResourceProfiles() {
		c.plain(r.GetResource().GetAttributes())
		resource := &profiles.ResourceProfiles{Resource: r.GetResource(), SchemaUrl: r.GetSchemaUrl()}
		for _, s := range r.GetScopeProfiles() {
			c.plain(s.GetScope().GetAttributes())
			scope := &profiles.ScopeProfiles{Scope: s.GetScope(), SchemaUrl: s.GetSchemaUrl()}
			for _, p := range s.GetProfiles() {
				var samples []*profiles.Sample
				for _, sample := range p.GetSamples() {
					n := observations(sample)
					if lo, hi := max(from-at, 0), min(to-at, n); lo < hi {
						samples = append(samples, c.sample(sample, lo, hi))
					}
					at += n
				}
				if len(samples) > 0 {
					scope.Profiles = append(scope.Profiles, c.profile(p, samples, from))
				}
			}
			if len(scope.Profiles) > 0 {
				resource.ScopeProfiles = append(resource.ScopeProfiles, scope)
			}
		}
		if len(resource.ScopeProfiles) > 0 {
			out.ResourceProfiles = append(out.ResourceProfiles, resource)
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	return marshal(out)
}

// cutter copies what is referred to from one dictionary to another.
type cutter struct {
	from, to *profiles.ProfilesDictionary
	known    map[tableKey]int32
	err      error
}

type tableKey struct {
	table string
	index int32
}

// entry returns the new index of an entry of a table. copy makes the new entry.
func entry[T any](c *cutter, name string, from []T, to *[]T, i int32, copyEntry func(T) T) int32 {
	if i == 0 {
		return 0
	}
	key := tableKey{name, i}
	if have, ok := c.known[key]; ok {
		return have
	}
	if i < 0 || int(i) >= len(from) {
		if c.err == nil {
			c.err = fmt.Errorf("%w: index %d of %s", errSpooled, i, name)
		}
		return 0
	}
	*to = append(*to, copyEntry(from[i]))
	index := int32(len(*to) - 1) //nolint:gosec // at most as many as there were
	c.known[key] = index
	return index
}

func (c *cutter) text(i int32) int32 {
	return entry(c, "string_table", c.from.GetStringTable(), &c.to.StringTable, i, func(s string) string { return s })
}

func (c *cutter) attribute(i int32) int32 {
	return entry(c, "attribute_table", c.from.GetAttributeTable(), &c.to.AttributeTable, i,
		func(a *profiles.KeyValueAndUnit) *profiles.KeyValueAndUnit {
			return &profiles.KeyValueAndUnit{
				KeyStrindex: c.text(a.GetKeyStrindex()), UnitStrindex: c.text(a.GetUnitStrindex()), Value: c.value(a.GetValue()),
			}
		})
}

// plain checks that attributes refer to nothing, as those of our resources do not.
func (c *cutter) plain(attributes []*common.KeyValue) {
	for _, a := range attributes {
		if a.GetKeyStrindex() != 0 || a.GetValue().GetStringValueStrindex() != 0 {
			c.err = fmt.Errorf("%w: a reference in a resource", errSpooled)
		}
	}
}

// value copies the value of an attribute, which is plain or a reference.
func (c *cutter) value(v *common.AnyValue) *common.AnyValue {
	switch x := v.GetValue().(type) {
	case *common.AnyValue_StringValueStrindex:
		return &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: c.text(x.StringValueStrindex)}}
	case *common.AnyValue_ArrayValue, *common.AnyValue_KvlistValue:
		c.err = fmt.Errorf("%w: a list as the value of an attribute", errSpooled)
	}
	return v
}

func (c *cutter) attributes(list []int32) []int32 {
	var out []int32
	for _, i := range list {
		out = append(out, c.attribute(i))
	}
	return out
}

func (c *cutter) function(i int32) int32 {
	return entry(c, "function_table", c.from.GetFunctionTable(), &c.to.FunctionTable, i,
		func(f *profiles.Function) *profiles.Function {
			return &profiles.Function{
				NameStrindex: c.text(f.GetNameStrindex()), SystemNameStrindex: c.text(f.GetSystemNameStrindex()),
				FilenameStrindex: c.text(f.GetFilenameStrindex()), StartLine: f.GetStartLine(),
			}
		})
}

func (c *cutter) mapping(i int32) int32 {
	return entry(c, "mapping_table", c.from.GetMappingTable(), &c.to.MappingTable, i,
		func(m *profiles.Mapping) *profiles.Mapping {
			return &profiles.Mapping{
				MemoryStart: m.GetMemoryStart(), MemoryLimit: m.GetMemoryLimit(), FileOffset: m.GetFileOffset(),
				FilenameStrindex: c.text(m.GetFilenameStrindex()), AttributeIndices: c.attributes(m.GetAttributeIndices()),
			}
		})
}

func (c *cutter) location(i int32) int32 {
	return entry(c, "location_table", c.from.GetLocationTable(), &c.to.LocationTable, i,
		func(l *profiles.Location) *profiles.Location {
			out := &profiles.Location{
				MappingIndex: c.mapping(l.GetMappingIndex()), Address: l.GetAddress(), AttributeIndices: c.attributes(l.GetAttributeIndices()),
			}
			for _, line := range l.GetLines() {
				out.Lines = append(out.Lines, &profiles.Line{
					FunctionIndex: c.function(line.GetFunctionIndex()), Line: line.GetLine(), Column: line.GetColumn(),
				})
			}
			return out
		})
}

func (c *cutter) stack(i int32) int32 {
	return entry(c, "stack_table", c.from.GetStackTable(), &c.to.StackTable, i,
		func(s *profiles.Stack) *profiles.Stack {
			out := &profiles.Stack{}
			for _, l := range s.GetLocationIndices() {
				out.LocationIndices = append(out.LocationIndices, c.location(l))
			}
			return out
		})
}

func (c *cutter) link(i int32) int32 {
	return entry(c, "link_table", c.from.GetLinkTable(), &c.to.LinkTable, i, func(l *profiles.Link) *profiles.Link { return l })
}

// sample copies the observations lo..hi-1 of a sample.
func (c *cutter) sample(s *profiles.Sample, lo, hi int) *profiles.Sample {
	out := &profiles.Sample{
		StackIndex: c.stack(s.GetStackIndex()), LinkIndex: c.link(s.GetLinkIndex()),
		AttributeIndices: c.attributes(s.GetAttributeIndices()),
		Values:           s.GetValues(), TimestampsUnixNano: s.GetTimestampsUnixNano(),
	}
	if n := len(out.TimestampsUnixNano); n > 0 {
		if len(out.Values) == n {
			out.Values = out.Values[lo:hi]
		}
		out.TimestampsUnixNano = out.TimestampsUnixNano[lo:hi]
	}
	return out
}

// profile copies a profile with other samples. Its ID says that it is another one.
func (c *cutter) profile(p *profiles.Profile, samples []*profiles.Sample, part int) *profiles.Profile {
	kind := func(t *profiles.ValueType) *profiles.ValueType {
		if t == nil {
			return nil
		}
		return &profiles.ValueType{TypeStrindex: c.text(t.GetTypeStrindex()), UnitStrindex: c.text(t.GetUnitStrindex())}
	}
	id := xxh3.Hash128(fmt.Appendf(slices.Clone(p.GetProfileId()), "/%d", part)).Bytes()
	return &profiles.Profile{
		SampleType: kind(p.GetSampleType()), Samples: samples, TimeUnixNano: p.GetTimeUnixNano(), DurationNano: p.GetDurationNano(),
		PeriodType: kind(p.GetPeriodType()), Period: p.GetPeriod(), ProfileId: id[:],
		DroppedAttributesCount: p.GetDroppedAttributesCount(), AttributeIndices: c.attributes(p.GetAttributeIndices()),
	}
}
