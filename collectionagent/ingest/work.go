// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Requests that do not come by gRPC are read in the same steps as those that do (see
// receive.go), by calling these functions in their order: [Server.Receive], or [Server.Begin]
// and [Server.Read] for what is fetched; [Charge] as they are taken apart; [Server.Export].

// MaxRequestBytes returns how large a request may be, uncompressed.
func (s *Server) MaxRequestBytes() int { return s.cfg.MaxRequestBytes }

// Begin lets a request in: it takes one of the slots (-max-concurrent) and the room for a body in
// one form or, if it is compressed, in both. The context is for the functions that follow, on one
// goroutine. end gives all back. The error is an answer, a status of gRPC.
func (s *Server) Begin(ctx context.Context, compressed bool) (_ context.Context, end func(), _ error) {
	leave, err := s.slot()
	if err != nil {
		return nil, nil, err
	}
	forms := 1
	if compressed {
		forms = 2
	}
	m := &meter{budget: s.budget}
	if err := s.reserve(ctx, forms, m); err != nil {
		leave()
		return nil, nil, err
	}
	return context.WithValue(ctx, meterKey{}, m), func() {
		m.release()
		leave()
	}, nil
}

// Read says how many bytes a body has, as it came and uncompressed. What it does not need is
// given back.
func (s *Server) Read(ctx context.Context, wire, decoded int) {
	s.metrics.bytes.WithLabelValues("wire").Add(float64(wire))
	s.metrics.bytes.WithLabelValues("decoded").Add(float64(decoded))
	if m := meterOf(ctx); m != nil {
		m.admit(decoded)
	}
}

// Receive is Begin and Read for a request over HTTP, whose body it reads and decompresses. The body
// is good until end.
func (s *Server) Receive(w http.ResponseWriter, r *http.Request) (_ context.Context, body []byte, end func(), _ error) {
	leave, err := s.slot()
	if err != nil {
		return nil, nil, nil, err
	}
	m := &meter{budget: s.budget}
	var b mem.Buffer
	defer func() {
		if b == nil { // refused, or a panic
			m.release()
			leave()
		}
	}()
	if b, err = s.receiveHTTP(w, r, m); err != nil {
		return nil, nil, nil, err
	}
	return context.WithValue(r.Context(), meterKey{}, m), b.ReadOnlyData(), func() {
		b.Free()
		m.release()
		leave()
	}, nil
}

// Charge says that n things of about size bytes are going to be made of a request. The error is
// for [Server.Refuse].
func Charge(ctx context.Context, field string, n int, size int64) error {
	return meterOf(ctx).charge(field, n, size)
}

// Unpack says that a request has a profile, for which it may take more memory, and that n bytes
// of it were packed, which are part of its size.
func Unpack(ctx context.Context, n int) {
	if m := meterOf(ctx); m != nil {
		m.bytes += int64(n)
		m.limit = max(m.limit, m.mayUse(unpackFactor))
	}
}

// Decode decodes a request whose memory is charged before. The error is for [Server.Refuse].
func Decode(ctx context.Context, data []byte, r proto.Message) error {
	if err := measure(data, r, meterOf(ctx)); err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, r); err != nil {
		return errWire
	}
	return nil
}

// Invalid returns an error that says which part of a request is wrong, and how. It is for
// [Server.Refuse].
func Invalid(field, format string, args ...any) error { return invalid(field, format, args...) }

// Oversized is [Invalid] for what is too large as a whole, see [IsTooLarge].
func Oversized(field, format string, args ...any) error { return oversized(field, format, args...) }

// Refuse counts a request that cannot be read, and returns the answer, a status of gRPC: for good if
// that is the fault of the request, for now if there is no memory.
func (s *Server) Refuse(err error) error {
	if field, ok := errors.AsType[*fieldError](err); ok {
		err = field // what is around it is for nobody
	}
	return s.unreadable(err)
}

// Unary returns the description of a service all of whose methods are unary, which reads its
// requests as those of this server are read. Its implementation is called with a context for
// [Charge] and [Server.Export].
func (s *Server) Unary(desc grpc.ServiceDesc) *grpc.ServiceDesc { return s.budgeted(desc) }
