// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/pyroscope"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// The samples of tests lie in a minute from testStart on, and the server's time is its end.
var (
	testStart = time.Unix(1_795_255_200, 0)
	testNow   = testStart.Add(time.Minute)
)

// IDs of the trace and the spans of tests.
var (
	testTrace = [16]byte{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36}
	firstSpan = [8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}
	otherSpan = [8]byte{0x9a, 0x51, 0x71, 0x83, 0xf2, 0x6a, 0x08, 0x9d}
)

const shopSpan, shopTrace = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"

// rig is a server with a store in memory.
type rig struct {
	tb      testing.TB
	handler http.Handler
}

func newRig(tb testing.TB, change ...func(*api.Config)) *rig {
	tb.Helper()
	c := api.Config{Store: testStore(tb), Now: func() time.Time { return testNow }}
	for _, f := range change {
		f(&c)
	}
	mux := http.NewServeMux()
	pyroscope.New(api.New(c)).Register(mux)
	return &rig{tb, mux}
}

// call posts a body to a method. Headers come in pairs.
func (r *rig) call(method, body string, headers ...string) *httptest.ResponseRecorder {
	r.tb.Helper()
	req := httptest.NewRequest(http.MethodPost, "/querier.v1.QuerierService/"+method, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	return r.serve(req, headers...)
}

// get asks one of the older endpoints.
func (r *rig) get(target string) *httptest.ResponseRecorder {
	r.tb.Helper()
	return r.serve(httptest.NewRequest(http.MethodGet, target, http.NoBody))
}

func (r *rig) serve(req *http.Request, headers ...string) *httptest.ResponseRecorder {
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req.WithContext(auth.NewContext(req.Context(), auth.Anonymous())))
	return w
}

// testStore returns a store with a shop and a cron job. In the minute the shop takes 65 ns of CPU, 55 in
// spans, and the job 40.
func testStore(tb testing.TB) *memstore.Store {
	tb.Helper()
	s := memstore.New()
	frame := func(function, file string) libpf.Frame {
		return libpf.Frame{
			Type: libpf.PythonFrame, FileID: libpf.NewFileID(0xd, uint64(len(file))), AddressOrLineno: libpf.AddressOrLineno(len(function)),
			FunctionName: function, SourceFile: file, SourceLine: 1,
		}
	}
	main, work, again, read := frame("main", "a.py"), frame("work", "a.py"), frame("work", "other.py"), frame("read", "a.py")
	cron, sleep := frame("cron", "c.py"), frame("sleep", "c.py")
	stacks := [][]libpf.Frame{{read, work, main}, {work, main}, {again, main}, {sleep, cron}}
	d := &store.Definitions{Project: auth.DefaultProject}
	for _, frames := range stacks {
		d.Stacks = append(d.Stacks, store.Stack{Hash: libpf.HashTrace(frames), Frames: frames})
	}
	shop := store.Series{
		Project: auth.DefaultProject, Type: libpf.SampleOnCPU, Service: "shop", Host: "node-1", HostID: "42", Process: "app", Comm: "worker", PID: 7, TID: 8,
		Pod: "shop-1", Labels: []libpf.Label{{Key: "app.kubernetes.io/name", Value: "shop"}, {Key: "region_code", Value: "eu"}},
	}
	b := &store.Batch{Series: []store.Series{
		shop, {Project: auth.DefaultProject, Type: libpf.SampleOnCPU, Service: "cron", Host: "node-1", HostID: "42", Process: "sh", Comm: "sh", PID: 9, TID: 9}, shop, shop,
	}}
	b.Series[2].Type, b.Series[3].Type = libpf.SampleOffCPU, libpf.SampleInuseSpace
	add := func(second int, series uint32, stack int, value int64, span [8]byte) {
		sample := store.Sample{
			Time: libpf.UnixTimeNs(testStart.Add(time.Duration(second) * time.Second).UnixNano()), Series: series,
			Stack: libpf.HashTrace(stacks[stack]), Count: 1, Value: value, SpanID: span,
		}
		if span != [8]byte{} {
			sample.TraceID = testTrace
		}
		b.Samples = append(b.Samples, sample)
	}
	none := [8]byte{}
	add(5, 0, 0, 30, firstSpan)
	add(6, 0, 1, 10, none)
	add(16, 0, 2, 5, firstSpan)
	add(31, 0, 0, 20, otherSpan)
	add(7, 1, 3, 40, none)
	add(5, 2, 0, 777, none)
	for second, value := range map[int]int64{5: 100, 15: 300, 25: 200} {
		add(second, 3, 0, value, none)
	}
	if _, err := s.Put(context.Background(), d); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Append(context.Background(), b); err != nil {
		tb.Fatal(err)
	}
	return s
}
