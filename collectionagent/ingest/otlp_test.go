// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// testExport is a request with one stack of one frame, observed n times at a time.
func testExport(n int64, at time.Time) *collector.ExportProfilesServiceRequest {
	return &collector.ExportProfilesServiceRequest{
		Dictionary: &profiles.ProfilesDictionary{
			StringTable:    []string{"", "samples", "count", "cpu", "nanoseconds", "main.run", "main.go", "/bin/app", "process.executable.build_id.gnu"},
			AttributeTable: []*profiles.KeyValueAndUnit{{}, {KeyStrindex: 8, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "ab12"}}}},
			MappingTable:   []*profiles.Mapping{{}, {FilenameStrindex: 7, AttributeIndices: []int32{1}}},
			FunctionTable:  []*profiles.Function{{}, {NameStrindex: 5, FilenameStrindex: 6}},
			LocationTable:  []*profiles.Location{{}, {MappingIndex: 1, Address: 64, Lines: []*profiles.Line{{FunctionIndex: 1, Line: 3}}}},
			StackTable:     []*profiles.Stack{{}, {LocationIndices: []int32{1}}},
			LinkTable:      []*profiles.Link{{}},
		},
		ResourceProfiles: []*profiles.ResourceProfiles{{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{
				{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "app"}}},
				{Key: "host.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "alpha"}}},
			}},
			ScopeProfiles: []*profiles.ScopeProfiles{{Profiles: []*profiles.Profile{{
				SampleType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, PeriodType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4},
				Period: 1000, TimeUnixNano: uint64(at.UnixNano()), DurationNano: 1e9, //nolint:gosec // after 1970
				Samples: []*profiles.Sample{{StackIndex: 1, Values: []int64{n}}},
			}}}},
		}},
	}
}

// TestExport stores, keeps definitions once, and says what it leaves out.
func TestExport(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	c := collector.NewProfilesServiceClient(dial(t, s, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip"))))
	for range 2 { // there is no identity: twice is twice
		answer, err := c.Export(t.Context(), testExport(3, testNow))
		if err != nil || answer.PartialSuccess != nil {
			t.Fatal(answer, err)
		}
	}
	st, err := m.Stats(t.Context())
	if err != nil || st.Samples != 2 || st.Stacks != 1 || st.Symbols != 1 || st.Executables != 1 || st.Hosts != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if n := counterValue(t, s.metrics.definitions.WithLabelValues("stacks")); n != 1 {
		t.Errorf("%v stacks were written, want 1", n)
	}
	old, err := c.Export(t.Context(), testExport(5, testNow.Add(-1000*time.Hour)))
	if err != nil || old.GetPartialSuccess().GetRejectedProfiles() != 1 || !strings.Contains(old.GetPartialSuccess().GetErrorMessage(), "5 observations are before") {
		t.Errorf("too old: %v, %v", old, err)
	}
	unknown := testExport(1, testNow)
	unknown.ResourceProfiles[0].ScopeProfiles[0].Profiles[0].SampleType = &profiles.ValueType{TypeStrindex: 5, UnitStrindex: 6}
	part, err := c.Export(t.Context(), unknown)
	if err != nil || part.GetPartialSuccess().GetRejectedProfiles() != 1 || !strings.Contains(part.GetPartialSuccess().GetErrorMessage(), "main.run/main.go") {
		t.Errorf("unknown type: %v, %v", part, err)
	}
	bad := testExport(1, testNow)
	bad.Dictionary.StackTable[1].LocationIndices[0] = 7
	if _, err := c.Export(t.Context(), bad); status.Code(err) != codes.InvalidArgument || !namesField(err) || !strings.Contains(err.Error(), "dictionary.stack_table[1]") {
		t.Errorf("bad index: %v", err)
	}
	if answer, err := c.Export(t.Context(), &collector.ExportProfilesServiceRequest{}); err != nil || answer.PartialSuccess != nil {
		t.Errorf("empty: %v, %v", answer, err)
	}
	r := s.Receipts(DefaultProject)
	if r.Received != 13 || r.Stored != 6 || r.Refused["too_old"] != 5 || r.Refused["unsupported"] != 1 || r.Refused["invalid"] != 1 {
		t.Errorf("ledger %+v", r)
	}
	if n := s.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// forgetfulStore says that it removed definitions as often as it is told.
type forgetfulStore struct {
	store.Store
	forgotten atomic.Uint64
}

func (s *forgetfulStore) Forgotten() uint64 { return s.forgotten.Load() }

// TestExportForgotten defines again what the store has removed.
func TestExportForgotten(t *testing.T) {
	t.Parallel()
	m := &forgetfulStore{Store: memstore.New()}
	s := newTestServer(t, Config{Store: m})
	c := collector.NewProfilesServiceClient(dial(t, s))
	for i, want := range []float64{1, 1, 2, 2} {
		if i == 2 {
			m.forgotten.Add(1)
		}
		if _, err := c.Export(t.Context(), testExport(3, testNow)); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"stacks", "symbols", "executables"} {
			if n := counterValue(t, s.metrics.definitions.WithLabelValues(kind)); n != want {
				t.Errorf("after %d requests %v %s were written, want %v", i+1, n, kind, want)
			}
		}
	}
}

// TestExportWire refuses what is no request, and stores one that was decoded by
// others like one that was not.
func TestExportWire(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	export := s.profilesService().Methods[0]
	for _, data := range [][]byte{{0xff}, {0x0a, 0x05}, {0x12, 0x03, 0x2a, 0x01, 0xff}} {
		answer, err := export.Handler(s, t.Context(), func(v any) error {
			return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v)
		}, s.guard)
		if status.Code(err) != codes.InvalidArgument || !namesField(err) || answer != nil {
			t.Errorf("%x: %v, %v", data, answer, err)
		}
	}
	if answer, err := s.Export(t.Context(), testExport(3, testNow)); err != nil || answer.PartialSuccess != nil {
		t.Errorf("%v, %v", answer, err)
	}
	if st, err := m.Stats(t.Context()); err != nil || st.Samples != 1 || st.Stacks != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	bad := testExport(1, testNow)
	bad.Dictionary.StackTable[1].LocationIndices[0] = 7
	if _, err := s.Export(t.Context(), bad); status.Code(err) != codes.InvalidArgument || !namesField(err) {
		t.Error(err)
	}
}

// TestManyEntries sends millions of empty entries, two bytes each, in every table:
// they take no more memory than any request may. What counts here is all that was
// ever allocated; of a table that grows that is up to five times what is left.
func TestManyEntries(t *testing.T) {
	s := newTestServer(t, Config{})
	export := s.profilesService().Methods[0]
	in := func(number protowire.Number, data []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), data)
	}
	const n = 1 << 19
	for number := range protowire.Number(7) {
		data := in(2, bytes.Repeat(in(number+1, nil), n))
		hostile.Bound(t, len(data), 5*amplifyFactor, func() {
			_, err := export.Handler(s, t.Context(), func(v any) error {
				return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v)
			}, s.guard)
			if err != nil && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "send it in parts")) {
				t.Errorf("table %d: %v", number+1, err)
			}
		})
	}
	empty := in(2, nil)
	for name, data := range map[string][]byte{
		"resources":  bytes.Repeat(in(1, nil), n),
		"attributes": in(1, in(1, bytes.Repeat(in(1, nil), n))),
		"scopes":     in(1, bytes.Repeat(empty, n)),
		"profiles":   in(1, in(2, bytes.Repeat(empty, n))),
		"samples":    in(1, in(2, in(2, bytes.Repeat(empty, n)))),
		"values":     in(1, in(2, in(2, in(2, in(4, make([]byte, 2*n)))))),
		"times":      in(1, in(2, in(2, in(2, in(5, make([]byte, 2*n)))))),
		"lines":      in(2, in(2, bytes.Repeat(in(3, nil), n))),
		"indices":    in(2, in(7, in(1, make([]byte, 2*n)))),
		"elements":   in(2, in(6, in(2, in(5, bytes.Repeat(in(1, nil), n))))),
	} {
		hostile.Bound(t, len(data), 5*amplifyFactor, func() {
			_, err := export.Handler(s, t.Context(), func(v any) error {
				return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v)
			}, s.guard)
			if err != nil && status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	if held := s.budget.inUse(); held != 0 {
		t.Errorf("%d bytes of memory are not given back", held)
	}
}

// TestExportOverload tells the client when to come again.
func TestExportOverload(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m, Rates: limit.Config{Host: limit.Amount{Samples: 1}, Burst: time.Second}})
	c := collector.NewProfilesServiceClient(dial(t, s))
	r := testExport(1, testNow)
	p := r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0]
	for range 5 {
		p.Samples = append(p.Samples, p.Samples[0])
	}
	var err error
	for range 5 {
		if _, err = c.Export(t.Context(), r); err != nil {
			break
		}
	}
	var wait time.Duration
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			wait = info.RetryDelay.AsDuration()
		}
	}
	if status.Code(err) != codes.ResourceExhausted || wait <= 0 {
		t.Errorf("%v, wait %s", err, wait)
	}
}

// FuzzExport sends any bytes through the decoder and the guard of the server.
func FuzzExport(f *testing.F) {
	data, err := proto.Marshal(testExport(3, testNow))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(append(slices.Clip(data), data...))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := memstore.New()
		s := newTestServer(t, Config{Store: m, KnownStacks: 64, MaxRequestBytes: 1 << 20})
		export := s.profilesService().Methods[0]
		answer, err := export.Handler(s, t.Context(), func(v any) error {
			return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v)
		}, s.guard)
		switch {
		case err == nil && answer == nil:
			t.Fatal("neither an answer nor an error")
		case err == nil:
		case status.Code(err) != codes.InvalidArgument || !namesField(err):
			t.Fatalf("answer is neither yes nor InvalidArgument: %v", err)
		case !isEmpty(t, m):
			t.Fatalf("refused request left something behind: %v", err)
		}
		if held := s.budget.inUse(); held != 0 {
			t.Fatalf("%d bytes of memory are not given back", held)
		}
	})
}
