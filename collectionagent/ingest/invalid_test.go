// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// send sends any request to the right method.
func send(t testing.TB, s *Server, m proto.Message) (err error) {
	t.Helper()
	switch r := m.(type) {
	case *pb.AddCountsForTracesRequest:
		_, err = s.AddCountsForTraces(t.Context(), r)
	case *pb.SetFramesForTracesRequest:
		_, err = s.SetFramesForTraces(t.Context(), r)
	case *pb.AddFrameMetadataRequest:
		_, err = s.AddFrameMetadata(t.Context(), r)
	case *pb.AddFallbackSymbolsRequest:
		_, err = s.AddFallbackSymbols(t.Context(), r)
	case *pb.AddExecutableMetadataRequest:
		_, err = s.AddExecutableMetadata(t.Context(), r)
	case *pb.ReportHostMetadataRequest:
		_, err = s.ReportHostMetadata(t.Context(), r)
	case *pb.AddMetricsRequest:
		_, err = s.AddMetrics(t.Context(), r)
	case *pb.ReportStatusRequest:
		_, err = s.ReportStatus(t.Context(), r)
	default:
		t.Fatalf("no method for %T", m)
	}
	return err
}

// isEmpty reports whether nothing is stored.
func isEmpty(t testing.TB, s store.Store) bool {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Samples+st.Stacks+st.Symbols+st.Executables+st.Hosts == 0
}

// checkInvalid checks that a request is refused because of a field, and that
// nothing of it is stored.
func checkInvalid(t *testing.T, r proto.Message, message string) {
	t.Helper()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	err := send(t, s, r)
	st := status.Convert(err)
	if st.Code() != codes.InvalidArgument || !strings.HasPrefix(st.Message(), message) {
		t.Errorf("%T: %v\nwant: %s", r, err, message)
		return
	}
	field, _, _ := strings.Cut(message, ":")
	named := false
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			named = len(bad.FieldViolations) == 1 && bad.FieldViolations[0].Field == field
		}
	}
	if !named {
		t.Errorf("%s: details do not name the field: %v", message, st.Details())
	}
	if !isEmpty(t, m) {
		t.Errorf("%s: something was stored", message)
	}
}

func TestInvalidBatch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	for message, change := range map[string]func(*pb.Batch){
		"batch.host_id: is empty":                               func(b *pb.Batch) { b.HostId = "" },
		"batch.host_id: has 256 bytes, at most 128 are allowed": func(b *pb.Batch) { b.HostId = long },
		"batch.host_id: holds characters that cannot be":        func(b *pb.Batch) { b.HostId = "a\x00b" },
		"batch.run_id: has 3 bytes instead of 16":               func(b *pb.Batch) { b.RunId = []byte("abc") },
		"batch.run_id: has 0 bytes instead of 16":               func(b *pb.Batch) { b.RunId = nil },
		"batch.sequence: is 0, the first is 1":                  func(b *pb.Batch) { b.Sequence = 0 },
		"batch.host_name: has 256 bytes":                        func(b *pb.Batch) { b.HostName = long },
		"batch.host_name: holds characters":                     func(b *pb.Batch) { b.HostName = "\n" },
	} {
		counts, frames, names, fallback := testCounts(1), testFrames(1), testFrameMetadata(1), testFallback(1)
		executables, host, metrics := testExecutables(1), testHost(1), testMetrics(1)
		for _, b := range []*pb.Batch{
			counts.Batch, frames.Batch, names.Batch, fallback.Batch, executables.Batch, host.Batch, metrics.Batch,
		} {
			change(b)
		}
		for _, r := range []proto.Message{counts, frames, names, fallback, executables, host, metrics} {
			checkInvalid(t, r, message)
		}
	}
	checkInvalid(t, &pb.AddCountsForTracesRequest{}, "batch: is missing")
}

func TestInvalidCounts(t *testing.T) {
	t.Parallel()
	type request = *pb.AddCountsForTracesRequest
	for message, change := range map[string]func(request){
		"lo_trace_hashes: has 1 entries, hi_trace_hashes has 2":       func(r request) { r.LoTraceHashes = r.LoTraceHashes[:1] },
		"thread_comms: has 3 entries, thread_tids has 2":              func(r request) { r.ThreadComms = append(r.ThreadComms, 0) },
		"source_threads: has 2 entries, source_processes has 3":       func(r request) { r.SourceThreads = r.SourceThreads[:2] },
		"stacks: has 3 entries, time_deltas has 4":                    func(r request) { r.Stacks = r.Stacks[:3] },
		"sources: has 3 entries, time_deltas has 4":                   func(r request) { r.Sources = r.Sources[:3] },
		"counts: has 3 entries, time_deltas has 4":                    func(r request) { r.Counts = r.Counts[:3] },
		"values: has 3 entries, time_deltas has 4":                    func(r request) { r.Values = r.Values[:3] },
		"types: has 3 entries, time_deltas has 4":                     func(r request) { r.Types = r.Types[:3] },
		"cpus: has 3 entries, time_deltas has 4":                      func(r request) { r.Cpus = r.Cpus[:3] },
		"labels: has 3 entries, time_deltas has 4":                    func(r request) { r.Labels = r.Labels[:3] },
		"span_refs: has 3 entries, time_deltas has 4":                 func(r request) { r.SpanRefs = r.SpanRefs[:3] },
		"string_table[0]: is not empty":                               func(r request) { r.StringTable[0] = "a" },
		"string_table[1]: has 65537 bytes, at most 65536":             func(r request) { r.StringTable[1] = strings.Repeat("a", testLimits.MaxTextBytes+1) },
		"thread_comms[1]: index 10 out of range, string_table has 10": func(r request) { r.ThreadComms[1] = 10 },
		"processes[1].name: index 99 out of range":                    func(r request) { r.Processes[1].Name = 99 },
		"processes[1].executable: index 99 out of range":              func(r request) { r.Processes[1].Executable = 99 },
		"processes[1].command_line: index 99 out of range":            func(r request) { r.Processes[1].CommandLine = 99 },
		"processes[1].container_id: index 99 out of range":            func(r request) { r.Processes[1].ContainerId = 99 },
		"processes[1].container_name: index 99 out of range":          func(r request) { r.Processes[1].ContainerName = 99 },
		"processes[1].pod_name: index 99 out of range":                func(r request) { r.Processes[1].PodName = 99 },
		"processes[1].namespace: index 99 out of range":               func(r request) { r.Processes[1].Namespace = 99 },
		"processes[1].service: index 99 out of range":                 func(r request) { r.Processes[1].Service = 99 },
		"processes[0].labels.values: has 0 entries, processes[0].labels.keys has 1": func(r request) {
			r.Processes[0].Labels.Values = nil
		},
		"label_sets[0].keys[1]: index 99 out of range":               func(r request) { r.LabelSets[0].Keys[1] = 99 },
		"label_sets[0].values[1]: index 99 out of range":             func(r request) { r.LabelSets[0].Values[1] = 99 },
		"label_sets[0].keys[0]: is empty":                            func(r request) { r.LabelSets[0].Keys[0] = 0 },
		`label_sets[0].keys[1]: key "key" does not come`:             func(r request) { r.LabelSets[0].Keys = []uint32{7, 6} },
		"label_sets[0].keys: has 65 entries, at most 64":             func(r request) { r.LabelSets[0].Keys, r.LabelSets[0].Values = make([]uint32, 65), make([]uint32, 65) },
		"spans[0]: has 3 bytes instead of 24":                        func(r request) { r.Spans[0] = []byte("abc") },
		"source_processes[2]: index 2 out of range":                  func(r request) { r.SourceProcesses[2] = 2 },
		"source_threads[2]: index 2 out of range":                    func(r request) { r.SourceThreads[2] = 2 },
		"stacks[2]: index 9 out of range, stack table has 2 entries": func(r request) { r.Stacks[2] = 9 },
		"sources[3]: index 3 out of range, source table has 3":       func(r request) { r.Sources[3] = 3 },
		"counts[1]: is 0, must be from 1":                            func(r request) { r.Counts[1] = 0 },
		"counts[1]: is 4294967295, must":                             func(r request) { r.Counts[1] = math.MaxUint32 },
		"values[1]: is -1, must be from 0":                           func(r request) { r.Values[1] = -1 },
		"values[1]: is 9223372036854775807":                          func(r request) { r.Values[1] = math.MaxInt64 },
		"default_value: is -1":                                       func(r request) { r.Values, r.DefaultValue = nil, -1 },
		"types[2]: 99 is not a type of sample":                       func(r request) { r.Types[2] = 99 },
		"types[2]: 257 is not a type of sample":                      func(r request) { r.Types[2] = 257 },
		"default_type: 0 is not a type of sample":                    func(r request) { r.Types, r.DefaultType = nil, 0 },
		"labels[2]: label set 2 out of range":                        func(r request) { r.Labels[2] = 2 },
		"span_refs[2]: span 2 out of range":                          func(r request) { r.SpanRefs[2] = 2 },
		"time_deltas[1]: time overflows":                             func(r request) { r.TimeDeltas[1] = math.MaxInt64 },
		"time_deltas[0]: time overflows":                             func(r request) { r.BaseTime, r.TimeDeltas[0] = math.MinInt64, -1 },
	} {
		r := testCounts(1)
		change(r)
		checkInvalid(t, r, message)
	}
}

func TestInvalidDefinitions(t *testing.T) {
	t.Parallel()
	type frames = *pb.SetFramesForTracesRequest
	for message, change := range map[string]func(frames){
		"lo_file_ids: has 2 entries, hi_file_ids has 3":          func(r frames) { r.LoFileIds = r.LoFileIds[:2] },
		"lo_trace_hashes: has 1 entries, hi_trace_hashes has 2":  func(r frames) { r.LoTraceHashes = r.LoTraceHashes[:1] },
		"frame_counts: has 1 entries, hi_trace_hashes has 2":     func(r frames) { r.FrameCounts = r.FrameCounts[:1] },
		"frame_files: has 3 entries, frame_types has 4":          func(r frames) { r.FrameFiles = r.FrameFiles[:3] },
		"frame_addresses: has 3 entries, frame_types has 4":      func(r frames) { r.FrameAddresses = r.FrameAddresses[:3] },
		"frame_functions: has 3 entries, frame_types has 4":      func(r frames) { r.FrameFunctions = r.FrameFunctions[:3] },
		"frame_source_files: has 3 entries, frame_types has 4":   func(r frames) { r.FrameSourceFiles = r.FrameSourceFiles[:3] },
		"frame_source_lines: has 3 entries, frame_types has 4":   func(r frames) { r.FrameSourceLines = r.FrameSourceLines[:3] },
		"frame_functions[3]: index 9 out of range":               func(r frames) { r.FrameFunctions[3] = 9 },
		"frame_source_files[3]: index 9 out of range":            func(r frames) { r.FrameSourceFiles[3] = 9 },
		"frame_types[0]: 99 is not a type of frame":              func(r frames) { r.FrameTypes[0] = 99 },
		"frame_types[0]: 260 is not a type of frame":             func(r frames) { r.FrameTypes[0] = 260 },
		"frame_files[0]: index 3 out of range, file table has 3": func(r frames) { r.FrameFiles[0] = 3 },
		"frame_counts[1]: is 0, a stack has at least one frame":  func(r frames) { r.FrameCounts[1] = 0 },
		"frame_counts[1]: is 16385, at most 16384":               func(r frames) { r.FrameCounts[1] = uint32(testLimits.MaxFrames) + 1 },
		"frames: has 5 entries, the stacks up to 1 have more":    func(r frames) { r.FrameCounts[1] = 3 },
		"frames: has 5 entries, the stacks have 4":               func(r frames) { r.FrameCounts = []uint32{3, 1}; r.HiTraceHashes[1], r.LoTraceHashes[1] = hashOfTail() },
		"frames[4]: index 4 out of range, frame table has 4":     func(r frames) { r.Frames[4] = 4 },
		"hi_trace_hashes[1]: hash ":                              func(r frames) { r.HiTraceHashes[1]++ },
	} {
		r := testFrames(1)
		change(r)
		checkInvalid(t, r, message)
	}
	type names = *pb.AddFrameMetadataRequest
	for message, change := range map[string]func(names){
		"lo_file_ids: has 2 entries, hi_file_ids has 1":          func(r names) { r.LoFileIds = append(r.LoFileIds, 1) },
		"addresses: has 1 entries, files has 2":                  func(r names) { r.Addresses = r.Addresses[:1] },
		"line_counts: has 1 entries, files has 2":                func(r names) { r.LineCounts = r.LineCounts[:1] },
		"system_names: has 1 entries, functions has 3":           func(r names) { r.SystemNames = r.SystemNames[:1] },
		"source_files: has 1 entries, functions has 3":           func(r names) { r.SourceFiles = r.SourceFiles[:1] },
		"lines: has 1 entries, functions has 3":                  func(r names) { r.Lines = r.Lines[:1] },
		"start_lines: has 1 entries, functions has 3":            func(r names) { r.StartLines = r.StartLines[:1] },
		"functions[0]: index 9 out of range":                     func(r names) { r.Functions[0] = 9 },
		"system_names[0]: index 9 out of range":                  func(r names) { r.SystemNames[0] = 9 },
		"source_files[0]: index 9 out of range":                  func(r names) { r.SourceFiles[0] = 9 },
		"files[1]: index 1 out of range, file table has 1":       func(r names) { r.Files[1] = 1 },
		"line_counts[0]: is 0, a frame has at least one line":    func(r names) { r.LineCounts[0] = 0 },
		"line_counts[0]: is 4097, at most 4096":                  func(r names) { r.LineCounts[0] = 4097 },
		"functions: has 3 entries, the frames up to 1 have more": func(r names) { r.LineCounts[1] = 2 },
		"functions: has 3 entries, the frames have 2 lines":      func(r names) { r.LineCounts[0] = 1 },
	} {
		r := testFrameMetadata(1)
		change(r)
		checkInvalid(t, r, message)
	}
	other := func(message string, r proto.Message) { t.Helper(); checkInvalid(t, r, message) }
	fallback := testFallback(1)
	fallback.Symbols = fallback.Symbols[:1]
	other("symbols: has 1 entries, hi_file_ids has 2", fallback)
	fallback = testFallback(1)
	fallback.Addresses = nil
	other("addresses: has 0 entries, hi_file_ids has 2", fallback)
	executables := testExecutables(1)
	executables.FileNames = nil
	other("file_names: has 0 entries, hi_file_ids has 1", executables)
	executables = testExecutables(1)
	executables.BuildIds = nil
	other("build_ids: has 0 entries, hi_file_ids has 1", executables)
	host := testHost(1)
	host.Timestamp = math.MaxUint64
	other("timestamp: time of 18446744073709551615 s is more than", host)
	host = testHost(1)
	host.Metadata["big"] = strings.Repeat("x", testLimits.MaxTextBytes+1)
	other(`metadata: value of "big" has 65537 bytes`, host)
	metrics := testMetrics(1)
	metrics.Ids = metrics.Ids[:1]
	other("ids: has 1 entries, timestamps has 2", metrics)
	metrics = testMetrics(1)
	metrics.Timestamps[1] = 7
	other("timestamps[1]: time 1970-01-01T00:00:07Z is before", metrics)
}
