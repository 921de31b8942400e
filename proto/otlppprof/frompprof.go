// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/pprof/profile"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
)

// MaxSampleTypes is how many types of samples a profile may have. Those that
// exist have up to five.
const MaxSampleTypes = 64

// Options say what a pprof profile does not. The zero value adds nothing.
type Options struct {
	// Resource are the attributes of what was profiled, such as service.name. They
	// are kept, not copied.
	Resource []*common.KeyValue
	// Scope says who profiled. FromPprof adds attributes to a copy of it.
	Scope *common.InstrumentationScope
	// Time is that of profiles that have none.
	Time time.Time
	// FrameType is profile.frame.type of all locations, such as "go"; empty: not known.
	FrameType string
}

// FromPprof returns a profile as an export request with one resource and one
// scope. It fails for a profile that is not valid or has no sample types.
//
// The profiles of the request have parts in common, so none of it may be changed.
// It takes memory in proportion to the profile: [Shape.Memory] says how much.
func FromPprof(p *profile.Profile, o Options) (*collector.ExportProfilesServiceRequest, error) {
	if err := p.CheckValid(); err != nil {
		return nil, fmt.Errorf("check pprof profile: %w", err)
	}
	switch n := len(p.SampleType); {
	case n == 0:
		return nil, errors.New("pprof profile has no sample types")
	case n > MaxSampleTypes:
		return nil, fmt.Errorf("pprof profile has %d sample types, at most %d are allowed", n, MaxSampleTypes)
	}
	d := newDictionary(o.FrameType)
	d.mappingsInOrder(p)
	samples := d.samples(p)
	scope := &profiles.ScopeProfiles{Scope: scopeOf(p, o.Scope)}
	header := d.header(p, o.Time)
	for _, typ := range typeOrder(p) {
		scope.Profiles = append(scope.Profiles, d.profile(p.SampleType[typ], header, samples, typ))
	}
	return &collector.ExportProfilesServiceRequest{
		ResourceProfiles: []*profiles.ResourceProfiles{{
			Resource: &resource.Resource{Attributes: o.Resource}, ScopeProfiles: []*profiles.ScopeProfiles{scope},
		}},
		Dictionary: d.message(),
	}, nil
}

// mappingsInOrder adds the mappings that samples refer to in the order of the
// profile, the first of which is the program itself.
func (d *dictionary) mappingsInOrder(p *profile.Profile) {
	used := map[*profile.Mapping]bool{}
	for _, s := range p.Sample {
		for _, l := range s.Location {
			used[l.Mapping] = true
		}
	}
	for _, m := range p.Mapping {
		if used[m] {
			d.mapping(m)
		}
	}
}

// merged is a sample with the values of all that have its identity.
type merged struct {
	stack      int32
	attributes []int32
	values     []int64
}

// samples returns the samples in the order of the profile.
func (d *dictionary) samples(p *profile.Profile) []*merged {
	out := make([]*merged, 0, len(p.Sample))
	known := make(map[string]*merged, len(p.Sample))
	var key []byte
	for _, s := range p.Sample {
		m := &merged{stack: d.stack(s.Location), attributes: d.labels(s), values: s.Value}
		key = m.identity(key[:0])
		same, ok := known[string(key)]
		if !ok {
			known[string(key)] = m
			out = append(out, m)
			continue
		}
		same.values = slices.Clone(same.values) // the profile keeps its own
		for i, v := range s.Value {
			same.values[i] = addBounded(same.values[i], v)
		}
	}
	return out
}

func (m *merged) identity(b []byte) []byte {
	b = binary.AppendVarint(b, int64(m.stack))
	for _, a := range m.attributes { // in the order of their keys
		b = binary.AppendVarint(b, int64(a))
	}
	return b
}

// addBounded adds without leaving the range.
func addBounded(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// typeOrder returns the indices of the sample types, the default first, as readers
// show the first profile by default. Where none is named it is the last one.
func typeOrder(p *profile.Profile) []int {
	n := len(p.SampleType)
	first := n - 1
	if p.DefaultSampleType != "" {
		first = max(slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == p.DefaultSampleType }), 0)
	}
	order := []int{first}
	for i := range n {
		if i != first {
			order = append(order, i)
		}
	}
	return order
}

// scopeOf returns the scope with what it says of the sample types.
func scopeOf(p *profile.Profile, given *common.InstrumentationScope) *common.InstrumentationScope {
	s := &common.InstrumentationScope{
		Name: given.GetName(), Version: given.GetVersion(), Attributes: slices.Clone(given.GetAttributes()),
		DroppedAttributesCount: given.GetDroppedAttributesCount(),
	}
	if p.DefaultSampleType != "" {
		s.Attributes = append(s.Attributes, &common.KeyValue{Key: keyDefaultType, Value: textValue(p.DefaultSampleType)})
	}
	if len(p.SampleType) > 1 {
		var order []*common.AnyValue
		for _, i := range typeOrder(p) {
			order = append(order, intValue(int64(i)))
		}
		s.Attributes = append(s.Attributes, &common.KeyValue{Key: keyTypeOrder, Value: listValue(order)})
	}
	return s
}

// header returns what all profiles have in common.
func (d *dictionary) header(p *profile.Profile, at time.Time) *profiles.Profile {
	h := &profiles.Profile{
		TimeUnixNano: uint64(max(p.TimeNanos, 0)),     //nolint:gosec // not negative
		DurationNano: uint64(max(p.DurationNanos, 0)), //nolint:gosec // not negative
		PeriodType:   d.valueType(p.PeriodType), Period: p.Period,
	}
	if h.TimeUnixNano == 0 && !at.IsZero() {
		h.TimeUnixNano = uint64(max(at.UnixNano(), 0)) //nolint:gosec // not negative
	}
	var list []int32
	if len(p.Comments) > 0 {
		var comments []*common.AnyValue
		for _, c := range p.Comments {
			comments = append(comments, textValue(c))
		}
		list = append(list, d.attribute(keyComment, listValue(comments), ""))
	}
	list = d.texted(list, keyDocURL, p.DocURL)
	list = d.texted(list, keyDropFrames, p.DropFrames)
	h.AttributeIndices = d.texted(list, keyKeepFrames, p.KeepFrames)
	return h
}

// valueType returns nil for a type that says nothing.
func (d *dictionary) valueType(t *profile.ValueType) *profiles.ValueType {
	if t == nil || t.Type == "" && t.Unit == "" {
		return nil
	}
	return &profiles.ValueType{TypeStrindex: d.text(t.Type), UnitStrindex: d.text(t.Unit)}
}

// profile returns the profile of one sample type.
func (d *dictionary) profile(t *profile.ValueType, header *profiles.Profile, samples []*merged, typ int) *profiles.Profile {
	out := &profiles.Profile{
		SampleType: d.valueType(t), TimeUnixNano: header.TimeUnixNano, DurationNano: header.DurationNano,
		PeriodType: header.PeriodType, Period: header.Period, AttributeIndices: header.AttributeIndices,
	}
	list := make([]profiles.Sample, len(samples))
	out.Samples = make([]*profiles.Sample, len(samples))
	for i, m := range samples {
		s := &list[i]
		s.StackIndex, s.AttributeIndices, s.Values = m.stack, m.attributes, m.values[typ:typ+1:typ+1]
		out.Samples[i] = s
	}
	return out
}
