// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"math"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

// structs reads a request that was made by others, as of pprof. What is missing
// in a list counts as empty. Its error is that of charge.
func (m *message) structs(r *collector.ExportProfilesServiceRequest) error {
	if err := m.structDictionary(r.GetDictionary()); err != nil {
		return err
	}
	for _, rp := range r.GetResourceProfiles() {
		if err := m.structResource(rp); err != nil {
			return err
		}
	}
	return nil
}

// text keeps a text.
func (m *message) text(s string) ([]byte, error) {
	begin := len(m.arena)
	if err := m.grow(arenaTable, begin, len(s)); err != nil {
		return nil, err
	}
	m.arena = append(m.arena, s...)
	return m.arena[begin:len(m.arena):len(m.arena)], nil
}

// longValue returns a value of a text or of bytes.
func (m *message) longValue(kind valueKind, s string) (value, error) {
	text, err := m.text(s)
	return value{kind: kind, text: text}, err
}

// list keeps indices.
func (m *message) list(indices []int32) (extent, error) {
	e := m.noIndices()
	if err := m.grow(indexTable, len(m.indices), len(indices)); err != nil {
		return e, err
	}
	m.indices = append(m.indices, indices...)
	e.to = to32(len(m.indices))
	return e, nil
}

// growAll charges for so many entries of tables that are empty.
func (m *message) growAll(counts map[table]int) error {
	for t, n := range counts {
		if err := m.grow(t, 0, n); err != nil {
			return err
		}
	}
	return nil
}

func (m *message) structDictionary(d *profiles.ProfilesDictionary) (err error) {
	if err := m.growAll(map[table]int{
		textTable: len(d.GetStringTable()), attributeTable: len(d.GetAttributeTable()), mappingTable: len(d.GetMappingTable()),
		functionTable: len(d.GetFunctionTable()), locationTable: len(d.GetLocationTable()), linkTable: len(d.GetLinkTable()),
		stackTable: len(d.GetStackTable()),
	}); err != nil {
		return err
	}
	for _, s := range d.GetStringTable() {
		text, err := m.text(s)
		if err != nil {
			return err
		}
		m.texts = append(m.texts, text)
	}
	for _, a := range d.GetAttributeTable() {
		e := attributeEntry{key: a.GetKeyStrindex(), unit: a.GetUnitStrindex()}
		if e.value, err = m.structValue(a.GetValue(), true); err != nil {
			return err
		}
		m.attributes = append(m.attributes, e)
	}
	for _, x := range d.GetMappingTable() {
		e := mappingEntry{start: x.GetMemoryStart(), limit: x.GetMemoryLimit(), offset: x.GetFileOffset(), filename: x.GetFilenameStrindex()}
		if e.attributes, err = m.list(x.GetAttributeIndices()); err != nil {
			return err
		}
		m.mappings = append(m.mappings, e)
	}
	for _, f := range d.GetFunctionTable() {
		m.functions = append(m.functions, functionEntry{
			name: f.GetNameStrindex(), system: f.GetSystemNameStrindex(), file: f.GetFilenameStrindex(), startLine: f.GetStartLine(),
		})
	}
	for _, l := range d.GetLocationTable() {
		e := locationEntry{address: l.GetAddress(), mapping: l.GetMappingIndex(), lines: extent{from: to32(len(m.lines))}}
		if e.attributes, err = m.list(l.GetAttributeIndices()); err != nil {
			return err
		}
		if err := m.grow(lineTable, len(m.lines), len(l.GetLines())); err != nil {
			return err
		}
		for _, line := range l.GetLines() {
			m.lines = append(m.lines, lineEntry{line: line.GetLine(), function: line.GetFunctionIndex()})
		}
		e.lines.to = to32(len(m.lines))
		m.locations = append(m.locations, e)
	}
	for _, l := range d.GetLinkTable() {
		e := linkEntry{traceLen: len(l.GetTraceId()), spanLen: len(l.GetSpanId())}
		copy(e.trace[:], l.GetTraceId())
		copy(e.span[:], l.GetSpanId())
		m.links = append(m.links, e)
	}
	for _, s := range d.GetStackTable() {
		e, err := m.list(s.GetLocationIndices())
		if err != nil {
			return err
		}
		m.stacks = append(m.stacks, e)
	}
	return nil
}

// structValue reads a value. Without lists, of a list and a map only the kind is kept.
func (m *message) structValue(v *common.AnyValue, lists bool) (value, error) {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return m.longValue(stringValue, v.StringValue)
	case *common.AnyValue_StringValueStrindex:
		return value{kind: indexValue, number: uint64(uint32(v.StringValueStrindex))}, nil //nolint:gosec // its bits
	case *common.AnyValue_IntValue:
		return value{kind: intValue, number: uint64(v.IntValue)}, nil //nolint:gosec // its bits
	case *common.AnyValue_BoolValue:
		if v.BoolValue {
			return value{kind: boolValue, number: 1}, nil
		}
		return value{kind: boolValue}, nil
	case *common.AnyValue_DoubleValue:
		return value{kind: doubleValue, number: math.Float64bits(v.DoubleValue)}, nil
	case *common.AnyValue_BytesValue:
		return m.longValue(bytesValue, string(v.BytesValue))
	case *common.AnyValue_KvlistValue:
		return value{kind: mapValue}, nil
	case *common.AnyValue_ArrayValue:
		list := value{kind: listValue}
		if !lists {
			return list, nil
		}
		list.list.from = to32(len(m.elements))
		if err := m.grow(elementTable, len(m.elements), len(v.ArrayValue.GetValues())); err != nil {
			return list, err
		}
		for _, e := range v.ArrayValue.GetValues() {
			one, err := m.structValue(e, false)
			if err != nil {
				return list, err
			}
			m.elements = append(m.elements, one)
		}
		list.list.to = to32(len(m.elements))
		return list, nil
	default:
		return value{}, nil
	}
}

func (m *message) structResource(rp *profiles.ResourceProfiles) (err error) {
	if err := m.grow(resourceTable, len(m.resources), 1); err != nil {
		return err
	}
	e := resourceEntry{attributes: extent{from: to32(len(m.keyValues))}, scopes: extent{from: to32(len(m.scopes))}}
	attributes := rp.GetResource().GetAttributes()
	if err := m.grow(keyValueTable, len(m.keyValues), len(attributes)); err != nil {
		return err
	}
	for _, a := range attributes {
		kv := keyValue{index: a.GetKeyStrindex()}
		if kv.key, err = m.text(a.GetKey()); err != nil {
			return err
		}
		if kv.value, err = m.structValue(a.GetValue(), true); err != nil {
			return err
		}
		m.keyValues = append(m.keyValues, kv)
	}
	if err := m.grow(scopeTable, len(m.scopes), len(rp.GetScopeProfiles())); err != nil {
		return err
	}
	for _, sp := range rp.GetScopeProfiles() {
		scope := extent{from: to32(len(m.profiles))}
		if err := m.grow(profileTable, len(m.profiles), len(sp.GetProfiles())); err != nil {
			return err
		}
		for _, p := range sp.GetProfiles() {
			if err := m.structProfile(p); err != nil {
				return err
			}
		}
		scope.to = to32(len(m.profiles))
		m.scopes = append(m.scopes, scope)
	}
	e.attributes.to, e.scopes.to = to32(len(m.keyValues)), to32(len(m.scopes))
	m.resources = append(m.resources, e)
	return nil
}

func (m *message) structProfile(p *profiles.Profile) (err error) {
	e := profileEntry{
		sampleType: valueType{p.GetSampleType().GetTypeStrindex(), p.GetSampleType().GetUnitStrindex()},
		periodType: valueType{p.GetPeriodType().GetTypeStrindex(), p.GetPeriodType().GetUnitStrindex()},
		time:       p.GetTimeUnixNano(), duration: p.GetDurationNano(), period: p.GetPeriod(),
		samples: extent{from: to32(len(m.samples))}, attributes: extent{from: to32(len(m.ofProfile))},
	}
	if err := m.grow(profileAttributeTable, len(m.ofProfile), len(p.GetAttributeIndices())); err != nil {
		return err
	}
	m.ofProfile = append(m.ofProfile, p.GetAttributeIndices()...)
	if err := m.grow(sampleTable, len(m.samples), len(p.GetSamples())); err != nil {
		return err
	}
	for _, s := range p.GetSamples() {
		if err := m.grow(valueTable, len(m.values), len(s.GetValues())); err != nil {
			return err
		}
		if err := m.grow(timeTable, len(m.times), len(s.GetTimestampsUnixNano())); err != nil {
			return err
		}
		out := sampleEntry{
			stack: s.GetStackIndex(), link: s.GetLinkIndex(),
			values: extent{from: to32(len(m.values))}, times: extent{from: to32(len(m.times))},
		}
		if out.attributes, err = m.list(s.GetAttributeIndices()); err != nil {
			return err
		}
		m.values = append(m.values, s.GetValues()...)
		m.times = append(m.times, s.GetTimestampsUnixNano()...)
		out.values.to, out.times.to = to32(len(m.values)), to32(len(m.times))
		m.samples = append(m.samples, out)
	}
	e.samples.to, e.attributes.to = to32(len(m.samples)), to32(len(m.ofProfile))
	m.profiles = append(m.profiles, e)
	return nil
}
