// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/hostile"
)

// answerFactor is how many bytes an answer may allocate for each byte of its
// request; regular expressions take the most.
const answerFactor = 1 << 10

// ask sends a request and checks the answer: it is one of few codes, and an error
// says what is wrong in JSON.
func ask(t *testing.T, h http.Handler, r *http.Request, size int) {
	t.Helper()
	hostile.Bound(t, size, answerFactor, func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Header().Get("Content-Encoding") != "" || r.Method == http.MethodHead {
			return
		}
		switch w.Code {
		case http.StatusOK:
			if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("answer is not JSON: %q", w.Body)
			}
			return
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect: // the router cleans paths
			return
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
			http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if w.Header().Get("X-Go-Pprof") != "" {
			return
		}
		var e struct{ Error requestError }
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error.Message == "" {
			t.Errorf("status %d: error does not say what is wrong: %v, %s", w.Code, err, w.Body)
		}
		// The handler reads the parameters of a copy of the request.
		if e.Error.Position < 0 || e.Error.Position > max(size, len(r.URL.Path), len(r.URL.RawQuery)) {
			t.Errorf("position %d of parameter %s in %q", e.Error.Position, e.Error.Parameter, r.URL.RawQuery)
		}
	})
}

// query asks with parameters; those that are empty are left out.
func fuzzQuery(t *testing.T, h http.Handler, path string, parameters ...string) {
	t.Helper()
	values, size := url.Values{}, len(path)
	for i := 0; i < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			values.Set(parameters[i], parameters[i+1])
			size += len(parameters[i+1])
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/", nil)
	r.Header.Set("Accept", "*/*")
	r.URL.Path += path
	r.URL.RawQuery = values.Encode()
	ask(t, h, r, size)
}

// The targets have one text for each parameter of their endpoint, so that what the
// fuzzer finds out about one is kept while it changes another.

func FuzzFlameGraph(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add(`{service="shop"}`, "now-1d", "now", "off_cpu", "3", "service,pod", "interpreter")
	f.Add(`{comm=~"w.*"}`, "2026-11-21T09:00:00Z", "1795255200123", "on_cpu", "", "", "")
	f.Fuzz(func(t *testing.T, query, from, to, typ, nodes, groupBy, fold string) {
		fuzzQuery(t, h, "flamegraph", "query", query, "from", from, "to", to, "type", typ,
			"max_nodes", nodes, "group_by", groupBy, "fold", fold)
	})
}

func FuzzTop(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add(`{service="shop"}`, "now-1d", "now", "on_cpu", "6", "total", "interpreter")
	f.Add(`{a!~"x"}`, "0", "9183110399", "", "", "self", "")
	f.Fuzz(func(t *testing.T, query, from, to, typ, limit, sort, fold string) {
		fuzzQuery(t, h, "top", "query", query, "from", from, "to", to, "type", typ, "limit", limit, "sort", sort, "fold", fold)
	})
}

func FuzzFolded(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add(`{service="shop"}`, "now-1d", "now", "on_cpu", "comm")
	f.Fuzz(func(t *testing.T, query, from, to, typ, groupBy string) {
		fuzzQuery(t, h, "folded", "query", query, "from", from, "to", to, "type", typ, "group_by", groupBy)
	})
}

func FuzzPprof(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("", "now-1d", "", "on_cpu", "comm,host", "5")
	f.Add(`{pod!=""}`, "", "now", "", "", "31622400")
	f.Fuzz(func(t *testing.T, query, from, to, typ, groupBy, seconds string) {
		fuzzQuery(t, h, "pprof", "query", query, "from", from, "to", to, "type", typ, "group_by", groupBy, "seconds", seconds)
	})
}

func FuzzTimeline(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add(`{service=~".+"}`, "now-1d", "now", "on_cpu", "1m", "service", "5")
	f.Add("", "0", "9183110399", "", "366d", "", "")
	f.Fuzz(func(t *testing.T, query, from, to, typ, step, by, limit string) {
		fuzzQuery(t, h, "timeline", "query", query, "from", from, "to", to, "type", typ, "step", step, "by", by, "limit", limit)
	})
}

func FuzzStacks(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("flamegraph", `{function="work"} !{kind="kernel"}`, "_start;main", `{function*="ma"}`, `{file^="/usr"}`, "interpreter", "")
	f.Add("sandwich", "", "", "", "", "", `{function=~"w.*",binary="app"}`)
	f.Add("lines", "", "", "", "", "", `{function="main"}`)
	f.Fuzz(func(t *testing.T, path, frames, callSite, showFrom, hide, fold, function string) {
		if path != "sandwich" && path != "lines" {
			path = "flamegraph"
		}
		fuzzQuery(t, h, path, "frames", frames, "call_site", callSite, "show_from", showFrom, "hide", hide, "fold", fold, "function", function)
	})
}

func FuzzDiff(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add(`{service="shop"}`, "now-1d", "now", `{service="cron"}`, "now-2d", "now-1d", "true", "service", "total", "5")
	f.Fuzz(func(t *testing.T, query, from, to, baseQuery, baseFrom, baseTo, normalize, groupBy, sort, limit string) {
		fuzzQuery(t, h, "diff", "query", query, "from", from, "to", to, "base_query", baseQuery, "base_from", baseFrom, "base_to", baseTo,
			"normalize", normalize, "group_by", groupBy, "sort", sort, "limit", limit, "max_nodes", limit)
	})
}

func FuzzHeatmap(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("now-1h", "now", "time", "1m", "60", `{function="work"}`)
	f.Add("0", "9183110399", "value", "366d", "", "")
	f.Fuzz(func(t *testing.T, from, to, by, column, rows, frames string) {
		fuzzQuery(t, h, "heatmap", "from", from, "to", to, "by", by, "column", column, "rows", rows, "frames", frames)
	})
}

func FuzzTracks(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("now-1h", "now", "tid", "5s", "60", `{function="work"}`, "9")
	f.Add("0", "9183110399", "app.kubernetes.io/name", "366d", "", "", "")
	f.Fuzz(func(t *testing.T, from, to, by, step, limit, frames, nodes string) {
		fuzzQuery(t, h, "tracks", "from", from, "to", to, "by", by, "step", step, "limit", limit, "frames", frames, "max_nodes", nodes)
	})
}

func FuzzExemplars(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("ab000000000000000000000000000004", "cd00000000000004", "spread", "5", "now-1d")
	f.Fuzz(func(t *testing.T, trace, span, order, limit, from string) {
		fuzzQuery(t, h, "exemplars", "trace_id", trace, "span_id", span, "order", order, "limit", limit, "from", from)
	})
}

func FuzzSeries(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("service,pod", "5", "now-1d", `{function="work"}`)
	f.Fuzz(func(t *testing.T, labels, limit, from, frames string) {
		fuzzQuery(t, h, "series", "labels", labels, "limit", limit, "from", from, "frames", frames)
	})
}

func FuzzLabels(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add(`{service="shop"}`, "now-1d", "now", "on_cpu")
	f.Fuzz(func(t *testing.T, query, from, to, typ string) {
		fuzzQuery(t, h, "labels", "query", query, "from", from, "to", to, "type", typ)
	})
}

func FuzzLabelValues(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	f.Add("service", `{service="shop"}`, "now-1d", "now", "on_cpu", "9")
	f.Add("a/b", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, name, query, from, to, typ, limit string) {
		fuzzQuery(t, h, "labels/"+name+"/values", "query", query, "from", from, "to", to, "type", typ, "limit", limit)
	})
}

// FuzzRequest sends anything as method, path, headers and body.
func FuzzRequest(f *testing.F) {
	h := newTestHandler(f, testStore(f))
	const form = "application/x-www-form-urlencoded"
	f.Add("POST", "flamegraph", "", form, "", "*/*", "gzip;q=1,zstd", `query={service="shop"}&max_nodes=3`)
	f.Add("GET", "timeline", "by=service&step=1m&from=now-1d", "", "", "", "", "")
	f.Add("POST", "pprof", "seconds=5&group_by=comm", form+"; charset=utf-8", "", "", "", "type=off_cpu")
	f.Add("POST", "top", "", form, "gzip", "", "", "\x1f\x8b\x08")
	f.Add("DELETE", "labels/../status", "a;b=%zz", "text/plain", "", "", "*;q=NaN", "")
	f.Fuzz(func(t *testing.T, method, path, query, contentType, contentEncoding, accept, acceptEncoding, body string) {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/", strings.NewReader(body))
		r.Method, r.URL.RawQuery = method, query
		r.URL.Path += path
		for name, value := range map[string]string{
			"Content-Type": contentType, "Content-Encoding": contentEncoding, "Accept": accept, "Accept-Encoding": acceptEncoding,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		ask(t, h, r, len(path)+len(query)+len(body))
	})
}

// TestFormBombs sends forms that are compressed or too large: they are not read.
func TestFormBombs(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 64 {
		_, _ = w.Write(make([]byte, 1<<20))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		encoding string
		body     []byte
		status   int
	}{
		"gzip":         {"gzip", bomb.Bytes(), http.StatusUnsupportedMediaType},
		"zstd":         {"zstd", nil, http.StatusUnsupportedMediaType},
		"identity":     {"identity", []byte("type=on_cpu"), http.StatusOK},
		"too large":    {"", bytes.Repeat([]byte("a=b&"), 1<<20), http.StatusRequestEntityTooLarge},
		"many fields":  {"", bytes.Repeat([]byte("&"), maxFormBytes/2), http.StatusBadRequest},
		"many of them": {"", []byte(strings.Repeat("query=&", 1000)), http.StatusBadRequest},
	} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/top", bytes.NewReader(test.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if test.encoding != "" {
			r.Header.Set("Content-Encoding", test.encoding)
		}
		a := httptest.NewRecorder()
		h.ServeHTTP(a, r)
		if a.Code != test.status {
			t.Errorf("%s: status %d, want %d: %s", name, a.Code, test.status, a.Body)
		}
	}
}

// TestRegexpBombs asks with expressions that compile to millions of steps.
func TestRegexpBombs(t *testing.T) {
	h := newTestHandler(t, testStore(t))
	for _, expression := range []string{
		strings.Repeat("a{1000}", 1000), "(a{30}){30}b{1000}{0,9}", strings.Repeat("(", 500) + "a" + strings.Repeat(")+", 500) + "{1000}",
		strings.Repeat(`\pL`, 5000), strings.Repeat("(?:x{0,999}|y)", 100),
	} {
		selector := `{service=~"` + strings.ReplaceAll(expression, `\`, `\\`) + `"}`
		target := "/api/v1/labels?query=" + url.QueryEscape(selector)
		hostile.Bound(t, len(selector), 8<<10, func() {
			if w := get(t, h, target); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"parameter":"query"`) {
				t.Errorf("%.40s: status %d %s", expression, w.Code, w.Body)
			}
		})
	}
	long := strings.Repeat("pod-with-a-long-name-0123456789|", 500)
	if w := get(t, h, "/api/v1/labels?query="+url.QueryEscape(`{pod=~"`+long+`"}`)); w.Code != http.StatusOK {
		t.Errorf("500 names: status %d %s", w.Code, w.Body)
	}
}
