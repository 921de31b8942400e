// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// errTooLarge is returned for a body that unfolds to more than a request may have.
var errTooLarge = errors.New("the request is too large")

// receiveHTTP reads the body of a request as bytes, the way receiveBody does. The
// caller frees the buffer.
func (s *Server) receiveHTTP(w http.ResponseWriter, r *http.Request, m *meter) (mem.Buffer, error) {
	compression := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ",")))
	switch compression {
	case "", encoding.Identity, "gzip", zstdgrpc.Name:
	default:
		s.metrics.batches.WithLabelValues("any", "unsupported").Inc()
		return nil, status.Error(codes.Unimplemented, "the content encoding has to be gzip, zstd or none")
	}
	if r.ContentLength > int64(s.cfg.MaxRequestBytes) {
		return nil, s.tooLarge()
	}
	// Twice: a buffer that turns out too small is there until a larger one has its
	// content, and what is compressed has a window.
	if err := s.reserve(r.Context(), 2, m); err != nil {
		return nil, err
	}
	timeout := http.NewResponseController(w)
	_ = timeout.SetReadDeadline(time.Now().Add(s.cfg.RequestTimeout)) // or that of the server holds
	b, err := s.readHTTP(w, r, compression)
	if err != nil {
		return nil, err
	}
	_ = timeout.SetReadDeadline(time.Time{})
	m.admit(b.Len())
	return b, nil
}

// readHTTP reads and decompresses a body.
func (s *Server) readHTTP(w http.ResponseWriter, r *http.Request, compression string) (mem.Buffer, error) {
	wire := &countedReader{r: http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxRequestBytes))}
	defer func() { s.metrics.bytes.WithLabelValues("wire").Add(float64(wire.n)) }()
	var body io.Reader = wire
	var err error
	if c := encoding.GetCompressor(compression); c != nil {
		body, err = c.Decompress(wire)
	}
	var b mem.Buffer
	if err == nil {
		b, err = readBody(body, s.cfg.MaxRequestBytes)
		if closer, ok := body.(io.Closer); ok {
			_ = closer.Close() // it only goes back to its pool
		}
	}
	var larger *http.MaxBytesError
	switch {
	case err == nil:
		s.metrics.bytes.WithLabelValues("decoded").Add(float64(b.Len()))
		return b, nil
	case errors.Is(err, errTooLarge), errors.As(err, &larger), errors.Is(err, zstdgrpc.ErrTooLarge):
		return nil, s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, s.tooSlow()
	case r.Context().Err() != nil:
		s.metrics.batches.WithLabelValues("any", "canceled").Inc()
		return nil, status.FromContextError(r.Context().Err()).Err()
	}
	s.metrics.batches.WithLabelValues("any", "unreadable").Inc()
	answer, _ := s.toStatus(invalid("request", "cannot be read: %s", err))
	return nil, answer
}

// readBody reads all there is, at most so many bytes, into a buffer that grows with
// what has come: a length that a client gives says little.
func readBody(r io.Reader, most int) (mem.Buffer, error) {
	const first = 32 << 10
	b, n := bodies.Get(min(first, most)), 0
	for {
		if n == len(*b) {
			if n == most {
				// One byte more tells a body of exactly this size from a larger one.
				if k, err := io.ReadFull(r, make([]byte, 1)); k > 0 || err != io.EOF {
					bodies.Put(b)
					return nil, moreThanMost(k, err)
				}
				return mem.NewBuffer(b, bodies), nil
			}
			larger := bodies.Get(min(2*n, most))
			copy(*larger, *b)
			bodies.Put(b)
			b = larger
		}
		k, err := r.Read((*b)[n:])
		n += k
		if err == io.EOF {
			*b = (*b)[:n]
			return mem.NewBuffer(b, bodies), nil
		}
		if err != nil {
			bodies.Put(b)
			return nil, err
		}
	}
}

// moreThanMost returns the error of a body that did not end where it should.
func moreThanMost(read int, err error) error {
	if read > 0 {
		return errTooLarge
	}
	return err
}

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n int64
}

// Read implements [io.Reader].
func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
