// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A request is read in steps, so that nothing a client sends can use more memory
// than there is for it:
//
//  1. Interceptors run on the headers: who is not let in is not read.
//  2. The largest size a request can have is taken from the budget; twice that
//     when it is compressed, once for each form. A request that has to wait too
//     long for it is refused with the time to come back.
//  3. The body is read and decompressed, within a time limit.
//  4. What the request does not need is given back. What decoding would make of
//     it is measured and taken from the budget before it is decoded.
//  5. What the checks make of it is taken from the budget as they go. All of it
//     is given back after the answer.

// body is a request as bytes. The codec leaves the decoding of it to receive.
type body struct{ buffer mem.Buffer }

// codec is that of protocol buffers, except for a body.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(encproto.Name)} }

// Unmarshal implements [encoding.CodecV2].
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if b, ok := v.(*body); ok {
		b.buffer = data.MaterializeToBuffer(bodies)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// budgeted returns the description of a service of this server whose handlers
// read requests in the steps above. Interceptors get no request: they run before
// it is read.
func (s *Server) budgeted(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	methods := make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		methods[i] = s.budgetedMethod(desc.ServiceName, m.MethodName, func(srv any, ctx context.Context, read func(any) error, used *meter) (any, error) {
			return m.Handler(srv, ctx, func(r any) error {
				message, ok := r.(proto.Message)
				if !ok {
					return status.Error(codes.Internal, "internal error")
				}
				return s.receive(ctx, read, message, used)
			}, nil)
		})
	}
	desc.Methods = methods
	return &desc
}

// budgetedMethod returns a method whose handler is called with a meter, which is
// released after it.
func (s *Server) budgetedMethod(
	service, name string, handle func(srv any, ctx context.Context, read func(any) error, used *meter) (any, error),
) grpc.MethodDesc {
	method := "/" + service + "/" + name
	return grpc.MethodDesc{MethodName: name, Handler: func(
		srv any, ctx context.Context, read func(any) error, interceptor grpc.UnaryServerInterceptor,
	) (any, error) {
		serve := func(ctx context.Context, _ any) (any, error) {
			used := &meter{budget: s.budget}
			defer used.release()
			return handle(srv, context.WithValue(ctx, meterKey{}, used), read, used)
		}
		if interceptor == nil {
			return serve(ctx, nil)
		}
		return interceptor(ctx, nil, &grpc.UnaryServerInfo{Server: s, FullMethod: method}, serve)
	}}
}

// receive reads and decodes a request.
func (s *Server) receive(ctx context.Context, read func(any) error, r proto.Message, m *meter) error {
	b, err := s.receiveBody(ctx, read, m)
	if err != nil {
		return err
	}
	defer b.Free()
	data := b.ReadOnlyData()
	if err := measure(data, r, m); err != nil {
		return s.unreadable(err)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, r); err != nil {
		return s.unreadable(errWire)
	}
	return nil
}

// receiveBody reads a request as bytes. The caller frees the buffer.
func (s *Server) receiveBody(ctx context.Context, read func(any) error, m *meter) (mem.Buffer, error) {
	forms := 1
	if compressed(ctx) {
		forms = 2
	}
	if err := s.reserve(ctx, forms, m); err != nil {
		return nil, err
	}
	b, err := s.read(read, m)
	if err != nil {
		return nil, err
	}
	m.admit(b.buffer.Len())
	return b.buffer, nil
}

// reserve takes memory for the largest request there may be, as often as it is in memory.
func (s *Server) reserve(ctx context.Context, forms int, m *meter) error {
	most := int64(forms) * int64(s.cfg.MaxRequestBytes)
	if err := s.budget.acquire(ctx, most, s.cfg.patience); err != nil {
		return s.noMemory(err)
	}
	m.held = most
	return nil
}

// read reads the body within the time limit. When it takes longer the stream is
// cut off, and what was held for it is given back once that has happened.
func (s *Server) read(read func(any) error, m *meter) (*body, error) {
	type outcome struct {
		b   *body
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		b := &body{}
		err := status.Error(codes.Internal, "internal error") // of a panic
		defer func() { done <- outcome{b, err} }()
		defer s.Recovered("read")
		if err = read(b); err == nil && b.buffer == nil {
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	timer := time.NewTimer(s.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case o := <-done:
		if o.err != nil {
			if status.Code(o.err) == codes.ResourceExhausted {
				s.warnTooLarge() // gRPC has answered already, without the name of the flag
			}
			s.metrics.batches.WithLabelValues("any", unread(o.err)).Inc()
		}
		return o.b, o.err
	case <-timer.C:
	}
	held := *m
	m.held = 0
	go func() { // the end of the handler ends the reading
		if o := <-done; o.err == nil {
			o.b.buffer.Free()
		}
		held.release()
	}()
	return nil, s.tooSlow()
}

// tooSlow returns the answer to a request whose body does not arrive in time.
func (s *Server) tooSlow() error {
	s.metrics.batches.WithLabelValues("any", "slow").Inc()
	return retryLater(codes.Unavailable,
		fmt.Sprintf("the request did not arrive within %s (-request-timeout)", s.cfg.RequestTimeout), s.pressure.refuse())
}

// tooLarge returns the answer to a request that is too large: without a time to come
// back, since it will be too large then as well.
func (s *Server) tooLarge() error {
	s.metrics.batches.WithLabelValues("any", "too_large").Inc()
	return status.Errorf(codes.ResourceExhausted,
		"the request has more than %d bytes, the most that the server takes (-max-request-bytes): send it in parts", s.cfg.MaxRequestBytes)
}

// warnEvery is how often the log says that requests are too large.
const warnEvery = time.Minute

// warnTooLarge says in the log what the answer of gRPC does not.
func (s *Server) warnTooLarge() {
	now := s.cfg.Now().UnixNano()
	if last := s.warned.Load(); now-last >= int64(warnEvery) && s.warned.CompareAndSwap(last, now) {
		s.cfg.Logger.Warn("a request is too large: let the sender split, or raise the limit", "flag", "-max-request-bytes", "limit", s.cfg.MaxRequestBytes)
	}
}

// unread returns the result that the metrics count for a request that gRPC could not read.
func unread(err error) string {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return "too_large"
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return "canceled"
	default:
		return "unreadable"
	}
}

// compressed reports whether the request of a context says that it is compressed.
func compressed(ctx context.Context) bool {
	t, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ RecvCompress() string })
	if !ok {
		return true
	}
	c := t.RecvCompress()
	return c != "" && c != encoding.Identity
}

// noMemory returns the answer to a request that there is no memory for.
func (s *Server) noMemory(err error) error {
	if !errors.Is(err, errNoMemory) {
		s.metrics.batches.WithLabelValues("any", "canceled").Inc()
		return status.FromContextError(err).Err()
	}
	s.metrics.batches.WithLabelValues("any", "busy").Inc()
	return retryLater(codes.ResourceExhausted, "requests of agents take all the memory there is for them (-ingest-memory)", s.pressure.refuse())
}

// unreadable returns the answer to a request that cannot be decoded.
func (s *Server) unreadable(err error) error {
	var field *fieldError
	if errors.As(err, &field) || errors.Is(err, errWire) {
		s.metrics.batches.WithLabelValues("any", "invalid").Inc()
		if field == nil {
			err = invalid("request", "%s", err)
		}
		st, _ := s.toStatus(err)
		return st
	}
	return s.noMemory(err)
}
