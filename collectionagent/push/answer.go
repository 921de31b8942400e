// SPDX-License-Identifier: Apache-2.0

package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
)

// failure is an answer to a request that is not taken.
type failure struct {
	status int
	reason string // in metrics
	wait   int    // seconds, 0: not said
	// What is said of it.
	Parameter string `json:"parameter"`
	Message   string `json:"message"`
}

// Reasons of what is not read.
const (
	reasonEncoding = "encoding" // a compression
	reasonFormat   = "format"
)

// Error implements error.
func (f *failure) Error() string {
	if f.Parameter != "" {
		return f.Parameter + ": " + f.Message
	}
	return f.Message
}

// errFault is what the client hears of a fault of the server.
var errFault error = &failure{status: http.StatusInternalServerError, reason: "panic", Message: "internal error"}

// bad returns the answer to a request with a bad parameter.
func bad(parameter string, err error) error {
	return &failure{status: http.StatusBadRequest, reason: "parameter", Parameter: parameter, Message: err.Error()}
}

// failureOf returns an error as an answer. What is none is a status of gRPC.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	st := status.Convert(err)
	f = &failure{reason: reasons[st.Code()], Message: st.Message()}
	f.status, f.wait = ingest.HTTPStatus(st)
	if ingest.IsTooLarge(st) {
		f.status = http.StatusRequestEntityTooLarge
	}
	switch {
	case f.status == http.StatusRequestEntityTooLarge:
		f.reason = "too_large"
	case f.reason == "":
		f.reason = "error"
	}
	return f
}

// reasons are those of metrics for statuses of gRPC.
var reasons = map[codes.Code]string{
	codes.InvalidArgument: "invalid", codes.OutOfRange: "invalid", codes.Unimplemented: reasonEncoding,
	codes.ResourceExhausted: "busy", codes.Unavailable: "unavailable", codes.Canceled: "canceled", codes.DeadlineExceeded: "canceled",
}

// answerJSON answers as the API does.
func answerJSON(w http.ResponseWriter, _ *body, message string, err error) {
	if err != nil {
		f := failureOf(err)
		send(w, f, map[string]any{"error": f})
		return
	}
	v := map[string]string{}
	if message != "" {
		v["message"] = message
	}
	send(w, nil, v)
}

// send sends a value; f is nil for a request that was taken.
func send(w http.ResponseWriter, f *failure, v any) {
	code := http.StatusOK
	if f != nil {
		code = f.status
		if f.wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.wait))
		}
		if f.reason == reasonEncoding {
			w.Header().Set("Accept-Encoding", "gzip, zstd")
		}
	}
	text, err := json.Marshal(v)
	if err != nil { // what is sent here can be encoded
		code, text = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // the client may have left
}

// maxNotes bounds what an answer says was left out: the types of foreign profiles have any name.
const maxNotes = 16

// notes are what was left out of the profiles of a request, each once.
type notes struct {
	list []string
	more int
}

func (n *notes) add(note string) {
	switch {
	case note == "" || slices.Contains(n.list, note):
	case len(n.list) < maxNotes:
		n.list = append(n.list, note)
	default:
		n.more++
	}
}

func (n *notes) String() string {
	text := strings.Join(n.list, "; ")
	if n.more > 0 {
		text += fmt.Sprintf(" (and %d more)", n.more)
	}
	return text
}
