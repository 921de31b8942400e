// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	// maxAnswerBytes bounds what is read of an answer. It is not a round number, by which
	// gRPC's complaint of an answer can be told from a server's of a request.
	maxAnswerBytes = 4<<20 + 1
	// maxErrorBytes bounds what is read of an answer that says what went wrong.
	maxErrorBytes = 64 << 10
)

// httpTransport posts requests to a URL. It follows no redirect: the request and its
// headers are for nobody else.
type httpTransport struct {
	line
	url        string
	header     http.Header
	compressor encoding.Compressor // nil: none
	client     *http.Transport
	// closed ends when the transport is closed: dialing goes on when its request is over.
	closed context.Context
	end    context.CancelFunc
}

// dialHTTP prepares the transport. It does not connect.
func dialHTTP(s *settings, compressor string) (*httpTransport, error) {
	client := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: s.timers.connect, // through a proxy
		// One request is on its way at a time.
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     2 * maxBackoff,
		// Answers are a few bytes.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxErrorBytes,
	}
	t := &httpTransport{client: client, url: s.url, header: http.Header{
		"Content-Type": {"application/x-protobuf"},
		"User-Agent":   {"strobe-agent/" + s.AgentVersion},
	}}
	t.closed, t.end = context.WithCancel(context.Background())
	client.DialContext = t.within(s.timers.connect, (&net.Dialer{}).DialContext)
	for name, value := range s.Headers {
		t.header.Set(name, value)
	}
	if compressor != "" {
		t.compressor = encoding.GetCompressor(compressor)
		t.header.Set("Content-Encoding", compressor)
	}
	files, err := s.tlsFiles()
	if err != nil {
		return nil, err
	}
	if files != nil {
		client.DialTLSContext = t.within(s.timers.connect, files.Dialer(s.TLS, client.DialContext))
		client.TLSClientConfig = files.ClientConfig(s.TLS) // through a proxy
	}
	t.line = newLine(s, files)
	return t, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// within gives a dial a time, and ends it when the transport is closed.
func (t *httpTransport) within(limit time.Duration, dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		defer context.AfterFunc(t.closed, cancel)()
		return dial(ctx, network, address)
	}
}

// reach implements transport.
func (*httpTransport) reach(context.Context) (contact bool, err error) { return false, nil }

// send implements transport.
func (t *httpTransport) send(ctx context.Context, _ string, payload []byte, resp proto.Message) error {
	body, err := t.compress(payload)
	if err != nil {
		return status.Errorf(codes.Internal, "compress request: %v", err)
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			t.counts.rpcOut.add(len(payload))
			t.counts.wireOut.add(len(body))
		}
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return status.Error(codes.Internal, "the address is no URL") // it was when the reporter was started
	}
	req.Header = t.header.Clone()
	if t.token != nil {
		token, err := t.token.get()
		if err != nil {
			return status.Error(codes.Unauthenticated, err.Error())
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := t.client.RoundTrip(req)
	if err != nil {
		return noAnswer(ctx, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode/100 != 2 {
		text, _ := t.read(answer, maxErrorBytes) // it only explains
		return newHTTPError(answer, text)
	}
	data, err := t.read(answer, maxAnswerBytes)
	if err != nil {
		return noAnswer(ctx, err)
	}
	return readAnswer(answer.Header.Get("Content-Type"), data, resp)
}

func (t *httpTransport) compress(payload []byte) ([]byte, error) {
	if t.compressor == nil {
		return payload, nil
	}
	var out bytes.Buffer
	w, err := t.compressor.Compress(&out)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(payload)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// read reads the body of an answer, and one byte more than the limit if there is that much.
func (t *httpTransport) read(answer *http.Response, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	t.counts.rpcIn.add(len(data))
	t.counts.wireIn.add(len(data))
	return data, err
}

func (t *httpTransport) close() error {
	t.end()
	t.client.CloseIdleConnections()
	return nil
}

// noAnswer is the error of a request that got no answer, or not all of one.
func noAnswer(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return status.Errorf(codes.DeadlineExceeded, "no answer in time: %v", err)
	case ctx.Err() != nil:
		return status.Error(codes.Canceled, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// readAnswer reads the body of an answer that says that the request was taken.
func readAnswer(contentType string, data []byte, resp proto.Message) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) > maxAnswerBytes {
		return &answerError{fmt.Errorf("it has more than %d bytes", maxAnswerBytes)}
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	var err error
	switch kind {
	case "application/x-protobuf", "application/protobuf", "":
		err = proto.Unmarshal(data, resp)
	case "application/json":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, resp)
	default:
		return &httpError{status: http.StatusOK, text: "the answer is " + shortText(contentType)}
	}
	if err != nil {
		return &answerError{err}
	}
	return nil
}
