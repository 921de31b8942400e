// SPDX-License-Identifier: Apache-2.0

// Package connect speaks the Connect protocol for unary calls over HTTP: a POST with one message as
// a protocol buffer or as JSON, gzipped or not, and an answer of the same form; errors are JSON with
// a code. Calls are not idempotent by the definitions that are served here, so there is no GET.
package connect

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// Content types of unary calls.
const (
	TypeProto = "application/proto"
	TypeJSON  = "application/json"
)

// Accepted lists the content types for a header.
const Accepted = TypeProto + ", " + TypeJSON

// Media returns the content type of a request without its parameters, "" when it is none.
func Media(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// IsCall reports whether a request is a call of this protocol, whose client expects errors in
// its form.
func IsCall(r *http.Request) bool {
	return r.Header.Get("Connect-Protocol-Version") != "" || Media(r) == TypeProto
}

// codes are the names of errors by status of HTTP.
var codes = map[int]string{
	http.StatusBadRequest:            "invalid_argument",
	http.StatusUnauthorized:          "unauthenticated",
	http.StatusForbidden:             "permission_denied",
	http.StatusNotFound:              "not_found",
	http.StatusRequestTimeout:        "deadline_exceeded",
	http.StatusRequestEntityTooLarge: "resource_exhausted",
	http.StatusUnsupportedMediaType:  "unimplemented",
	http.StatusUnprocessableEntity:   "resource_exhausted", // the question is too large
	http.StatusTooManyRequests:       "resource_exhausted",
	statusClientClosed:               "canceled",
	http.StatusNotImplemented:        "unimplemented",
	http.StatusServiceUnavailable:    "unavailable",
	http.StatusGatewayTimeout:        "deadline_exceeded",
}

// statusClientClosed is what logs of the field call a request whose client left.
const statusClientClosed = 499

// Code returns the name of the error that a status of HTTP stands for.
func Code(status int) string {
	if code, ok := codes[status]; ok {
		return code
	}
	return "internal"
}

// Error is a call that is not answered.
type Error struct {
	// Status is that of HTTP; the code follows from it.
	Status  int
	Message string
	// Wait is when to ask again, 0: not said.
	Wait time.Duration
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, e *Error) {
	body, err := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{Code(e.Status), e.Message})
	if err != nil { // texts can be encoded
		body = []byte("{}")
	}
	h := w.Header()
	if e.Wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(e.Wait.Seconds())))
	}
	if e.Status == http.StatusUnsupportedMediaType {
		h.Set("Accept-Post", Accepted)
		h.Set("Accept-Encoding", "gzip")
	}
	h.Set("Content-Type", TypeJSON)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(body, '\n')) // the client may have left
}
