// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
	"github.com/strobe-profiler/strobe/support/hostile"
)

func attribute(key int32, v *common.AnyValue) *profiles.KeyValueAndUnit {
	return &profiles.KeyValueAndUnit{KeyStrindex: key, Value: v}
}

// foreign is a message as another profiler may send it: with timestamps, links, references
// to texts, and two profiles that pprof cannot have in one.
func foreign() *profiles.ProfilesData {
	return &profiles.ProfilesData{
		Dictionary: &profiles.ProfilesDictionary{
			StringTable:   []string{"", "cpu", "nanoseconds", "samples", "count", "f", "flag", "ratio", "raw", "map", "ref", "htl", otlpkey.BuildIDHTLHash},
			MappingTable:  []*profiles.Mapping{{}, {FilenameStrindex: 5, AttributeIndices: []int32{6}}},
			LocationTable: []*profiles.Location{{}, {MappingIndex: 1, Address: 1, Lines: []*profiles.Line{{FunctionIndex: 1, Line: 2}}}},
			FunctionTable: []*profiles.Function{{}, {NameStrindex: 5}},
			LinkTable:     []*profiles.Link{{TraceId: make([]byte, 16), SpanId: make([]byte, 8)}, {TraceId: bytes.Repeat([]byte{0xaa}, 16), SpanId: bytes.Repeat([]byte{0xbb}, 8)}},
			StackTable:    []*profiles.Stack{{}, {LocationIndices: []int32{1}}},
			AttributeTable: []*profiles.KeyValueAndUnit{
				{}, attribute(6, &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}),
				attribute(7, &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 0.5}}),
				attribute(8, &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: []byte{1, 0xff}}}),
				attribute(9, quantity(1, "x")),
				attribute(10, listValue([]*common.AnyValue{{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: 5}}, intValue(4)})),
				attribute(12, textValue("0123")),
			},
		},
		ResourceProfiles: []*profiles.ResourceProfiles{{ScopeProfiles: []*profiles.ScopeProfiles{{
			Scope: &common.InstrumentationScope{Attributes: []*common.KeyValue{{Key: keyTypeOrder, Value: listValue([]*common.AnyValue{intValue(5), intValue(-1)})}}},
			Profiles: []*profiles.Profile{
				{
					SampleType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4}, PeriodType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, Period: 50,
					TimeUnixNano: 100, DurationNano: 10,
					Samples: []*profiles.Sample{
						{StackIndex: 1, LinkIndex: 1, AttributeIndices: []int32{1, 2, 3, 4, 5, 1}, TimestampsUnixNano: []uint64{100, 101}},
						{StackIndex: 1, TimestampsUnixNano: []uint64{105}},
					},
				},
				{SampleType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, TimeUnixNano: 200, Samples: []*profiles.Sample{
					{StackIndex: 1, Values: []int64{7, 8}, TimestampsUnixNano: []uint64{200, 200}},
				}},
			},
		}}}},
	}
}

func TestForeign(t *testing.T) {
	list, err := ToPprof(foreign(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []flat
	for _, c := range list {
		got = append(got, flatten(c.Profile, false))
	}
	frame := `1 false in 0-0 0 "f" "0123" false false false false | "f" "" "" 0:2:0` + "\n"
	mappings := []string{`0-0 0 "f" "0123" false false false false`}
	want := []flat{
		{
			Types: []string{"samples/count"}, PeriodType: `"cpu"/"nanoseconds"`, Period: 50, Time: 100, Length: 10,
			Mappings: mappings, Values: [][]int64{{2}, {1}},
			Samples: []string{
				frame + `"flag"="true"` + "\n" + `"map"=1 "x"` + "\n" + `"ratio"="0.5"` + "\n" + `"raw"="01ff"` + "\n" + `"ref"="f"` + "\n" + `"ref"=4 ""` + "\n" +
					`"span_id"="bbbbbbbbbbbbbbbb"` + "\n" + `"trace_id"="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"` + "\n",
				frame,
			},
		},
		{
			Types: []string{"cpu/nanoseconds"}, PeriodType: `""/""`, Time: 200, Mappings: mappings,
			Samples: []string{frame}, Values: [][]int64{{15}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLabelResource(t *testing.T) {
	m := foreign()
	m.ResourceProfiles[0].Resource = &resource.Resource{Attributes: []*common.KeyValue{
		{Key: "service.name", Value: textValue("shop")}, {KeyStrindex: 7, Value: textValue("not this")}, {Key: "process.pid", Value: intValue(7)},
		{Key: "ref", Value: &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: 1}}},
	}}
	list, err := ToPprof(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := list[0].LabelResource(); err != nil {
		t.Fatal(err)
	}
	p := list[0].Profile
	want := map[string][]string{"service.name": {"shop"}, "ratio": {"not this"}, "ref": {"cpu"}}
	if diff := cmp.Diff(want, p.Sample[1].Label); diff != "" || p.Sample[1].NumLabel["process.pid"][0] != 7 {
		t.Errorf("%v %v", diff, p.Sample[1].NumLabel)
	}
	if got := p.Sample[0].Label; got["ratio"][0] != "0.5" || got["ref"][0] != "f" || got["service.name"][0] != "shop" {
		t.Errorf("the labels of a sample do not stay: %v", got)
	}
	m.ResourceProfiles[0].Resource.Attributes[3].Value.Value.(*common.AnyValue_StringValueStrindex).StringValueStrindex = 99
	if err := list[0].LabelResource(); err == nil || !strings.Contains(err.Error(), "resource.attributes.string_value_strindex: index 99 out of range") {
		t.Errorf("error %v", err)
	}
}

func TestToPprofRefuses(t *testing.T) {
	d := func(m *profiles.ProfilesData) *profiles.ProfilesDictionary { return m.GetDictionary() }
	p := func(m *profiles.ProfilesData) *profiles.Profile {
		return m.GetResourceProfiles()[0].GetScopeProfiles()[0].GetProfiles()[0]
	}
	for want, breaks := range map[string]func(m *profiles.ProfilesData){
		"dictionary.string_table[0]: is not empty": func(m *profiles.ProfilesData) { d(m).StringTable[0] = "x" },
		"dictionary.mapping_table[1].filename_strindex: index 99 out of range, dictionary.string_table has 13 entries":        func(m *profiles.ProfilesData) { d(m).MappingTable[1].FilenameStrindex = 99 },
		"dictionary.mapping_table[1].attribute_indices[0]: index -1 out of range, dictionary.attribute_table has 7 entries":   func(m *profiles.ProfilesData) { d(m).MappingTable[1].AttributeIndices[0] = -1 },
		"dictionary.function_table[1].system_name_strindex: index 13 out of range, dictionary.string_table has 13 entries":    func(m *profiles.ProfilesData) { d(m).FunctionTable[1].SystemNameStrindex = 13 },
		"dictionary.location_table[1].mapping_index: index 2 out of range, dictionary.mapping_table has 2 entries":            func(m *profiles.ProfilesData) { d(m).LocationTable[1].MappingIndex = 2 },
		"dictionary.location_table[1].lines[0].function_index: index 2 out of range, dictionary.function_table has 2 entries": func(m *profiles.ProfilesData) { d(m).LocationTable[1].Lines[0].FunctionIndex = 2 },
		"dictionary.stack_table[1].location_indices[0]: index 2 out of range, dictionary.location_table has 2 entries":        func(m *profiles.ProfilesData) { d(m).StackTable[1].LocationIndices[0] = 2 },
		"dictionary.attribute_table[5].value.array_value.values[0].string_value_strindex: index 77 out of range, dictionary.string_table has 13 entries": func(m *profiles.ProfilesData) {
			d(m).AttributeTable[5].Value.GetArrayValue().Values[0].Value.(*common.AnyValue_StringValueStrindex).StringValueStrindex = 77
		},
		"dictionary.link_table[1]: trace_id has 3 bytes and span_id 8":                                                                                func(m *profiles.ProfilesData) { d(m).LinkTable[1].TraceId = []byte{1, 2, 3} },
		"resource_profiles[0].scope_profiles[0].profiles[0].period_type.unit_strindex: index 99 out of range, dictionary.string_table has 13 entries": func(m *profiles.ProfilesData) { p(m).PeriodType.UnitStrindex = 99 },
		"resource_profiles[0].scope_profiles[0].profiles[0].samples[1].stack_index: index 9 out of range, dictionary.stack_table has 2 entries":       func(m *profiles.ProfilesData) { p(m).Samples[1].StackIndex = 9 },
		"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].link_index: index 2 out of range, dictionary.link_table has 2 entries":         func(m *profiles.ProfilesData) { p(m).Samples[0].LinkIndex = 2 },
		"resource_profiles[0].scope_profiles[0].profiles[0].samples[1]: has 0 values and 0 timestamps_unix_nano":                                      func(m *profiles.ProfilesData) { p(m).Samples[1].TimestampsUnixNano = nil },
		"resource_profiles[0].scope_profiles[0].profiles[0].samples[1]: has 2 values and 1 timestamps_unix_nano":                                      func(m *profiles.ProfilesData) { p(m).Samples[1].Values = []int64{1, 2} },
	} {
		m := foreign()
		breaks(m)
		if _, err := ToPprof(m, 0); err == nil || err.Error() != want {
			t.Errorf("error %v\nwant  %s", err, want)
		}
	}
	if _, err := ToPprof(foreign(), 1500); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want %v", err, ErrTooLarge)
	}
	for _, m := range []*profiles.ProfilesData{nil, {}, {ResourceProfiles: []*profiles.ResourceProfiles{nil, {ScopeProfiles: []*profiles.ScopeProfiles{nil}}}}} {
		if list, err := ToPprof(m, 0); err != nil || len(list) != 0 {
			t.Errorf("an empty message: %v, %v", list, err)
		}
	}
}

// TestOneOfMany checks that many small profiles do not multiply what they share.
func TestOneOfMany(t *testing.T) {
	m := foreign()
	m.Dictionary.StackTable[1].LocationIndices = make([]int32, 1<<16)
	scope := m.GetResourceProfiles()[0].GetScopeProfiles()[0]
	for range 1 << 14 {
		scope.Profiles = append(scope.Profiles, scope.Profiles[1])
	}
	hostile.Bound(t, 32<<20, 4, func() {
		if _, err := ToPprof(m, 32<<20); !errors.Is(err, ErrTooLarge) {
			t.Errorf("error %v", err)
		}
	})
}

func TestLongTextsToPprof(t *testing.T) {
	m := foreign()
	m.Dictionary.StringTable[6] = strings.Repeat("k", 1<<20)
	p := m.GetResourceProfiles()[0].GetScopeProfiles()[0].GetProfiles()[0]
	for range 1 << 10 {
		p.Samples = append(p.Samples, &profiles.Sample{AttributeIndices: []int32{1}, StackIndex: 1, TimestampsUnixNano: []uint64{100}})
		m.Dictionary.StackTable = append(m.Dictionary.StackTable, &profiles.Stack{LocationIndices: []int32{1}})
		p.Samples[len(p.Samples)-1].StackIndex = int32(len(m.Dictionary.StackTable) - 1)
	}
	if _, err := ToPprof(m, 512<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v", err)
	}
}

func encoded(t testing.TB, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // to memory
	_ = w.Close()
	return b.Bytes()
}

func TestParse(t *testing.T) {
	data := encoded(t, everything())
	for name, in := range map[string][]byte{"plain": data, "gzip": zipped(data)} {
		p, err := Parse(in, Limits{MaxBytes: int64(len(data)), MaxSamples: 15, MaxFrames: 12})
		if err != nil || len(p.Sample) != 5 {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	budget := errors.New("no memory")
	for name, test := range map[string]struct {
		data []byte
		l    Limits
		is   error
		says string
	}{
		"too long":     {data, Limits{MaxBytes: int64(len(data)) - 1}, ErrTooLarge, "pprof profile: too large: more than"},
		"bomb":         {zipped(make([]byte, 1<<20)), Limits{MaxBytes: 1 << 10}, ErrTooLarge, "more than 1024 bytes"},
		"samples":      {data, Limits{MaxSamples: 14}, ErrTooLarge, "pprof profile: too large: 15 samples, at most 14 are allowed"},
		"frames":       {data, Limits{MaxFrames: 11}, ErrTooLarge, "pprof profile: too large: 12 frames, at most 11 are allowed"},
		"memory":       {data, Limits{Charge: func(int64) error { return budget }}, budget, "no memory"},
		"long texts":   {longTexts(t), Limits{}, ErrTooLarge, "pprof profile: too large: it repeats its texts up to 131"},
		"text":         {[]byte("heap profile: 1: 2 [3: 4] @ heapprofile\n"), Limits{}, errNotPprof, "not a pprof profile"},
		"torn gzip":    {zipped(data)[:40], Limits{}, io.ErrUnexpectedEOF, "decompress pprof profile: unexpected EOF"},
		"empty":        {nil, Limits{}, nil, "decode pprof profile: empty input file"},
		"not valid":    {encoded(t, &profile.Profile{Sample: []*profile.Sample{{Value: []int64{1}}}}), Limits{}, nil, "check pprof profile: missing sample type information"},
		"wrong string": {[]byte{0x0a, 2, 8, 99}, Limits{}, nil, "decode pprof profile: malformed profile format"},
	} {
		_, err := Parse(test.data, test.l)
		if err == nil || !strings.Contains(err.Error(), test.says) || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// longTexts is a profile in which many labels have the same long key.
func longTexts(t *testing.T) []byte {
	t.Helper()
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "a"}}}
	for i := range int64(2000) {
		p.Sample = append(p.Sample, &profile.Sample{Value: []int64{1}, NumLabel: map[string][]int64{strings.Repeat("k", 1<<16): {i + 1}}})
	}
	return encoded(t, p)
}

// measure counts all that an encoded profile holds.
func measure(data []byte) (Shape, error) {
	s, err := countParts(data)
	if err != nil {
		return s, err
	}
	err = s.addTexts(data)
	return s, err
}

// TestChargedFirst checks that nothing is made of a profile before there is memory for it.
func TestChargedFirst(t *testing.T) {
	data := bytes.Repeat(message(6), 8<<20) // texts of two bytes, that are empty
	full := errors.New("no memory")
	hostile.Bound(t, 1<<20, 1, func() {
		if _, err := ParseUncompressed(data, Limits{Charge: func(int64) error { return full }}); !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
	})
}

// TestMemory checks the estimate with profiles of little but one thing.
func TestMemory(t *testing.T) {
	head := encoded(t, &profile.Profile{SampleType: []*profile.ValueType{{Type: "a"}}, Location: []*profile.Location{{ID: 1}}})
	many := func(n int, part func(i uint64) []byte) []byte {
		b := slices.Clone(head)
		for i := range uint64(n) {
			b = append(b, part(i)...)
		}
		return b
	}
	value := number(2, 1)
	for name, data := range map[string][]byte{
		"samples": many(1<<14, func(uint64) []byte { return message(2, value) }),
		"labels": many(1<<10, func(i uint64) []byte {
			return message(2, value, bytes.Repeat(message(3, number(1, 1), number(3, i+1)), 32))
		}),
		"different labels": many(1<<13, func(i uint64) []byte { return message(2, value, message(3, number(1, 1), number(3, i+1))) }),
		"frames":           many(1<<8, func(i uint64) []byte { return message(2, value, message(1, bytes.Repeat([]byte{1}, int(i)+1))) }),
		"locations":        many(1<<13, func(i uint64) []byte { return message(4, number(1, i+2), number(3, i)) }),
		"used locations": many(1<<13, func(i uint64) []byte {
			return append(message(4, number(1, i+2), number(3, i)), message(2, value, number(1, i+2))...)
		}),
		"functions": many(1<<13, func(i uint64) []byte { return message(5, number(1, i+2)) }),
		"lines": many(1<<10, func(i uint64) []byte {
			f, l := message(5, number(1, i+2), number(5, i)), bytes.Repeat(message(4, number(1, i+2)), 16)
			return slices.Concat(f, message(4, number(1, i+2), l), message(2, value, number(1, i+2)))
		}),
		"strings": many(1<<14, func(i uint64) []byte { return message(6, []byte(strconv.Itoa(int(i)))) }),
	} {
		s, err := measure(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		hostile.Bound(t, int(s.Memory()), 1, func() {
			p, err := Parse(data, Limits{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if _, err := FromPprof(p, Options{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// number and message are fields of an encoded profile.
func number(field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), n)
}

func message(field protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), slices.Concat(parts...))
}

func FuzzFromPprof(f *testing.F) {
	data := encoded(f, everything())
	f.Add(data)
	f.Add(zipped(data))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 20
		data, err := unzipped(data, most)
		if err != nil {
			return
		}
		s, err := measure(data)
		if err != nil {
			return
		}
		hostile.Bound(t, int(s.Memory()), 2, func() {
			if p, err := Parse(data, Limits{}); err == nil {
				_, _ = FromPprof(p, Options{}) // tried below
			}
		})
		p, err := Parse(data, Limits{})
		if err != nil || len(p.SampleType) == 0 || len(p.SampleType) > MaxSampleTypes {
			return
		}
		roundTrip(t, p)
	})
}

func FuzzToPprof(f *testing.F) {
	for _, m := range []proto.Message{foreign(), &profiles.ProfilesData{}} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	req, err := FromPprof(everything(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	data, err := proto.Marshal(req)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &profiles.ProfilesData{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		const most = 4 << 20
		hostile.Bound(t, most+64*len(data), 4, func() {
			list, err := ToPprof(m, most)
			if err != nil {
				return
			}
			for _, c := range list {
				if err := c.Profile.CheckValid(); err != nil {
					t.Fatal(err)
				}
				if _, err := FromPprof(c.Profile, Options{}); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}
