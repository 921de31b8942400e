// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// rawAnswers is a server that answers every method with given bytes.
type rawAnswers struct {
	mu sync.Mutex
	// info is the answer to the first greeting, answer to all else, unless failure is an error.
	info, answer []byte
	failure      error
}

// rawBytes is a codec that passes bytes on.
type rawBytes struct{}

// Marshal implements encoding.CodecV2.
func (rawBytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawBytes) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (rawBytes) Name() string { return "proto" }

func (s *rawAnswers) handle(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.answer
	if method, _ := grpc.Method(stream.Context()); method == pb.CollectionAgent_GetServerInfo_FullMethodName {
		answer = s.info
	} else if s.failure != nil {
		return s.failure
	}
	return stream.SendMsg(&answer)
}

// serveRaw serves answers on a real port.
func serveRaw(f *testing.F, s *rawAnswers) (address string) {
	f.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawBytes{}), grpc.UnknownServiceHandler(s.handle))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	f.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			f.Errorf("serve: %v", err)
		}
	})
	return listener.Addr().String()
}

// statusError turns bytes into an error of gRPC.
func statusError(b []byte) error {
	var s spb.Status
	if len(b) == 0 || proto.Unmarshal(b, &s) != nil || s.Code == int32(codes.OK) {
		return nil
	}
	return status.ErrorProto(&s)
}

func encoded(f *testing.F, m proto.Message) []byte {
	f.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// failures are errors that servers answer with, encoded.
func failures(f *testing.F) (all [][]byte) {
	f.Helper()
	for _, s := range []struct {
		code   codes.Code
		detail proto.Message
	}{
		{codes.InvalidArgument, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "stacks[1]"}}}},
		{codes.ResourceExhausted, &errdetails.RetryInfo{RetryDelay: durationpb.New(-time.Hour)}},
		{codes.Unavailable, &errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: 1 << 62, Nanos: -5}}},
		{codes.ResourceExhausted, nil},
		{codes.OutOfRange, &errdetails.ErrorInfo{
			Domain: "strobe", Reason: "SAMPLE_TIME_OUT_OF_RANGE",
			Metadata: map[string]string{"earliest_ns": "1800000000000000001", "latest_ns": "-9223372036854775808"},
		}},
		{codes.Unauthenticated, nil},
		{codes.Code(4_000_000_000), nil},
	} {
		p := &spb.Status{Code: int32(s.code), Message: "no"} //nolint:gosec // any code
		if s.detail != nil {
			detail, err := anypb.New(s.detail)
			if err != nil {
				f.Fatal(err)
			}
			p.Details = append(p.Details, detail, &anypb.Any{TypeUrl: "type.googleapis.com/unknown", Value: []byte{1}})
		}
		all = append(all, encoded(f, p))
	}
	return all
}

// hurried are the options of a reporter that gives up soon.
func hurried() (Times, *Options) {
	times := fastTimes()
	times.report, times.metrics, times.backoff, times.auth = time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond
	return times, &Options{HostID: "host-1", HostName: "box", StopTimeout: 30 * time.Millisecond}
}

// FuzzServer answers a real reporter with any bytes: the greeting, what follows
// it, and errors. The reporter ends in time, its ledger adds up, and it does not
// send more than it was given.
func FuzzServer(f *testing.F) {
	info := encoded(f, &pb.GetServerInfoResponse{ProtocolVersion: 1, Epoch: []byte("0123456789abcdef"), MaxRequestBytes: 4 << 20})
	answer := encoded(f, &pb.SetFramesForTracesResponse{
		Ack: &pb.Ack{Epoch: []byte("0123456789abcdef"), Duplicate: true}, UnnamedFrames: []uint32{0, 1 << 31}, UnknownFiles: []uint32{0, 1<<32 - 1},
	})
	other := encoded(f, &pb.AddCountsForTracesResponse{
		Ack: &pb.Ack{Epoch: []byte("another life"), ServerTime: -1 << 63}, UnknownStacks: []uint32{0, 7},
	})
	f.Add(info, answer, []byte(nil))
	f.Add(encoded(f, &pb.GetServerInfoResponse{
		MaxRequestBytes: 1, ServerTime: -1 << 63, MaxSampleAge: 1<<63 - 1, MaxSampleLead: -1, MaxSamplesPerRequest: 1, MaxFramesPerStack: 1,
	}), other, []byte(nil))
	f.Add([]byte(nil), []byte("\xff"), []byte(nil))
	for _, failure := range failures(f) {
		f.Add(info, answer, failure)
	}
	s := &rawAnswers{}
	address := serveRaw(f, s)
	f.Fuzz(func(t *testing.T, info, answer, failure []byte) {
		s.mu.Lock()
		s.info, s.answer, s.failure = info, answer, statusError(failure)
		s.mu.Unlock()
		// What a server may make a reporter do is bounded by time, not by its bytes.
		hostile.Bound(t, 64<<10+len(info)+len(answer), 1<<10, func() {
			times, o := hurried()
			r, err := StartWithOptions(context.Background(), &Config{CollAgentAddr: address, DisableTLS: true, Times: times}, o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				r.ReportSample(sampleOf(nativeTrace(uint64(i%5), 6), i))
			}
			r.ReportExecutable(&libpf.Executable{FileID: libpf.NewFileID(1, 1), FileName: "app"})
			r.ReportHostMetadata(map[string]string{"a": "b"})
			r.Stop()
			checkLedger(t, r)
		})
	})
}

// FuzzOTLPServer does the same with the reporter for OTLP.
func FuzzOTLPServer(f *testing.F) {
	f.Add(encoded(f, &collector.ExportProfilesServiceResponse{}), []byte(nil))
	f.Add(encoded(f, &collector.ExportProfilesServiceResponse{
		PartialSuccess: &collector.ExportProfilesPartialSuccess{RejectedProfiles: 1 << 62, ErrorMessage: "no\x1b[31m"},
	}), []byte(nil))
	f.Add(encoded(f, &collector.ExportProfilesServiceResponse{
		PartialSuccess: &collector.ExportProfilesPartialSuccess{RejectedProfiles: -1},
	}), []byte(nil))
	for _, failure := range failures(f) {
		f.Add([]byte(nil), failure)
	}
	s := &rawAnswers{}
	address := serveRaw(f, s)
	f.Fuzz(func(t *testing.T, answer, failure []byte) {
		s.mu.Lock()
		s.answer, s.failure = answer, statusError(failure)
		s.mu.Unlock()
		hostile.Bound(t, 64<<10+len(answer), 1<<10, func() {
			times, o := hurried()
			r, err := StartOTLPWithOptions(context.Background(), &Config{CollAgentAddr: address, DisableTLS: true, Times: times}, o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				r.ReportSample(sampleOf(nativeTrace(uint64(i%5), 6), i))
			}
			r.Stop()
			checkLedger(t, r)
		})
	})
}

// FuzzStatus judges any status that a server may answer with.
func FuzzStatus(f *testing.F) {
	for _, failure := range failures(f) {
		f.Add(failure)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := statusError(b)
		a := classify(err)
		if (err == nil) != (a.verdict == accepted) || a.wait < 0 || a.wait > maxRetryInfo {
			t.Fatalf("%v: %+v", err, a)
		}
		if errors.Is(err, context.Canceled) {
			t.Fatal("an error of the server is taken for one of our own")
		}
	})
}
