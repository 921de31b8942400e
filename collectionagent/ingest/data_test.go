// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"time"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// testNow is the time of the server in tests.
var testNow = time.Unix(1_700_000_000, 0)

func testBatchID(seq uint64) *pb.Batch {
	return &pb.Batch{HostId: "host-1", RunId: []byte("0123456789abcdef"), Sequence: seq, HostName: "alpha"}
}

// testStacks are the stacks of the requests below.
func testStacks() [][]libpf.Frame {
	native := func(addr libpf.AddressOrLineno) libpf.Frame {
		return libpf.Frame{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: addr}
	}
	kernel := libpf.Frame{Type: libpf.KernelFrame, FileID: libpf.NewFileID(3, 4), AddressOrLineno: 7}
	python := libpf.Frame{
		Type: libpf.PythonFrame, FileID: libpf.NewFileID(5, 6), AddressOrLineno: 9,
		FunctionName: "fn", SourceFile: "a.py", SourceLine: 3,
	}
	return [][]libpf.Frame{{kernel, native(16), native(32)}, {python, native(32)}}
}

func testFrames(seq uint64) *pb.SetFramesForTracesRequest {
	r := &pb.SetFramesForTracesRequest{
		Batch:            testBatchID(seq),
		StringTable:      []string{"", "fn", "a.py"},
		HiFileIds:        []uint64{1, 3, 5},
		LoFileIds:        []uint64{2, 4, 6},
		FrameTypes:       []uint32{4, 3, 3, 1},
		FrameFiles:       []uint32{1, 0, 0, 2},
		FrameAddresses:   []uint64{7, 16, 32, 9},
		FrameFunctions:   []uint32{0, 0, 0, 1},
		FrameSourceFiles: []uint32{0, 0, 0, 2},
		FrameSourceLines: []uint64{0, 0, 0, 3},
		FrameCounts:      []uint32{3, 2},
		Frames:           []uint32{0, 1, 2, 3, 2},
	}
	for _, s := range testStacks() {
		h := libpf.HashTrace(s)
		r.HiTraceHashes = append(r.HiTraceHashes, h.Hi())
		r.LoTraceHashes = append(r.LoTraceHashes, h.Lo())
	}
	return r
}

func testCounts(seq uint64) *pb.AddCountsForTracesRequest {
	r := &pb.AddCountsForTracesRequest{
		Batch: testBatchID(seq),
		//                     0   1      2      3       4      5     6      7      8     9
		StringTable: []string{"", "srv", "web", "/bin/x", "main", "w1", "key", "kez", "v1", "v2"},
		Processes: []*pb.Process{
			{Pid: 10, StartTime: 5, Name: 1, Service: 2, Executable: 3, Labels: &pb.LabelSet{Keys: []uint32{6}, Values: []uint32{8}}},
			{Pid: 11, Name: 1, Service: 1, ContainerId: 4, ContainerName: 5, PodName: 6, Namespace: 7},
		},
		ThreadTids:      []uint32{10, 12},
		ThreadComms:     []uint32{4, 5},
		SourceProcesses: []uint32{0, 0, 1},
		SourceThreads:   []uint32{0, 1, 0},
		LabelSets:       []*pb.LabelSet{{Keys: []uint32{6, 7}, Values: []uint32{9, 8}}},
		Spans:           [][]byte{[]byte("0123456789abcdefSPANSPAN")},
		BaseTime:        testNow.UnixNano(),
		TimeDeltas:      []int64{0, 1_000_000, -3_000_000, 5},
		Stacks:          []uint32{0, 1, 0, 1},
		Sources:         []uint32{0, 1, 2, 1},
		Counts:          []uint32{1, 2, 1, 1},
		Values:          []int64{10, 20, 30, 40},
		Types:           []uint32{1, 1, 2, 1},
		Cpus:            []uint32{0, 1, 2, 3},
		Labels:          []uint32{0, 1, 0, 0},
		SpanRefs:        []uint32{0, 0, 1, 0},
		DefaultValue:    50_000_000,
		DefaultType:     1,
	}
	for _, s := range testStacks() {
		h := libpf.HashTrace(s)
		r.HiTraceHashes = append(r.HiTraceHashes, h.Hi())
		r.LoTraceHashes = append(r.LoTraceHashes, h.Lo())
	}
	return r
}

func testFrameMetadata(seq uint64) *pb.AddFrameMetadataRequest {
	return &pb.AddFrameMetadataRequest{
		Batch:       testBatchID(seq),
		StringTable: []string{"", "inlined", "outer", "_Zouter", "x.c"},
		HiFileIds:   []uint64{1}, LoFileIds: []uint64{2},
		Files: []uint32{0, 0}, Addresses: []uint64{16, 32}, LineCounts: []uint32{2, 1},
		Functions: []uint32{1, 2, 2}, SystemNames: []uint32{0, 3, 3}, SourceFiles: []uint32{4, 4, 4},
		Lines: []uint64{5, 6, 7}, StartLines: []uint64{1, 2, 2},
	}
}

func testFallback(seq uint64) *pb.AddFallbackSymbolsRequest {
	return &pb.AddFallbackSymbolsRequest{
		Batch: testBatchID(seq), HiFileIds: []uint64{3, 1}, LoFileIds: []uint64{4, 2}, Addresses: []uint64{7, 16},
		Symbols: []string{"do_syscall", "never used"},
	}
}

func testExecutables(seq uint64) *pb.AddExecutableMetadataRequest {
	return &pb.AddExecutableMetadataRequest{
		Batch: testBatchID(seq), HiFileIds: []uint64{1}, LoFileIds: []uint64{2}, FileNames: []string{"x"}, BuildIds: []string{"abcd"},
	}
}

func testHost(seq uint64) *pb.ReportHostMetadataRequest {
	return &pb.ReportHostMetadataRequest{
		Batch: testBatchID(seq), Timestamp: uint64(testNow.Unix()), Metadata: map[string]string{"kernel": "6.1"},
	}
}

func testMetrics(seq uint64) *pb.AddMetricsRequest {
	now := uint32(testNow.Unix())
	return &pb.AddMetricsRequest{
		Batch: testBatchID(seq), Timestamps: []uint32{now, now}, Ids: []uint32{1, 2}, Values: []int64{-5, 5},
	}
}

// testLimits are the limits of test servers.
var testLimits = Limits{}.withDefaults()
