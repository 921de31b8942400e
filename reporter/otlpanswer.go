// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Advice on refusals.
const (
	adviceToken  = "the backend does not accept the token or header that the agent shows"
	adviceRole   = "the backend does not allow the agent to send profiles; check its token or header"
	adviceUnmade = "the backend does not know this request: check the address, the protocol and the compression, and that it takes profiles"
	adviceMoved  = "the backend is elsewhere; set its address"
	adviceOther  = "what answers is no OTLP receiver; check the address"
)

// judgeOTLP says what the error of a request means by the rules of OTLP: what is not said
// to be worth repeating is given up. Three things are not as there: a request that is too large is cut, as its parts
// are not what was refused; an agent that is refused for what it is, and not for its data,
// keeps them and asks again slowly; and so does one that reaches something that is no
// receiver.
func judgeOTLP(err error) answer {
	if err == nil {
		return answer{verdict: accepted}
	}
	if e := (*httpError)(nil); errors.As(err, &e) {
		return e.judge()
	}
	if e := (*answerError)(nil); errors.As(err, &e) {
		return answer{verdict: notAgain, reason: reasonAnswer}
	}
	st := status.Convert(err)
	wait, hasWait := retryInfo(st)
	switch code := st.Code(); code {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		if hasWait {
			return answer{verdict: overloaded, wait: wait}
		}
		return answer{verdict: outage}
	case codes.Aborted, codes.OutOfRange, codes.DataLoss:
		switch {
		case hasWait:
			return answer{verdict: overloaded, wait: wait}
		case code == codes.OutOfRange && aboutSize(st.Message()): // tonic's code for it
			return answer{verdict: oversized}
		}
		return answer{verdict: faulty}
	case codes.ResourceExhausted:
		switch {
		case hasWait:
			return answer{verdict: overloaded, wait: wait}
		case strings.HasPrefix(st.Message(), "grpc: ") && strings.Contains(st.Message(), strconv.Itoa(maxAnswerBytes)):
			return answer{verdict: notAgain, reason: reasonAnswer}
		case aboutSize(st.Message()):
			return answer{verdict: oversized}
		}
		return answer{verdict: notAgain, reason: reasonExhausted}
	case codes.Unauthenticated:
		return answer{verdict: refused, advice: adviceToken}
	case codes.PermissionDenied:
		return answer{verdict: refused, advice: adviceRole}
	case codes.Unimplemented:
		return answer{verdict: notAgain, reason: reasonRejected, advice: adviceUnmade}
	case codes.Internal, codes.Unknown:
		return answer{verdict: notAgain, reason: reasonServer}
	default:
		return answer{verdict: notAgain, reason: reasonRejected}
	}
}

// aboutSize reports whether a message of a server says that a request is too large. There is no
// other way to tell that from a quota that is used up.
func aboutSize(message string) bool {
	message = strings.ToLower(message)
	for _, words := range []string{"larger than", "too large", "too big", "exceeds maximum size", "exceeds the maximum size", "size limit"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

// httpError is an answer over HTTP that says that a request was not taken.
type httpError struct {
	status  int
	text    string // what the server says
	wait    time.Duration
	hasWait bool
}

// newHTTPError reads what went wrong out of an answer.
func newHTTPError(answer *http.Response, body []byte) *httpError {
	e := &httpError{status: answer.StatusCode}
	e.wait, e.hasWait = retryAfter(answer.Header)
	var st rpcstatus.Status
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case e.status/100 == 3:
		e.text = "to " + withoutQuery(answer.Header.Get("Location"))
	case kind == "application/json" && protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, &st) == nil,
		kind == "application/x-protobuf" && proto.Unmarshal(body, &st) == nil:
		e.text = st.GetMessage()
	case strings.HasPrefix(kind, "text/"):
		e.text = string(body)
	}
	e.text = shortText(e.text)
	return e
}

func withoutQuery(location string) string {
	location, _, _ = strings.Cut(location, "?")
	return location
}

// retryAfter reads the header of that name: seconds, or a date by the server's clock.
func retryAfter(header http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryInfo/time.Second))) * time.Second, true //nolint:gosec // limited
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxRetryInfo), true
}

// Error implements error.
func (e *httpError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status))
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

// GRPCStatus lets status.Code tell what the error is about.
func (e *httpError) GRPCStatus() *status.Status {
	code := map[int]codes.Code{
		http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied,
		http.StatusRequestEntityTooLarge: codes.ResourceExhausted, http.StatusTooManyRequests: codes.Unavailable,
		http.StatusBadGateway: codes.Unavailable, http.StatusServiceUnavailable: codes.Unavailable,
		http.StatusGatewayTimeout: codes.Unavailable,
	}[e.status]
	return status.New(cmp.Or(code, codes.Unknown), e.Error())
}

func (e *httpError) judge() answer {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if e.hasWait {
			return answer{verdict: overloaded, wait: e.wait}
		}
		return answer{verdict: outage}
	case http.StatusRequestEntityTooLarge:
		return answer{verdict: oversized}
	case http.StatusUnauthorized:
		return answer{verdict: refused, advice: adviceToken}
	case http.StatusForbidden:
		return answer{verdict: refused, advice: adviceRole}
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return answer{verdict: notAgain, reason: reasonRejected, advice: adviceUnmade}
	}
	switch {
	case e.status < 300:
		return answer{verdict: refused, advice: adviceOther}
	case e.status < 400:
		return answer{verdict: refused, advice: adviceMoved}
	case e.status < 500:
		return answer{verdict: notAgain, reason: reasonRejected}
	default:
		return answer{verdict: notAgain, reason: reasonServer}
	}
}

// answerError is an answer that says that a request was taken, but not what became of it.
// OTLP forbids to send the request again.
type answerError struct{ err error }

// Error implements error.
func (e *answerError) Error() string { return "the answer cannot be read: " + shortText(e.err.Error()) }

// Unwrap returns the cause.
func (e *answerError) Unwrap() error { return e.err }

// codeOf names an error for a metric: the code of gRPC, or the status of HTTP.
func codeOf(err error) string {
	if e := (*httpError)(nil); errors.As(err, &e) {
		return strconv.Itoa(e.status)
	}
	return status.Code(err).String()
}

// shortText makes what a server says fit for a line of a log.
func shortText(s string) string {
	const most = 512
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = s[:most] + "…"
	}
	return cleanText(s)
}
