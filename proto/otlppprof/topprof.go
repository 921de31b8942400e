// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/pprof/profile"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
)

// Payload is a message of profiles: an ExportProfilesServiceRequest or a ProfilesData.
type Payload interface {
	GetResourceProfiles() []*profiles.ResourceProfiles
	GetDictionary() *profiles.ProfilesDictionary
}

// Converted is a pprof profile and where it is from.
type Converted struct {
	Resource *resource.Resource
	Scope    *common.InstrumentationScope
	Profile  *profile.Profile

	reader *reader
}

// DefaultMaxMemory is how much memory [ToPprof] takes at most unless told otherwise.
const DefaultMaxMemory = 1 << 30

// ErrTooLarge is that something is larger than its limit.
var ErrTooLarge = errors.New("too large")

// ToPprof returns the profiles of a message as pprof profiles. Those of a scope
// that differ in their sample types alone become one, as FromPprof made them of one.
//
// Timestamps are counted, or their values summed: pprof has none. Spans become the
// labels trace_id and span_id. Resources and frame types stay behind, but resources
// are returned beside.
//
// The message may be anything. An index that is out of range is an error that names
// the field; so is memory above maxMemory bytes, 0 for [DefaultMaxMemory].
func ToPprof(p Payload, maxMemory int64) ([]Converted, error) {
	if maxMemory <= 0 {
		maxMemory = DefaultMaxMemory
	}
	r := &reader{dictionary: p.GetDictionary(), left: maxMemory}
	if err := r.readDictionary(); err != nil {
		return nil, err
	}
	var out []Converted
	for i, rp := range p.GetResourceProfiles() {
		for j, sp := range rp.GetScopeProfiles() {
			field := at(at("resource_profiles", i)+".scope_profiles", j)
			list, err := r.scope(field, sp)
			if err != nil {
				return nil, err
			}
			for _, p := range list {
				out = append(out, Converted{Resource: rp.GetResource(), Scope: sp.GetScope(), Profile: p, reader: r})
			}
		}
	}
	return out, nil
}

// at names an element of a field.
func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// group are profiles of a scope that make one of pprof.
type group struct {
	fields   []string
	profiles []*profiles.Profile
}

func (r *reader) scope(field string, sp *profiles.ScopeProfiles) ([]*profile.Profile, error) {
	defaultType, order := r.scopeAttributes(sp.GetScope())
	var groups []*group
	for i, p := range sp.GetProfiles() {
		name := at(field+".profiles", i)
		if err := r.checkProfile(name, p); err != nil {
			return nil, err
		}
		if n := len(groups); n == 0 || !groups[n-1].fits(p, len(order) > 0) {
			groups = append(groups, &group{})
		}
		g := groups[len(groups)-1]
		g.fields, g.profiles = append(g.fields, name), append(g.profiles, p)
	}
	var out []*profile.Profile
	for _, g := range groups {
		p, err := r.profile(g, defaultType, order)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// fits reports whether a profile differs from those of the group in its type alone.
// Types repeat only where the scope tells how they were ordered.
func (g *group) fits(p *profiles.Profile, ordered bool) bool {
	first := g.profiles[0]
	if !ordered && slices.ContainsFunc(g.profiles, func(o *profiles.Profile) bool {
		return sameType(o.GetSampleType(), p.GetSampleType())
	}) {
		return false
	}
	return len(g.profiles) < MaxSampleTypes &&
		p.GetTimeUnixNano() == first.GetTimeUnixNano() && p.GetDurationNano() == first.GetDurationNano() &&
		p.GetPeriod() == first.GetPeriod() && sameType(p.GetPeriodType(), first.GetPeriodType()) &&
		slices.Equal(p.GetAttributeIndices(), first.GetAttributeIndices())
}

func sameType(a, b *profiles.ValueType) bool {
	return a.GetTypeStrindex() == b.GetTypeStrindex() && a.GetUnitStrindex() == b.GetUnitStrindex()
}

// scopeAttributes returns what the scope says of the types of a pprof profile.
func (r *reader) scopeAttributes(s *common.InstrumentationScope) (defaultType string, order []int) {
	for _, kv := range s.GetAttributes() {
		switch r.keyOf(kv) {
		case keyDefaultType:
			if r.checkValue("", kv.GetValue()) == nil {
				defaultType = r.valueText(kv.GetValue())
			}
		case keyTypeOrder:
			values := kv.GetValue().GetArrayValue().GetValues()
			if len(values) > MaxSampleTypes {
				continue
			}
			order = order[:0]
			for _, v := range values {
				order = append(order, int(v.GetIntValue()))
			}
		}
	}
	return defaultType, order
}

// permutation reports whether order has each of 0 to n-1 once.
func permutation(order []int, n int) bool {
	sorted := slices.Sorted(slices.Values(order))
	for i, v := range sorted {
		if v != i {
			return false
		}
	}
	return len(order) == n
}

// profile makes a pprof profile of a group.
func (r *reader) profile(g *group, defaultType string, order []int) (*profile.Profile, error) {
	n := len(g.profiles)
	first := g.profiles[0]
	texts := len(defaultType)
	for _, p := range g.profiles {
		t := r.valueType(p.GetSampleType())
		texts += len(t.Type) + len(t.Unit)
	}
	if err := r.charge("profiles", profileBytes+n*typeBytes+texts); err != nil {
		return nil, err
	}
	out := &profile.Profile{
		SampleType: make([]*profile.ValueType, n), DefaultSampleType: defaultType,
		TimeNanos: bounded(first.GetTimeUnixNano()), DurationNanos: bounded(first.GetDurationNano()),
		PeriodType: r.valueType(first.GetPeriodType()), Period: first.GetPeriod(),
	}
	if err := r.profileAttributes(out, first.GetAttributeIndices()); err != nil {
		return nil, err
	}
	if !permutation(order, n) {
		order = nil
		if n > 1 && defaultType == "" {
			out.DefaultSampleType = r.valueType(first.GetSampleType()).Type // what readers show by default
		}
	}
	b := newBuilder(r, out)
	place := make([]int, n) // of profiles among the types
	byType := make([]int, n)
	for i := range place {
		place[i] = i
		if order != nil {
			place[i] = order[i]
		}
		byType[place[i]] = i
	}
	for _, i := range byType { // so that samples keep their order
		out.SampleType[place[i]] = r.valueType(g.profiles[i].GetSampleType())
		for j, s := range g.profiles[i].GetSamples() {
			if err := r.checkSample(func() string { return at(g.fields[i]+".samples", j) }, s); err != nil {
				return nil, err
			}
			if err := b.sample(s, place[i]); err != nil {
				return nil, err
			}
		}
	}
	b.numberMappings()
	return out, nil
}

// bounded is a time as pprof has it.
func bounded(ns uint64) int64 { return int64(min(ns, math.MaxInt64)) } //nolint:gosec // bounded

func (r *reader) valueType(t *profiles.ValueType) *profile.ValueType {
	return &profile.ValueType{Type: r.strings[t.GetTypeStrindex()], Unit: r.strings[t.GetUnitStrindex()]}
}

func (r *reader) profileAttributes(p *profile.Profile, list []int32) error {
	for _, a := range list {
		l := &r.attributes[a]
		if err := r.charge("profiles.attribute_indices", r.sizes[a]); err != nil {
			return err
		}
		switch l.key {
		case keyComment:
			p.Comments = append(p.Comments, l.texts...)
		case keyDocURL:
			p.DocURL = l.text()
		case keyDropFrames:
			p.DropFrames = l.text()
		case keyKeepFrames:
			p.KeepFrames = l.text()
		}
	}
	return nil
}
