// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// dial prepares the connection. It does not connect, so it works while the
// server is away.
func dial(s *settings, counts *byteCounts, token *tokenFile, compressor string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if !s.DisableTLS {
		cfg, err := s.tlsConfig()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(cfg)
	}
	connect := backoff.DefaultConfig
	// The reporter decides when to try; gRPC only must not sleep longer than that.
	connect.BaseDelay = min(connect.BaseDelay, s.timers.report)
	connect.MaxDelay = min(maxBackoff, s.timers.startupBackoff)
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithStatsHandler(counts),
		grpc.WithUserAgent("strobe-agent/" + s.AgentVersion),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: connect, MinConnectTimeout: s.timers.connect}),
		// A peer that vanished without a word is noticed after 30 + 10 s at most.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(s.MaxRPCMsgSize),
			grpc.MaxCallSendMsgSize(s.MaxRPCMsgSize),
			grpc.UseCompressor(compressor),
		),
	}
	if token != nil {
		options = append(options, grpc.WithPerRPCCredentials(token))
	}
	conn, err := grpc.NewClient(s.CollAgentAddr, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare connection to %s: %w", s.CollAgentAddr, err)
	}
	return conn, nil
}

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
