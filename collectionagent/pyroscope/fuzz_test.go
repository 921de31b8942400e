// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/pyroscope"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// FuzzCalls sends bodies to all methods, as protocol buffers and as JSON.
func FuzzCalls(f *testing.F) {
	var paths []string
	for _, pattern := range pyroscope.Patterns() {
		if path, ok := strings.CutPrefix(pattern, "POST "); ok {
			paths = append(paths, path)
		}
	}
	for name, r := range recordedRequests(f) {
		body, err := hex.DecodeString(r.Body)
		if err != nil {
			f.Fatal(name, err)
		}
		for i, path := range paths {
			if path == r.Path {
				f.Add(body, uint8(i), r.Headers["Content-Type"] == "application/json") //nolint:gosec // a few
			}
		}
	}
	rig := newRig(f)
	f.Fuzz(func(t *testing.T, body []byte, method uint8, isJSON bool) {
		rig.tb = t
		media := "application/proto"
		if isJSON {
			media = "application/json"
		}
		hostile.Bound(t, len(body), 512, func() {
			req := httptest.NewRequest(http.MethodPost, paths[int(method)%len(paths)], strings.NewReader(string(body)))
			expectAnswer(t, rig.serve(req, "Content-Type", media))
		})
	})
}

// FuzzRender sends parameters to the older endpoints.
func FuzzRender(f *testing.F) {
	f.Add("query=process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"shop\"}&from=1795255200&until=1795255260&groupBy=service_name", uint8(0))
	f.Add("leftQuery=on_cpu&leftFrom=now-1h&rightQuery=on_cpu{}&rightUntil=now&max-nodes=10", uint8(1))
	f.Add("label=__name__", uint8(2))
	paths := []string{"/pyroscope/render", "/pyroscope/render-diff", "/pyroscope/label-values"}
	rig := newRig(f)
	f.Fuzz(func(t *testing.T, query string, path uint8) {
		rig.tb = t
		req := httptest.NewRequest(http.MethodGet, paths[int(path)%len(paths)], http.NoBody)
		req.URL.RawQuery = query
		hostile.Bound(t, len(query), 512, func() { expectAnswer(t, rig.serve(req)) })
	})
}

// expectAnswer expects an answer or an error that says why there is none.
func expectAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code == http.StatusOK {
		return
	}
	var e struct{ Code, Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" || w.Code >= 500 && w.Code != http.StatusNotImplemented {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
