// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// fakeServer is a collection agent in memory that keeps its promises: it stores a
// batch once, names what it lacks, and answers as the test's fault says.
type fakeServer struct {
	pb.UnimplementedCollectionAgentServer
	t *testing.T

	mu       sync.Mutex
	epoch    []byte
	maxBytes uint64
	// fault runs before a request is stored; after runs when it is. Both get the
	// short name of the method; an error is the answer.
	fault, after func(method string, req proto.Message) error

	seen   map[string]proto.Message // batches stored, by identity
	order  []string                 // methods of stored batches
	calls  []string                 // methods of all calls
	dups   int
	rows   map[rowKey]int64
	weight int64
	stacks map[libpf.TraceHash][]libpf.Frame
	names  map[libpf.FrameID][]libpf.SourceLine
	symbol map[libpf.FrameID]string
	execs  map[libpf.FileID]libpf.Executable
	hosts  []map[string]string
	points []metricPoint
	// orphans counts stacks of samples that were not defined when the samples came.
	orphans int
	resent  map[libpf.TraceHash]int // times that a stack was defined
	infos   []*pb.GetServerInfoRequest
	lastRow *pb.AddCountsForTracesRequest
	procs   []*pb.Process

	// What GetServerInfo tells; version 0 stands for 1.
	version       uint32
	now, age      int64
	lead          int64
	statusReports []*pb.ReportStatusRequest
	runs          []string // run IDs of stored batches of samples, in order
}

type rowKey struct {
	stack libpf.TraceHash
	time  int64
	tid   uint32
	comm  string
}

func newFakeServer(t *testing.T) *fakeServer {
	s := &fakeServer{t: t, epoch: []byte("0123456789abcdef"), maxBytes: 4 << 20, seen: map[string]proto.Message{},
		rows: map[rowKey]int64{}, resent: map[libpf.TraceHash]int{}}
	s.forgetDefinitions()
	return s
}

func (s *fakeServer) forgetDefinitions() {
	s.stacks = map[libpf.TraceHash][]libpf.Frame{}
	s.names = map[libpf.FrameID][]libpf.SourceLine{}
	s.symbol = map[libpf.FrameID]string{}
	s.execs = map[libpf.FileID]libpf.Executable{}
}

// newLife makes the server lose its definitions and say so.
func (s *fakeServer) newLife(epoch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = []byte(epoch)
	s.forgetDefinitions()
}

// setFault replaces the fault.
func (s *fakeServer) setFault(f func(method string, req proto.Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// serve serves on loopback until the test ends and returns the address.
func (s *fakeServer) serve(opts ...grpc.ServerOption) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.serveOn(l, opts...)
	return l.Addr().String()
}

func (s *fakeServer) serveOn(l net.Listener, opts ...grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(opts...)
	pb.RegisterCollectionAgentServer(srv, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Stop
	}()
	s.t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return srv
}

type batched interface {
	proto.Message
	GetBatch() *pb.Batch
}

// take runs the faults and the check for duplicates around store.
func (s *fakeServer) take(method string, req batched, store func() error) (*pb.Ack, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, method)
	if s.fault != nil {
		if err := s.fault(method, req); err != nil {
			return nil, err
		}
	}
	if n := uint64(proto.Size(req)); n > s.maxBytes {
		return nil, status.Errorf(codes.ResourceExhausted, "%d bytes", n)
	}
	b := req.GetBatch()
	if b.GetHostId() == "" || len(b.GetRunId()) != 16 || b.GetSequence() == 0 {
		return nil, status.Error(codes.InvalidArgument, "batch")
	}
	id := fmt.Sprintf("%s/%x/%s/%d", b.GetHostId(), b.GetRunId(), method, b.GetSequence())
	ack := &pb.Ack{Epoch: s.epoch}
	if before, ok := s.seen[id]; ok {
		if !proto.Equal(before, req) {
			s.t.Errorf("%s came twice with different content", id)
		}
		s.dups++
		ack.Duplicate = true
	} else {
		if err := store(); err != nil {
			return nil, err
		}
		s.seen[id] = proto.Clone(req)
		s.order = append(s.order, method)
	}
	if s.after != nil {
		if err := s.after(method, req); err != nil {
			return nil, err
		}
	}
	return ack, nil
}

func (s *fakeServer) GetServerInfo(_ context.Context, req *pb.GetServerInfoRequest) (*pb.GetServerInfoResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "GetServerInfo")
	s.infos = append(s.infos, req)
	if s.fault != nil {
		if err := s.fault("GetServerInfo", req); err != nil {
			return nil, err
		}
	}
	return &pb.GetServerInfoResponse{
		ProtocolVersion: max(s.version, 1), Epoch: s.epoch, MaxRequestBytes: s.maxBytes,
		ServerTime: s.now, MaxSampleAge: s.age, MaxSampleLead: s.lead,
	}, nil
}

func (s *fakeServer) ReportStatus(_ context.Context, req *pb.ReportStatusRequest) (*pb.ReportStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "status")
	if s.fault != nil {
		if err := s.fault("status", req); err != nil {
			return nil, err
		}
	}
	s.statusReports = append(s.statusReports, req)
	return &pb.ReportStatusResponse{Epoch: s.epoch}, nil
}

func (s *fakeServer) AddCountsForTraces(_ context.Context, req *pb.AddCountsForTracesRequest) (*pb.AddCountsForTracesResponse, error) {
	resp := &pb.AddCountsForTracesResponse{}
	var err error
	resp.Ack, err = s.take("counts", req, func() error {
		if err := checkCounts(req); err != nil {
			return err
		}
		s.lastRow = req
		s.runs = append(s.runs, string(req.GetBatch().GetRunId()))
		s.procs = append(s.procs, req.GetProcesses()...)
		now := req.GetBaseTime()
		for i, delta := range req.GetTimeDeltas() {
			now += delta
			stack := req.GetStacks()[i]
			thread := req.GetSourceThreads()[req.GetSources()[i]]
			count := uint32(1)
			if len(req.GetCounts()) > 0 {
				count = req.GetCounts()[i]
			}
			key := rowKey{
				stack: libpf.NewTraceHash(req.GetHiTraceHashes()[stack], req.GetLoTraceHashes()[stack]), time: now,
				tid: req.GetThreadTids()[thread], comm: req.GetStringTable()[req.GetThreadComms()[thread]],
			}
			s.rows[key] += int64(count)
			s.weight += int64(count)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range req.GetHiTraceHashes() {
		if _, ok := s.stacks[libpf.NewTraceHash(req.GetHiTraceHashes()[i], req.GetLoTraceHashes()[i])]; !ok {
			resp.UnknownStacks = append(resp.UnknownStacks, uint32(i))
			s.orphans++
		}
	}
	return resp, nil
}

// checkCounts validates the columns as a real server does.
func checkCounts(r *pb.AddCountsForTracesRequest) error {
	n := len(r.GetTimeDeltas())
	bad := func(field string) error { return status.Error(codes.InvalidArgument, field) }
	for field, l := range map[string]int{"counts": len(r.GetCounts()), "values": len(r.GetValues()), "types": len(r.GetTypes()),
		"cpus": len(r.GetCpus()), "labels": len(r.GetLabels()), "span_refs": len(r.GetSpanRefs())} {
		if l != 0 && l != n {
			return bad(field)
		}
	}
	switch {
	case n == 0 || len(r.GetStacks()) != n || len(r.GetSources()) != n:
		return bad("rows")
	case len(r.GetStringTable()) == 0 || r.GetStringTable()[0] != "":
		return bad("string_table")
	case len(r.GetSourceProcesses()) != len(r.GetSourceThreads()):
		return bad("source_processes")
	case !below(r.GetStacks(), len(r.GetHiTraceHashes())) || len(r.GetHiTraceHashes()) != len(r.GetLoTraceHashes()):
		return bad("stacks")
	case !below(r.GetSources(), len(r.GetSourceProcesses())):
		return bad("sources")
	case !below(r.GetSourceProcesses(), len(r.GetProcesses())) || !below(r.GetSourceThreads(), len(r.GetThreadTids())):
		return bad("source table")
	case !below(r.GetThreadComms(), len(r.GetStringTable())):
		return bad("thread_comms")
	case !below(r.GetLabels(), len(r.GetLabelSets())+1) || !below(r.GetSpanRefs(), len(r.GetSpans())+1):
		return bad("labels")
	}
	return nil
}

func below(column []uint32, limit int) bool {
	for _, v := range column {
		if int(v) >= limit {
			return false
		}
	}
	return true
}

func (s *fakeServer) SetFramesForTraces(_ context.Context, req *pb.SetFramesForTracesRequest) (*pb.SetFramesForTracesResponse, error) {
	resp := &pb.SetFramesForTracesResponse{}
	var err error
	resp.Ack, err = s.take("frames", req, func() error {
		at := 0
		for i, n := range req.GetFrameCounts() {
			hash := libpf.NewTraceHash(req.GetHiTraceHashes()[i], req.GetLoTraceHashes()[i])
			var frames []libpf.Frame
			for _, j := range req.GetFrames()[at : at+int(n)] {
				frames = append(frames, frameOf(req, int(j)))
			}
			at += int(n)
			if got := libpf.HashTrace(frames); got != hash {
				return status.Errorf(codes.InvalidArgument, "frames of %v hash to %v", hash, got)
			}
			s.stacks[hash] = frames
			s.resent[hash]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range req.GetFrameTypes() {
		f := frameOf(req, j)
		_, named := s.names[f.ID()]
		_, symbol := s.symbol[f.ID()]
		if !named && !symbol && f.FunctionName == "" {
			resp.UnnamedFrames = append(resp.UnnamedFrames, uint32(j))
		}
	}
	for j := range req.GetHiFileIds() {
		if _, ok := s.execs[libpf.NewFileID(req.GetHiFileIds()[j], req.GetLoFileIds()[j])]; !ok {
			resp.UnknownFiles = append(resp.UnknownFiles, uint32(j))
		}
	}
	return resp, nil
}

func frameOf(req *pb.SetFramesForTracesRequest, j int) libpf.Frame {
	file := req.GetFrameFiles()[j]
	f := libpf.Frame{
		Type:            libpf.FrameType(req.GetFrameTypes()[j]),
		FileID:          libpf.NewFileID(req.GetHiFileIds()[file], req.GetLoFileIds()[file]),
		AddressOrLineno: libpf.AddressOrLineno(req.GetFrameAddresses()[j]),
	}
	if len(req.GetFrameFunctions()) > 0 {
		f.FunctionName = req.GetStringTable()[req.GetFrameFunctions()[j]]
		f.SourceFile = req.GetStringTable()[req.GetFrameSourceFiles()[j]]
		f.SourceLine = libpf.SourceLineno(req.GetFrameSourceLines()[j])
	}
	return f
}

func (s *fakeServer) AddFrameMetadata(_ context.Context, req *pb.AddFrameMetadataRequest) (*pb.AddFrameMetadataResponse, error) {
	ack, err := s.take("frame_metadata", req, func() error {
		at := 0
		text := func(column []uint32, i int) string {
			if len(column) == 0 {
				return ""
			}
			return req.GetStringTable()[column[i]]
		}
		for i, n := range req.GetLineCounts() {
			var lines []libpf.SourceLine
			for range n {
				l := libpf.SourceLine{
					Function: text(req.GetFunctions(), at), SystemName: text(req.GetSystemNames(), at),
					File: text(req.GetSourceFiles(), at), Line: libpf.SourceLineno(req.GetLines()[at]),
				}
				if len(req.GetStartLines()) > 0 {
					l.StartLine = libpf.SourceLineno(req.GetStartLines()[at])
				}
				lines = append(lines, l)
				at++
			}
			file := req.GetFiles()[i]
			s.names[libpf.NewFrameID(libpf.NewFileID(req.GetHiFileIds()[file], req.GetLoFileIds()[file]),
				libpf.AddressOrLineno(req.GetAddresses()[i]))] = lines
		}
		return nil
	})
	return &pb.AddFrameMetadataResponse{Ack: ack}, err
}

func (s *fakeServer) AddFallbackSymbols(_ context.Context, req *pb.AddFallbackSymbolsRequest) (*pb.AddFallbackSymbolsResponse, error) {
	ack, err := s.take("fallback_symbols", req, func() error {
		for i, symbol := range req.GetSymbols() {
			s.symbol[libpf.NewFrameID(libpf.NewFileID(req.GetHiFileIds()[i], req.GetLoFileIds()[i]),
				libpf.AddressOrLineno(req.GetAddresses()[i]))] = symbol
		}
		return nil
	})
	return &pb.AddFallbackSymbolsResponse{Ack: ack}, err
}

func (s *fakeServer) AddExecutableMetadata(_ context.Context, req *pb.AddExecutableMetadataRequest) (*pb.AddExecutableMetadataResponse, error) {
	ack, err := s.take("executables", req, func() error {
		for i := range req.GetFileNames() {
			id := libpf.NewFileID(req.GetHiFileIds()[i], req.GetLoFileIds()[i])
			s.execs[id] = libpf.Executable{FileID: id, FileName: req.GetFileNames()[i], BuildID: req.GetBuildIds()[i]}
		}
		return nil
	})
	return &pb.AddExecutableMetadataResponse{Ack: ack}, err
}

func (s *fakeServer) ReportHostMetadata(_ context.Context, req *pb.ReportHostMetadataRequest) (*pb.ReportHostMetadataResponse, error) {
	ack, err := s.take("host_metadata", req, func() error {
		s.hosts = append(s.hosts, req.GetMetadata())
		return nil
	})
	return &pb.ReportHostMetadataResponse{Ack: ack}, err
}

func (s *fakeServer) AddMetrics(_ context.Context, req *pb.AddMetricsRequest) (*pb.AddMetricsResponse, error) {
	ack, err := s.take("metrics", req, func() error {
		for i := range req.GetIds() {
			s.points = append(s.points, metricPoint{req.GetTimestamps()[i], req.GetIds()[i], req.GetValues()[i]})
		}
		return nil
	})
	return &pb.AddMetricsResponse{Ack: ack}, err
}

// stored returns the weight of the samples stored.
func (s *fakeServer) stored() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.weight
}

// countCalls returns how often a method was called.
func (s *fakeServer) countCalls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, call := range s.calls {
		if call == method {
			n++
		}
	}
	return n
}

// testTimes are intervals that make a test fast.
type testTimes struct{ report, metrics, connect, operation, backoff, auth time.Duration }

func fastTimes() testTimes {
	return testTimes{
		report: 5 * time.Millisecond, metrics: 5 * time.Millisecond, connect: 2 * time.Second,
		operation: 2 * time.Second, backoff: 20 * time.Millisecond, auth: 20 * time.Millisecond,
	}
}

func (t testTimes) ReportInterval() time.Duration         { return t.report }
func (t testTimes) ReportMetricsInterval() time.Duration  { return t.metrics }
func (t testTimes) GRPCConnectionTimeout() time.Duration  { return t.connect }
func (t testTimes) GRPCOperationTimeout() time.Duration   { return t.operation }
func (t testTimes) GRPCStartupBackoffTime() time.Duration { return t.backoff }
func (t testTimes) GRPCAuthErrorDelay() time.Duration     { return t.auth }

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// serveBench serves without a test's clean-up.
func (s *fakeServer) serveBench(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := grpc.NewServer()
	pb.RegisterCollectionAgentServer(srv, s)
	go func() { _ = srv.Serve(l) }() // ends with Stop
	b.Cleanup(srv.Stop)
	return l.Addr().String()
}

// compressed returns the compressed size of the stored batches of a method after
// the first ones.
func (s *fakeServer) compressed(b *testing.B, method string, skip int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out bytes.Buffer
	for id, req := range s.seen {
		sequence := req.(batched).GetBatch().GetSequence()
		if !strings.Contains(id, "/"+method+"/") || sequence <= uint64(skip) {
			continue
		}
		w, err := encoding.GetCompressor(zstdgrpc.Name).Compress(&out)
		if err != nil {
			b.Fatal(err)
		}
		payload, err := proto.Marshal(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = w.Write(payload)
		_ = w.Close()
	}
	return out.Len()
}

// distinct returns the share of distinct stacks in the batches of counts after the first ones.
func (s *fakeServer) distinct(skip int) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, stacks := 0, 0
	for _, req := range s.seen {
		if c, ok := req.(*pb.AddCountsForTracesRequest); ok && c.GetBatch().GetSequence() > uint64(skip) {
			rows += len(c.GetStacks())
			stacks += len(c.GetHiTraceHashes())
		}
	}
	return float64(stacks) / float64(rows)
}
