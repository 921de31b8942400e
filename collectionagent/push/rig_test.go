// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/push"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// testNow is the time of the server in tests.
var testNow = time.Unix(1_700_000_000, 0)

// rig is a server with a store in memory.
type rig struct {
	tb       testing.TB
	handler  http.Handler
	in       *ingest.Server
	pushed   *push.Server
	engine   *query.Engine
	registry *prometheus.Registry
}

func newRig(tb testing.TB, change ...func(*ingest.Config)) *rig {
	tb.Helper()
	r := &rig{tb: tb, registry: prometheus.NewRegistry()}
	db := memstore.New()
	now := func() time.Time { return testNow }
	c := ingest.Config{Store: db, Now: now, Registerer: r.registry, MaxRequestBytes: 1 << 20}
	for _, f := range change {
		f(&c)
	}
	var err error
	if r.in, err = ingest.New(c); err != nil {
		tb.Fatal(err)
	}
	if r.pushed, err = push.New(push.Config{Ingest: r.in, Registerer: r.registry, Now: now}); err != nil {
		tb.Fatal(err)
	}
	mux := http.NewServeMux()
	r.pushed.Register(mux)
	r.handler = mux
	r.engine = query.NewEngine(db, query.Options{Now: now})
	return r
}

// post sends a body and returns the answer. Headers come in pairs.
func (r *rig) post(target string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r.tb.Helper()
	req := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w
}

// folded returns what is stored of a type as folded stacks with values, and labels as their first levels.
func (r *rig) folded(typ libpf.SampleType, labels ...string) string {
	r.tb.Helper()
	return r.foldedAt(testNow, typ, labels...)
}

// foldedAt is folded for another time of the server.
func (r *rig) foldedAt(now time.Time, typ libpf.SampleType, labels ...string) string {
	r.tb.Helper()
	var out bytes.Buffer
	s := r.selection(typ)
	s.To = libpf.UnixTimeNs(now.Add(time.Hour).UnixNano())
	if _, err := r.engine.WriteFolded(r.tb.Context(), s, labels, &out); err != nil {
		r.tb.Fatal(err)
	}
	return out.String()
}

// total returns the sum of the values of a type.
func (r *rig) total(typ libpf.SampleType) int64 {
	r.tb.Helper()
	sum, err := r.engine.Totals(r.tb.Context(), r.selection(typ))
	if err != nil {
		r.tb.Fatal(err)
	}
	return sum.Total
}

// counted returns how many requests of a way had a result.
func (r *rig) counted(way, result string) float64 {
	r.tb.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "strobe_collectionagent_push_requests_total" && m.Label[0].GetValue() == result && m.Label[1].GetValue() == way {
				return m.Counter.GetValue()
			}
		}
	}
	return 0
}

// cpuProfile is one as Go makes them: main calls work, with labels that samples have.
func cpuProfile(labels map[string][]string) *profile.Profile {
	m := &profile.Mapping{ID: 1, Start: 0x400000, Limit: 0x500000, File: "/usr/bin/shop", BuildID: "abcdef0123456789", HasFunctions: true}
	fn := func(id uint64, name string) *profile.Function {
		return &profile.Function{ID: id, Name: name, SystemName: name, Filename: "/src/main.go", StartLine: int64(10 * id)}
	}
	work, main := fn(1, "main.work"), fn(2, "main.main")
	leaf := &profile.Location{ID: 1, Mapping: m, Address: 0x401000, Line: []profile.Line{{Function: work, Line: 12}}}
	root := &profile.Location{ID: 2, Mapping: m, Address: 0x402000, Line: []profile.Line{{Function: main, Line: 22}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
		TimeNanos: testNow.Add(-time.Minute).UnixNano(), DurationNanos: 10e9,
		Mapping: []*profile.Mapping{m}, Function: []*profile.Function{work, main}, Location: []*profile.Location{leaf, root},
		Sample: []*profile.Sample{
			{Location: []*profile.Location{leaf, root}, Value: []int64{3, 30_000_000}, Label: labels},
			{Location: []*profile.Location{root}, Value: []int64{1, 10_000_000}},
		},
	}
}

// heapProfile is one as Go makes them, with the sizes of objects as numbers.
func heapProfile(types ...string) *profile.Profile {
	p := cpuProfile(nil)
	p.SampleType, p.PeriodType, p.Period = nil, &profile.ValueType{Type: "space", Unit: "bytes"}, 512<<10
	for _, t := range types {
		name, unit, _ := strings.Cut(t, "/")
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: name, Unit: unit})
	}
	p.Sample[1].Location = p.Sample[0].Location
	for i, s := range p.Sample {
		s.Value, s.NumLabel = nil, map[string][]int64{"bytes": {int64(16 << i)}}
		for j := range types {
			s.Value = append(s.Value, int64((i+1)*(j+1)))
		}
	}
	return p
}

// encode encodes a profile, gzipped.
func encode(tb testing.TB, p *profile.Profile) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func gunzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// form returns a form of files and its content type. Names and contents come in pairs.
func form(tb testing.TB, parts ...string) (body []byte, contentType string) {
	tb.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for i := 0; i < len(parts); i += 2 {
		f, err := w.CreateFormFile(parts[i], parts[i]+".pprof")
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(f, parts[i+1]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), w.FormDataContentType()
}

// selection is all of a type.
func (r *rig) selection(typ libpf.SampleType) *query.Selection {
	return &query.Selection{Project: ingest.DefaultProject, Type: typ, From: 0, To: libpf.UnixTimeNs(testNow.Add(time.Hour).UnixNano())}
}

// first returns the first time of a type, in milliseconds.
func (r *rig) first(typ libpf.SampleType) int64 {
	r.tb.Helper()
	sum, err := r.engine.Totals(r.tb.Context(), r.selection(typ))
	if err != nil {
		r.tb.Fatal(err)
	}
	return int64(sum.Coverage.From) / 1e6
}

// spans returns the spans that samples on the CPU belong to.
func (r *rig) spans() string {
	r.tb.Helper()
	list, err := r.engine.Exemplars(r.tb.Context(), r.selection(libpf.SampleOnCPU), query.ExemplarsLargest, 10)
	if err != nil {
		r.tb.Fatal(err)
	}
	var all []string
	for _, e := range list.Rows {
		all = append(all, fmt.Sprintf("%x/%x", e.TraceID, e.SpanID))
	}
	return strings.Join(all, " ")
}
