// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"math"
	"mime"
	"net/http"
	"strconv"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/otlp"
)

// Media types of OTLP over HTTP.
const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// ServeProfiles serves OTLP over HTTP: a POST with a request as a protocol buffer or
// as JSON. Only the transport is its own; what a request may be, and what becomes of
// it, is the same as over gRPC. The project is that of the context, see [WithProject].
func (s *Server) ServeProfiles(w http.ResponseWriter, r *http.Request) {
	answer, err := s.exportHTTP(w, r)
	if err != nil {
		RefuseProfiles(w, r, err)
		return
	}
	writeMessage(w, mediaType(r), http.StatusOK, answer)
}

// RefuseProfiles answers a request of OTLP over HTTP with the status of an error, as
// gRPC has it.
func RefuseProfiles(w http.ResponseWriter, r *http.Request, err error) {
	st := status.Convert(err)
	code, wait := HTTPStatus(st)
	if code == http.StatusUnsupportedMediaType {
		if mediaType(r) == "" {
			w.Header().Set("Accept", typeProtobuf+", "+typeJSON)
		} else {
			w.Header().Set("Accept-Encoding", "gzip, zstd")
		}
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	writeMessage(w, mediaType(r), code, st.Proto())
}

// HTTPStatus returns what a status of gRPC is over HTTP, and in how many seconds to come back, 0 if the
// status does not say.
func HTTPStatus(st *status.Status) (code, wait int) {
	for _, d := range st.Details() {
		if info, is := d.(*errdetails.RetryInfo); is {
			wait = max(1, int(math.Ceil(info.GetRetryDelay().AsDuration().Seconds())))
		}
	}
	switch st.Code() {
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest, wait
	case codes.Unimplemented: // as gRPC says to a compression that it does not know
		return http.StatusUnsupportedMediaType, wait
	case codes.ResourceExhausted:
		if wait == 0 { // it will not do later either
			return http.StatusRequestEntityTooLarge, 0
		}
		return http.StatusTooManyRequests, wait
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return http.StatusServiceUnavailable, wait
	default: // nothing that the client could do
		return http.StatusInternalServerError, wait
	}
}

// mediaType returns the media type of a request, "" when it is none that is taken.
func mediaType(r *http.Request) string {
	switch t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case err == nil && (t == typeProtobuf || t == typeJSON):
		return t
	default:
		return ""
	}
}

// writeMessage answers with a message, in JSON when the request is in no form that is known.
func writeMessage(w http.ResponseWriter, media string, code int, m proto.Message) {
	var b []byte
	var err error
	if media == typeProtobuf {
		b, err = proto.Marshal(m)
	} else {
		media = typeJSON
		b, err = protojson.Marshal(m)
	}
	if err != nil { // messages of this package can be encoded
		code, b = http.StatusInternalServerError, nil
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(b) //nolint:gosec // protobuf or JSON, and nosniff keeps it that
}

// exportHTTP reads a request and stores it. Its error is that of the RPC. The steps
// are those of receive.go: the guard has let the request in.
func (s *Server) exportHTTP(w http.ResponseWriter, r *http.Request) (answer *collector.ExportProfilesServiceResponse, err error) {
	err = status.Error(codes.Internal, "internal error") // of a panic
	defer s.Recovered(r.Pattern)
	answer, err = s.exportBody(w, r)
	return answer, err
}

func (s *Server) exportBody(w http.ResponseWriter, r *http.Request) (*collector.ExportProfilesServiceResponse, error) {
	decode := otlp.Read
	switch mediaType(r) {
	case typeProtobuf:
	case typeJSON:
		decode = otlp.ReadJSON
	default:
		s.metrics.batches.WithLabelValues("any", "unsupported").Inc()
		return nil, status.Errorf(codes.Unimplemented, "the content type has to be %s or %s", typeProtobuf, typeJSON)
	}
	leave, err := s.slot()
	if err != nil {
		return nil, err
	}
	defer leave()
	m := &meter{budget: s.budget}
	defer m.release()
	b, err := s.receiveHTTP(w, r, m)
	if err != nil {
		return nil, err
	}
	defer b.Free() // after the message is released, which refers to it
	return s.exportFrom(context.WithValue(r.Context(), meterKey{}, m), func(o *otlp.Options) (*otlp.Message, error) {
		return decode(b.ReadOnlyData(), o)
	})
}
