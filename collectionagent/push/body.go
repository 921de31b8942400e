// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// body is a request over HTTP, and its body when it is read.
type body struct {
	request *http.Request
	writer  http.ResponseWriter
	wire    int    // bytes as they came
	data    []byte // decompressed
}

// packed reports whether the body is compressed.
func (b *body) packed() (bool, error) {
	switch e := strings.ToLower(strings.Join(b.request.Header.Values("Content-Encoding"), ",")); e {
	case "", "identity":
		return false, nil
	case "gzip":
		return true, nil
	default:
		return false, &failure{
			status: http.StatusUnsupportedMediaType, reason: "encoding", accept: "gzip", Parameter: "Content-Encoding",
			Message: fmt.Sprintf("%.40q is not read: send gzip or nothing", e),
		}
	}
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// read reads the body, of at most so many bytes in any form.
func (b *body) read(most int) error {
	tooLarge := &failure{
		status: http.StatusRequestEntityTooLarge, reason: "too_large",
		Message: fmt.Sprintf("the body is larger than %d bytes (-max-request-bytes)", most),
	}
	if b.request.ContentLength > int64(most) {
		b.writer.Header().Set("Connection", "close") // the rest is not going to be read
		return tooLarge
	}
	in := &counter{Reader: http.MaxBytesReader(b.writer, b.request.Body, int64(most))}
	defer func() { b.wire = in.n }()
	var from io.Reader = in
	packed, _ := b.packed() // looked at before
	if packed {
		z, err := gzip.NewReader(in)
		if err != nil {
			return b.unread(err, tooLarge)
		}
		from = io.LimitReader(z, int64(most)+1)
	}
	var out bytes.Buffer
	if n := b.request.ContentLength; n > 0 && !packed {
		out.Grow(int(n) + bytes.MinRead)
	}
	if _, err := out.ReadFrom(from); err != nil {
		return b.unread(err, tooLarge)
	}
	if out.Len() > most {
		return tooLarge
	}
	b.data = out.Bytes()
	return nil
}

// unread returns what is wrong with a body that could not be read.
func (b *body) unread(err error, tooLarge *failure) error {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{status: http.StatusRequestTimeout, reason: "slow", Message: "the body did not arrive in time (-request-timeout)"}
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), b.request.Context().Err() == nil:
		return &failure{status: http.StatusBadRequest, reason: "unreadable", Message: fmt.Sprintf("read the body: %s", err)}
	}
	return &failure{status: http.StatusBadRequest, reason: "canceled", Message: "the client left"}
}
