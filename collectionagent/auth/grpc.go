// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ServerOptions returns the options that make a gRPC server ask the guard: once
// when the headers of a request are there, before its body is read, and once
// more around the handler. A stream is asked for at each of its messages, so
// that revoking a token ends those that are open.
func (g *Guard) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			return g.rpc(ctx, info.FullMethodName, info.Header, true)
		}),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			ctx, err := g.rpc(ctx, info.FullMethod, md, false)
			if err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			guarded := &stream{ServerStream: s, guard: g, method: info.FullMethod}
			if err := guarded.check(); err != nil {
				return err
			}
			return next(srv, guarded)
		}),
	}
}

// stream asks for each message.
type stream struct {
	grpc.ServerStream
	guard  *Guard
	method string
	ctx    context.Context //nolint:containedctx // that of the stream
}

// Context returns the context with the principal.
func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) check() error {
	md, _ := metadata.FromIncomingContext(s.ServerStream.Context())
	ctx, err := s.guard.rpc(s.ServerStream.Context(), s.method, md, false)
	if err == nil && s.ctx == nil {
		s.ctx = ctx
	}
	return err
}

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.check()
}

// SendMsg implements grpc.ServerStream.
func (s *stream) SendMsg(m any) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// rpc lets one RPC in, or returns the status that denies it. first is set for
// the first time that an RPC is asked for, which is the one that is counted.
func (g *Guard) rpc(ctx context.Context, method string, md metadata.MD, first bool) (context.Context, error) {
	access := g.policy.RPCs[method] // what is not there is denied
	c := &credentials{protocol: "grpc", what: method, again: !first}
	if access.denied() {
		c.what = "" // may be any text
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.address = addressOf(p.Addr)
	}
	switch values := md.Get("authorization"); {
	case len(values) > 1:
		c.bearer = "more than one"
	case len(values) == 1:
		c.bearer, _ = bearer(values[0])
	}
	p, err := g.authorize(access, c)
	if err == nil {
		if p != nil {
			ctx = NewContext(ctx, p)
		}
		return ctx, nil
	}
	var d *denial
	switch {
	case !errors.As(err, &d), !d.who && d.reason != reasonUnlisted:
		return ctx, status.Error(codes.PermissionDenied, err.Error())
	case d.reason == reasonUnlisted:
		// To those who are known it looks like what it most likely is: a client that
		// is newer than the server.
		return ctx, status.Error(codes.Unimplemented, "there is no such method")
	}
	s := status.New(codes.Unauthenticated, d.message)
	if d.wait > 0 {
		if with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d.wait)}); err == nil {
			s = with
		}
	}
	return ctx, s.Err()
}

// bearer returns the token in an authorization header: a bearer token, or the password of
// clients that know no other way, whatever the user is called. basic says that it is the latter.
// What is neither becomes a text that is no token either.
func bearer(header string) (token string, basic bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimSpace(token)
	switch {
	case ok && strings.EqualFold(scheme, "basic"):
		pair, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return "not base64", true
		}
		_, token, _ = strings.Cut(string(pair), ":")
		basic = true
	case !ok || !strings.EqualFold(scheme, "bearer"):
		return "not bearer", false
	}
	if token == "" {
		token = "empty"
	}
	return token, basic
}

// addressOf returns the IP address of a network address, the zero one if it has none.
func addressOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}
