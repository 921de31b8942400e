// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/strobe-profiler/strobe/collectionagent/connect"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/pprof"
	"github.com/strobe-profiler/strobe/proto/pyroscope"
)

// jsonValue is about what a value in JSON becomes.
const jsonValue = 160

// connect takes profiles that were sent to push.v1.PusherService/Push by the Connect protocol.
func (s *Server) connect(ctx context.Context, b *body) (string, error) {
	r := &pyroscope.PushRequest{}
	var err error
	switch media := connect.Media(b.Request); media {
	case connect.TypeProto:
		err = ingest.Decode(ctx, b.data, r)
	case connect.TypeJSON:
		err = decodeJSON(ctx, b.data, r)
	default:
		return "", &failure{
			status: http.StatusUnsupportedMediaType, reason: reasonFormat, Parameter: "Content-Type",
			Message: fmt.Sprintf("%.60q is not read: send %s or %s", media, connect.TypeProto, connect.TypeJSON),
		}
	}
	if err != nil {
		return "", s.in.Refuse(err)
	}
	return s.all(ctx, sent(r.GetSeries(), (*pyroscope.RawProfileSeries).GetLabels))
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

// raw is a profile in a request with several.
type raw struct {
	field  string
	labels map[string]string
	wrong  error // with the labels
	data   []byte
}

// pair is a label, as the protocols have it.
type pair interface {
	GetName() string
	GetValue() string
}

// sent returns the profiles of series, which the protocols have alike.
func sent[S interface{ GetSamples() []R }, R interface{ GetRawProfile() []byte }, P pair](list []S, pairs func(S) []P) iter.Seq[*raw] {
	return func(yield func(*raw) bool) {
		for i, series := range list {
			labels, err := labelsOf(fmt.Sprintf("series[%d].labels", i), pairs(series))
			for j, sample := range series.GetSamples() {
				field := fmt.Sprintf("series[%d].samples[%d].raw_profile", i, j)
				if !yield(&raw{field: field, labels: labels, wrong: err, data: sample.GetRawProfile()}) {
					return
				}
			}
		}
	}
}

// labelsOf returns the labels of a series, of which there may not be so many that what is made of them
// would have to be counted.
func labelsOf[P pair](field string, pairs []P) (map[string]string, error) {
	if len(pairs) > maxLabels {
		return nil, ingest.Invalid(field, "has %d entries, at most %d are allowed", len(pairs), maxLabels)
	}
	labels := make(map[string]string, len(pairs))
	for _, p := range pairs {
		labels[p.GetName()] = p.GetValue()
	}
	return labels, nil
}

// all stores profiles one after the other. What is wrong with one does not keep the others from being stored,
// since a client that is refused does not send again. It ends where there is no room, for which
// clients do.
func (s *Server) all(ctx context.Context, profiles iter.Seq[*raw]) (string, error) {
	var left notes
	var wrong error
	more := 0
	for r := range profiles {
		if err := ctx.Err(); err != nil { // who has left sends all of them again
			return "", status.FromContextError(err).Err()
		}
		message, err := s.one(ctx, r)
		switch {
		case err == nil:
			left.add(message)
		case failureOf(err).status != http.StatusBadRequest:
			return "", err
		case wrong != nil:
			more++
		default:
			wrong = err
		}
	}
	switch {
	case more > 0:
		f := *failureOf(wrong)
		f.Message = fmt.Sprintf("%s (and %d more that are wrong)", f.Message, more)
		return "", &f
	case wrong != nil:
		return "", wrong
	}
	return left.String(), nil
}

// one stores a profile.
func (s *Server) one(ctx context.Context, r *raw) (string, error) {
	if r.wrong != nil {
		return "", s.in.Refuse(r.wrong)
	}
	p, err := s.parse(ctx, r.field, r.data)
	if err != nil {
		return "", err
	}
	return s.store(ctx, p, &pprof.Source{Labels: r.labels, Time: s.now(), Kind: pprof.KindOf(r.labels["__name__"])})
}

// answerConnect answers by the Connect protocol.
func answerConnect(w http.ResponseWriter, b *body, _ string, err error) {
	if err == nil && connect.Media(b.Request) == connect.TypeProto { // a message without fields
		w.Header().Set("Content-Type", connect.TypeProto)
		w.WriteHeader(http.StatusOK)
		return
	}
	if err == nil {
		send(w, nil, struct{}{})
		return
	}
	f := failureOf(err)
	if f.reason == reasonFormat {
		w.Header().Set("Accept-Post", connect.Accepted)
	}
	send(w, f, map[string]string{"code": connect.Code(f.status), "message": f.Error()})
}
