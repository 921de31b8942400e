// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestRanges asks every endpoint about a second and about a year.
func TestRanges(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	for _, e := range endpoints() {
		for _, from := range []string{"now-1s", "now-15m", "now-30d", "now-365d"} {
			values := url.Values{"from": {from}}
			for _, name := range e.parameters {
				if name == "function" {
					values.Set(name, `{function="work"}`)
				}
			}
			if e.name == "hosts" || e.name == "targets" || e.name == "status" || e.name == "openapi" {
				values = nil
			}
			target := strings.ReplaceAll(e.path, "{name}", "service") + "?" + values.Encode()
			w := get(t, h, target)
			if w.Code != http.StatusOK {
				t.Errorf("%s: status %d: %s", target, w.Code, w.Body)
				continue
			}
			text := w.Header().Get(summaryHeader)
			if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
				text = w.Body.String()
			}
			switch e.name {
			case "types", "labels", "label_values", "hosts", "ledger", "targets", "status", "openapi":
				continue
			}
			var s struct {
				Total, Samples *int64
				Coverage       *coverage
			}
			if err := json.Unmarshal([]byte(text), &s); err != nil || s.Total == nil || s.Samples == nil || s.Coverage == nil {
				t.Errorf("%s does not say what it was made from: %v, %.200s", target, err, text)
			} else if s.Coverage.ResolutionMs != 1 || (*s.Samples > 0) != (s.Coverage.ToMs > s.Coverage.FromMs) {
				t.Errorf("%s: %d samples, coverage %+v", target, *s.Samples, *s.Coverage)
			}
		}
	}
}
