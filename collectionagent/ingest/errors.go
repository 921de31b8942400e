// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// fieldError says which field of a request is wrong, and how.
type fieldError struct{ field, description string }

// Error implements error.
func (e *fieldError) Error() string { return e.field + ": " + e.description }

// column returns the field without indices, which has few enough values to be
// the label of a metric.
func (e *fieldError) column() string {
	var b strings.Builder
	depth := 0
	for _, r := range e.field {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// invalid returns a fieldError.
func invalid(field, format string, args ...any) error {
	return &fieldError{field: field, description: fmt.Sprintf(format, args...)}
}

// at names an element of a column.
func at(field string, index int) string { return fmt.Sprintf("%s[%d]", field, index) }

// How long clients are asked to wait before they try again.
const (
	retryReadOnly = 5 * time.Second
	retryBusy     = time.Second
)

// withDetail returns a status error with a detail.
func withDetail(code codes.Code, message string, detail protoadapt.MessageV1) error {
	s := status.New(code, message)
	if d, err := s.WithDetails(detail); err == nil {
		s = d
	}
	return s.Err()
}

// retryLater returns an error that asks the client to keep its batch.
func retryLater(code codes.Code, message string, after time.Duration) error {
	return withDetail(code, message, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
}

// badField returns the detail that names the field that is wrong.
func badField(field, description string) *errdetails.BadRequest {
	return &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description}}}
}

// toStatus turns an error into what the client gets, and into the result that
// the metrics count.
func (s *Server) toStatus(err error) (st error, result string) {
	var field *fieldError
	var expanded *expansionError
	switch {
	case errors.As(err, &expanded):
		// Without RetryInfo: the client cuts the request.
		return status.Error(codes.ResourceExhausted, err.Error()), "too_large"
	case errors.As(err, &field):
		s.metrics.rejected.WithLabelValues(field.column()).Inc()
		return withDetail(codes.InvalidArgument, field.Error(), badField(field.field, field.description)), "invalid"
	case errors.Is(err, store.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error()), "invalid"
	case errors.Is(err, store.ErrReadOnly):
		return retryLater(codes.Unavailable, err.Error(), retryReadOnly), "read_only"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err(), "canceled"
	default:
		// Not the client's fault, and not its business: the log has the cause.
		s.cfg.Logger.Error("storing a batch", "err", err)
		return retryLater(codes.Unavailable, "the batch could not be stored", retryReadOnly), "error"
	}
}
