// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// TestBadQuestions asks what has no answer. The error says what is wrong.
func TestBadQuestions(t *testing.T) {
	t.Parallel()
	many := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	for name, c := range map[string]struct {
		method, question string
		status           int
		code, message    string
	}{
		"no JSON":                     {"ProfileTypes", "{", 400, "invalid_argument", "the body is not a ProfileTypesRequest"},
		"a wrong type":                {"ProfileTypes", `{"start":"x"}`, 400, "invalid_argument", "the body is not a ProfileTypesRequest"},
		"large":                       {"ProfileTypes", `{"x":"` + strings.Repeat("x", 128<<10) + `"}`, 413, "resource_exhausted", "larger than 131072 bytes"},
		"no range":                    {"SelectMergeStacktraces", `{"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds"}`, 400, "invalid_argument", "start: is not before end"},
		"backwards":                   {"ProfileTypes", `{"start":2,"end":1}`, 400, "invalid_argument", "start: is not before end"},
		"before 1970":                 {"LabelNames", `{"start":-1,"end":1}`, 400, "invalid_argument", "start: expected milliseconds"},
		"nanoseconds":                 {"LabelNames", `{"start":1,"end":1795255200000000000}`, 400, "invalid_argument", "end: expected milliseconds"},
		"no type":                     {"SelectMergeStacktraces", "{" + minute + "}", 400, "invalid_argument", `profile_typeID: "" is no profile type`},
		"an unknown type":             {"SelectSeries", `{"profileTypeID":"a:b:c:d:e","step":1,` + minute + "}", 400, "invalid_argument", "ProfileTypes lists those"},
		"a selector":                  {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{a"}`, 400, "invalid_argument", "label_selector: found the end"},
		"a regular expression":        {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{a=~\"(\"}"}`, 400, "invalid_argument", "label_selector: regular expression of a"},
		"the second selector":         {"Series", `{"matchers":["{}","{"]}`, 400, "invalid_argument", "matchers[1]: found the end"},
		"many selectors":              {"LabelNames", `{"matchers":` + many(17, `"{}"`) + "}", 400, "invalid_argument", "matchers: more than 16"},
		"no label":                    {"LabelValues", "{}", 400, "invalid_argument", "name: expected the name of a label"},
		"many labels":                 {"Series", `{"labelNames":` + numbered(65) + "}", 400, "invalid_argument", "label_names: more than 64"},
		"DOT":                         {"SelectMergeStacktraces", "{" + cpu + `,"format":"PROFILE_FORMAT_DOT"}`, 501, "unimplemented", "PROFILE_FORMAT_DOT is not made here: ask for PROFILE_FORMAT_FLAMEGRAPH or PROFILE_FORMAT_PPROF"},
		"a tree":                      {"SelectMergeSpanProfile", "{" + cpu + `,"format":"PROFILE_FORMAT_TREE"}`, 501, "unimplemented", "format: PROFILE_FORMAT_TREE is not made here"},
		"a span as pprof":             {"SelectMergeSpanProfile", "{" + cpu + `,"format":"PROFILE_FORMAT_PPROF"}`, 501, "unimplemented", "format"},
		"a format to come":            {"SelectMergeStacktraces", "{" + cpu + `,"format":99}`, 501, "unimplemented", "format: 99"},
		"async":                       {"SelectMergeStacktraces", "{" + cpu + `,"async":{"type":"ASYNC_QUERY_TYPE_FORCE"}}`, 501, "unimplemented", "async"},
		"an async answer":             {"SelectMergeStacktraces", "{" + cpu + `,"async":{"requestId":"1"}}`, 501, "unimplemented", "async"},
		"for the compiler":            {"SelectMergeProfile", "{" + cpu + `,"stackTraceSelector":{"goPgo":{}}}`, 501, "unimplemented", "go_pgo"},
		"a long call site":            {"SelectSeries", "{" + cpu + `,"step":1,"stackTraceSelector":{"callSite":` + many(1025, "{}") + "}}", 400, "invalid_argument", "call_site: more than 1024"},
		"negative nodes":              {"SelectMergeStacktraces", "{" + cpu + `,"maxNodes":-1}`, 400, "invalid_argument", "max_nodes: expected"},
		"many nodes":                  {"Diff", `{"left":{` + cpu + `,"maxNodes":1000001},"right":{` + cpu + `}}`, 400, "invalid_argument", "-max-query-nodes"},
		"no span":                     {"SelectMergeSpanProfile", "{" + cpu + "}", 400, "invalid_argument", "span_selector: expected the ID"},
		"a short span":                {"SelectMergeSpanProfile", "{" + cpu + `,"spanSelector":["07"]}`, 400, "invalid_argument", "span_selector[0]: expected 16 hexadecimal digits"},
		"a zero trace":                {"SelectMergeStacktraces", "{" + cpu + `,"traceIdSelector":["` + strings.Repeat("0", 32) + `"]}`, 400, "invalid_argument", "trace_id_selector[0]: an ID of zeros"},
		"many spans":                  {"SelectMergeSpanProfile", "{" + cpu + `,"spanSelector":` + many(101, `"0707070707070707"`) + "}", 400, "invalid_argument", "span_selector: more than 100"},
		"a profile of another server": {"SelectMergeStacktraces", "{" + cpu + `,"profileIdSelector":["7c9e6679-7425-40de-944b-e07fc1f90ae7"]}`, 400, "invalid_argument", "profile_id_selector[0]: expected the ID"},
		"many profiles":               {"SelectMergeStacktraces", "{" + cpu + `,"profileIdSelector":` + many(101, `"`+shopProfile+`"`) + "}", 400, "invalid_argument", "profile_id_selector: more than 100"},
		"no step":                     {"SelectSeries", "{" + cpu + "}", 400, "invalid_argument", "step: expected seconds"},
		"a step of no number":         {"SelectHeatmap", "{" + cpu + `,"step":"NaN"}`, 400, "invalid_argument", "step: expected seconds"},
		"an endless step":             {"SelectHeatmap", "{" + cpu + `,"step":"Infinity"}`, 400, "invalid_argument", "step: expected seconds"},
		"many steps":                  {"SelectSeries", "{" + cpu + `,"step":0.001}`, 400, "invalid_argument", "step: makes more than"},
		"many groups":                 {"SelectSeries", "{" + cpu + `,"step":1,"groupBy":` + numbered(9) + "}", 400, "invalid_argument", "group_by: more than 8"},
		"a group of no name":          {"SelectHeatmap", "{" + cpu + `,"step":1,"groupBy":["a",""]}`, 400, "invalid_argument", "group_by[1]: expected"},
		"a negative limit":            {"SelectSeries", "{" + cpu + `,"step":1,"limit":-1}`, 400, "invalid_argument", "limit: expected"},
		"exemplars of another kind":   {"SelectHeatmap", "{" + cpu + `,"step":1,"exemplarType":"EXEMPLAR_TYPE_SPAN"}`, 400, "invalid_argument", "exemplar_type: is not of what"},
		"averages of long":            {"SelectSeries", `{"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds","start":1,"end":1795255260000,"step":3600000,"aggregation":1}`, 400, "invalid_argument", "aggregation: averages are"},
		"one side":                    {"Diff", `{"left":{` + cpu + "}}", 400, "invalid_argument", "right: is missing: both sides"},
		"a wrong side":                {"Diff", `{"left":{` + cpu + `},"right":{` + cpu + `,"labelSelector":"{a"}}`, 400, "invalid_argument", "right.label_selector: found the end"},
		"a side of many nodes":        {"Diff", `{"left":{` + cpu + `},"right":{` + cpu + `,"maxNodes":1000001}}`, 400, "invalid_argument", "right.max_nodes: expected"},
		"two types":                   {"Diff", `{"left":{` + cpu + `},"right":{"profileTypeID":"wall:wall:nanoseconds:wall:nanoseconds",` + minute + "}}", 400, "invalid_argument", "right.profile_typeID"},
		"two call sites":              {"Diff", `{"left":{` + cpu + `},"right":{` + cpu + `,"stackTraceSelector":{"callSite":[{"name":"main"}]}}}`, 400, "invalid_argument", "right.stack_trace_selector"},
		"an unknown analysis":         {"AnalyzeQuery", `{"query":"a:b{}"}`, 400, "invalid_argument", "query: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkError(t, newRig(t).call(c.method, c.question), c.status, c.code, c.message)
		})
	}
}

// numbered lists so many names.
func numbered(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("n%d", i)
	}
	text, _ := json.Marshal(names) //nolint:errchkjson // texts
	return string(text)
}

// checkError checks an error of the Connect protocol.
func checkError(t *testing.T, w *httptest.ResponseRecorder, status int, code, message string) {
	t.Helper()
	var e struct{ Code, Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Code != status || e.Code != code || !strings.Contains(e.Message, message) {
		t.Errorf("%d %s %q, want %d %s with %q", w.Code, e.Code, e.Message, status, code, message)
	}
}

// TestProtocol varies how a question is sent.
func TestProtocol(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	packed := func(text string) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write([]byte(text))
		_ = z.Close()
		return out.String()
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		message string
	}{
		"another content type":  {"{}", []string{"Content-Type", "text/plain"}, 415, `"text/plain" is not read: send application/proto or application/json`},
		"a stream":              {"{}", []string{"Content-Type", "application/connect+json"}, 415, "is not read"},
		"another encoding":      {"{}", []string{"Content-Encoding", "br"}, 415, `Content-Encoding "br" is not read: send gzip`},
		"no gzip":               {"{}", []string{"Content-Encoding", "gzip"}, 400, "cannot be read"},
		"half of it":            {packed("{}")[:12], []string{"Content-Encoding", "gzip"}, 400, "cannot be read"},
		"a bomb":                {packed(strings.Repeat(" ", 1<<20)), []string{"Content-Encoding", "gzip"}, 413, "larger than"},
		"no protocol buffer":    {"\xff", []string{"Content-Type", "application/proto"}, 400, "is not a GetProfileStatsRequest"},
		"another version":       {"{}", []string{"Connect-Protocol-Version", "2"}, 400, "expected 1"},
		"no time":               {"{}", []string{"Connect-Timeout-Ms", "soon"}, 400, "expected up to 10 digits"},
		"much time":             {"{}", []string{"Connect-Timeout-Ms", "10000000000000"}, 400, "expected up to 10 digits"},
		"a time that is over":   {"{}", []string{"Connect-Timeout-Ms", "0"}, 504, "Connect-Timeout-Ms"},
		"with a charset":        {"{}", []string{"Content-Type", "application/json; charset=utf-8"}, 200, ""},
		"in time":               {"{}", []string{"Connect-Timeout-Ms", "60000", "Connect-Protocol-Version", "1"}, 200, ""},
		"gzip":                  {packed("{}"), []string{"Content-Encoding", "gzip"}, 200, ""},
		"an empty buffer":       {"", []string{"Content-Type", "application/proto"}, 200, ""},
		"an empty packed one":   {"", []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}, 200, ""},
		"fields that are newer": {`{"new":1}`, nil, 200, ""},
	} {
		w := r.call("GetProfileStats", c.body, c.headers...)
		var e struct{ Message string }
		if err := json.Unmarshal(w.Body.Bytes(), &e); c.status != http.StatusOK && err != nil {
			t.Errorf("%s: %v: %s", name, err, w.Body)
		}
		if w.Code != c.status || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s: %d %s, want %d with %q", name, w.Code, w.Body, c.status, c.message)
		}
	}
	// What is large is packed where the client takes that.
	large := "{" + cpu + `,"format":"PROFILE_FORMAT_PPROF"}`
	plain := r.call("SelectMergeStacktraces", large)
	w := r.call("SelectMergeStacktraces", large, "Accept-Encoding", "br, gzip;q=0.5")
	if w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("not packed: %v", w.Header())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(z); err != nil || out.String() != plain.Body.String() {
		t.Errorf("%v: packed it is another answer", err)
	}
	if w := r.call("SelectMergeStacktraces", large, "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("packed for who does not take it")
	}
}

// TestNobody asks without having passed a guard.
func TestNobody(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "/querier.v1.QuerierService/ProfileTypes", strings.NewReader("{}"))
	req.Header.Set("Content-Type", "application/json")
	newRig(t).handler.ServeHTTP(w, req)
	checkError(t, w, 403, "permission_denied", "not known who asks")
}

// TestNoMemory asks a server that has none.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *api.Config) { c.Memory = memory.NewBudget("-query-memory", 1<<10, 0) })
	for method, question := range map[string]string{
		"SelectMergeStacktraces": "{" + cpu + "}",
		"SelectMergeProfile":     "{" + cpu + "}",
		"Diff":                   `{"left":{` + cpu + `},"right":{` + cpu + `}}`,
	} {
		checkError(t, r.call(method, question), 422, "resource_exhausted", "-query-memory")
	}
}

// TestGone asks for somebody who has left.
func TestGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRig(t)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/querier.v1.QuerierService/ProfileTypes", strings.NewReader("{}"))
	req.Header.Set("Content-Type", "application/json")
	if w := r.serve(req); w.Code != 499 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
