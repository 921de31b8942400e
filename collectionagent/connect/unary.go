// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Read reads the body of a call, of at most limit bytes before and after it is unpacked. [Decode] makes a message
// of it. Its errors are an [*Error].
func Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	media := Media(r)
	if media != TypeProto && media != TypeJSON {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Message: fmt.Sprintf("Content-Type %.60q is not read: send %s or %s", media, TypeProto, TypeJSON)}
	}
	return body(w, r, limit)
}

// Decode makes a message of the body of a call, which may take some fifty times as much memory. Fields that are not
// known are left out.
func Decode(r *http.Request, data []byte, m proto.Message) error {
	var err error
	if Media(r) == TypeProto {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	} else {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	}
	if err != nil {
		// The decoders vary the spaces of their errors, so that nobody depends on them.
		text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
		return fmt.Errorf("the body is not a %s: %.200s", m.ProtoReflect().Descriptor().Name(), text)
	}
	return nil
}

// body reads the body of a request and unpacks it.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the request is larger than %d bytes", limit)}
	var from io.Reader = http.MaxBytesReader(w, r.Body, limit)
	switch encoding := r.Header.Get("Content-Encoding"); {
	case encoding == "" || strings.EqualFold(encoding, "identity"):
	case strings.EqualFold(encoding, "gzip"):
		unpacked, err := gzip.NewReader(from)
		if errors.Is(err, io.EOF) { // an empty message need not be packed
			return nil, nil
		}
		if err != nil {
			return nil, broken(err, tooLarge)
		}
		from = unpacked
	default:
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Message: fmt.Sprintf("Content-Encoding %.60q is not read: send gzip, or leave it out", encoding)}
	}
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, broken(err, tooLarge)
	}
	if int64(len(data)) > limit {
		return nil, tooLarge
	}
	return data, nil
}

// broken returns the error for a body that could not be read.
func broken(err error, tooLarge *Error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("the body cannot be read: %.200s", err)}
}

// minCompress is the size from which on a message is worth packing.
const minCompress = 1 << 10

// Encode returns a message in the form that a request has.
func Encode(r *http.Request, m proto.Message) ([]byte, error) {
	if Media(r) == TypeProto {
		return proto.Marshal(m)
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	// The encoder varies its spaces, so that nobody depends on them; answers are to be comparable.
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Answer sends an encoded message of a content type, gzipped where the client takes that.
func Answer(w http.ResponseWriter, r *http.Request, contentType string, data []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if len(data) >= minCompress && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		out, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return fmt.Errorf("pack answer: %w", err)
		}
		if _, err := out.Write(data); err != nil {
			return fmt.Errorf("send answer: %w", err)
		}
		return out.Close()
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	return nil
}

// takesGzip reports whether a client says that it takes gzip.
func takesGzip(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(header, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			weight := strings.TrimSpace(parameters)
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && weight != "q=0" && !strings.HasPrefix(weight, "q=0.0") {
				return true
			}
		}
	}
	return false
}

// maxTimeoutDigits bounds how long a client says that it waits, in milliseconds.
const maxTimeoutDigits = 10

// WithTimeout returns a context that ends when the client says that it stops waiting.
func WithTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.Header.Get("Connect-Timeout-Ms")
	if text == "" {
		return r.Context(), func() {}, nil
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > maxTimeoutDigits {
		return nil, nil, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("Connect-Timeout-Ms: expected up to %d digits", maxTimeoutDigits)}
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(ms)*time.Millisecond) //nolint:gosec // ten digits
	return ctx, cancel, nil
}

// CheckVersion checks the version of the protocol that a request says it speaks.
func CheckVersion(r *http.Request) error {
	if v := r.Header.Get("Connect-Protocol-Version"); v != "" && v != "1" {
		return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("Connect-Protocol-Version: %.20q is not spoken here: expected 1", v)}
	}
	return nil
}
