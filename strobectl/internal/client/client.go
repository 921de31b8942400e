// SPDX-License-Identifier: Apache-2.0

// Package client asks a collection agent over its HTTP API, and sends it profiles.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/proto/tokenfile"
)

// Options say which server is asked, and as whom.
type Options struct {
	// Server is a URL, which may have a path prefix: http://127.0.0.1:7070.
	Server string
	// TokenFile holds the bearer token. "": none is sent.
	TokenFile string
	// Project is asked about, with a token of all projects. "": that of the token.
	Project string
	// CAFile holds certificates, as PEM, that vouch for the server. "": those of the system.
	CAFile string
	// Timeout is how long the server may be silent before it is given up: until its
	// answer begins, and between two pieces of it. 0: for ever.
	Timeout time.Duration
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	token   string
	project string
	timeout time.Duration
	http    *http.Client
}

// What is read of an answer, in bytes. A server may be anybody, and what it sends may be
// compressed: an answer as JSON takes several times its size in memory.
const (
	maxAnswer  = 1 << 30   // of a profile
	maxJSON    = 128 << 20 // the largest flame graph takes a tenth of it
	maxObjects = 4 << 20   // in it: an empty one has two bytes here, and a hundred in memory
)

// maxError bounds what is read of an answer that is an error.
const maxError = 64 << 10

// maxMessage bounds what is shown of it.
const maxMessage = 1000

// New reads the files that the options name. It does not connect. Errors name the flag.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Server)
	if err == nil && (base.Scheme != "http" && base.Scheme != "https" || base.Host == "") {
		err = errors.New("expected http://HOST:PORT or https://HOST:PORT")
	}
	// Nor does an error show it.
	if base == nil && strings.Contains(o.Server, "@") || base != nil && base.User != nil {
		return nil, errors.New("-server: the URL holds a password, which the list of processes shows to everybody: put a token into a file and name it with -token-file")
	}
	if err != nil {
		return nil, fmt.Errorf("-server: %q: %w", o.Server, err)
	}
	base.RawQuery, base.Fragment = "", ""
	base.Path = strings.TrimSuffix(base.Path, "/")
	c := &Client{base: base, project: o.Project, timeout: o.Timeout}
	if o.TokenFile != "" {
		if c.token, _, err = tokenfile.Read(o.TokenFile); err != nil {
			return nil, fmt.Errorf("-token-file: %w", err)
		}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("-ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("-ca-file: %s holds no certificate in PEM form", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c.http = &http.Client{
		Transport: transport,
		// A redirect would take the token to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Server returns the URL that is asked.
func (c *Client) Server() string { return c.base.String() }

// Error is an answer that says no.
type Error struct {
	Status  int
	Message string
	// Parameter is the one that is wrong, "" if none is; Position the offset of the
	// mistake in bytes into Value, what was sent of it.
	Parameter, Value string
	Position         int
}

// Error implements error.
func (e *Error) Error() string {
	if e.Parameter != "" {
		return e.Parameter + ": " + e.Message
	}
	return e.Message
}

// UnreachableError says that there was no answer.
type UnreachableError struct {
	Server string
	Err    error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no answer from %s: %v", e.Server, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Answer is what came back.
type Answer struct {
	Body   []byte
	Header http.Header
}

// Get asks an endpoint, as "top" of /api/v1/top. The error is an [*Error] where the
// server refused, and an [*UnreachableError] where there is none.
func (c *Client) Get(ctx context.Context, endpoint string, values url.Values) (*Answer, error) {
	return c.get(ctx, endpoint, values, maxAnswer)
}

func (c *Client) get(ctx context.Context, endpoint string, values url.Values, most int64) (*Answer, error) {
	// A long query does not fit into a URL.
	if encoded := values.Encode(); len(encoded) > 4<<10 {
		return c.do(ctx, http.MethodPost, "/api/v1/"+endpoint, nil, values, "application/x-www-form-urlencoded", strings.NewReader(encoded), most)
	}
	return c.do(ctx, http.MethodGet, "/api/v1/"+endpoint, values, values, "", nil, most)
}

// JSON asks an endpoint and reads its answer into a value. The answer is returned as it came, too.
func (c *Client) JSON(ctx context.Context, endpoint string, values url.Values, into any) (*Answer, error) {
	a, err := c.get(ctx, endpoint, values, maxJSON)
	if err != nil {
		return nil, err
	}
	if bytes.Count(a.Body, []byte("{"))+bytes.Count(a.Body, []byte("null")) > maxObjects {
		return nil, fmt.Errorf("read the answer of %s/api/v1/%s: it has more than %d objects; is this a collection agent?", c.base, endpoint, maxObjects)
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return nil, fmt.Errorf("read the answer of %s/api/v1/%s: %w; is this a collection agent?", c.base, endpoint, err)
	}
	return a, nil
}

// Post sends a body to a path of the server, as "/api/v1/upload".
func (c *Client) Post(ctx context.Context, path string, values url.Values, contentType string, body io.Reader) (*Answer, error) {
	return c.do(ctx, http.MethodPost, path, values, values, contentType, body, maxError)
}

func (c *Client) do(ctx context.Context, method, path string, query, sent url.Values, contentType string, body io.Reader, most int64) (*Answer, error) {
	ctx, alive, end := c.watchdog(ctx)
	defer end()
	// The path is escaped already, as a name of a label may hold a slash.
	target := c.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	size := int64(0) // not known, if there is a body
	if sized, ok := body.(interface{ Len() int }); ok {
		size = int64(sized.Len())
	}
	if body != nil {
		body = &living{body, alive}
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = size
	r.Header.Set("Accept", "*/*")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.project != "" {
		r.Header.Set("Strobe-Project", c.project)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode/100 != 2 {
		return nil, readError(response, sent)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(&living{response.Body, alive}, most+1)); err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if int64(b.Len()) > most {
		return nil, fmt.Errorf("the answer is larger than %d MiB: shorten the range or narrow the query", most>>20)
	}
	return &Answer{Body: b.Bytes(), Header: response.Header}, nil
}

// unreachable returns the error for a request without a whole answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the URL may be long
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrSilent) {
		err = cause
	} else if ctx.Err() != nil {
		return ctx.Err()
	}
	return &UnreachableError{c.Server(), err}
}

// readError reads what an answer says that is none.
func readError(response *http.Response, sent url.Values) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxError)) // the status is told in any case
	e := &Error{Status: response.StatusCode}
	var answer struct {
		Error struct {
			Parameter string
			Position  int
			Message   string
		}
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		e.Parameter, e.Position, e.Message = answer.Error.Parameter, answer.Error.Position, answer.Error.Message
		if len(e.Message) > maxMessage {
			e.Message = strings.ToValidUTF8(e.Message[:maxMessage], "") + "…"
		}
		e.Value = sent.Get(e.Parameter)
		return e
	}
	text := strings.TrimSpace(string(body))
	if to := response.Header.Get("Location"); to != "" && response.StatusCode/100 == 3 {
		text = "the server sends to " + strconv.Quote(to[:min(len(to), 200)]) + ": if that is right, say it with -server"
	}
	if text == "" || len(text) > maxMessage || strings.HasPrefix(text, "<") {
		text = "the server answered " + response.Status
	}
	e.Message = text
	return e
}
