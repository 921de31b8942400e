// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/strobe-profiler/strobe/proto/pyroscope/querier"
	"github.com/strobe-profiler/strobe/support/golden"
)

// recorded is a request that a client of Pyroscope's definitions sent, and what it is answered.
type recorded struct {
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`  // in hexadecimal digits
	Means   json.RawMessage   `json:"means"` // the message as JSON, of its own definitions
}

// recordedRequests returns the requests by their names.
func recordedRequests(tb testing.TB) map[string]*recorded {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "requests", "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatal("no recorded requests", err)
	}
	out := map[string]*recorded{}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // of this package
		if err != nil {
			tb.Fatal(err)
		}
		r := &recorded{}
		if err := json.Unmarshal(text, r); err != nil {
			tb.Fatal(file, err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".json")] = r
	}
	return out
}

// TestLayout decodes recorded requests with the definitions here: nothing of them is unknown, they mean
// the same, and they are encoded to the same bytes.
func TestLayout(t *testing.T) {
	t.Parallel()
	methods := querier.File_pyroscope_querier_querier_proto.Services().ByName("QuerierService").Methods()
	seen := map[protoreflect.Name]bool{}
	for name, r := range recordedRequests(t) {
		body, err := hex.DecodeString(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		method := methods.ByName(protoreflect.Name(filepath.Base(r.Path)))
		if method == nil {
			t.Fatalf("%s: no method %s", name, r.Path)
		}
		means := dynamicpb.NewMessage(method.Input())
		if err := protojson.Unmarshal(r.Means, means); err != nil {
			t.Fatal(name, err)
		}
		if r.Headers["Content-Type"] != "application/proto" || r.Headers["Content-Encoding"] != "" {
			continue
		}
		m := dynamicpb.NewMessage(method.Input())
		if err := proto.Unmarshal(body, m); err != nil {
			t.Fatal(name, err)
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil || !bytes.Equal(again, body) || !proto.Equal(m, means) {
			t.Errorf("%s: %v: %x, sent was %x: %s", name, err, again, body, r.Means)
		}
		seen[method.Name()] = true
	}
	for i := range methods.Len() {
		if name := methods.Get(i).Name(); !seen[name] {
			t.Errorf("no request to %s was recorded", name)
		}
	}
}

// TestRecorded sends what a client made of Pyroscope's own definitions sent, and expects the answers that
// those definitions were found to read, byte by byte.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for name, r := range recordedRequests(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := hex.DecodeString(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			send := func(body []byte, headers map[string]string) *httptest.ResponseRecorder {
				req := httptest.NewRequest(http.MethodPost, r.Path, bytes.NewReader(body))
				for key, value := range headers {
					req.Header.Set(key, value)
				}
				req.Header.Del("Accept-Encoding") // the answers are kept as they are
				return newRig(t).serve(req)
			}
			w := send(body, r.Headers)
			file := filepath.Join("testdata", "answers", name+".hex")
			got := hex.EncodeToString(w.Body.Bytes()) + "\n"
			golden.Equal(t, file, got) // testdata/README.md says how they are checked
			if r.Means == nil || w.Code != http.StatusOK {
				return
			}
			// As JSON the question is the same, so it has the same answer.
			asText := map[string]string{"Content-Type": "application/json"}
			if accept, ok := r.Headers["Accept"]; ok {
				asText["Accept"] = accept
			}
			same := send(r.Means, asText)
			if isJSON := r.Headers["Content-Type"] == "application/json"; same.Code != http.StatusOK || isJSON && same.Body.String() != w.Body.String() {
				t.Errorf("as JSON: %d %s", same.Code, same.Body)
			}
		})
	}
}
