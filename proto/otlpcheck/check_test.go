// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

func textValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func intValue(n int64) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}
}

func refValue(i int32) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: i}}
}

func listValue(v ...*common.AnyValue) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: v}}}
}

func mapValue(kv ...*common.KeyValue) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: kv}}}
}

// parts are the parts of a message, for short.
type parts struct {
	*collector.ExportProfilesServiceRequest
	d        *profiles.ProfilesDictionary
	resource *resource.Resource
	scope    *profiles.ScopeProfiles
	p        *profiles.Profile // with timestamps
	q        *profiles.Profile // with values
}

// valid returns a message that keeps all rules.
func valid() *parts {
	m := &parts{
		d: &profiles.ProfilesDictionary{
			StringTable: []string{
				"", "samples", "count", "cpu", "nanoseconds", "main", "app", otlpkey.BuildIDGNU, otlpkey.BuildIDHTLHash, otlpkey.FrameType, "thread.id", "shop", "latency", "ms",
			},
			AttributeTable: []*profiles.KeyValueAndUnit{
				{}, {KeyStrindex: 7, Value: textValue("c89b11207f6479603b0d49bf291c092c2b719293")},
				{KeyStrindex: 8, Value: textValue("600DCAFE4A110000F2BF38C493F5FB92")}, {KeyStrindex: 9, Value: textValue("go")},
				{KeyStrindex: 10, Value: intValue(7)}, {KeyStrindex: 12, Value: intValue(5), UnitStrindex: 13},
			},
			MappingTable:  []*profiles.Mapping{{}, {MemoryStart: 0x1000, MemoryLimit: 0x2000, FilenameStrindex: 6, AttributeIndices: []int32{1, 2}}},
			FunctionTable: []*profiles.Function{{}, {NameStrindex: 5, StartLine: 1}},
			LocationTable: []*profiles.Location{{}, {MappingIndex: 1, Address: 0x1fff, Lines: []*profiles.Line{{FunctionIndex: 1, Line: 3, Column: 1}}, AttributeIndices: []int32{3}}},
			LinkTable:     []*profiles.Link{{}, {TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{2}, 8)}},
			StackTable:    []*profiles.Stack{{}, {LocationIndices: []int32{1}}},
		},
		resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: refValue(11)}, {Key: "process.pid", Value: intValue(1)}}},
		p: &profiles.Profile{
			SampleType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, PeriodType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4}, Period: 50,
			TimeUnixNano: 100, DurationNano: 10, ProfileId: bytes.Repeat([]byte{3}, 16), AttributeIndices: []int32{5},
			Samples: []*profiles.Sample{
				{StackIndex: 1, LinkIndex: 1, AttributeIndices: []int32{4, 5}, TimestampsUnixNano: []uint64{100, 109}},
				{StackIndex: 1, AttributeIndices: []int32{4}, TimestampsUnixNano: []uint64{101}},
			},
		},
		q: &profiles.Profile{
			SampleType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4}, TimeUnixNano: 100,
			OriginalPayload: []byte{1}, OriginalPayloadFormat: "pprof",
			Samples: []*profiles.Sample{{StackIndex: 1, Values: []int64{5}}},
		},
	}
	m.scope = &profiles.ScopeProfiles{Scope: &common.InstrumentationScope{Name: "test"}, Profiles: []*profiles.Profile{m.p, m.q}}
	m.ExportProfilesServiceRequest = &collector.ExportProfilesServiceRequest{
		Dictionary: m.d, ResourceProfiles: []*profiles.ResourceProfiles{{Resource: m.resource, ScopeProfiles: []*profiles.ScopeProfiles{m.scope}}},
	}
	return m
}

func TestValid(t *testing.T) {
	m := valid()
	before := proto.Clone(m.ExportProfilesServiceRequest)
	r := Check(m, Options{})
	if r.Err() != nil || r.Resources != 1 || r.Profiles != 2 || r.Samples != 3 {
		t.Errorf("%+v", r)
	}
	if !proto.Equal(before, m.ExportProfilesServiceRequest) {
		t.Error("the message was changed")
	}
	// The comments of the table ask for zeros, other writers leave them out.
	m.d.LinkTable[0] = &profiles.Link{TraceId: make([]byte, 16), SpanId: make([]byte, 8)}
	m.d.AttributeTable[0].Value = &common.AnyValue{}
	if err := Check(m, Options{}).Err(); err != nil {
		t.Error(err)
	}
	if err := Check(&profiles.ProfilesData{ResourceProfiles: m.GetResourceProfiles(), Dictionary: m.d}, Options{}).Err(); err != nil {
		t.Error(err)
	}
}

// report checks the message of a case of breaks.
func (b *broken) report(o Options) *Report {
	m := valid()
	b.spoil(m)
	return Check(m, o)
}

func TestBroken(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range breaks {
		t.Run(b.name, func(t *testing.T) {
			r := b.report(Options{})
			var got []string
			for _, f := range r.Findings {
				seen[f.Rule] = true
				got = append(got, f.String())
			}
			if diff := cmp.Diff(b.want, got); diff != "" {
				t.Error(diff)
			}
			if n := r.Errors + r.Warnings; n != len(b.want) || (r.Err() == nil) != (n == 0) {
				t.Errorf("%d findings, error %v", n, r.Err())
			}
		})
	}
	for _, r := range Rules() {
		if r.Name != "decode" && r.Name != "size" && !seen[r.Name] {
			t.Errorf("no case breaks the rule %s", r.Name)
		}
	}
}

func TestOptions(t *testing.T) {
	m := valid()
	for range 20 {
		m.d.StringTable = append(m.d.StringTable, "x")
	}
	m.p.ProfileId = []byte{1}
	r := Check(m, Options{PerRule: 3})
	if len(r.Findings) != 7 || r.Errors != 1 || r.Warnings != 39 ||
		!cmp.Equal(r.Counts, map[string]int{"profile-id": 1, "duplicate": 19, "orphan": 20}) {
		t.Errorf("%+v", r)
	}
	r = Check(m, Options{Least: Error})
	if len(r.Findings) != 1 || r.Errors != 1 || r.Warnings != 0 || len(r.Counts) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestNothing checks messages that are not there, or have nothing in them.
func TestNothing(t *testing.T) {
	m := valid()
	nothing := &collector.ExportProfilesServiceRequest{
		ResourceProfiles: []*profiles.ResourceProfiles{nil, {Resource: &resource.Resource{Attributes: []*common.KeyValue{nil}}, ScopeProfiles: []*profiles.ScopeProfiles{
			nil, {Profiles: []*profiles.Profile{nil, {Samples: []*profiles.Sample{nil}}}},
		}}},
		Dictionary: &profiles.ProfilesDictionary{
			MappingTable: []*profiles.Mapping{nil, nil}, LocationTable: []*profiles.Location{nil, nil, {Lines: []*profiles.Line{nil}}},
			FunctionTable: []*profiles.Function{nil, nil}, LinkTable: []*profiles.Link{nil, nil},
			AttributeTable: []*profiles.KeyValueAndUnit{nil, nil, {Value: listValue(nil, mapValue(nil))}}, StackTable: []*profiles.Stack{nil, nil},
		},
	}
	for _, p := range []Payload{
		nothing, (*profiles.ProfilesData)(nil), &profiles.ProfilesData{}, &profiles.ProfilesData{Dictionary: m.d},
		&profiles.ProfilesData{ResourceProfiles: m.GetResourceProfiles()},
	} {
		if r := Check(p, Options{}); r.Errors == 0 {
			t.Errorf("%v: no errors", p)
		}
	}
}

func TestUnits(t *testing.T) {
	for unit, want := range map[string]bool{
		"ns": true, "By": true, "KiBy": true, "MBy": true, "ms": true, "s": true, "1": true, "%": true, "Hz": true, "{request}": true, "By/s": true,
		"{a.b/c}": true, "By/{op}": true, "m/s2": true, "m.s-1": true, "10*3": false, "nanoseconds": true, "bytes": true, "count": true,
		"furlongs": false, "/": false, "By/": false, "{": false, "a{b": false, "B": false, "sec": false, "\xff": false,
	} {
		if got := pprofUnits[unit] || isUCUM(unit); got != want {
			t.Errorf("%q is a unit: %t", unit, got)
		}
	}
}

func TestRules(t *testing.T) {
	names := map[string]bool{}
	for _, r := range Rules() {
		if r.Name == "" || r.Text == "" || names[r.Name] || strings.ToLower(r.Name) != r.Name {
			t.Errorf("rule %+v", r)
		}
		names[r.Name] = true
	}
	for _, s := range []Severity{Warning, Error} {
		var got Severity
		text, _ := s.MarshalText()
		if err := got.UnmarshalText(text); err != nil || got != s {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
