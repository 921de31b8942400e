// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// answer is a complete answer. It is sent only when it is whole, so that an
// error on the way can still become a status.
type answer struct {
	status      int // 0: 200
	contentType string
	fileName    string // to save as, "" for none
	summary     string // JSON, "" for none
	body        []byte
	// packed says that the body is compressed in itself.
	packed bool
}

// jsonAnswer returns the answer that holds a value as JSON.
func jsonAnswer(v any) (*answer, error) {
	body, err := encode(v)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: "application/json", body: body}, nil
}

// minCompress is the size from which on a body is worth compressing.
const minCompress = 1 << 10

// send writes the answer, compressed as the client asks for.
func (a *answer) send(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if a.fileName != "" {
		h.Set("Content-Disposition", `attachment; filename="`+a.fileName+`"`)
	}
	if a.summary != "" {
		h.Set(summaryHeader, a.summary)
	}
	encoding := ""
	if !a.packed {
		h.Set("Vary", "Accept-Encoding")
		if len(a.body) >= minCompress {
			encoding = chooseEncoding(r.Header.Values("Accept-Encoding"))
		}
	}
	if encoding == "" {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	} else {
		h.Set("Content-Encoding", encoding)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if err := compress(w, encoding, a.body); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	return nil
}

// compress writes a body in an encoding, "" for none.
func compress(w io.Writer, encoding string, body []byte) error {
	var out io.WriteCloser
	var err error
	switch encoding {
	case "zstd":
		out, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	case "gzip":
		out, err = gzip.NewWriterLevel(w, gzip.BestSpeed)
	default:
		_, err = w.Write(body)
		return err
	}
	if err != nil {
		return err
	}
	if _, err := out.Write(body); err != nil {
		return err
	}
	return out.Close()
}

// chooseEncoding returns the encoding to use for an Accept-Encoding header: the
// one with the highest weight, zstd before gzip, "" for none.
func chooseEncoding(headers []string) string {
	weights := map[string]float64{}
	for _, header := range headers {
		for item := range strings.SplitSeq(header, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			weight := 1.0
			if q, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
				var err error
				if weight, err = strconv.ParseFloat(q, 64); err != nil {
					weight = 0
				}
			}
			weights[strings.ToLower(strings.TrimSpace(name))] = weight
		}
	}
	best, bestWeight := "", 0.0
	for _, name := range []string{"zstd", "gzip"} {
		weight, ok := weights[name]
		if !ok {
			weight = weights["*"]
		}
		if weight > bestWeight {
			best, bestWeight = name, weight
		}
	}
	return best
}
