// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/export"
)

// stored returns what is in a store, a line for each sample, sorted.
func stored(t *testing.T, m store.Store) []string {
	t.Helper()
	var lines []string
	for _, typ := range []libpf.SampleType{libpf.SampleOnCPU, libpf.SampleOffCPU, libpf.SampleEvent} {
		type row struct {
			s store.Sample
			x store.Series
		}
		var rows []row
		if err := m.Samples(t.Context(), &store.Query{Project: DefaultProject, Type: typ, From: 0, To: 1 << 62}, func(s *store.Sample, x *store.Series) bool {
			rows = append(rows, row{*s, *x})
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			x := &r.x
			var line strings.Builder
			fmt.Fprintf(&line, "%s %s host=%s pid=%d thread=%s/%d process=%s container=%s", typ, x.Service, x.Host, x.PID, x.Comm, x.TID, x.Process, x.ContainerID)
			for _, l := range x.Labels {
				line.WriteString(" " + l.Key + "=" + l.Value)
			}
			if r.s.TraceID != [16]byte{} {
				fmt.Fprintf(&line, " trace=%x/%x", r.s.TraceID[:2], r.s.SpanID[:2])
			}
			lines = append(lines, fmt.Sprintf("%s %s +%s %d %d", line.String(), folded(t, m, r.s.Stack), time.Duration(r.s.Time-libpf.UnixTimeNs(testNow.UnixNano())), r.s.Count, r.s.Value))
		}
	}
	slices.Sort(lines)
	return lines
}

// folded returns a stack, leaf first.
func folded(t *testing.T, m store.Store, hash libpf.TraceHash) string {
	t.Helper()
	stacks, err := m.Stacks(t.Context(), DefaultProject, []libpf.TraceHash{hash})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range stacks[hash] {
		symbols, err := m.Symbols(t.Context(), DefaultProject, []libpf.FrameID{f.ID()})
		if err != nil {
			t.Fatal(err)
		}
		files, err := m.Executables(t.Context(), DefaultProject, []libpf.FileID{f.FileID})
		if err != nil {
			t.Fatal(err)
		}
		f.Lines = symbols[f.ID()]
		for _, l := range export.AppendLevels(nil, &f, func(id libpf.FileID) (libpf.Executable, bool) { e, ok := files[id]; return e, ok }) {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, "<")
}

// wayNames are the names of ways.
var wayNames = []string{"gRPC", "HTTP", "JSON", "structs"}

// ways are the ways into the server: each sends a request and returns its error.
func ways(t *testing.T, s *Server) map[string]func(r *collector.ExportProfilesServiceRequest) error {
	t.Helper()
	c := collector.NewProfilesServiceClient(dial(t, s, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip"))))
	url := serveHTTP(t, s)
	over := func(media string) func(r *collector.ExportProfilesServiceRequest) error {
		return func(r *collector.ExportProfilesServiceRequest) error {
			a := post(t, url, media, bytes.NewReader(forms(t, r)[media]))
			if a.StatusCode == http.StatusOK {
				a.decode(t, &collector.ExportProfilesServiceResponse{})
				return nil
			}
			if err := a.status(t); status.Code(err) != codes.InvalidArgument || a.StatusCode == http.StatusBadRequest {
				return err
			}
			return fmt.Errorf("%s", a.Status)
		}
	}
	return map[string]func(r *collector.ExportProfilesServiceRequest) error{
		"gRPC": func(r *collector.ExportProfilesServiceRequest) error {
			_, err := c.Export(t.Context(), r)
			return err
		},
		"HTTP": over(typeProtobuf), "JSON": over(typeJSON),
		"structs": func(r *collector.ExportProfilesServiceRequest) error {
			_, err := s.Export(context.Background(), r)
			return err
		},
	}
}

// fromCollector is what is to be stored of the profiles that testdata/pdata makes.
var fromCollector = []string{
	"off_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b main.checkout<main.main +2ms 1 300",
	"off_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b main.checkout<main.main +9ms 1 700",
	"on_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b main.checkout<main.main +3ms 1 50000000",
	"on_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b main.checkout<main.main +4ms 1 50000000",
	"on_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b trace=1122/aa00 libplain.so+0x1a2b<main.checkout<main.main +101ms 1 50000000",
	"on_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b trace=1122/aa00 libplain.so+0x1a2b<main.checkout<main.main +1ms 1 50000000",
	"on_cpu cart host=alpha pid=42 thread=worker/77 process= container=c0ffee canary=true zones=a,b trace=1122/aa00 libplain.so+0x1a2b<main.checkout<main.main +51ms 1 50000000",
	"on_cpu mailer host=alpha pid=0 thread=/0 process= container= main.checkout<main.main +0s 1 9000",
}

// TestFromCollector stores what versions of the Collector's own data model write, the
// same whatever the form and the way, with references in place of texts and without.
func TestFromCollector(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../otlp/testdata/pdata/v0.1[56]*")
	if err != nil || len(files) < 12 {
		t.Fatal(files, err)
	}
	check := func(name string, m store.Store) {
		t.Helper()
		if d := cmp.Diff(fromCollector, stored(t, m)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		file, err := libpf.ParseFileID("00112233445566778899aabbccddeeff")
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.Executables(t.Context(), DefaultProject, []libpf.FileID{file})
		if err != nil || e[file].FileName != "libplain.so" || e[file].BuildID != "0123456789abcdef0123456789abcdef01234567" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	for _, file := range files {
		media := map[string]string{".bin": typeProtobuf, ".json": typeJSON}[filepath.Ext(file)]
		if media == "" {
			continue // of modules
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := memstore.New()
		if a := post(t, serveHTTP(t, newTestServer(t, Config{Store: m})), media, bytes.NewReader(data)); a.StatusCode != http.StatusOK || len(a.body) > 2 {
			t.Errorf("%s: %s %q", file, a.Status, a.body)
		}
		check(filepath.Base(file), m)
		if media == typeJSON {
			continue
		}
		var r collector.ExportProfilesServiceRequest
		if err := proto.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		for _, way := range wayNames {
			m := memstore.New()
			if err := ways(t, newTestServer(t, Config{Store: m}))[way](&r); err != nil {
				t.Errorf("%s over %s: %v", file, way, err)
			}
			check(filepath.Base(file)+" over "+way, m)
		}
	}
}

// TestFromOldCollector refuses what the Collector sent before OTLP 1.10, and says which
// version to use. As JSON it has the names of today, and is taken.
func TestFromOldCollector(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../otlp/testdata/pdata/v0.147.0-request.bin")
	if err != nil {
		t.Fatal(err)
	}
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	a := post(t, serveHTTP(t, s), typeProtobuf, bytes.NewReader(data))
	conn := dial(t, s, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	for way, err := range map[string]error{
		"HTTP": a.status(t), "gRPC": conn.Invoke(t.Context(), "/"+collector.ProfilesService_ServiceDesc.ServiceName+"/Export", data, &data),
	} {
		if status.Code(err) != codes.InvalidArgument || !namesField(err) || !strings.Contains(err.Error(), "OTLP 1.10 or later") || !strings.Contains(err.Error(), "v0.148.0") {
			t.Errorf("%s: %v", way, err)
		}
	}
	if a.StatusCode != http.StatusBadRequest || !isEmpty(t, m) {
		t.Errorf("%s", a.Status)
	}
	if n := counterValue(t, s.metrics.batches.WithLabelValues(typeProfiles, "old_layout")); n != 2 {
		t.Errorf("%v are counted", n)
	}
	if data, err = os.ReadFile("../otlp/testdata/pdata/v0.147.0-request.json"); err != nil {
		t.Fatal(err)
	}
	if a := post(t, serveHTTP(t, s), typeJSON, bytes.NewReader(data)); a.StatusCode != http.StatusOK {
		t.Errorf("JSON: %s %q", a.Status, a.body)
	}
	if d := cmp.Diff(fromCollector, stored(t, m)); d != "" {
		t.Errorf("JSON (-want +got):\n%s", d)
	}
}

// specExamples are the worked examples of the specification of the data format, with
// their times.
func specExamples() map[int64]*collector.ExportProfilesServiceRequest {
	reference := func(key, value int32) *common.KeyValue {
		return &common.KeyValue{KeyStrindex: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: value}}}
	}
	line := func(function int32, line int64) *profiles.Location {
		return &profiles.Location{Lines: []*profiles.Line{{FunctionIndex: function, Line: line}}}
	}
	profile := func(at uint64, samples ...*profiles.Sample) []*profiles.ScopeProfiles {
		return []*profiles.ScopeProfiles{{Profiles: []*profiles.Profile{{
			SampleType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, Samples: samples, TimeUnixNano: at, DurationNano: 1e9,
			PeriodType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4}, Period: 50_000_000,
		}}}}
	}
	none := func(d *profiles.ProfilesDictionary) *profiles.ProfilesDictionary {
		d.MappingTable, d.AttributeTable = []*profiles.Mapping{{}}, []*profiles.KeyValueAndUnit{{}}
		return d
	}
	return map[int64]*collector.ExportProfilesServiceRequest{
		1234567890: {
			Dictionary: none(&profiles.ProfilesDictionary{
				StringTable: []string{"", "samples", "count", "cpu", "nanoseconds", "main", "foo", "bar", "baz", "main.go", "foo.go", "bar.go", "baz.go"},
				FunctionTable: []*profiles.Function{
					{}, {NameStrindex: 5, FilenameStrindex: 9}, {NameStrindex: 6, FilenameStrindex: 10}, {NameStrindex: 7, FilenameStrindex: 11},
					{NameStrindex: 8, FilenameStrindex: 12},
				},
				LocationTable: []*profiles.Location{{}, line(1, 10), line(2, 20), line(3, 30), line(4, 40)},
				StackTable:    []*profiles.Stack{{}, {LocationIndices: []int32{3, 2, 1}}, {LocationIndices: []int32{4, 1}}},
				LinkTable:     []*profiles.Link{{}},
			}),
			ResourceProfiles: []*profiles.ResourceProfiles{{ScopeProfiles: profile(1234567890e9,
				&profiles.Sample{StackIndex: 1, Values: []int64{3}}, &profiles.Sample{StackIndex: 2, Values: []int64{2}})}},
		},
		2000000000: {
			Dictionary: none(&profiles.ProfilesDictionary{
				StringTable: []string{
					"", "samples", "count", "cpu", "nanoseconds", "handleRequest", "db.Query", "server.go", "db.go", "service.name",
					"process.executable.name", "my-service", "my-service.bin",
				},
				FunctionTable: []*profiles.Function{{}, {NameStrindex: 5, FilenameStrindex: 7}, {NameStrindex: 6, FilenameStrindex: 8}},
				LocationTable: []*profiles.Location{{}, line(1, 45), line(2, 112)},
				StackTable:    []*profiles.Stack{{}, {LocationIndices: []int32{2, 1}}, {LocationIndices: []int32{1}}},
				LinkTable: []*profiles.Link{{}, {
					TraceId: []byte{0x11, 0x22, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
					SpanId:  []byte{0xff, 1, 2, 3, 4, 5, 6, 7},
				}},
			}),
			ResourceProfiles: []*profiles.ResourceProfiles{{
				Resource: &resource.Resource{Attributes: []*common.KeyValue{reference(9, 11), reference(10, 12)}},
				ScopeProfiles: profile(2000000000e9,
					&profiles.Sample{StackIndex: 1, Values: []int64{5}, LinkIndex: 1}, &profiles.Sample{StackIndex: 2, Values: []int64{3}}),
			}},
		},
	}
}

// TestExamplesOfSpecification stores the examples, over every way.
func TestExamplesOfSpecification(t *testing.T) {
	t.Parallel()
	for at, r := range specExamples() {
		now := time.Unix(at, 0)
		since := now.Sub(testNow).String()
		want := map[int64][]string{
			1234567890: {
				"on_cpu unnamed host= pid=0 thread=/0 process= container= bar<foo<main +" + since + " 3 150000000",
				"on_cpu unnamed host= pid=0 thread=/0 process= container= baz<main +" + since + " 2 100000000",
			},
			2000000000: {
				"on_cpu my-service host= pid=0 thread=/0 process=my-service.bin container= handleRequest +" + since + " 3 150000000",
				"on_cpu my-service host= pid=0 thread=/0 process=my-service.bin container= trace=1122/ff01 db.Query<handleRequest +" + since + " 5 250000000",
			},
		}[at]
		for _, way := range wayNames {
			m := memstore.New()
			s := newTestServer(t, Config{Store: m})
			s.cfg.Now = func() time.Time { return now }
			if err := ways(t, s)[way](r); err != nil {
				t.Errorf("%d over %s: %v", at, way, err)
			}
			if d := cmp.Diff(want, stored(t, m)); d != "" {
				t.Errorf("%d over %s (-want +got):\n%s", at, way, d)
			}
		}
	}
}

// TestHostileProfiles sends what is wrong over every way: the answer names the field,
// and nothing is stored.
func TestHostileProfiles(t *testing.T) {
	t.Parallel()
	const profile = "resource_profiles[0].scope_profiles[0].profiles[0]"
	const sample = profile + ".samples[0]"
	const attribute = "resource_profiles[0].resource.attributes[0]"
	type parts struct {
		d  *profiles.ProfilesDictionary
		rp *profiles.ResourceProfiles
		p  *profiles.Profile
		s  *profiles.Sample
	}
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	all := ways(t, s)
	for _, c := range []struct {
		name, field string
		spoil       func(x *parts)
	}{
		{"stack that is not there", sample + ".stack_index", func(x *parts) {
			x.s.StackIndex = 99
		}},
		{"negative stack", sample + ".stack_index", func(x *parts) {
			x.s.StackIndex = -1
		}},
		{"link that is not there", sample + ".link_index", func(x *parts) {
			x.s.LinkIndex = 1
		}},
		{"attribute that is not there", sample + ".attribute_indices", func(x *parts) {
			x.s.AttributeIndices = []int32{1, 1 << 30}
		}},
		{"no dictionary", sample + ".stack_index", func(x *parts) {
			proto.Reset(x.d)
			x.p.SampleType, x.p.PeriodType = nil, nil
		}},
		{"text 0 is one", "dictionary.string_table[0]", func(x *parts) {
			x.d.StringTable[0] = "x"
		}},
		{"function that is not there", "dictionary.location_table[1].lines[0].function_index", func(x *parts) {
			x.d.LocationTable[1].Lines[0].FunctionIndex = 2
		}},
		{"many inlined functions", "dictionary.location_table[1].lines", func(x *parts) {
			x.d.LocationTable[1].Lines = slices.Repeat(x.d.LocationTable[1].Lines, maxLines+1)
		}},
		{"mapping that ends before it begins", "dictionary.mapping_table[1].memory_start", func(x *parts) {
			x.d.MappingTable[1].MemoryStart = 7
		}},
		{"name of a file that is not there", "dictionary.mapping_table[1].filename_strindex", func(x *parts) {
			x.d.MappingTable[1].FilenameStrindex = -7
		}},
		{"trace of seven bytes", "dictionary.link_table[1].trace_id", func(x *parts) {
			x.d.LinkTable = append(x.d.LinkTable, &profiles.Link{TraceId: make([]byte, 7)})
		}},
		{"neither values nor times", sample, func(x *parts) {
			x.s.Values = nil
		}},
		{"values and no times", sample + ".values", func(x *parts) {
			x.s.Values = []int64{1, 2}
		}},
		{"fewer values than times", sample + ".values", func(x *parts) {
			x.s.TimestampsUnixNano = []uint64{1, 2}
		}},
		{"negative value", sample + ".values[0]", func(x *parts) {
			x.s.Values[0] = -1
		}},
		{"time after the end of all times", sample + ".timestamps_unix_nano[0]", func(x *parts) {
			x.s.TimestampsUnixNano = []uint64{1 << 63}
		}},
		{"profile after the end of all times", profile + ".time_unix_nano", func(x *parts) {
			x.p.TimeUnixNano = 1 << 63
		}},
		{"type that is not there", profile + ".sample_type.type_strindex", func(x *parts) {
			x.p.SampleType.TypeStrindex = 77
		}},
		{"key and another key", attribute + ".key_strindex", func(x *parts) {
			x.rp.Resource.Attributes[0].KeyStrindex = 1
		}},
		{"key that is not there", attribute + ".key_strindex", func(x *parts) {
			x.rp.Resource.Attributes[0].Key, x.rp.Resource.Attributes[0].KeyStrindex = "", 77
		}},
		{"value that is not there", attribute + ".value.string_value_strindex", func(x *parts) {
			x.rp.Resource.Attributes[0].Value = &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: -1}}
		}},
		{"value without end", attribute + ".value", func(x *parts) {
			x.rp.Resource.Attributes[0].Value = &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.Repeat("x", 1<<17)}}
		}},
		{"host without end", "resource_profiles[0].resource.attributes", func(x *parts) {
			x.rp.Resource.Attributes[1].Value = &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.Repeat("x", 300)}}
		}},
	} {
		r := testExport(1, testNow)
		p := r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0]
		c.spoil(&parts{r.Dictionary, r.ResourceProfiles[0], p, p.Samples[0]})
		for way, send := range all {
			if err := send(r); status.Code(err) != codes.InvalidArgument || !namesField(err) || !strings.HasPrefix(status.Convert(err).Message(), c.field+": ") {
				t.Errorf("%s over %s: %v", c.name, way, err)
			}
		}
	}
	if !isEmpty(t, m) {
		t.Error("something of it is stored")
	}
	if n := counterValue(t, s.metrics.panics); n != 0 || s.budget.inUse() != 0 {
		t.Errorf("%v panics, %d bytes are still held", n, s.budget.inUse())
	}
}

// TestTolerated takes what is unusual and yet clear.
func TestTolerated(t *testing.T) {
	t.Parallel()
	for _, way := range wayNames {
		m := memstore.New()
		s := newTestServer(t, Config{Store: m})
		r := testExport(2, testNow)
		d, rp := r.Dictionary, r.ResourceProfiles[0]
		d.StringTable = append(d.StringTable, "service.name", "web")
		n := int32(len(d.StringTable))
		// The key in both forms, and a second value for it, which stands.
		rp.Resource.Attributes[0].KeyStrindex = n - 2
		rp.Resource.Attributes = append(rp.Resource.Attributes, &common.KeyValue{
			KeyStrindex: n - 2, Value: &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: n - 1}},
		}, &common.KeyValue{})
		// Resources, scopes and profiles of nothing.
		r.ResourceProfiles = append(r.ResourceProfiles, &profiles.ResourceProfiles{}, &profiles.ResourceProfiles{ScopeProfiles: []*profiles.ScopeProfiles{{}, {
			Profiles: []*profiles.Profile{{}},
		}}})
		// A null link that is of zeros.
		d.LinkTable[0] = &profiles.Link{TraceId: make([]byte, 16), SpanId: make([]byte, 8)}
		if err := ways(t, s)[way](r); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		want := []string{"on_cpu web host=alpha pid=0 thread=/0 process= container= main.run +0s 2 2000"}
		if d := cmp.Diff(want, stored(t, m)); d != "" {
			t.Errorf("%s (-want +got):\n%s", way, d)
		}
	}
	// What libraries write by default is not OTLP's JSON, but has the same names.
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(testExport(1, testNow))
	if err != nil {
		t.Fatal(err)
	}
	if a := post(t, serveHTTP(t, newTestServer(t, Config{})), typeJSON, bytes.NewReader(data)); a.StatusCode != http.StatusOK {
		t.Errorf("%s %q", a.Status, a.body)
	}
}
