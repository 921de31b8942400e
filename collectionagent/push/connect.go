// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/pprof"
	"github.com/strobe-profiler/strobe/proto/pyroscope"
)

// Content types of unary calls of Connect.
const (
	typeProto = "application/proto"
	typeJSON  = "application/json"
)

// jsonValue is about what a value in JSON becomes.
const jsonValue = 160

// connect takes profiles that were sent to push.v1.PusherService/Push by the Connect protocol.
func (s *Server) connect(ctx context.Context, b *body) (string, error) {
	r := &pyroscope.PushRequest{}
	media, _, _ := mime.ParseMediaType(b.Header.Get("Content-Type"))
	var err error
	switch media {
	case typeProto:
		err = ingest.Decode(ctx, b.data, r)
	case typeJSON:
		err = decodeJSON(ctx, b.data, r)
	default:
		return "", &failure{
			status: http.StatusUnsupportedMediaType, reason: reasonFormat, Parameter: "Content-Type",
			Message: fmt.Sprintf("%.60q is not read: send %s or %s", media, typeProto, typeJSON),
		}
	}
	if err != nil {
		return "", s.in.Refuse(err)
	}
	return s.all(ctx, func(yield func(field string, labels map[string]string, raw []byte) bool) {
		for i, series := range r.Series {
			labels := make(map[string]string, len(series.GetLabels()))
			for _, l := range series.GetLabels() {
				labels[l.GetName()] = l.GetValue()
			}
			for j, sample := range series.GetSamples() {
				if !yield(fmt.Sprintf("series[%d].samples[%d].raw_profile", i, j), labels, sample.GetRawProfile()) {
					return
				}
			}
		}
	})
}

// decodeJSON decodes a request in JSON.
func decodeJSON(ctx context.Context, data []byte, r *pyroscope.PushRequest) error {
	if err := ingest.Charge(ctx, "request", bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{','}), jsonValue); err != nil {
		return err
	}
	if err := ingest.Charge(ctx, "request", len(data), 2); err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, r); err != nil {
		return ingest.Invalid("request", "is not JSON of a PushRequest: %s", err)
	}
	return nil
}

// all stores profiles one after the other. What is wrong with one does not keep the others from being stored,
// since a client that is refused does not send again. It ends where there is no room, for which
// clients do.
func (s *Server) all(ctx context.Context, profiles func(yield func(field string, labels map[string]string, raw []byte) bool)) (string, error) {
	var messages []string
	var wrong, full error
	more := 0
	profiles(func(field string, labels map[string]string, raw []byte) bool {
		message, err := s.one(ctx, field, labels, raw)
		switch {
		case err == nil:
			messages = append(messages, message)
		case failureOf(err).status == http.StatusBadRequest:
			if wrong != nil {
				more++
				break
			}
			wrong = err
		default:
			full = err
			return false
		}
		return true
	})
	switch {
	case full != nil:
		return "", full
	case more > 0:
		f := *failureOf(wrong)
		f.Message = fmt.Sprintf("%s (and %d more that are wrong)", f.Message, more)
		return "", &f
	case wrong != nil:
		return "", wrong
	}
	return join(messages), nil
}

// one stores a profile with labels.
func (s *Server) one(ctx context.Context, field string, labels map[string]string, raw []byte) (string, error) {
	p, err := s.parse(ctx, field, raw)
	if err != nil {
		return "", err
	}
	return s.store(ctx, p, &pprof.Source{Labels: labels, Time: s.now(), Kind: pprof.KindOf(labels["__name__"])})
}

// connectCodes are the names of errors by status, where HTTP's own do not tell.
var connectCodes = map[int]string{
	http.StatusBadRequest: "invalid_argument", http.StatusRequestEntityTooLarge: "resource_exhausted",
	http.StatusUnsupportedMediaType: "unimplemented", http.StatusRequestTimeout: "deadline_exceeded",
	http.StatusTooManyRequests: "resource_exhausted", http.StatusServiceUnavailable: "unavailable",
}

// answerConnect answers by the Connect protocol.
func answerConnect(w http.ResponseWriter, b *body, _ string, err error) {
	media, _, _ := mime.ParseMediaType(b.Header.Get("Content-Type"))
	if err == nil && media == typeProto { // a message without fields
		w.Header().Set("Content-Type", typeProto)
		w.WriteHeader(http.StatusOK)
		return
	}
	if err == nil {
		send(w, nil, struct{}{})
		return
	}
	f := failureOf(err)
	code, ok := connectCodes[f.status]
	if !ok {
		code = "internal"
	}
	if f.reason == reasonFormat {
		w.Header().Set("Accept-Post", typeProto+", "+typeJSON)
	}
	send(w, f, map[string]string{"code": code, "message": f.Error()})
}
