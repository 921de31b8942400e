// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// requestError is what the client of a request that is not answered is told.
type requestError struct {
	status int
	reason string // in metrics
	allow  string // methods, of 405
	// retry is when to ask again, of those who may; 0: soon.
	retry     time.Duration
	Parameter string `json:"parameter"`
	// Position is the offset in bytes into the parameter's value.
	Position int    `json:"position"`
	Message  string `json:"message"`
}

// Error implements error.
func (e *requestError) Error() string {
	if e.Parameter == "" {
		return e.Message
	}
	return e.Parameter + ": " + e.Message
}

// badParameter returns the error for a parameter. A [query.SyntaxError] tells
// the position.
func badParameter(name string, err error) *requestError {
	e := &requestError{status: http.StatusBadRequest, reason: reasonBad, Parameter: name, Message: err.Error()}
	if syntax, ok := errors.AsType[*query.SyntaxError](err); ok {
		e.Position, e.Message = syntax.Position, syntax.Message
	}
	return e
}

// reasonBad is that of requests that are wrong, in metrics.
const reasonBad = "bad_request"

var errPanic = &requestError{status: http.StatusInternalServerError, reason: "panic", Message: "internal error"}

// errNobody is for requests that did not pass a guard.
var errNobody = &requestError{status: http.StatusForbidden, reason: "nobody", Message: "it is not known who asks"}

// statusClientClosed is what logs of the field call a request whose client left.
const statusClientClosed = 499

// toRequestError finds what to tell the client about an error.
func (s *server) toRequestError(ctx context.Context, err error) *requestError {
	var e *requestError
	switch {
	case errors.As(err, &e):
		return e
	case ctx.Err() != nil:
		return &requestError{status: statusClientClosed, reason: "canceled", Message: "the client went away"}
	case errors.Is(err, context.DeadlineExceeded):
		return &requestError{
			status: http.StatusGatewayTimeout, reason: "timeout",
			Message: fmt.Sprintf("the query took longer than %s, which is the limit (-query-timeout); "+
				"shorten the time range or narrow the query", s.config.QueryTimeout),
		}
	case errors.Is(err, memory.ErrTooLarge):
		return &requestError{status: http.StatusUnprocessableEntity, reason: "memory_too_large", Message: lastOf(err, memory.ErrTooLarge)}
	case errors.Is(err, memory.ErrBusy):
		return &requestError{status: http.StatusServiceUnavailable, reason: "memory_busy", Message: lastOf(err, memory.ErrBusy)}
	case errors.Is(err, store.ErrBusy):
		return &requestError{status: http.StatusServiceUnavailable, reason: "store_busy", Message: lastOf(err, store.ErrBusy)}
	case errors.Is(err, store.ErrAway):
		return &requestError{
			status: http.StatusServiceUnavailable, reason: "object_storage_away",
			Message: "part of the data is in object storage, which does not answer; ask again later, or for a time range that is still on the disk",
		}
	case errors.Is(err, query.ErrTooLarge):
		return &requestError{status: http.StatusUnprocessableEntity, reason: "too_large", Message: err.Error()}
	}
	return &requestError{status: http.StatusInternalServerError, reason: "internal", Message: "the store could not answer"}
}

// lastOf returns the text of an error from that of a cause on: what was being done
// when it came up is nothing to the client.
func lastOf(err, cause error) string {
	text := err.Error()
	return text[max(strings.Index(text, cause.Error()), 0):]
}

// fail answers a request with an error. The command-line pprof shows the text of
// an error only when it is plain, so it gets plain text; it is known by sending
// no Accept header, which browsers and programs that read JSON do.
func (s *server) fail(w http.ResponseWriter, r *http.Request, endpoint string, err error) {
	e := s.toRequestError(r.Context(), err)
	s.metrics.errors.WithLabelValues(e.reason).Inc()
	if e.status == http.StatusInternalServerError && e != errPanic {
		s.config.Logger.Error("answer query", "endpoint", endpoint, "error", err)
	}
	h := w.Header()
	switch e.status {
	case statusClientClosed:
		return
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(int(min(max(e.retry, leastRetry), mostRetry).Round(time.Second).Seconds())))
	case http.StatusMethodNotAllowed:
		h.Set("Allow", e.allow)
	}
	if endpoint == "pprof" && r.Header.Get("Accept") == "" {
		h.Set("X-Go-Pprof", "1")
		a := &answer{status: e.status, contentType: "text/plain; charset=utf-8", body: []byte(e.Error() + "\n")}
		_ = a.send(w, r) // the client sees it
		return
	}
	a, err := jsonAnswer(map[string]*requestError{"error": e})
	if err != nil {
		http.Error(w, e.Error(), e.status)
		return
	}
	a.status = e.status
	_ = a.send(w, r) // the client sees it
}
