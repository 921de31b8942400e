// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/golden"
)

func newTestHandler(tb testing.TB, s store.Store) http.Handler {
	tb.Helper()
	return letIn(New(Config{
		Store: runStore{s}, Fleet: testFleet{}, Receipts: testReceipts{}, Targets: testTargets{}, Version: "1.2.3",
		Started: testNow.Add(-2 * time.Hour), Retention: testRetention(), MaxConcurrent: 16,
		Now: func() time.Time { return testNow },
	}))
}

// letIn returns the handler behind a guard that lets everybody in.
func letIn(h http.Handler) http.Handler { return letInAs(h, auth.Anonymous()) }

func letInAs(h http.Handler, who *auth.Principal) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), who)))
	})
}

// get asks a handler and returns its answer.
func get(tb testing.TB, h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Accept", "*/*")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	for name, target := range map[string]string{
		"flamegraph.json":         "flamegraph",
		"flamegraph_grouped.json": "flamegraph?group_by=service,pod&max_nodes=9",
		"flamegraph_off_cpu.json": `flamegraph?type=off_cpu&query={service="shop"}`,
		"flamegraph_empty.json":   `flamegraph?query={service="nobody"}`,
		"flamegraph_line.json":    `flamegraph?level=line&query={comm="worker"}`,
		"flamegraph_file.json":    "flamegraph?level=file",
		"flamegraph_binary.json":  "flamegraph?level=binary",
		"error_level.json":        "flamegraph?level=address",
		"top.json":                "top?limit=6",
		"top_total.json":          "top?limit=3&sort=total",
		"folded.txt":              "folded",
		"folded_comm.txt":         `folded?group_by=comm&query={comm=~"w.*"}`,
		"timeline.json":           "timeline?by=service&step=1m&from=now-5m",
		"timeline_other.json":     "timeline?by=pod&step=2m&limit=1",
		"timeline_all.json":       "timeline?step=5m&from=2026-11-21T09:50:00Z&to=1795255200000",
		"flamegraph_frames.json":  `flamegraph?frames={function="main"} !{kind="kernel"}&hide={function^="vector"}&show_from={function*="ma"}`,
		"flamegraph_site.json":    `flamegraph?call_site=_start%3Bmain%3Bwork`,
		"flamegraph_trace.json":   "flamegraph?trace_id=ab000000000000000000000000000004,ab000000000000000000000000000007",
		"timeline_frames.json":    `timeline?by=service&step=5m&frames={function="work"}`,
		"diff.json":               "diff?from=now-3m&max_nodes=12&limit=4",
		"diff_normal.json":        `diff?normalize=true&sort=total&base_query={service="cron"}&group_by=service&max_nodes=6&limit=2`,
		"sandwich.json":           `sandwich?function={function="work"}`,
		"lines.json":              `lines?function={function*="ma"}`,
		"heatmap.json":            "heatmap?from=now-6m&column=1m&rows=6",
		"heatmap_values.json":     "heatmap?by=value&column=5m",
		"tracks.json":             "tracks?from=now-6m&limit=1",
		"tracks_service.json":     `tracks?by=service&step=1m&max_nodes=3&frames={function="work"}`,
		"tracks_empty.json":       `tracks?query={service="nobody"}`,
		"error_tracks_step.json":  "tracks?step=1ms",
		"error_tracks_by.json":    "tracks?by=tid&by=cpu",
		"error_tracks_limit.json": "tracks?limit=1001",
		"exemplars.json":          "exemplars?limit=2",
		"exemplars_spread.json":   `exemplars?order=spread&limit=3&frames={function="work"}`,
		"totals.json":             "totals",
		"totals_frames.json":      `totals?frames={function="main"}`,
		"types.json":              "types",
		"series.json":             "series?labels=service,pod",
		"series_all.json":         "series?limit=1",
		"values_prefix.json":      "labels/service/values?prefix=sh",
		"values_frames.json":      `labels/service/values?frames={function="main"}`,
		"error_frames.json":       `top?frames={function~"x"}`,
		"error_call_site.json":    "top?call_site=a%3B%3Bb",
		"error_show_from.json":    `folded?show_from={color="red"}`,
		"error_hide.json":         `pprof?hide=!{function="x"}`,
		"error_trace.json":        "top?trace_id=ab000000000000000000000000000004,abc",
		"error_span.json":         "top?span_id=0000000000000000",
		"error_function.json":     "sandwich",
		"error_normalize.json":    "diff?normalize=maybe",
		"error_base.json":         "diff?base_from=now&base_to=now-1h",
		"error_by.json":           "heatmap?by=host",
		"error_rows.json":         "heatmap?column=1s&rows=300",
		"error_rows_values.json":  "heatmap?by=value&rows=300",
		"error_column.json":       "heatmap?column=10ms&rows=1",
		"error_exemplars.json":    "exemplars?order=smallest",
		"error_series.json":       "series?labels=a,a",
		"labels.json":             "labels",
		"values.json":             "labels/service/values",
		"values_limit.json":       "labels/service/values?limit=1",
		"values_quoted.json":      "labels/app.kubernetes.io%2Fname/values",
		"status.json":             "status",
		"executables.json":        "executables",
		"executables_self.json":   "executables?sort=self&limit=1",
		"executables_frames.json": `executables?sort=unnamed&frames={function="main"}&hide={function^="vector"}`,
		"events.json":             "events",
		"events_limit.json":       `events?limit=1&frames={function*="vfs"}&from=now-1h`,
		"events_none.json":        `events?query={service="nobody"}`,
		"error_sort.json":         "executables?sort=name",
		"error_limit.json":        "executables?limit=0",
		"error_events_type.json":  "events?type=on_cpu",
		"error_events_limit.json": "events?limit=10001",
		"ledger.json":             "ledger?from=now-1h",
		"ledger_sums.json":        "ledger?limit=0",
		"ledger_before.json":      "ledger?limit=0&from=now-1d&to=now-90m",
		"hosts.json":              "hosts",
		"hosts_limit.json":        "hosts?limit=1",
		"error_hosts.json":        "hosts?from=now-1h",
		"error_ledger.json":       "ledger?limit=-1",
		"error_ledger_order.json": "ledger?from=now&to=now-1h",
		"error_query.json":        `flamegraph?query={service="x",comm=~"a("}`,
		"error_time.json":         "top?from=now-5x",
		"error_parameter.json":    "folded?max_nodes=5",
		"error_number.json":       "flamegraph?max_nodes=0",
		"error_order.json":        "top?from=now&to=now-1h",
		"error_endpoint.json":     "nothing",
		"error_group.json":        "flamegraph?group_by=service,,pod",
		"error_step.json":         "timeline?step=1ms",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := h
			if target == "status" { // says how many questions are worked on
				h = newTestHandler(t, testStore(t))
			}
			path, parameters, _ := strings.Cut(target, "?")
			values, err := url.ParseQuery(parameters)
			if err != nil {
				t.Fatal(err)
			}
			w := get(t, h, "/api/v1/"+path+"?"+values.Encode())
			wantStatus := http.StatusOK
			switch {
			case name == "error_endpoint.json":
				wantStatus = http.StatusNotFound
			case strings.HasPrefix(name, "error"):
				wantStatus = http.StatusBadRequest
			}
			if w.Code != wantStatus {
				t.Errorf("status %d instead of %d", w.Code, wantStatus)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
			body := w.Body.Bytes()
			if strings.HasSuffix(name, ".json") {
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, body, "", " "); err != nil {
					t.Fatalf("%v in %s", err, body)
				}
				body = pretty.Bytes()
			}
			golden.Equal(t, filepath.Join("testdata", name), body)
		})
	}
}

func TestPprof(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	w := get(t, h, "/api/v1/pprof", "Accept-Encoding", "gzip")
	if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "" {
		t.Fatalf("status %d, encoding %q", w.Code, w.Header().Get("Content-Encoding"))
	}
	if got, want := w.Header().Get("Content-Disposition"), `attachment; filename="strobe-on_cpu-20261121T094500Z.pb.gz"`; got != want {
		t.Errorf("Content-Disposition %s instead of %s", got, want)
	}
	p, err := profile.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/pprof.txt", p.String())

	total := func(target string) (sum int64) {
		t.Helper()
		p, err := profile.Parse(get(t, h, target).Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Sample {
			sum += s.Value[0]
		}
		return sum
	}
	// Stack i of testStore has i+1 samples of i+1 observations in the i-th minute before now.
	for target, want := range map[string]int64{
		"/api/v1/pprof":                                          1 + 4 + 9 + 16 + 25 + 36,
		"/api/v1/pprof?seconds=60":                               1,
		"/api/v1/pprof?seconds=120&to=now-60s":                   4 + 9,
		"/api/v1/pprof?seconds=60&from=now-2m":                   4,
		"/api/v1/pprof?seconds=60&from=now-2m&to=now":            1 + 4,
		"/api/v1/pprof?group_by=":                                91,
		"/api/v1/pprof?seconds=60&group_by=pid,tid&type=off_cpu": 3,
	} {
		if got := total(target); got != want {
			t.Errorf("%s: %d observations instead of %d", target, got, want)
		}
	}
}

func TestErrorsOfPprofArePlainForItsClient(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	r := httptest.NewRequest(http.MethodGet, "/api/v1/pprof?from=yesterday", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || w.Header().Get("X-Go-Pprof") != "1" ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || !strings.HasPrefix(w.Body.String(), "from: not a time") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestPostedForm(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	post := func(contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/folded?from=now-1h", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const form = "application/x-www-form-urlencoded"
	if w := post(form, url.Values{"query": {`{service="cron"}`}}.Encode()); w.Code != http.StatusOK || w.Body.Len() == 0 {
		t.Errorf("form: %d %s", w.Code, w.Body)
	}
	for want, w := range map[int]*httptest.ResponseRecorder{
		http.StatusUnsupportedMediaType:  post("application/json", `{}`),
		http.StatusRequestEntityTooLarge: post(form, "query="+strings.Repeat("x", maxFormBytes)),
		http.StatusBadRequest:            post(form, "from=now-2h"), // also in the address
	} {
		if w.Code != want {
			t.Errorf("status %d instead of %d: %s", w.Code, want, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodDelete, "/api/v1/folded", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("DELETE: %d %v", w.Code, w.Header())
	}
	if w := get(t, h, "/api/v1/folded?from=%zz"); w.Code != http.StatusBadRequest {
		t.Errorf("bad escape: %d", w.Code)
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	plain := get(t, h, "/api/v1/flamegraph").Body.String()
	for accept, want := range map[string]string{
		"gzip, deflate, br, zstd":  "zstd",
		"gzip":                     "gzip",
		"zstd;q=0.5, gzip;q=0.8":   "gzip",
		"gzip;q=0":                 "",
		"*":                        "zstd",
		"identity, *;q=0":          "",
		"br":                       "",
		"GZIP;q=1.0":               "gzip",
		"gzip;q=x":                 "",
		"zstd;q=0, gzip, identity": "gzip",
	} {
		w := get(t, h, "/api/v1/flamegraph", "Accept-Encoding", accept)
		if got := w.Header().Get("Content-Encoding"); got != want {
			t.Errorf("%s: encoding %q instead of %q", accept, got, want)
			continue
		}
		var body io.Reader = w.Body
		var err error
		switch want {
		case "gzip":
			body, err = gzip.NewReader(w.Body)
		case "zstd":
			body, err = zstd.NewReader(w.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != plain {
			t.Errorf("%s: the body is not the same (%v)", accept, err)
		}
	}
	r := httptest.NewRequest(http.MethodHead, "/api/v1/status", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d bytes, %v", w.Body.Len(), w.Header())
	}
}

// gate is a store whose Select waits.
type gate struct {
	store.Store
	entered chan struct{}
	leave   chan struct{}
	err     error
}

func (g *gate) Select(ctx context.Context, q *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	if g.err != nil {
		return store.Coverage{}, g.err
	}
	g.entered <- struct{}{}
	select {
	case <-g.leave:
		return g.Store.Select(ctx, q, yield)
	case <-ctx.Done():
		return store.Coverage{}, ctx.Err()
	}
}

func TestTooManyQueries(t *testing.T) {
	t.Parallel()
	g := &gate{Store: testStore(t), entered: make(chan struct{}), leave: make(chan struct{})}
	registry := prometheus.NewRegistry()
	h := letIn(New(Config{Store: g, MaxConcurrent: 1, QueueTimeout: time.Millisecond, Registerer: registry}))
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- get(t, h, "/api/v1/folded") }()
	<-g.entered
	w := get(t, h, "/api/v1/folded")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	close(g.leave)
	if w := <-first; w.Code != http.StatusOK {
		t.Errorf("first query: %d", w.Code)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].String()
	}
	for name, want := range map[string]string{
		"strobe_collectionagent_query_errors_total":        `label:{name:"reason" value:"busy"} counter:{value:1`,
		"strobe_collectionagent_queries_running":           `gauge:{value:0}`,
		"strobe_collectionagent_query_duration_seconds":    `label:{name:"endpoint" value:"folded"} histogram:{sample_count:2`,
		"strobe_collectionagent_query_cache_lookups_total": `label:{name:"cache" value:"frame"}`,
	} {
		// The text form of messages puts one or two spaces between fields.
		if text := strings.ReplaceAll(got[name], "  ", " "); !strings.HasPrefix(text, want) {
			t.Errorf("%s is %s instead of %s", name, text, want)
		}
	}
}

func TestQueryEndsWithItsClientAndItsTime(t *testing.T) {
	t.Parallel()
	g := &gate{Store: testStore(t), entered: make(chan struct{}, 1), leave: make(chan struct{})}
	h := letIn(New(Config{Store: g, QueryTimeout: time.Millisecond}))
	if w := get(t, h, "/api/v1/folded"); w.Code != http.StatusGatewayTimeout || !strings.Contains(w.Body.String(), "longer than 1ms, which is the limit (-query-timeout)") {
		t.Errorf("slow query: %d %s", w.Code, w.Body)
	}
	<-g.entered
	h = newTestHandler(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v1/folded", nil).WithContext(ctx))
	}()
	<-g.entered
	cancel()
	<-done
}

func TestStoreErrorIsNotShown(t *testing.T) {
	t.Parallel()
	g := &gate{Store: testStore(t), err: errors.New("secret path")}
	w := get(t, newTestHandler(t, g), "/api/v1/top")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = get(t, letIn(New(Config{Store: testStore(t), MaxRows: 1, Now: func() time.Time { return testNow }})), "/api/v1/top")
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "more than 1 stacks, which is the limit (-max-query-rows)") {
		t.Errorf("too many rows: %d %s", w.Code, w.Body)
	}
}

func BenchmarkFlameGraphJSON(b *testing.B) {
	g := &query.FlameGraph{Summary: query.Summary{Type: libpf.SampleOnCPU}}
	for i := range 20_000 {
		g.Frames = append(g.Frames, query.FlameFrame{Function: query.Function{Name: fmt.Sprintf("package.Function%d", i), Kind: "go"}})
	}
	for i := range 100_000 {
		g.Nodes = append(g.Nodes, query.FlameNode{Frame: uint32(i % 20_000), Depth: uint32(i % 50), Self: int64(i) * period, Total: int64(i) * 3 * period})
	}
	b.ReportAllocs()
	for b.Loop() {
		a, err := jsonAnswer(newFlameGraph(g))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(a.body)))
	}
}
