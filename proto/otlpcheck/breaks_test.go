// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"math"
	"strings"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// broken is a message that breaks one rule. Where others must break with it, they are in the list.
type broken struct {
	name  string
	spoil func(m *parts)
	want  []string
}

const (
	inProfile = "resource_profiles[0].scope_profiles[0].profiles[0]"
	inOther   = "resource_profiles[0].scope_profiles[0].profiles[1]"
)

var breaks = []broken{
	// What profcheck checks.
	{"no resources", func(m *parts) {
		*m.ExportProfilesServiceRequest = collector.ExportProfilesServiceRequest{Dictionary: emptyTables()}
	}, []string{
		"error empty: resource_profiles: is empty",
	}},
	{"no scopes", func(m *parts) {
		m.ResourceProfiles[0].ScopeProfiles = nil
		m.Dictionary = emptyTables()
		m.resource.Attributes = nil
	}, []string{
		"error empty: resource_profiles[0].scope_profiles: is empty",
	}},
	{"no profiles", func(m *parts) {
		m.scope.Profiles = nil
		m.Dictionary = emptyTables()
		m.resource.Attributes = nil
	}, []string{
		"error empty: resource_profiles[0].scope_profiles[0].profiles: is empty",
	}},
	{"no samples", func(m *parts) { m.q.Samples = nil }, []string{"warning no-samples: " + inOther + ".samples: is empty"}},
	{"string 0", func(m *parts) { m.d.StringTable[0] = "x" }, []string{`error table-zero: dictionary.string_table[0]: is "x", must be empty`}},
	{"mapping 0", func(m *parts) { m.d.MappingTable[0].FileOffset = 1 }, []string{
		"error table-zero: dictionary.mapping_table[0]: is not the zero value",
	}},
	{"location 0", func(m *parts) { m.d.LocationTable[0].Address = 1 }, []string{
		"error table-zero: dictionary.location_table[0]: is not the zero value",
	}},
	{"function 0", func(m *parts) { m.d.FunctionTable[0].StartLine = 1 }, []string{
		"error table-zero: dictionary.function_table[0]: is not the zero value",
	}},
	{"link 0", func(m *parts) { m.d.LinkTable[0].SpanId = []byte{0} }, []string{"error table-zero: dictionary.link_table[0]: is not the zero value"}},
	{"attribute 0", func(m *parts) { m.d.AttributeTable[0].Value = textValue("") }, []string{
		"error table-zero: dictionary.attribute_table[0]: is not the zero value",
	}},
	{"stack 0", func(m *parts) { m.d.StackTable[0].LocationIndices = []int32{0} }, []string{
		"error table-zero: dictionary.stack_table[0]: is not the zero value",
	}},
	{"no links", func(m *parts) { m.d.LinkTable = nil; m.p.Samples[0].LinkIndex = 0 }, []string{"error table-zero: dictionary.link_table: is empty"}},
	{"no strings", func(m *parts) {
		m.d = emptyTables()
		m.d.StringTable, m.Dictionary, m.resource.Attributes = nil, m.d, nil
		m.scope.Profiles = []*profiles.Profile{{Samples: []*profiles.Sample{{Values: []int64{1}}}}}
	}, []string{
		"error table-zero: dictionary.string_table: is empty",
		"warning sample-type: " + inProfile + ".sample_type: does not say what samples are",
	}},
	{"mapping filename", func(m *parts) { m.d.MappingTable[1].FilenameStrindex = 99 }, []string{
		"error index: dictionary.mapping_table[1].filename_strindex: index 99 is out of range, dictionary.string_table has 14 entries",
		"warning orphan: dictionary.string_table[6]: nothing refers to it",
	}},
	{"mapping attribute", func(m *parts) { m.d.MappingTable[1].AttributeIndices = []int32{1, 2, 6} }, []string{
		"error index: dictionary.mapping_table[1].attribute_indices[2]: index 6 is out of range, dictionary.attribute_table has 6 entries",
	}},
	{"location mapping", func(m *parts) { m.d.LocationTable[1].MappingIndex = -1 }, []string{
		"error index: dictionary.location_table[1].mapping_index: index -1 is out of range, dictionary.mapping_table has 2 entries",
		"warning orphan: dictionary.mapping_table[1]: nothing refers to it",
	}},
	{"location attribute", func(m *parts) { m.d.LocationTable[1].AttributeIndices = []int32{3, math.MaxInt32} }, []string{
		"error index: dictionary.location_table[1].attribute_indices[1]: index 2147483647 is out of range, dictionary.attribute_table has 6 entries",
	}},
	{"line function", func(m *parts) {
		m.d.LocationTable[1].Lines = append(m.d.LocationTable[1].Lines, &profiles.Line{FunctionIndex: 2})
	}, []string{
		"error index: dictionary.location_table[1].lines[1].function_index: index 2 is out of range, dictionary.function_table has 2 entries",
	}},
	{"function name", func(m *parts) { m.d.FunctionTable[1].SystemNameStrindex = 14 }, []string{
		"error index: dictionary.function_table[1].system_name_strindex: index 14 is out of range, dictionary.string_table has 14 entries",
	}},
	{"attribute key index", func(m *parts) { m.d.AttributeTable[5].KeyStrindex = 14 }, []string{
		"error index: dictionary.attribute_table[5].key_strindex: index 14 is out of range, dictionary.string_table has 14 entries",
		"error attribute-key: dictionary.attribute_table[5].key_strindex: refers to no key",
		"warning orphan: dictionary.string_table[12]: nothing refers to it",
	}},
	{"attribute unit index", func(m *parts) { m.d.AttributeTable[4].UnitStrindex = 14 }, []string{
		"error index: dictionary.attribute_table[4].unit_strindex: index 14 is out of range, dictionary.string_table has 14 entries",
	}},
	{"attribute value index", func(m *parts) {
		m.d.AttributeTable[5].Value = listValue(intValue(1), refValue(14))
	}, []string{
		"error index: dictionary.attribute_table[5].value.array_value.values[1].string_value_strindex: index 14 is out of range, dictionary.string_table has 14 entries",
	}},
	{"stack location", func(m *parts) { m.d.StackTable[1].LocationIndices = []int32{1, 2} }, []string{
		"error index: dictionary.stack_table[1].location_indices[1]: index 2 is out of range, dictionary.location_table has 2 entries",
	}},
	{"sample type", func(m *parts) { m.q.SampleType.UnitStrindex = 14 }, []string{
		"error index: " + inOther + ".sample_type.unit_strindex: index 14 is out of range, dictionary.string_table has 14 entries",
	}},
	{"period type", func(m *parts) { m.q.PeriodType = &profiles.ValueType{TypeStrindex: -5} }, []string{
		"error index: " + inOther + ".period_type.type_strindex: index -5 is out of range, dictionary.string_table has 14 entries",
	}},
	{"profile attribute", func(m *parts) { m.q.AttributeIndices = []int32{6} }, []string{
		"error index: " + inOther + ".attribute_indices[0]: index 6 is out of range, dictionary.attribute_table has 6 entries",
	}},
	{"sample stack", func(m *parts) { m.p.Samples[1].StackIndex = 99 }, []string{
		"error index: " + inProfile + ".samples[1].stack_index: index 99 is out of range, dictionary.stack_table has 2 entries",
	}},
	{"sample link", func(m *parts) { m.p.Samples[1].LinkIndex = 2 }, []string{
		"error index: " + inProfile + ".samples[1].link_index: index 2 is out of range, dictionary.link_table has 2 entries",
	}},
	{"sample attribute", func(m *parts) { m.q.Samples[0].AttributeIndices = []int32{6} }, []string{
		"error index: " + inOther + ".samples[0].attribute_indices[0]: index 6 is out of range, dictionary.attribute_table has 6 entries",
	}},
	{"key twice in a sample", func(m *parts) { m.p.Samples[0].AttributeIndices = []int32{4, 5, 4} }, []string{
		"error attribute-duplicate: " + inProfile + `.samples[0].attribute_indices[2]: has the key "thread.id" of attribute_indices[0]`,
	}},
	{"key twice in a mapping", func(m *parts) {
		m.d.AttributeTable = append(m.d.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: 7, Value: textValue("ab")})
		m.d.MappingTable[1].AttributeIndices = []int32{1, 2, 6}
	}, []string{
		`error attribute-duplicate: dictionary.mapping_table[1].attribute_indices[2]: has the key "process.executable.build_id.gnu" of attribute_indices[0]`,
	}},
	{"key twice with two texts", func(m *parts) {
		m.d.StringTable = append(m.d.StringTable, "thread.id")
		m.d.AttributeTable = append(m.d.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: 14, Value: intValue(8)})
		m.p.Samples[0].AttributeIndices = []int32{4, 6}
	}, []string{
		"warning duplicate: dictionary.string_table[14]: is the same as entry 10",
		"error attribute-duplicate: " + inProfile + `.samples[0].attribute_indices[1]: has the key "thread.id" of attribute_indices[0]`,
	}},
	{"mapping range", func(m *parts) { m.d.MappingTable[1].MemoryLimit = 0x1000 }, []string{
		"error mapping-range: dictionary.mapping_table[1].memory_start: 0x1000 is not before memory_limit, 0x1000",
	}},
	{"line", func(m *parts) { m.d.LocationTable[1].Lines[0].Line = -1 }, []string{
		"error negative: dictionary.location_table[1].lines[0].line: is -1, must not be negative",
	}},
	{"column", func(m *parts) { m.d.LocationTable[1].Lines[0].Column = -2 }, []string{
		"error negative: dictionary.location_table[1].lines[0].column: is -2, must not be negative",
	}},
	{"start line", func(m *parts) { m.d.FunctionTable[1].StartLine = math.MinInt64 }, []string{
		"error negative: dictionary.function_table[1].start_line: is -9223372036854775808, must not be negative",
	}},
	{"trace ID", func(m *parts) { m.d.LinkTable[1].TraceId = []byte{1, 2} }, []string{
		"error link: dictionary.link_table[1].trace_id: has 2 bytes instead of 16",
	}},
	{"span ID", func(m *parts) { m.d.LinkTable[1].SpanId = nil }, []string{"error link: dictionary.link_table[1].span_id: has 0 bytes instead of 8"}},
	{"too early", func(m *parts) { m.p.Samples[1].TimestampsUnixNano[0] = 99 }, []string{
		"warning time-window: " + inProfile + ".samples[1].timestamps_unix_nano[0]: 99 is outside of the profile, [100, 110)",
	}},
	{"at the end", func(m *parts) { m.p.Samples[0].TimestampsUnixNano[1] = 110 }, []string{
		"warning time-window: " + inProfile + ".samples[0].timestamps_unix_nano[1]: 110 is outside of the profile, [100, 110)",
	}},
	{"no duration", func(m *parts) {
		m.p.DurationNano = 0
		m.p.Samples[0].TimestampsUnixNano = []uint64{100}
		m.p.Samples = m.p.Samples[:1]
	}, []string{
		"warning time-window: " + inProfile + ".samples[0].timestamps_unix_nano[0]: 100 is outside of the profile, [100, 100)",
	}},
	{"no value", func(m *parts) { m.q.Samples[0].Values = nil }, []string{"error shape: " + inOther + ".samples[0]: has 0 values and 0 timestamps"}},
	{"two values", func(m *parts) { m.q.Samples[0].Values = []int64{1, 2} }, []string{
		"error shape: " + inOther + ".samples[0]: has 2 values and 0 timestamps",
	}},
	{"values and timestamps", func(m *parts) {
		m.p.Samples = m.p.Samples[:1]
		m.p.Samples[0].Values = []int64{1}
	}, []string{
		"error shape: " + inProfile + ".samples[0]: has 1 values and 2 timestamps",
	}},
	{"two shapes", func(m *parts) { m.p.Samples[1].Values = []int64{1} }, []string{
		"error mixed-shapes: " + inProfile + ".samples[1]: has values and timestamps, samples before it have timestamps",
	}},
	{"three shapes", func(m *parts) {
		m.p.Samples[1].Values, m.p.Samples[1].TimestampsUnixNano = []int64{1}, nil
	}, []string{
		"error mixed-shapes: " + inProfile + ".samples[1]: has a value, samples before it have timestamps",
	}},
	{"same strings", func(m *parts) { m.d.StringTable[5] = "app" }, []string{"warning duplicate: dictionary.string_table[6]: is the same as entry 5"}},
	{"same mappings", func(m *parts) {
		m.d.MappingTable = append(m.d.MappingTable, proto.Clone(m.d.MappingTable[1]).(*profiles.Mapping))
		m.d.LocationTable = append(m.d.LocationTable, &profiles.Location{MappingIndex: 2, Address: 0x1000})
		m.d.StackTable[1].LocationIndices = []int32{1, 2}
	}, []string{"warning duplicate: dictionary.mapping_table[2]: is the same as entry 1"}},
	{"same locations", func(m *parts) {
		m.d.LocationTable = append(m.d.LocationTable, proto.Clone(m.d.LocationTable[1]).(*profiles.Location))
		m.d.StackTable[1].LocationIndices = []int32{1, 2}
	}, []string{"warning duplicate: dictionary.location_table[2]: is the same as entry 1"}},
	{"empty stack", func(m *parts) {
		m.d.StackTable = append(m.d.StackTable, &profiles.Stack{})
		m.p.Samples[1].StackIndex = 2
	}, []string{
		"warning duplicate: dictionary.stack_table[2]: is the same as entry 0",
	}},
	{"orphan string", func(m *parts) { m.d.StringTable = append(m.d.StringTable, "x") }, []string{
		"warning orphan: dictionary.string_table[14]: nothing refers to it",
	}},
	{"orphan stack", func(m *parts) {
		m.d.StackTable = append(m.d.StackTable, &profiles.Stack{LocationIndices: []int32{1, 1}})
	}, []string{
		"warning orphan: dictionary.stack_table[2]: nothing refers to it",
	}},
	{"orphan link", func(m *parts) { m.p.Samples[0].LinkIndex = 0 }, []string{"warning orphan: dictionary.link_table[1]: nothing refers to it"}},
	{"orphan attribute", func(m *parts) { m.d.LocationTable[1].AttributeIndices = nil }, []string{
		"warning orphan: dictionary.attribute_table[3]: nothing refers to it",
	}},
	{"orphan function", func(m *parts) { m.d.LocationTable[1].Lines = nil }, []string{
		"warning orphan: dictionary.function_table[1]: nothing refers to it",
	}},

	// What it does not check.
	{"no dictionary", func(m *parts) {
		m.Dictionary = nil
		m.scope.Profiles = []*profiles.Profile{{Samples: []*profiles.Sample{{Values: []int64{1}}}}}
		m.resource.Attributes = nil
	}, []string{
		"error dictionary: dictionary: is missing",
		"warning sample-type: " + inProfile + ".sample_type: does not say what samples are",
	}},
	{"reference to none", func(m *parts) { m.d.StackTable[1].LocationIndices = []int32{0, 1} }, []string{
		"warning null: dictionary.stack_table[1].location_indices[0]: refers to entry 0 of dictionary.location_table, which means none",
	}},
	{"line of none", func(m *parts) {
		m.d.LocationTable[1].Lines = append(m.d.LocationTable[1].Lines, &profiles.Line{Line: 1})
	}, []string{
		"warning null: dictionary.location_table[1].lines[1].function_index: refers to entry 0 of dictionary.function_table, which means none",
	}},
	{"attribute without a key", func(m *parts) { m.d.AttributeTable[5].KeyStrindex = 0 }, []string{
		"error attribute-key: dictionary.attribute_table[5].key_strindex: refers to no key",
		"warning orphan: dictionary.string_table[12]: nothing refers to it",
	}},
	{"resource attribute without a key", func(m *parts) { m.resource.Attributes[1].Key = "" }, []string{
		"error attribute-key: resource_profiles[0].resource.attributes[1]: has no key",
	}},
	{"key and index", func(m *parts) { m.resource.Attributes[0].KeyStrindex = 11 }, []string{
		`error key-and-index: resource_profiles[0].resource.attributes[0]: has both key, "service.name", and key_strindex, 11`,
	}},
	{"key twice in a resource", func(m *parts) {
		m.resource.Attributes[1] = &common.KeyValue{Key: "service.name", Value: textValue("x")}
	}, []string{
		`error attribute-duplicate: resource_profiles[0].resource.attributes[1]: has the key "service.name" of attributes[0]`,
	}},
	{"key twice by index", func(m *parts) {
		m.scope.Scope.Attributes = []*common.KeyValue{{Key: "shop", Value: intValue(1)}, {KeyStrindex: 11, Value: intValue(2)}}
	}, []string{`error attribute-duplicate: resource_profiles[0].scope_profiles[0].scope.attributes[1]: has the key "shop" of attributes[0]`}},
	{"key twice in a map", func(m *parts) {
		m.d.AttributeTable[5].Value = mapValue(&common.KeyValue{Key: "a"}, &common.KeyValue{Key: "a"})
	}, []string{`error attribute-duplicate: dictionary.attribute_table[5].value.kvlist_value.values[1]: has the key "a" of values[0]`}},
	{"type of an attribute", func(m *parts) { m.d.AttributeTable[4].Value = textValue("7") }, []string{
		"warning attribute-type: dictionary.attribute_table[4].value: of thread.id is a string, should be an int",
	}},
	{"type of a resource attribute", func(m *parts) { m.resource.Attributes[1].Value = nil }, []string{
		"warning attribute-type: resource_profiles[0].resource.attributes[1].value: of process.pid is nothing, should be an int",
	}},
	{"address", func(m *parts) { m.d.LocationTable[1].Address = 0x2000 }, []string{
		"warning address: dictionary.location_table[1].address: 0x2000 is not in the mapping, [0x1000, 0x2000)",
	}},
	{"no build ID", func(m *parts) {
		m.d.MappingTable[1].AttributeIndices = nil
		m.p.AttributeIndices = []int32{1, 2, 5}
	}, []string{
		`error build-id: dictionary.mapping_table[1].attribute_indices: has no build ID of "app": needs one of process.executable.build_id.gnu, process.executable.build_id.go and process.executable.build_id.htlhash`,
	}},
	{"htlhash", func(m *parts) { m.d.AttributeTable[2].Value = textValue("600DCAFE4A110000F2BF38C493F5FB9x") }, []string{
		`error build-id-form: dictionary.attribute_table[2].value: "600DCAFE4A110000F2BF38C493F5FB9x" is no htlhash: not 32 hexadecimal digits`,
	}},
	{"short htlhash", func(m *parts) { m.d.AttributeTable[2].Value = textValue("600DCAFE") }, []string{
		`error build-id-form: dictionary.attribute_table[2].value: "600DCAFE" is no htlhash: not 32 hexadecimal digits`,
	}},
	{"GNU build ID", func(m *parts) { m.d.AttributeTable[1].Value = textValue("a/b") }, []string{
		`error build-id-form: dictionary.attribute_table[1].value: "a/b" is no GNU build ID: not hexadecimal`,
	}},
	{"Go build ID", func(m *parts) {
		m.d.StringTable[7] = otlpkey.BuildIDGo
		m.d.AttributeTable[1].Value = textValue("")
	}, []string{
		"error build-id-form: dictionary.attribute_table[1].value: is empty, a Go build ID is not",
	}},
	{"frame type", func(m *parts) { m.d.AttributeTable[3].Value = textValue("python") }, []string{
		`error frame-type: dictionary.attribute_table[3].value: "python" is called "cpython" by the conventions`,
	}},
	{"frame type in capitals", func(m *parts) { m.d.AttributeTable[3].Value = textValue("Go") }, []string{
		`error frame-type: dictionary.attribute_table[3].value: "Go" is called "go" by the conventions`,
	}},
	{"no frame type", func(m *parts) { m.d.AttributeTable[3].Value = textValue("") }, []string{
		"error frame-type: dictionary.attribute_table[3].value: is empty",
	}},
	{"zero trace ID", func(m *parts) { m.d.LinkTable[1].TraceId = make([]byte, 16) }, []string{
		"error link: dictionary.link_table[1].trace_id: is all zero, which means none",
	}},
	{"no sample type", func(m *parts) { m.q.SampleType = nil }, []string{
		"warning sample-type: " + inOther + ".sample_type: does not say what samples are",
	}},
	{"period without a type", func(m *parts) { m.q.Period = 1 }, []string{
		"warning period: " + inOther + ".period_type: does not say what the period, 1, is",
	}},
	{"negative period", func(m *parts) { m.p.Period = -1 }, []string{"warning period: " + inProfile + ".period: is -1, must not be negative"}},
	{"sample twice", func(m *parts) {
		m.p.Samples = append(m.p.Samples, &profiles.Sample{StackIndex: 1, LinkIndex: 1, AttributeIndices: []int32{5, 4}, TimestampsUnixNano: []uint64{105}})
	}, []string{"warning sample-duplicate: " + inProfile + ".samples[2]: has the stack, attributes and link of samples[0]"}},
	{"end of the window", func(m *parts) { m.q.DurationNano = math.MaxUint64 }, []string{
		"error window-end: " + inOther + ".duration_nano: 18446744073709551615 is too long after time_unix_nano, 100",
	}},
	{"profile ID", func(m *parts) { m.p.ProfileId = []byte("x") }, []string{
		"error profile-id: " + inProfile + ".profile_id: has 1 bytes instead of 16",
	}},
	{"zero profile ID", func(m *parts) { m.p.ProfileId = make([]byte, 16) }, []string{
		"error profile-id: " + inProfile + ".profile_id: is all zero, which means none",
	}},
	{"payload without a format", func(m *parts) { m.q.OriginalPayloadFormat = "" }, []string{
		"error payload: " + inOther + `.original_payload: has 1 bytes, the format is ""`,
	}},
	{"format without a payload", func(m *parts) { m.q.OriginalPayload = nil }, []string{
		"error payload: " + inOther + `.original_payload: has 0 bytes, the format is "pprof"`,
	}},
	{"unit", func(m *parts) { m.d.StringTable[13] = "millis" }, []string{
		`warning unit: dictionary.attribute_table[5].unit_strindex: "millis" is no unit of UCUM or pprof`,
	}},
	{"unit of samples", func(m *parts) {
		m.d.StringTable = append(m.d.StringTable, "things")
		m.q.SampleType.UnitStrindex = 14
	}, []string{
		"warning unit: " + inOther + `.sample_type.unit_strindex: "things" is no unit of UCUM or pprof`,
	}},
	{"text", func(m *parts) { m.d.StringTable[5] = "ma\xffn" }, []string{`error utf8: dictionary.string_table[5]: "ma\xffn" is not UTF-8`}},
	{"text of a resource", func(m *parts) {
		m.resource.Attributes[0].Value = textValue("\xff")
		m.d.StringTable[5] = "shop"
		m.d.FunctionTable[1].NameStrindex = 11
		m.d.StringTable[5] = "main"
		m.d.FunctionTable[1].SystemNameStrindex = 5
	}, []string{
		`error utf8: resource_profiles[0].resource.attributes[0].value.string_value: "\xff" is not UTF-8`,
	}},
	{"text of a scope", func(m *parts) { m.scope.Scope.Version = "\xff" }, []string{
		`error utf8: resource_profiles[0].scope_profiles[0].scope.version: "\xff" is not UTF-8`,
	}},
	{"deep value", func(m *parts) {
		v := intValue(1)
		for range maxDepth + 1 {
			v = listValue(v)
		}
		m.d.AttributeTable[5].Value = v
	}, []string{
		"warning nesting: dictionary.attribute_table[5].value" + strings.Repeat(".array_value.values[0]", maxDepth+1) + ": nests deeper than 16",
	}},
	{"unknown field", func(m *parts) { m.p.ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 1}) }, []string{
		"warning unknown-field: " + inProfile + ": has 3 bytes of unknown fields",
	}},
}

func emptyTables() *profiles.ProfilesDictionary {
	return &profiles.ProfilesDictionary{
		MappingTable: []*profiles.Mapping{{}}, LocationTable: []*profiles.Location{{}}, FunctionTable: []*profiles.Function{{}}, LinkTable: []*profiles.Link{{}},
		StringTable: []string{""}, AttributeTable: []*profiles.KeyValueAndUnit{{}}, StackTable: []*profiles.Stack{{}},
	}
}
