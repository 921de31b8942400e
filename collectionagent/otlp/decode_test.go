// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// definitions returns all definitions of a request in one.
func definitions(t testing.TB, in *Request, known Known) *store.Definitions {
	t.Helper()
	all := &store.Definitions{}
	if err := in.Definitions(known, func(d *store.Definitions) error {
		all.Project = d.Project
		all.Stacks = append(all.Stacks, d.Stacks...)
		all.Symbols = append(all.Symbols, d.Symbols...)
		all.Executables = append(all.Executables, d.Executables...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDecode compares all that comes of a request with what is right.
func TestDecode(t *testing.T) {
	t.Parallel()
	in, err := decode(t, testRequest().r, testOptions(1000))
	if err != nil {
		t.Fatal(err)
	}
	file, plain := libpf.FileIDFromBuildID(testBuildID), libpf.FileIDFromIdentity("otlp", "/lib/plain.so")
	deep := []libpf.Frame{
		{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: 0x1234},
		{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: 0x1042},
		{Type: libpf.NativeFrame, FileID: plain, AddressOrLineno: 0x99},
	}
	script := []libpf.Frame{{Type: libpf.PythonFrame, FunctionName: "run", SourceFile: "x.py", SourceLine: 3}}
	base := store.Series{
		Project: "p", Type: libpf.SampleOnCPU, Service: "web", HostID: "h1", Host: "alpha", Namespace: "ns", Pod: "pod", ContainerID: "c0ffee",
		Container: "con", Process: "server", Executable: "/usr/bin/server", PID: 42, Labels: []libpf.Label{{Key: "team", Value: "blue"}},
	}
	thread := base
	thread.Comm, thread.TID = "worker", 43
	thread.Labels = []libpf.Label{{Key: "team", Value: "blue"}, {Key: "user", Value: "u1"}}
	want := &store.Batch{
		Series: []store.Series{thread, base, {Project: "p", Type: libpf.SampleOffCPU, Service: "server", HostID: "alpha", Host: "alpha", Process: "server"}},
		Samples: []store.Sample{
			{Time: testNow, Series: 0, Stack: libpf.HashTrace(deep), Count: 3, Value: 150_000_000, TraceID: [16]byte([]byte("0123456789abcdef")), SpanID: [8]byte([]byte("SPANSPAN"))},
			{Time: testNow, Series: 1, Stack: libpf.HashTrace(script), Count: 1, Value: 50_000_000},
			{Time: testNow, Series: 2, Stack: libpf.HashTrace(script), Count: 1, Value: 700},
			{Time: testNow + 5_000_000, Series: 2, Stack: libpf.HashTrace(script), Count: 1, Value: 800},
		},
	}
	opts := cmp.AllowUnexported(libpf.Hash128{})
	if d := cmp.Diff(want, in.Batch, opts); d != "" {
		t.Error("batch (-want +got):\n", d)
	}
	exe := libpf.Executable{FileID: file, FileName: "server", BuildID: testBuildID}
	wantDefinitions := &store.Definitions{
		Project: "p", Stacks: []store.Stack{{Hash: libpf.HashTrace(deep), Frames: deep}, {Hash: libpf.HashTrace(script), Frames: script}},
		Symbols: []store.Symbol{{Frame: deep[0].ID(), Lines: []libpf.SourceLine{{Function: "inner", File: "a.c", Line: 5}, {Function: "outer", File: "b.c", Line: 9}}}},
		// Both mappings of the file say the same.
		Executables: []libpf.Executable{exe, {FileID: plain, FileName: "plain.so"}, exe},
	}
	got := definitions(t, in, nil)
	if d := cmp.Diff(wantDefinitions, got, opts); d != "" {
		t.Error("definitions (-want +got):\n", d)
	}
	wantHosts := []store.Host{
		{ID: "h1", Name: "alpha", LastSeen: testNow, Metadata: map[string]string{"host.arch": "amd64"}}, {ID: "alpha", Name: "alpha", LastSeen: testNow},
	}
	if d := cmp.Diff(wantHosts, in.Hosts); d != "" {
		t.Error("hosts (-want +got):\n", d)
	}
	if in.RejectedProfiles != 0 || len(in.Notes) > 0 {
		t.Errorf("rejected %d: %q", in.RejectedProfiles, in.Notes)
	}
	if left := definitions(t, in, learned(got)); len(left.Stacks)+len(left.Symbols)+len(left.Executables) > 0 {
		t.Errorf("known definitions are written again: %v", left)
	}
}

// memory is what was defined.
type memory map[any]bool

func learned(d *store.Definitions) memory {
	m := memory{}
	for i := range d.Stacks {
		m[d.Stacks[i].Hash] = true
	}
	for i := range d.Symbols {
		hi, lo := SymbolKey(&d.Symbols[i])
		m[[2]uint64{hi, lo}] = true
	}
	for i := range d.Executables {
		hi, lo := ExecutableKey(&d.Executables[i])
		m[[2]uint64{hi, lo}] = true
	}
	return m
}

func (memory) Whole(uint64, uint64) (libpf.TraceHash, bool) { return libpf.TraceHash{}, false }
func (m memory) Stack(h libpf.TraceHash) bool               { return m[h] }
func (m memory) Symbol(hi, lo uint64) bool                  { return m[[2]uint64{hi, lo}] }
func (m memory) Executable(hi, lo uint64) bool              { return m[[2]uint64{hi, lo}] }

// TestInvalid sets each reference and shape wrong.
func TestInvalid(t *testing.T) {
	t.Parallel()
	sample := func(b *build) *profiles.Sample {
		return b.r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0].Samples[0]
	}
	profile := func(b *build) *profiles.Profile { return b.r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0] }
	for _, c := range []struct {
		field string
		spoil func(b *build, d *profiles.ProfilesDictionary)
	}{
		{"dictionary.string_table[0]", func(_ *build, d *profiles.ProfilesDictionary) { d.StringTable[0] = "x" }},
		{"dictionary.string_table[1]", func(_ *build, d *profiles.ProfilesDictionary) { d.StringTable[1] = strings.Repeat("x", 1<<17) }},
		{"dictionary.attribute_table[1].key_strindex", func(_ *build, d *profiles.ProfilesDictionary) { d.AttributeTable[1].KeyStrindex = -1 }},
		{"dictionary.attribute_table[1].unit_strindex", func(_ *build, d *profiles.ProfilesDictionary) { d.AttributeTable[1].UnitStrindex = 99 }},
		{"dictionary.attribute_table[1].value.string_value_strindex", func(_ *build, d *profiles.ProfilesDictionary) {
			d.AttributeTable[1].Value = &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: 99}}
		}},
		{"dictionary.mapping_table[1].filename_strindex", func(_ *build, d *profiles.ProfilesDictionary) { d.MappingTable[1].FilenameStrindex = 99 }},
		{"dictionary.mapping_table[1].attribute_indices[0]", func(_ *build, d *profiles.ProfilesDictionary) { d.MappingTable[1].AttributeIndices[0] = 99 }},
		{"dictionary.mapping_table[1].memory_start", func(_ *build, d *profiles.ProfilesDictionary) { d.MappingTable[1].MemoryStart = 1 }},
		{"dictionary.function_table[1].name_strindex", func(_ *build, d *profiles.ProfilesDictionary) { d.FunctionTable[1].NameStrindex = 99 }},
		{"dictionary.function_table[1].system_name_strindex", func(_ *build, d *profiles.ProfilesDictionary) { d.FunctionTable[1].SystemNameStrindex = -9 }},
		{"dictionary.function_table[1].filename_strindex", func(_ *build, d *profiles.ProfilesDictionary) { d.FunctionTable[1].FilenameStrindex = 99 }},
		{"dictionary.function_table[1].start_line", func(_ *build, d *profiles.ProfilesDictionary) { d.FunctionTable[1].StartLine = -1 }},
		{"dictionary.link_table[1].trace_id", func(_ *build, d *profiles.ProfilesDictionary) { d.LinkTable[1].TraceId = []byte{1} }},
		{"dictionary.link_table[1].span_id", func(_ *build, d *profiles.ProfilesDictionary) { d.LinkTable[1].SpanId = []byte{1} }},
		{"dictionary.location_table[1].mapping_index", func(_ *build, d *profiles.ProfilesDictionary) { d.LocationTable[1].MappingIndex = 99 }},
		{"dictionary.location_table[1].attribute_indices[0]", func(_ *build, d *profiles.ProfilesDictionary) { d.LocationTable[1].AttributeIndices[0] = -1 }},
		{"dictionary.location_table[1].lines[1].function_index", func(_ *build, d *profiles.ProfilesDictionary) { d.LocationTable[1].Lines[1].FunctionIndex = 99 }},
		{"dictionary.location_table[1].lines[0].line", func(_ *build, d *profiles.ProfilesDictionary) { d.LocationTable[1].Lines[0].Line = -1 }},
		{"dictionary.location_table[1].lines", func(_ *build, d *profiles.ProfilesDictionary) {
			d.LocationTable[1].Lines = make([]*profiles.Line, 5000)
		}},
		{"dictionary.stack_table[1].location_indices[2]", func(_ *build, d *profiles.ProfilesDictionary) { d.StackTable[1].LocationIndices[2] = 99 }},
		{"dictionary.stack_table[1].location_indices", func(_ *build, d *profiles.ProfilesDictionary) { d.StackTable[1].LocationIndices = make([]int32, 1<<15) }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].stack_index", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).StackIndex = 99 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].link_index", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).LinkIndex = -1 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].attribute_indices", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).AttributeIndices[1] = 99 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0]", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).Values = nil }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].values", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).Values = []int64{1, 2} }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].values", func(b *build, _ *profiles.ProfilesDictionary) {
			sample(b).Values, sample(b).TimestampsUnixNano = []int64{1, 2}, []uint64{1, 2, 3}
		}},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].values[0]", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).Values[0] = -1 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].values[0]", func(b *build, _ *profiles.ProfilesDictionary) { sample(b).Values[0] = math.MaxInt64 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].samples[0].timestamps_unix_nano[0]", func(b *build, _ *profiles.ProfilesDictionary) {
			sample(b).TimestampsUnixNano = []uint64{math.MaxUint64}
		}},
		{"resource_profiles[0].scope_profiles[0].profiles[0].time_unix_nano", func(b *build, _ *profiles.ProfilesDictionary) { profile(b).TimeUnixNano = math.MaxUint64 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].sample_type.type_strindex", func(b *build, _ *profiles.ProfilesDictionary) { profile(b).SampleType.TypeStrindex = 99 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].period_type.unit_strindex", func(b *build, _ *profiles.ProfilesDictionary) { profile(b).PeriodType.UnitStrindex = 99 }},
		{"resource_profiles[0].scope_profiles[0].profiles[0].attribute_indices[0]", func(b *build, _ *profiles.ProfilesDictionary) { profile(b).AttributeIndices = []int32{99} }},
		{"resource_profiles[0].resource.attributes[0].key_strindex", func(b *build, _ *profiles.ProfilesDictionary) {
			b.r.ResourceProfiles[0].Resource.Attributes[0] = &common.KeyValue{KeyStrindex: 99}
		}},
		{"resource_profiles[0].resource.attributes", func(b *build, _ *profiles.ProfilesDictionary) {
			b.r.ResourceProfiles[0].Resource.Attributes[0] = &common.KeyValue{Key: "host.id", Value: textValue(strings.Repeat("x", 200))}
			b.r.ResourceProfiles[0].Resource.Attributes = b.r.ResourceProfiles[0].Resource.Attributes[:1]
		}},
		{"dictionary.stack_table", func(_ *build, d *profiles.ProfilesDictionary) {
			d.StringTable[d.FunctionTable[3].NameStrindex] = strings.Repeat("x", 60_000)
			d.StackTable[2].LocationIndices = slices.Repeat([]int32{4}, 10_000)
		}},
	} {
		b := testRequest()
		c.spoil(b, b.r.Dictionary)
		_, err := decode(t, b.r, testOptions(1000))
		var field *FieldError
		if !errors.As(err, &field) || field.Field != c.field || field.Description == "" {
			t.Errorf("%s: error %v", c.field, err)
		}
	}
}

// TestShapes checks types of samples and the forms of their values.
func TestShapes(t *testing.T) {
	t.Parallel()
	now := uint64(testNow)
	type row struct {
		Type         libpf.SampleType
		Time         libpf.UnixTimeNs
		Count, Value int64
	}
	for name, c := range map[string]struct {
		kind, unit string
		period     int64
		sample     *profiles.Sample
		want       []row
		rejected   int64
	}{
		"counts":                 {"samples", "count", 10, &profiles.Sample{Values: []int64{4}}, []row{{1, testNow, 4, 40}}, 0},
		"times":                  {"samples", "count", 10, &profiles.Sample{TimestampsUnixNano: []uint64{now, now + 2_000_000}}, []row{{1, testNow, 1, 10}, {1, testNow + 2_000_000, 1, 10}}, 0},
		"times of a millisecond": {"samples", "count", 10, &profiles.Sample{TimestampsUnixNano: []uint64{now, now + 2}}, []row{{1, testNow, 2, 20}}, 0},
		"both":                   {"samples", "count", 10, &profiles.Sample{Values: []int64{2}, TimestampsUnixNano: []uint64{now + 5}}, []row{{1, testNow + 5, 2, 20}}, 0},
		"nothing":                {"samples", "count", 10, &profiles.Sample{Values: []int64{0}}, nil, 0},
		"CPU time":               {"cpu", "nanoseconds", 10, &profiles.Sample{Values: []int64{31}}, []row{{1, testNow, 3, 31}}, 0},
		"CPU time alone":         {"cpu", "nanoseconds", 0, &profiles.Sample{Values: []int64{31}}, []row{{1, testNow, 1, 31}}, 0},
		"off CPU":                {"off_cpu", "nanoseconds", 0, &profiles.Sample{Values: []int64{31}}, []row{{2, testNow, 1, 31}}, 0},
		"events":                 {"page_faults", "count", 0, &profiles.Sample{Values: []int64{7}}, []row{{3, testNow, 7, 7}}, 0},
		"samples of no period":   {"samples", "count", 0, &profiles.Sample{Values: []int64{7}}, []row{{3, testNow, 7, 7}}, 0},
		"one sample":             {"sample", "count", 10, &profiles.Sample{Values: []int64{7}}, []row{{1, testNow, 7, 70}}, 0},
		"wall time":              {"wall", "microseconds", 0, &profiles.Sample{Values: []int64{7}}, []row{{4, testNow, 1, 7000}}, 0},
		"bytes":                  {"alloc_space", "bytes", 0, &profiles.Sample{Values: []int64{7}}, []row{{6, testNow, 1, 7}}, 0},
		"objects":                {"alloc_objects", "count", 0, &profiles.Sample{Values: []int64{7}}, []row{{5, testNow, 1, 7}}, 0},
		"bytes in use":           {"inuse_space", "By", 0, &profiles.Sample{Values: []int64{7}}, []row{{8, testNow, 1, 7}}, 0},
		"of Node.js":             {"space", "bytes", 0, &profiles.Sample{Values: []int64{7}}, []row{{8, testNow, 1, 7}}, 0},
		"of .NET":                {"lock-time", "nanoseconds", 0, &profiles.Sample{Values: []int64{7}}, []row{{14, testNow, 1, 7}}, 0},
		"goroutines":             {"goroutine", "count", 0, &profiles.Sample{Values: []int64{7}}, []row{{9, testNow, 1, 7}}, 0},
		"contentions":            {"contentions", "count", 0, &profiles.Sample{Values: []int64{7}}, []row{{11, testNow, 1, 7}}, 0},
		"delay":                  {"delay", "nanoseconds", 0, &profiles.Sample{Values: []int64{7}}, []row{{12, testNow, 1, 7}}, 0},
		"by our name":            {"block_delay", "ms", 0, &profiles.Sample{Values: []int64{7}}, []row{{14, testNow, 1, 7_000_000}}, 0},
		"unknown bytes":          {"swap", "bytes", 0, &profiles.Sample{Values: []int64{7}}, nil, 1},
		"unknown time":           {"gc", "nanoseconds", 0, &profiles.Sample{Values: []int64{7}}, nil, 1},
		"unknown unit":           {"cpu", "cycles", 0, &profiles.Sample{Values: []int64{7}}, nil, 1},
		"too old":                {"samples", "count", 10, &profiles.Sample{TimestampsUnixNano: []uint64{5}}, nil, 1},
		"partly too old":         {"samples", "count", 10, &profiles.Sample{TimestampsUnixNano: []uint64{5, now}}, []row{{1, testNow, 1, 10}}, 0},
	} {
		b := newBuild()
		b.profile(c.kind, c.unit, c.period, nil, c.sample)
		in, err := decode(t, b.r, testOptions(1000))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []row
		for _, s := range in.Batch.Samples {
			got = append(got, row{in.Batch.Series[s.Series].Type, s.Time, s.Count, s.Value})
		}
		if d := cmp.Diff(c.want, got); d != "" || in.RejectedProfiles != c.rejected || (c.rejected > 0) && len(in.Notes) == 0 {
			t.Errorf("%s: rejected %d, notes %q, rows (-want +got):\n%s", name, in.RejectedProfiles, in.Notes, d)
		}
		for i := range in.Batch.Series {
			if in.Batch.Series[i].Service != "unnamed" {
				t.Errorf("%s: service %q", name, in.Batch.Series[i].Service)
			}
		}
	}
}

// TestTwiceTheSame checks that the two profiles of a pprof file count once.
func TestTwiceTheSame(t *testing.T) {
	t.Parallel()
	b := newBuild()
	b.profile("samples", "count", 10, nil, &profiles.Sample{Values: []int64{4}})
	b.profile("cpu", "nanoseconds", 10, nil, &profiles.Sample{Values: []int64{41}})
	scopes := b.r.ResourceProfiles
	scopes[0].ScopeProfiles[0].Profiles = append(scopes[0].ScopeProfiles[0].Profiles, scopes[1].ScopeProfiles[0].Profiles...)
	b.r.ResourceProfiles = scopes[:1]
	in, err := decode(t, b.r, testOptions(1000))
	if err != nil || len(in.Batch.Samples) != 1 || in.Batch.Samples[0].Count != 4 || in.Batch.Samples[0].Value != 41 {
		t.Errorf("%v: %+v", err, in)
	}
}

// TestReferences resolves references in the attributes of a resource, and leaves out labels beyond the limit.
func TestReferences(t *testing.T) {
	t.Parallel()
	b := newBuild()
	b.profile("samples", "count", 10, nil, &profiles.Sample{Values: []int64{1}})
	b.r.ResourceProfiles[0].Resource.Attributes = []*common.KeyValue{
		{KeyStrindex: b.text("service.name"), Value: &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: b.text("cart")}}},
		{Key: "process.pid", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 7}}},
		{Key: "c", Value: textValue("3")}, {Key: "b", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
		{Key: "a", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{textValue("x"), textValue("y")}}}}},
	}
	o := testOptions(1000)
	o.MaxLabels = 2
	in, err := decode(t, b.r, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Series{{Project: "p", Type: libpf.SampleOnCPU, Service: "cart", PID: 7, Labels: []libpf.Label{{Key: "a", Value: "x,y"}, {Key: "b", Value: "true"}}}}
	if d := cmp.Diff(want, in.Batch.Series); d != "" || len(in.Notes) != 1 {
		t.Errorf("notes %q, series (-want +got):\n%s", in.Notes, d)
	}
}

// TestSameAddress gives an address two names: both are kept.
func TestSameAddress(t *testing.T) {
	t.Parallel()
	b := newBuild()
	file := b.mapping("/bin/x", b.attribute(otlpkey.BuildIDHTLHash, libpf.NewFileID(1, 2).String()))
	var stacks []*profiles.Sample
	for _, name := range []string{"one", "two", "one"} {
		l := b.location(&profiles.Location{MappingIndex: file, Address: 5, Lines: []*profiles.Line{{FunctionIndex: b.function(name, "")}}})
		stacks = append(stacks, &profiles.Sample{StackIndex: b.stack(l), Values: []int64{1}})
	}
	b.profile("samples", "count", 10, nil, stacks...)
	in, err := decode(t, b.r, testOptions(1000))
	if err != nil {
		t.Fatal(err)
	}
	d := definitions(t, in, nil)
	if len(d.Symbols) != 1 || d.Symbols[0].Lines[0].Function != "one" || d.Symbols[0].Frame.FileID != libpf.NewFileID(1, 2) || d.Stacks[1].Frames[0].FunctionName != "two" {
		t.Errorf("%+v", d)
	}
}

// TestEmpty accepts requests without anything.
func TestEmpty(t *testing.T) {
	t.Parallel()
	b := newBuild()
	b.r.Dictionary = nil
	b.r.ResourceProfiles = append(b.r.ResourceProfiles, nil, &profiles.ResourceProfiles{ScopeProfiles: []*profiles.ScopeProfiles{nil, {Profiles: []*profiles.Profile{nil, {}}}}})
	if in, err := decode(t, b.r, testOptions(10)); err != nil || len(in.Batch.Samples) != 0 || in.RejectedProfiles != 0 {
		t.Errorf("%v: %+v", err, in)
	}
	if in, err := decode(t, nil, testOptions(0)); err != nil || in.Batch.Weight() != 0 || false {
		t.Error(err)
	}
}

// TestCharge ends with the error of whoever counts memory.
func TestCharge(t *testing.T) {
	t.Parallel()
	full := errors.New("no memory")
	r := testRequest().r
	data, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, read := range readers(r, data) {
		for n := 0; ; n++ {
			o, calls := testOptions(1000), 0
			o.Charge = func(string, int, int64) error {
				if calls++; calls > n {
					return full
				}
				return nil
			}
			m, err := read(o)
			if err == nil {
				_, err = m.Decode(nil)
				m.Release()
			}
			if err == nil {
				if n < 10 || n > 1000 {
					t.Errorf("%d charges", n)
				}
				break
			}
			if !errors.Is(err, full) {
				t.Fatal(err)
			}
		}
	}
}
