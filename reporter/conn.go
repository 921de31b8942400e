// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// dialGRPC prepares the connection. It does not connect, so it works while the
// server is away. An empty compressor is none.
func dialGRPC(s *settings, compressor string, maxAnswer int) (*grpcTransport, error) {
	creds, files, err := s.credentials()
	if err != nil {
		return nil, err
	}
	t := &grpcTransport{line: newLine(s, files), peer: s.peer}
	connect := backoff.DefaultConfig
	// The reporter decides when to try; gRPC only must not sleep longer than that.
	connect.BaseDelay = min(connect.BaseDelay, s.timers.report)
	connect.MaxDelay = min(maxBackoff, s.timers.startupBackoff)
	call := []grpc.CallOption{grpc.MaxCallRecvMsgSize(maxAnswer), grpc.MaxCallSendMsgSize(s.MaxRPCMsgSize)}
	if compressor != "" {
		call = append(call, grpc.UseCompressor(compressor))
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithStatsHandler(t.counts),
		grpc.WithUserAgent("strobe-agent/" + s.AgentVersion),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: connect, MinConnectTimeout: s.timers.connect}),
		// A peer that vanished without a word is noticed after 30 + 10 s at most.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithDefaultCallOptions(call...),
	}
	if t.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(t.token))
	}
	if t.conn, err = grpc.NewClient(s.CollAgentAddr, options...); err != nil {
		return nil, fmt.Errorf("prepare connection to %s: %w", s.peer, err)
	}
	return t, nil
}

// grpcTransport sends requests as RPCs.
type grpcTransport struct {
	line
	conn *grpc.ClientConn
	peer string // for messages
}

// wake makes the connection try at once.
func (t *grpcTransport) wake() {
	t.conn.ResetConnectBackoff()
	t.conn.Connect()
}

// reach implements transport.
func (t *grpcTransport) reach(ctx context.Context) (contact bool, err error) {
	t.wake()
	for state := t.conn.GetState(); state != connectivity.Ready; state = t.conn.GetState() {
		t.conn.Connect()
		if !t.conn.WaitForStateChange(ctx, state) {
			return false, status.Errorf(codes.Unavailable, "no connection to %s in time", t.peer)
		}
	}
	return true, nil
}

// send implements transport.
func (t *grpcTransport) send(ctx context.Context, method string, payload []byte, resp proto.Message) error {
	return t.conn.Invoke(ctx, method, payload, resp, grpc.ForceCodecV2(sealedCodec{}))
}

func (t *grpcTransport) close() error { return t.conn.Close() }

// withHeaders adds the configured metadata to the RPCs of ctx.
func withHeaders(ctx context.Context, headers map[string]string) context.Context {
	if len(headers) == 0 {
		return ctx
	}
	return metadata.NewOutgoingContext(ctx, metadata.New(headers))
}

// sealedCodec sends []byte as it is and reads protocol buffers.
type sealedCodec struct{}

// Marshal implements encoding.CodecV2.
func (sealedCodec) Marshal(v any) (mem.BufferSlice, error) {
	payload, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("marshal sealed batch: got a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(payload)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (sealedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return encoding.GetCodecV2(protocodec.Name).Unmarshal(data, v)
}

// Name implements encoding.CodecV2: on the wire it is what the server expects.
func (sealedCodec) Name() string { return protocodec.Name }
