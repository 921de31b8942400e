// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// TestOpenStream revokes the token of a stream that is open.
func TestOpenStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	text, id := w.token("blue", RoleIngest, time.Time{})
	server := grpc.NewServer(w.guard.ServerOptions()...)
	reflection.Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until it is stopped
	}()
	defer func() {
		server.Stop()
		<-served
	}()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(
		metadata.AppendToOutgoingContext(t.Context(), "authorization", "bearer "+text))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		if err := s.Send(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
		}); err != nil {
			t.Fatal(err)
		}
		_, err := s.Recv()
		return err
	}
	if err := ask(); err != nil {
		t.Fatalf("first message: %v", err)
	}
	w.edit(func(f *File) error { return f.RevokeToken(id) })
	w.clock.advance(recheckAfter)
	if got := status.Code(ask()); got != codes.Unauthenticated {
		t.Errorf("message after the token was revoked: %s", got)
	}
	// Two headers could be understood in two ways.
	md := metadata.Pairs("authorization", "Bearer "+text, "authorization", "Bearer "+text)
	for _, header := range []metadata.MD{md, metadata.Pairs("authorization", text), metadata.Pairs("authorization", "Basic "+text), metadata.Pairs("authorization", "Bearer ")} {
		if _, err := w.guard.rpc(t.Context(), "/collectionagent.v1.CollectionAgent/AddMetrics", header, true); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v: %v", header, err)
		}
	}
}
