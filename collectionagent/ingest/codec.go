// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// maxMessages is how many messages a request may hold: processes, label sets and
// the like. An empty one takes two bytes on the wire and hundreds once decoded, so
// they are counted before. Agents send a few thousand.
const maxMessages = 1 << 16

// envelope is what requests are decoded into. gRPC answers Internal for a message
// that its codec refuses, so the codec takes it, and the fault is looked at later.
type envelope struct {
	message proto.Message
	fault   error
}

// boundedCodec decodes requests into envelopes, after it has seen that they hold no
// more than [maxMessages] messages. It does everything else like the codec of gRPC.
type boundedCodec struct{ encoding.CodecV2 }

func newBoundedCodec() boundedCodec { return boundedCodec{encoding.GetCodecV2(protocodec.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	e, ok := v.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	if e.fault = countMessages(b.ReadOnlyData(), e.message.ProtoReflect().Descriptor()); e.fault == nil {
		e.fault = proto.Unmarshal(b.ReadOnlyData(), e.message)
	}
	return nil
}

// countMessages returns an error when an encoded message holds too many messages.
// It looks at the outermost fields: within those no message of the protocol repeats.
func countMessages(b []byte, d protoreflect.MessageDescriptor) error {
	fields, messages := d.Fields(), 0
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("read tag: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
			return fmt.Errorf("read field %d: %w", number, protowire.ParseError(n))
		}
		b = b[n:]
		f := fields.ByNumber(number)
		if f == nil || f.Kind() != protoreflect.MessageKind || !(f.IsList() || f.IsMap()) {
			continue
		}
		if messages++; messages > maxMessages {
			return invalid(string(f.Name()), "the request holds more than %d messages", maxMessages)
		}
	}
	return nil
}

// serviceDesc is the description of the service with every method decoding
// under guard: what does not decode is the client's fault, and a fault in
// decoding does not end the process. Interceptors only see decoded requests.
func (s *Server) serviceDesc() *grpc.ServiceDesc {
	desc := pb.CollectionAgent_ServiceDesc
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range desc.Methods {
		m := &desc.Methods[i]
		name, handle := m.MethodName, m.Handler
		m.Handler = func(srv any, ctx context.Context, receive func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			return handle(srv, ctx, func(v any) error { return s.decode(name, receive, v) }, interceptor)
		}
	}
	return &desc
}

// decode receives a request into v.
func (s *Server) decode(method string, receive func(any) error, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.metrics.batches.WithLabelValues("any", "panic").Inc()
			s.cfg.Logger.Error("decoding a request ended in a panic", "method", method, "panic", r, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	message, ok := v.(proto.Message)
	if !ok {
		return status.Errorf(codes.Internal, "%s does not take a message", method)
	}
	e := envelope{message: message}
	if err := receive(&e); err != nil {
		return err // of the connection
	}
	if e.fault == nil {
		return nil
	}
	s.metrics.batches.WithLabelValues("any", "undecodable").Inc()
	var field *fieldError
	if !errors.As(e.fault, &field) {
		field = &fieldError{field: "request", description: "does not decode: " + e.fault.Error()}
	}
	return withDetail(codes.InvalidArgument, field.Error(), badField(field.field, field.description))
}
