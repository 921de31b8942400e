// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/strobe-profiler/strobe/libpf"
)

// decode reads a request as bytes and as structs, which must come to the same, and
// decodes it. What is decoded may be used until the test ends.
func decode(t *testing.T, r *collector.ExportProfilesServiceRequest, o *Options) (*Request, error) {
	t.Helper()
	data, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		in  *Request
		err error
	}
	var outcomes []outcome
	for _, read := range readers(r, data) {
		m, err := read(o)
		if err != nil {
			return nil, err
		}
		t.Cleanup(m.Release)
		in, err := m.Decode(nil)
		outcomes = append(outcomes, outcome{in, err})
	}
	a, b := outcomes[0], outcomes[1]
	if (a.err == nil) != (b.err == nil) || a.err != nil && a.err.Error() != b.err.Error() {
		t.Fatalf("structs: %v, bytes: %v", a.err, b.err)
	}
	if a.err != nil {
		return nil, b.err
	}
	opts := cmp.Options{cmp.AllowUnexported(libpf.Hash128{}), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "d" }, cmp.Ignore())}
	if d := cmp.Diff(a.in, b.in, opts); d != "" {
		t.Fatal("structs differ from bytes:\n", d)
	}
	return b.in, nil
}

// readers are the ways to read a request.
func readers(r *collector.ExportProfilesServiceRequest, data []byte) []func(*Options) (*Message, error) {
	return []func(o *Options) (*Message, error){
		func(o *Options) (*Message, error) { return ReadStructs(r, o) },
		func(o *Options) (*Message, error) { return Read(data, o) },
	}
}

// flat is what a message says, without the places where it stands.
type flat struct {
	Texts      []string
	Attributes []flatValue
	Mappings   []flatMapping
	Functions  []functionEntry
	Locations  []flatLocation
	Links      []linkEntry
	Stacks     [][]int32
	Resources  []flatResource
}

type flatValue struct {
	Key      string
	Index    int32
	Unit     int32
	Kind     valueKind
	Text     string
	Number   uint64
	Elements []flatValue
}

type flatMapping struct {
	Start, Limit, Offset uint64
	File                 int32
	Attributes           []int32
}

type flatLocation struct {
	Address    uint64
	Mapping    int32
	Lines      []lineEntry
	Attributes []int32
}

type flatResource struct {
	Attributes []flatValue
	Scopes     [][]flatProfile
}

type flatProfile struct {
	SampleType, PeriodType valueType
	Time, Duration         uint64
	Period                 int64
	Attributes             []int32
	Samples                []flatSample
}

type flatSample struct {
	Stack, Link int32
	Attributes  []int32
	Values      []int64
	Times       []uint64
}

func (m *message) flatValue(v *value) flatValue {
	f := flatValue{Kind: v.kind, Text: string(v.text), Number: v.number}
	for i := v.list.from; i < v.list.to; i++ {
		f.Elements = append(f.Elements, m.flatValue(&m.elements[i]))
	}
	return f
}

// list returns a copy, nil when it is empty.
func list[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

func (m *message) flat() *flat {
	f := &flat{Functions: list(m.functions), Links: list(m.links)}
	indices := func(e extent) []int32 { return list(m.indices[e.from:e.to]) }
	for _, s := range m.texts {
		f.Texts = append(f.Texts, string(s))
	}
	for i := range m.attributes {
		v := m.flatValue(&m.attributes[i].value)
		v.Index, v.Unit = m.attributes[i].key, m.attributes[i].unit
		f.Attributes = append(f.Attributes, v)
	}
	for _, x := range m.mappings {
		f.Mappings = append(f.Mappings, flatMapping{x.start, x.limit, x.offset, x.filename, indices(x.attributes)})
	}
	for _, l := range m.locations {
		f.Locations = append(f.Locations, flatLocation{l.address, l.mapping, list(m.lines[l.lines.from:l.lines.to]), indices(l.attributes)})
	}
	for _, s := range m.stacks {
		f.Stacks = append(f.Stacks, indices(s))
	}
	for _, r := range m.resources {
		var out flatResource
		for i := r.attributes.from; i < r.attributes.to; i++ {
			v := m.flatValue(&m.keyValues[i].value)
			v.Key, v.Index = string(m.keyValues[i].key), m.keyValues[i].index
			out.Attributes = append(out.Attributes, v)
		}
		for _, s := range m.scopes[r.scopes.from:r.scopes.to] {
			all := []flatProfile{}
			for _, p := range m.profiles[s.from:s.to] {
				q := flatProfile{p.sampleType, p.periodType, p.time, p.duration, p.period, list(m.ofProfile[p.attributes.from:p.attributes.to]), nil}
				for _, s := range m.samples[p.samples.from:p.samples.to] {
					q.Samples = append(q.Samples, flatSample{
						s.stack, s.link, indices(s.attributes), list(m.values[s.values.from:s.values.to]), list(m.times[s.times.from:s.times.to]),
					})
				}
				all = append(all, q)
			}
			out.Scopes = append(out.Scopes, all)
		}
		f.Resources = append(f.Resources, out)
	}
	return f
}

// differ returns how messages differ in what they say, "" when they do not.
func differ(a, b *message) string {
	x, y := a.flat(), b.flat()
	if reflect.DeepEqual(x, y) { // much faster
		return ""
	}
	return "differ: " + cmp.Diff(x, y, cmp.AllowUnexported(functionEntry{}, linkEntry{}, lineEntry{}, valueType{}))
}

// nesting returns how deep the messages of a message nest.
func nesting(m protoreflect.Message) (depth int) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				depth = max(depth, 1+nesting(v.List().Get(i).Message()))
			}
		default:
			depth = max(depth, 1+nesting(v.Message()))
		}
		return true
	})
	return depth
}

// sameAsLibrary reads bytes in both ways, which must come to the same.
func sameAsLibrary(t *testing.T, data []byte) {
	t.Helper()
	var r collector.ExportProfilesServiceRequest
	theirs := proto.Unmarshal(data, &r)
	ours, err := Read(data, testOptions(len(data)))
	switch {
	case errors.Is(err, ErrOldLayout):
		if !strange(data) { // to the library these are fields that it does not know
			t.Fatalf("%v: %x", err, data)
		}
	case err != nil && !errors.Is(err, ErrWire):
		t.Fatal(err)
	case err != nil && theirs == nil:
		// The only thing that the library takes and we do not.
		if nesting(r.ProtoReflect()) <= maxDepth && !tooDeep(data) {
			t.Fatalf("the library takes %x", data)
		}
	case err == nil && theirs != nil:
		t.Fatalf("the library refuses it: %v: %x", theirs, data)
	case err == nil:
		want, err := ReadStructs(&r, testOptions(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if d := differ(&want.message, &ours.message); d != "" {
			t.Fatalf("%x (-library +ours):\n%s", data, d)
		}
		want.Release()
	}
	if err == nil {
		ours.Release()
	}
}

// strange reports whether a profile or a sample has a field of today with another type.
func strange(data []byte) bool {
	type place struct {
		depth  int
		number protowire.Number
		typ    protowire.Type
	}
	const profile, sample = 3, 4 // resource_profiles, scope_profiles, profiles, samples
	old := map[place]bool{
		{sample, 3, protowire.BytesType}: true, {profile, 3, protowire.BytesType}: true, {profile, 5, protowire.VarintType}: true,
		{profile, 6, protowire.BytesType}: true, {profile, 7, protowire.VarintType}: true, {profile, 8, protowire.BytesType}: true,
		{profile, 9, protowire.VarintType}: true,
	}
	path := []protowire.Number{1, 2, 2, 2}
	var walk func(b []byte, depth int) bool
	walk = func(b []byte, depth int) bool {
		for len(b) > 0 {
			num, typ, n := protowire.ConsumeTag(b)
			if n < 0 {
				return false
			}
			b = b[n:]
			if old[place{depth, num, typ}] {
				return true
			}
			if typ == protowire.BytesType && depth < len(path) && num == path[depth] {
				if v, n := protowire.ConsumeBytes(b); n >= 0 && walk(v, depth+1) {
					return true
				}
			}
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return false
			}
			b = b[n:]
		}
		return false
	}
	return walk(data, 0)
}

// tooDeep reports whether a value nests too deep that another one took the place
// of, so that nothing is left of it in what the library makes.
func tooDeep(data []byte) bool {
	depth := 0
	var walk func(b []byte, at int)
	walk = func(b []byte, at int) {
		depth = max(depth, at)
		for len(b) > 0 && at <= maxDepth+1 {
			num, typ, n := protowire.ConsumeTag(b)
			if n < 0 {
				return
			}
			b = b[n:]
			if typ == protowire.BytesType && num <= 7 {
				if v, n := protowire.ConsumeBytes(b); n >= 0 {
					walk(v, at+1)
				}
			}
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return
			}
			b = b[n:]
		}
	}
	walk(data, 0)
	return depth > maxDepth
}

// full is a request in which every field is set, some of them to what is unusual.
func full() *collector.ExportProfilesServiceRequest {
	b := testRequest()
	list := &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{
		textValue("x"), {}, {Value: &common.AnyValue_IntValue{IntValue: -7}}, {Value: &common.AnyValue_DoubleValue{DoubleValue: math.Inf(1)}},
		{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{textValue("deep")}}}},
		{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{{Key: "k", Value: textValue("v")}}}}},
		{Value: &common.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}, {Value: &common.AnyValue_BoolValue{BoolValue: true}},
		{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: 1}},
	}}}}
	d := b.r.Dictionary
	d.AttributeTable = append(d.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: 1, UnitStrindex: 2, Value: list})
	d.FunctionTable[1].StartLine = 77
	d.LocationTable[1].Lines[0].Column = 3
	rp := b.r.ResourceProfiles[0]
	rp.SchemaUrl, rp.ScopeProfiles[0].SchemaUrl = "https://a", "https://b"
	rp.Resource.DroppedAttributesCount = 5
	rp.Resource.Attributes = append(rp.Resource.Attributes, &common.KeyValue{KeyStrindex: 3, Value: list})
	rp.Resource.EntityRefs = []*common.EntityRef{{SchemaUrl: "s", Type: "t", IdKeys: []string{"i"}, DescriptionKeys: []string{"d"}}}
	rp.ScopeProfiles[0].Scope = &common.InstrumentationScope{Name: "n", Version: "v", Attributes: []*common.KeyValue{{Key: "list", Value: list}}, DroppedAttributesCount: 1}
	p := rp.ScopeProfiles[0].Profiles[0]
	p.ProfileId, p.OriginalPayloadFormat, p.OriginalPayload, p.DroppedAttributesCount = make([]byte, 16), "pprof", []byte{1}, 9
	p.AttributeIndices = []int32{1, 2, 1 << 20}
	p.Samples = append(p.Samples, &profiles.Sample{Values: []int64{-1, math.MaxInt64}, TimestampsUnixNano: []uint64{1, math.MaxUint64}, StackIndex: -3})
	return b.r
}

// TestWireFields reads every field, with the tables in another order, every message
// cut in two, and numbers that are not packed.
func TestWireFields(t *testing.T) {
	t.Parallel()
	data, err := proto.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	sameAsLibrary(t, data)
	sameAsLibrary(t, append(slices.Clone(data), data...))
	for i := range data {
		sameAsLibrary(t, data[:i])
	}
	sameAsLibrary(t, shuffled(t, data, full().ProtoReflect().Descriptor()))
}

// shuffled returns a message with its fields backwards, those of its messages too,
// with numbers that are not packed, texts of unknown fields between them, and
// messages that do not repeat cut into their fields.
func shuffled(t *testing.T, b []byte, d protoreflect.MessageDescriptor) []byte {
	t.Helper()
	var parts [][]byte
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		v := b[:size]
		b = b[size:]
		fd := d.Fields().ByNumber(num)
		parts = append(parts, protowire.AppendString(protowire.AppendTag(nil, 500, protowire.BytesType), "not known"))
		switch {
		case fd.Message() != nil && !fd.IsList():
			inner, _ := protowire.ConsumeBytes(v)
			for inner = shuffled(t, inner, fd.Message()); len(inner) > 0; {
				_, _, n := protowire.ConsumeField(inner)
				parts = append(parts, protowire.AppendBytes(protowire.AppendTag(nil, num, typ), inner[:n]))
				inner = inner[n:]
			}
			parts = append(parts, protowire.AppendBytes(protowire.AppendTag(nil, num, typ), nil))
		case fd.Message() != nil:
			inner, _ := protowire.ConsumeBytes(v)
			parts = append(parts, protowire.AppendBytes(protowire.AppendTag(nil, num, typ), shuffled(t, inner, fd.Message())))
		case fd.IsPacked():
			inner, _ := protowire.ConsumeBytes(v)
			one := protowire.VarintType
			if fd.Kind() == protoreflect.Fixed64Kind {
				one = protowire.Fixed64Type
			}
			var list []byte
			for len(inner) > 0 {
				n := protowire.ConsumeFieldValue(1, one, inner)
				list = append(protowire.AppendTag(list, num, one), inner[:n]...)
				inner = inner[n:]
			}
			parts = append(parts, list)
		default:
			parts = append(parts, append(protowire.AppendTag(nil, num, typ), v...))
		}
	}
	slices.Reverse(parts)
	return slices.Concat(parts...)
}

// TestWireForms reads bytes that are unusual or wrong.
func TestWireForms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("80", 9) // of a number that takes more bytes than it needs
	for name, c := range map[string]struct {
		data  string // in hex
		valid bool
	}{
		"nothing":                                {"", true},
		"dictionary":                             {"1200", true},
		"tag with more bytes than it needs":      {"928000" + "00", true},
		"length with more bytes than it needs":   {"12" + "8000", true},
		"length of ten bytes":                    {"12" + long + "00", true},
		"length that overflows":                  {"12" + long + "02", false},
		"length beyond the end":                  {"1201", false},
		"field 0":                                {"0000", false},
		"field that is too large":                {"f8ffffff7f00", false},
		"largest field":                          {"f8ffffff0f00", true},
		"group":                                  {"1b1c", true},
		"group of another field":                 {"1b24", false},
		"end of a group":                         {"0c", false},
		"type 6":                                 {"0e00", false},
		"dictionary as a number":                 {"1005", true},
		"dictionary as a group":                  {"1314", true},
		"text":                                   {"1203" + "2a0178", true},
		"text that is not UTF-8":                 {"1203" + "2a01ff", false},
		"schema URL that is not UTF-8":           {"0a03" + "1a01ff", false},
		"IDs that are not UTF-8":                 {"1205" + "22030a01ff", true},
		"index of more than 32 bits":             {"1208" + "3a060a0481808010", true},
		"index of 64 bits":                       {"120e" + "3a0c0a0a" + "ffffffffffffffffff01", true},
		"packed numbers that end in the middle":  {"1205" + "3a030a0180", false},
		"number that ends in the middle":         {"1204" + "3a020880", false},
		"time of seven bytes":                    {"0a0f" + "120d" + "120b" + "1209" + "2a07" + "01020304050607", false},
		"time of eight bytes":                    {"0a10" + "120e" + "120c" + "120a" + "2a08" + "0102030405060708", true},
		"value that is a text, then a list":      {"0a11" + "0a0f" + "0a0d" + "120b" + "0a0161" + "2a00" + "2a040a020a00", true},
		"list that is continued":                 {"0a14" + "0a12" + "0a10" + "120e" + "2a050a030a0161" + "2a050a030a0162", true},
		"list, then a number, then another list": {"0a16" + "0a14" + "0a12" + "1210" + "2a050a030a0161" + "1800" + "2a050a030a0162", true},
		"value in two parts":                     {"0a10" + "0a0e" + "0a0c" + "1203" + "0a0161" + "1205" + "2a030a0100", false},
		"value in two parts, lists":              {"0a12" + "0a10" + "0a0e" + "1205" + "2a030a0110" + "1205" + "2a030a0110", false},
		"lists within lists, as deep as may be":  {deep(t, 6), true},
		"lists within lists, deeper than may be": {deep(t, 7), false},
		"boolean that is neither":                {"0a08" + "0a06" + "0a04" + "1202" + "1005", true},
	} {
		data, err := hex.DecodeString(c.data)
		if err != nil {
			t.Fatal(name, err)
		}
		m, err := Read(data, testOptions(len(data)))
		if (err == nil) != c.valid {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			m.Release()
		}
		sameAsLibrary(t, data)
	}
}

// deep returns a request, in hex, with an attribute whose value is a list in n-1 others.
func deep(t *testing.T, n int) string {
	t.Helper()
	v := textValue("x")
	for range n {
		v = &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{v}}}}
	}
	data, err := proto.Marshal(&collector.ExportProfilesServiceRequest{ResourceProfiles: []*profiles.ResourceProfiles{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "k", Value: v}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(data)
}

// TestReuse decodes requests one after the other with the same tables: nothing of
// one is left in the next, and what is kept of one does not change.
func TestReuse(t *testing.T) {
	t.Parallel()
	var small collector.ExportProfilesServiceRequest
	for i, r := range []*collector.ExportProfilesServiceRequest{testRequest().r, &small, full(), &small, testRequest().r} {
		data, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		fresh := &Message{Options: *testOptions(len(data))}
		if err := fresh.wire(slices.Clone(data)); err != nil {
			t.Fatal(err)
		}
		m, err := Read(data, testOptions(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if d := differ(&fresh.message, &m.message); d != "" {
			t.Errorf("request %d (-new +again):\n%s", i, d)
		}
		want, wantErr := fresh.Decode(nil)
		got, err := m.Decode(nil)
		if errText(wantErr) != errText(err) {
			t.Fatal(wantErr, err)
		}
		if err != nil {
			m.Release()
			continue
		}
		defined, wantDefined := definitions(t, got, nil), definitions(t, want, nil)
		m.Release()
		for j := range data { // as its buffer is for the next request
			data[j] = 'x'
		}
		opts := cmp.Options{cmp.AllowUnexported(libpf.Hash128{})}
		if d := cmp.Diff(want.Batch, got.Batch, opts); d != "" {
			t.Errorf("request %d (-new +again):\n%s", i, d)
		}
		if d := cmp.Diff(wantDefined, defined, opts); d != "" {
			t.Errorf("request %d (-new +again):\n%s", i, d)
		}
		if d := cmp.Diff(want.Hosts, got.Hosts); d != "" {
			t.Errorf("request %d (-new +again):\n%s", i, d)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
