// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// fetch returns the profile that an endpoint answers with, decompressed. take is asked
// for memory before anything is read into it.
func fetch(ctx context.Context, s *spec, limit int64, take func(int64) error) ([]byte, error) {
	answer, err := s.client.get(ctx, s.url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	if answer.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body, err := readAll(answer, limit, take)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, explain(err, "") // the body is not quoted
	}
	return body, nil
}

func tooLarge(limit int64) error {
	return &failure{"too_large", fmt.Errorf("the answer has more than %d bytes, which body_size_limit or -max-request-bytes allows", limit)}
}

// readAll reads an answer and takes it out of its compression, of HTTP and of pprof.
func readAll(answer *http.Response, limit int64, take func(int64) error) ([]byte, error) {
	var in io.Reader = answer.Body
	switch encoding := strings.ToLower(answer.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		zr, err := gzip.NewReader(in)
		if err != nil {
			return nil, unzipFailure(err)
		}
		in = zr
	default:
		return nil, &failure{"encoding", errors.New("the answer has a Content-Encoding that was not asked for")}
	}
	body, err := readBounded(in, limit, take)
	if err != nil || !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, err
	}
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, unzipFailure(err)
	}
	plain, err := readBounded(zr, limit, take)
	if errors.Is(err, io.ErrUnexpectedEOF) { // of the body itself it is the connection's
		err = unzipFailure(err)
	}
	return plain, err
}

func unzipFailure(err error) error {
	return &failure{"invalid", fmt.Errorf("decompress the answer: %w", err)}
}

// readBounded reads up to limit bytes into memory that was taken.
func readBounded(in io.Reader, limit int64, take func(int64) error) ([]byte, error) {
	const first = 32 << 10
	var b []byte
	for {
		if len(b) == cap(b) {
			size := min(max(2*int64(cap(b)), first), limit+1) // one more than allowed tells that there are more
			if err := take(size); err != nil {
				return nil, err
			}
			b = append(make([]byte, 0, size), b...)
		}
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return b, nil
		case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
			return nil, unzipFailure(err)
		case err != nil:
			if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
				err = unzipFailure(err)
			}
			return nil, err
		}
	}
}
