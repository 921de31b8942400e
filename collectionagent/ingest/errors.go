// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// fieldError says which field of a request is wrong, and how.
type fieldError struct {
	field, description string
	// tooLarge says that in parts it would be right.
	tooLarge bool
}

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

// oversized returns a fieldError for what is too large as a whole.
func oversized(field, format string, args ...any) error {
	return &fieldError{field: field, description: fmt.Sprintf(format, args...), tooLarge: true}
}

// reasonTooLarge is in the details of the status for what is too large as a whole.
const reasonTooLarge = "REQUEST_TOO_LARGE"

// IsTooLarge reports whether a status says that a request is too large as a whole, so that parts of it may be taken.
func IsTooLarge(st *status.Status) bool {
	for _, d := range st.Details() {
		if info, is := d.(*errdetails.ErrorInfo); is && info.GetReason() == reasonTooLarge {
			return true
		}
	}
	return false
}

// rangeError says that samples lie outside of the window of time.
type rangeError struct {
	earliest, latest libpf.UnixTimeNs
	// tooOld and inFuture are the weights of those samples.
	tooOld, inFuture uint64
}

// Error implements error.
func (e *rangeError) Error() string {
	return fmt.Sprintf("%d observations are before %s and %d after %s; nothing of the batch was stored",
		e.tooOld, e.earliest, e.inFuture, e.latest)
}

// status returns what the client gets.
func (e *rangeError) status() error {
	return withDetail(codes.OutOfRange, e.Error(), &errdetails.ErrorInfo{
		Domain: "strobe", Reason: "SAMPLE_TIME_OUT_OF_RANGE", Metadata: map[string]string{
			"earliest_ns": strconv.FormatInt(int64(e.earliest), 10), "latest_ns": strconv.FormatInt(int64(e.latest), 10),
		},
	})
}

// at names an element of a column.
func at(field string, index int) string { return fmt.Sprintf("%s[%d]", field, index) }

// How long clients are asked to wait before they try again.
const (
	retryReadOnly = 5 * time.Second
	retryInFlight = time.Second
)

// withDetail returns a status error with a detail.
func withDetail(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(code, message)
	if d, err := s.WithDetails(details...); err == nil {
		s = d
	}
	return s.Err()
}

// retryLater returns an error that asks the client to keep its batch.
func retryLater(code codes.Code, message string, after time.Duration) error {
	return withDetail(code, message, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
}

// NotYet returns the error for requests that come before there is a server.
func NotYet(why string) error {
	return retryLater(codes.Unavailable, why, jitter(retryReadOnly))
}

// toStatus turns an error into what the client gets, and into the result that
// the metrics count.
func (s *Server) toStatus(err error) (st error, result string) { //nolint:revive,staticcheck // st is the answer, not what failed here
	var field *fieldError
	var late *rangeError
	var limited limitError
	switch {
	case errors.As(err, &late):
		return late.status(), "out_of_range"
	case errors.As(err, &limited):
		return retry(limited, jitter(limited.Wait)), "limited"
	case errors.Is(err, errNoMemory), errors.Is(err, store.ErrBusy):
		return retry(err, s.pressure.refuse()), "busy"
	case errors.Is(err, errInFlight):
		return retryLater(codes.Unavailable, err.Error(), jitter(retryInFlight)), "in_flight"
	case errors.As(err, &field):
		s.metrics.rejected.WithLabelValues(field.column()).Inc()
		details := []protoadapt.MessageV1{&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field.field, Description: field.description}},
		}}
		if field.tooLarge {
			details = append(details, &errdetails.ErrorInfo{Domain: "strobe", Reason: reasonTooLarge})
		}
		return withDetail(codes.InvalidArgument, field.Error(), details...), "invalid"
	case errors.Is(err, store.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error()), "invalid"
	case errors.Is(err, store.ErrReadOnly):
		return retryLater(codes.Unavailable, err.Error(), jitter(retryReadOnly)), "read_only"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err(), "canceled"
	default:
		// Not the client's fault, and not its business: the log has the cause.
		s.cfg.Logger.Error("storing a batch", "err", err)
		return retryLater(codes.Unavailable, "the batch could not be stored", jitter(retryReadOnly)), "error"
	}
}
