// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	_ "github.com/strobe-profiler/strobe/proto/zstdgrpc" // registers the compressor
)

// NewGRPCServer returns a gRPC server with the service, health and reflection.
// Options are for credentials and the like. The caller serves and stops it, and
// sets the health of the service, which starts as serving.
func (s *Server) NewGRPCServer(options ...grpc.ServerOption) (*grpc.Server, *health.Server) {
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		// grpc applies this limit to a message both as it comes and decompressed.
		grpc.MaxRecvMsgSize(s.cfg.MaxRequestBytes),
		// An agent has one request of each type on the way.
		grpc.MaxConcurrentStreams(8),
		grpc.MaxHeaderListSize(16 << 10),
		// Fixed windows: what has arrived of a request that nobody reads yet stays small.
		grpc.StaticStreamWindowSize(64 << 10),
		grpc.StaticConnWindowSize(256 << 10),
		// Ten thousand idle connections must not cost a gigabyte of buffers.
		grpc.ReadBufferSize(1 << 10),
		grpc.WriteBufferSize(4 << 10),
		grpc.UnaryInterceptor(s.guard),
		grpc.StreamInterceptor(s.guardStream),
		grpc.StatsHandler(byteCounter{
			wire:    s.metrics.bytes.WithLabelValues("wire"),
			decoded: s.metrics.bytes.WithLabelValues("decoded"),
		}),
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: s.cfg.IdleTimeout, Time: time.Minute, Timeout: 20 * time.Second,
		}),
		// Agents behind a NAT need to keep their connection warm.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, options...)...)
	server.RegisterService(s.budgeted(pb.CollectionAgent_ServiceDesc), s)
	server.RegisterService(s.profilesService(), s)
	healthServer := health.NewServer()
	healthServer.SetServingStatus(pb.CollectionAgent_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthServer)
	reflection.Register(server)
	return server, healthServer
}

// guard bounds how many requests are worked on at once, over all connections,
// and keeps a fault in one request from ending the process.
func (s *Server) guard(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	err = status.Error(codes.Internal, "internal error") // of a panic
	defer s.Recovered(info.FullMethod)
	if _, ok := info.Server.(*Server); !ok {
		answer, err = next(ctx, req) // health must answer when all slots are taken
		return answer, err
	}
	leave, refused := s.slot()
	if refused != nil {
		return nil, refused
	}
	defer leave()
	answer, err = next(ctx, req)
	return answer, err
}

// slot takes one of the places of requests that are worked on. leave gives it back.
func (s *Server) slot() (leave func(), err error) {
	select {
	case s.slots <- struct{}{}:
	default:
		s.metrics.batches.WithLabelValues("any", "busy").Inc()
		return nil, retryLater(codes.ResourceExhausted,
			fmt.Sprintf("%d requests are being worked on (-max-concurrent)", s.cfg.MaxConcurrent), s.pressure.refuse())
	}
	s.metrics.active.Inc()
	return func() {
		s.metrics.active.Dec()
		<-s.slots
	}, nil
}

// guardStream keeps a fault in a stream from ending the process.
func (s *Server) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	err = status.Error(codes.Internal, "internal error") // of a panic
	defer s.Recovered(info.FullMethod)
	err = next(srv, stream)
	return err
}

// Recovered ends a panic, and counts and logs it. It has to be deferred itself.
func (s *Server) Recovered(where string) {
	if cause := recover(); cause != nil {
		s.metrics.panics.Inc()
		s.cfg.Logger.Error("request ended in a panic", "method", where, "panic", cause, "stack", string(debug.Stack()))
	}
}
