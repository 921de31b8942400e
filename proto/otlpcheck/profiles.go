// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/zeebo/xxh3"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

func (c *checker) resource(rp *profiles.ResourceProfiles) {
	c.report.Resources++
	c.known(rp)
	c.text("schema_url", rp.GetSchemaUrl())
	if r := rp.GetResource(); r != nil {
		c.enter("resource")
		c.known(r)
		c.keyValues("attributes", r.GetAttributes(), 0)
		c.leave()
	}
	if len(rp.GetScopeProfiles()) == 0 {
		c.find(ruleEmpty, "scope_profiles", "is empty")
	}
	for i, sp := range rp.GetScopeProfiles() {
		c.at("scope_profiles", i)
		c.scope(sp)
		c.leave()
	}
}

func (c *checker) scope(sp *profiles.ScopeProfiles) {
	c.known(sp)
	c.text("schema_url", sp.GetSchemaUrl())
	if s := sp.GetScope(); s != nil {
		c.enter("scope")
		c.known(s)
		c.text("name", s.GetName())
		c.text("version", s.GetVersion())
		c.keyValues("attributes", s.GetAttributes(), 0)
		c.leave()
	}
	if len(sp.GetProfiles()) == 0 {
		c.find(ruleEmpty, "profiles", "is empty")
	}
	for i, p := range sp.GetProfiles() {
		c.at("profiles", i)
		c.profile(p)
		c.leave()
	}
}

func (c *checker) profile(p *profiles.Profile) {
	c.report.Profiles++
	c.known(p)
	c.profileTypes(p)
	c.attributeList(p.GetAttributeIndices())
	c.text("original_payload_format", p.GetOriginalPayloadFormat())
	if (p.GetOriginalPayloadFormat() == "") != (len(p.GetOriginalPayload()) == 0) {
		c.find(rulePayload, "original_payload", "has %d bytes, the format is %.100q", len(p.GetOriginalPayload()), p.GetOriginalPayloadFormat())
	}
	if id := p.GetProfileId(); len(id) != 0 && len(id) != 16 {
		c.find(ruleProfileID, "profile_id", "has %d bytes instead of 16", len(id))
	} else if len(id) != 0 && allZero(id) {
		c.find(ruleProfileID, "profile_id", "is all zero, which means none")
	}
	w := window{begin: p.GetTimeUnixNano(), end: p.GetTimeUnixNano() + p.GetDurationNano()}
	if w.end < w.begin {
		c.find(ruleWindowEnd, "duration_nano", "%d is too long after time_unix_nano, %d", p.GetDurationNano(), p.GetTimeUnixNano())
		w.end = math.MaxUint64
	}
	c.samples(p.GetSamples(), w)
}

func (c *checker) profileTypes(p *profiles.Profile) {
	for _, t := range [...]struct {
		field string
		typ   *profiles.ValueType
	}{{"sample_type", p.GetSampleType()}, {"period_type", p.GetPeriodType()}} {
		if t.typ == nil {
			continue
		}
		c.enter(t.field)
		c.known(t.typ)
		c.refText(t.typ.GetTypeStrindex(), "type_strindex")
		c.refText(t.typ.GetUnitStrindex(), "unit_strindex")
		c.unit(t.typ.GetUnitStrindex(), "unit_strindex")
		c.leave()
	}
	if c.textOf(p.GetSampleType().GetTypeStrindex()) == "" {
		c.find(ruleSampleType, "sample_type", "does not say what samples are")
	}
	switch period := p.GetPeriod(); {
	case period < 0:
		c.find(rulePeriod, "period", "is %d, must not be negative", period)
	case period > 0 && c.textOf(p.GetPeriodType().GetTypeStrindex()) == "":
		c.find(rulePeriod, "period_type", "does not say what the period, %d, is", period)
	}
}

// window is the time of a profile. Its end is not in it.
type window struct{ begin, end uint64 }

// shape is what a sample holds.
type shape int

const (
	noShape shape = iota
	valueAlone
	timesAlone
	valuesAndTimes
)

var shapeNames = [...]string{"nothing", "a value", "timestamps", "values and timestamps"}

func shapeOf(s *profiles.Sample) shape {
	values, times := len(s.GetValues()), len(s.GetTimestampsUnixNano())
	switch {
	case times == 0 && values == 1:
		return valueAlone
	case times > 0 && values == 0:
		return timesAlone
	case times > 0 && values == times:
		return valuesAndTimes
	}
	return noShape
}

func (c *checker) samples(list []*profiles.Sample, w window) {
	if len(list) == 0 {
		c.find(ruleNoSamples, "samples", "is empty")
	}
	c.report.Samples += len(list)
	common := noShape
	known := make(map[xxh3.Uint128]int, len(list))
	for i, s := range list {
		c.at("samples", i)
		c.known(s)
		c.refer(stacks, s.GetStackIndex(), step{"stack_index", none})
		c.refer(links, s.GetLinkIndex(), step{"link_index", none})
		c.attributeList(s.GetAttributeIndices())
		switch shape := shapeOf(s); {
		case shape == noShape:
			c.find(ruleShape, "", "has %d values and %d timestamps", len(s.GetValues()), len(s.GetTimestampsUnixNano()))
		case common == noShape:
			common = shape
		case shape != common:
			c.find(ruleMixedShapes, "", "has %s, samples before it have %s", shapeNames[shape], shapeNames[common])
		}
		key := c.identity(s)
		if same, ok := known[key]; ok {
			c.find(ruleSampleDuplicate, "", "has the stack, attributes and link of samples[%d]", same)
		} else {
			known[key] = i
		}
		for j, t := range s.GetTimestampsUnixNano() {
			if t < w.begin || t >= w.end {
				c.findAt(ruleTimeWindow, step{"timestamps_unix_nano", j}, "%d is outside of the profile, [%d, %d)", t, w.begin, w.end)
			}
		}
		c.leave()
	}
}

// identity returns what tells samples of a profile apart. Attributes have no order.
func (c *checker) identity(s *profiles.Sample) xxh3.Uint128 {
	list := append(c.sorted[:0], s.GetAttributeIndices()...)
	slices.Sort(list)
	b := binary.AppendVarint(c.encoded[:0], int64(s.GetStackIndex()))
	b = binary.AppendVarint(b, int64(s.GetLinkIndex()))
	for _, a := range list {
		b = binary.AppendVarint(b, int64(a))
	}
	c.sorted, c.encoded = list, b
	return xxh3.Hash128(b)
}
