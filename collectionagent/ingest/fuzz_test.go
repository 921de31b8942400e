// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// hashOfTail returns the hash of a stack of only the last frame but one of testFrames.
func hashOfTail() (hi, lo uint64) {
	h := libpf.HashTrace(testStacks()[1][:1])
	return h.Hi(), h.Lo()
}

// requests are one valid request of each type.
func requests() []proto.Message {
	return []proto.Message{
		testCounts(1), testFrames(1), testFrameMetadata(1), testFallback(1), testExecutables(1), testHost(1), testMetrics(1),
	}
}

// fuzzRPC sends any bytes to a method, through the server's decoder and its
// guard: the answer is either a response or InvalidArgument that names a field
// (OutOfRange for times), and in that case nothing is stored.
func fuzzRPC(f *testing.F, method string, valid ...proto.Message) {
	for _, r := range valid {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		// Columns of other lengths and values: repeated fields append when a message is repeated.
		f.Add(append(slices.Clip(b), b...))
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkRPC(t, method, data)
		if hashed := withHashes(method, data); hashed != nil {
			checkRPC(t, method, hashed)
		}
	})
}

func checkRPC(t *testing.T, method string, data []byte) {
	t.Helper()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m, KnownStacks: 64, MaxRequestBytes: 1 << 20})
	// What the meter of the server allows, and what it does not count.
	hostile.Bound(t, len(data)+amplifyFree/amplifyFactor, 4*amplifyFactor, func() {
		answer, err := callRaw(t, s, method, data)
		switch {
		case err == nil && answer == nil:
			t.Fatal("neither an answer nor an error")
		case err == nil:
		case status.Code(err) == codes.OutOfRange && method == "AddCountsForTraces" && isEmpty(t, m):
		case status.Code(err) != codes.InvalidArgument:
			t.Fatalf("answer is neither yes nor InvalidArgument: %v", err)
		case !namesField(err):
			t.Fatalf("error names no field: %v", err)
		case !isEmpty(t, m):
			t.Fatalf("refused request left something behind: %v", err)
		}
	})
	if held := s.budget.inUse(); held != 0 {
		t.Fatalf("%d bytes of memory are not given back", held)
	}
}

// withHashes returns a request with stacks whose hashes are right, which no fuzzer
// finds by itself, or nil.
func withHashes(method string, data []byte) []byte {
	var r pb.SetFramesForTracesRequest
	if method != "SetFramesForTraces" || proto.Unmarshal(data, &r) != nil {
		return nil
	}
	table, err := (&validator{limits: Limits{}.withDefaults()}).frameTable(&r)
	if err != nil {
		return nil
	}
	rest := r.Frames
	r.HiTraceHashes, r.LoTraceHashes = nil, nil
	for _, n := range r.FrameCounts {
		var frames []libpf.Frame
		for range min(int(n), len(rest)) {
			if int(rest[0]) < len(table) {
				frames = append(frames, table[rest[0]])
			}
			rest = rest[1:]
		}
		h := libpf.HashTrace(frames)
		r.HiTraceHashes, r.LoTraceHashes = append(r.HiTraceHashes, h.Hi()), append(r.LoTraceHashes, h.Lo())
	}
	data, err = proto.Marshal(&r)
	if err != nil {
		return nil
	}
	return data
}

// callRaw calls a method as gRPC does once it has a message.
func callRaw(t testing.TB, s *Server, method string, data []byte) (any, error) {
	t.Helper()
	for _, m := range s.budgeted(pb.CollectionAgent_ServiceDesc).Methods {
		if m.MethodName == method {
			return m.Handler(s, t.Context(), func(v any) error {
				return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v)
			}, s.guard)
		}
	}
	t.Fatalf("no method %s", method)
	return nil, nil
}

// namesField reports whether an error says which field is wrong.
func namesField(err error) bool {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			return len(bad.FieldViolations) == 1 && bad.FieldViolations[0].Field != "" && bad.FieldViolations[0].Description != ""
		}
	}
	return false
}

func FuzzGetServerInfo(f *testing.F) {
	fuzzRPC(f, "GetServerInfo", &pb.GetServerInfoRequest{ProtocolVersion: 1, AgentVersion: "v1"})
}

func FuzzAddCountsForTraces(f *testing.F) {
	plain := testCounts(2)
	plain.Counts, plain.Values, plain.Types, plain.Cpus, plain.Labels, plain.SpanRefs = nil, nil, nil, nil, nil, nil
	fuzzRPC(f, "AddCountsForTraces", testCounts(1), plain)
}

func FuzzSetFramesForTraces(f *testing.F) {
	native := testFrames(2)
	native.FrameFunctions, native.FrameSourceFiles, native.FrameSourceLines = nil, nil, nil
	fuzzRPC(f, "SetFramesForTraces", testFrames(1), native)
}

func FuzzAddFrameMetadata(f *testing.F) {
	short := testFrameMetadata(2)
	short.SystemNames, short.StartLines = nil, nil
	fuzzRPC(f, "AddFrameMetadata", testFrameMetadata(1), short)
}

func FuzzAddFallbackSymbols(f *testing.F) { fuzzRPC(f, "AddFallbackSymbols", testFallback(1)) }

func FuzzAddExecutableMetadata(f *testing.F) {
	runtimes := testExecutables(2)
	runtimes.Runtimes = []string{"python"}
	fuzzRPC(f, "AddExecutableMetadata", testExecutables(1), runtimes)
}

func FuzzReportHostMetadata(f *testing.F) { fuzzRPC(f, "ReportHostMetadata", testHost(1)) }

func FuzzAddMetrics(f *testing.F) { fuzzRPC(f, "AddMetrics", testMetrics(1)) }
