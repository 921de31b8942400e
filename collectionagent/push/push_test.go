// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/parca"
	"github.com/strobe-profiler/strobe/proto/pyroscope"
)

// TestIngestFolded sends text to /ingest.
func TestIngestFolded(t *testing.T) {
	t.Parallel()
	const text = "main;work 3\r\n\nmain;work;[libc.so+0x12] 2\nmain 1\n"
	for name, c := range map[string]struct {
		target, body string
		typ          libpf.SampleType
		total        int64
		want         string
	}{
		"ticks of 100 Hz":  {"name=shop.cpu{region=eu,zone=\"a,b\"}", text, libpf.SampleOnCPU, 60e6, "shop;eu;a,b;main 1\nshop;eu;a,b;main;work 3\nshop;eu;a,b;main;work;[libc.so+0x12] 2\n"},
		"of another rate":  {"name=shop&sampleRate=50&format=folded", text, libpf.SampleOnCPU, 120e6, "shop;(no region);(no zone);main 1\nshop;(no region);(no zone);main;work 3\nshop;(no region);(no zone);main;work;[libc.so+0x12] 2\n"},
		"a name with dots": {"name=my.shop.v2", "a 1", libpf.SampleOnCPU, 10e6, "my.shop.v2;(no region);(no zone);a 1\n"},
		"wall":             {"name=shop.wall{}", "a 1", libpf.SampleWall, 10e6, "shop;(no region);(no zone);a 10000000\n"},
		"bytes":            {"name=shop.alloc_space&units=bytes", "a b;c d 7", libpf.SampleAllocSpace, 7, "shop;(no region);(no zone);a b;c d 7\n"},
		"goroutines":       {"name=shop&units=goroutines", "a 7", libpf.SampleGoroutines, 7, "shop;(no region);(no zone);a 7\n"},
		"no other name":    {"name=.cpu", "a 1", libpf.SampleOnCPU, 10e6, ".cpu;(no region);(no zone);a 1\n"},
		"lock time":        {"name=shop.block_duration", "a 7", libpf.SampleBlockDelay, 7, "shop;(no region);(no zone);a 7\n"},
		"lines":            {"name=shop.cpu&format=lines", "a;b\na;b\nc 1\n", libpf.SampleOnCPU, 30e6, "shop;(no region);(no zone);a;b 2\nshop;(no region);(no zone);c 1 1\n"},
		"service_name":     {"name=app{service_name=shop}", "a 1", libpf.SampleOnCPU, 10e6, "shop;(no region);(no zone);a 1\n"},
		"nothing":          {"name=shop", "\n", libpf.SampleOnCPU, 0, ""},
	} {
		r := newRig(t)
		target := "/ingest?" + escape(c.target) + "&from=1699999990&until=1700000000"
		if w := r.post(target, []byte(c.body)); w.Code != http.StatusOK || w.Body.String() != "{}\n" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		if d := cmp.Diff(c.want, r.folded(c.typ, "service", "region", "zone")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if got := r.total(c.typ); got != c.total {
			t.Errorf("%s: %d in all, want %d", name, got, c.total)
		}
		if r.counted("ingest", "stored") != 1 {
			t.Errorf("%s: is not counted", name)
		}
	}
}

// escape escapes the values of parameters.
func escape(text string) string {
	out := ""
	for i, b := range []byte(text) {
		switch b {
		case '{', '}', '"', ',', ' ':
			out += "%" + string("0123456789ABCDEF"[b>>4]) + string("0123456789ABCDEF"[b&15])
		default:
			out += text[i : i+1]
		}
	}
	return out
}

// TestIngestPprof sends profiles of Go to /ingest, in all forms of bodies.
func TestIngestPprof(t *testing.T) {
	t.Parallel()
	p := encode(t, cpuProfile(map[string][]string{"endpoint": {"/cart"}, "__internal": {"x"}}))
	const want = "shop;eu;(no endpoint);main.main 1\nshop;eu;/cart;main.main;main.work 3\n"
	inForm, formType := form(t, "profile", string(p), "sample_type_config", "{}", "other", "ignored")
	name := "/ingest?" + escape("name=shop{region=eu,__session_id__=0123}") + "&from=1699999990000000000&until=1700000000000000000&spyName=gospy&sampleRate=100"
	for what, c := range map[string]struct {
		target  string
		body    []byte
		headers []string
	}{
		"a form":              {name, inForm, []string{"Content-Type", formType}},
		"a form with format":  {name + "&format=pprof", inForm, []string{"Content-Type", formType}},
		"gzipped":             {name + "&format=pprof", p, nil},
		"plain":               {name + "&format=pprof", gunzipped(t, p), nil},
		"compressed":          {name + "&format=pprof", gzipped(t, gunzipped(t, p)), []string{"Content-Encoding", "gzip"}},
		"gzipped, compressed": {name + "&format=pprof", gzipped(t, p), []string{"Content-Encoding", "gzip"}},
	} {
		r := newRig(t)
		if w := r.post(c.target, c.body, c.headers...); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
			continue
		}
		if d := cmp.Diff(want, r.folded(libpf.SampleOnCPU, "service", "region", "endpoint")); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		if got := r.total(libpf.SampleOnCPU); got != 40_000_000 {
			t.Errorf("%s: %d ns of CPU, want 40000000", what, got)
		}
		if got := r.folded(libpf.SampleOnCPU, "__session_id__", "__internal"); got != "(no __session_id__);(no __internal);main.main 1\n(no __session_id__);(no __internal);main.main;main.work 3\n" {
			t.Errorf("%s: internal labels are kept: %s", what, got)
		}
	}
}

// TestKinds checks what types of samples become.
func TestKinds(t *testing.T) {
	t.Parallel()
	contentions := []string{"contentions/count", "delay/nanoseconds"}
	for name, c := range map[string]struct {
		types  []string
		config string
		want   map[libpf.SampleType]int64
	}{
		"heap": {
			[]string{"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"}, `{"inuse_space":{"units":"bytes","aggregation":"average"}}`,
			map[libpf.SampleType]int64{libpf.SampleAllocObjects: 3, libpf.SampleAllocSpace: 6, libpf.SampleInuseObjects: 9, libpf.SampleInuseSpace: 12},
		},
		"mutex": {
			contentions, `{"contentions":{"display-name":"mutex_count","units":"lock_samples"},"delay":{"display-name":"mutex_duration","units":"lock_nanoseconds"}}`,
			map[libpf.SampleType]int64{libpf.SampleMutexContentions: 3, libpf.SampleMutexDelay: 6, libpf.SampleBlockDelay: 0},
		},
		"block": {
			contentions, `{"contentions":{"display-name":"block_count"},"delay":{"display-name":"block_duration"}}`,
			map[libpf.SampleType]int64{libpf.SampleBlockContentions: 3, libpf.SampleBlockDelay: 6, libpf.SampleMutexDelay: 0},
		},
		"goroutines": {
			[]string{"goroutine/count"}, `{"goroutine":{"display-name":"goroutines","aggregation":"average"}}`,
			map[libpf.SampleType]int64{libpf.SampleGoroutines: 3},
		},
		"a name that says nothing": {[]string{"wall/nanoseconds"}, `{"wall":{"display-name":"mine"}}`, map[libpf.SampleType]int64{libpf.SampleWall: 3}},
		"partly known":             {[]string{"gc/nanoseconds", "inuse_space/bytes"}, ``, map[libpf.SampleType]int64{libpf.SampleInuseSpace: 6}},
	} {
		r := newRig(t)
		body, contentType := form(t, "profile", string(encode(t, heapProfile(c.types...))), "sample_type_config", c.config)
		w := r.post("/ingest?name=shop&from=1699999990", body, "Content-Type", contentType)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if partly := name == "partly known"; partly != (r.counted("ingest", "partial") == 1) || partly == (w.Body.String() == "{}\n") {
			t.Errorf("%s: answered %s", name, w.Body)
		}
		for typ, want := range c.want {
			if got := r.total(typ); got != want {
				t.Errorf("%s: %d of %s, want %d", name, got, typ, want)
			}
			if got := r.folded(typ, "bytes"); want > 0 && got != "(no bytes);main.main;main.work "+jsonText(want)+"\n" {
				t.Errorf("%s: %s of %s: numbers make series", name, got, typ)
			}
		}
	}
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// TestCumulative compares with the profile before.
func TestCumulative(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	types := []string{"alloc_objects/count", "inuse_objects/count"}
	before, after := heapProfile(types...), heapProfile(types...)
	after.Sample[0].Value, after.Sample[1].Value = []int64{5, 4}, []int64{1, 1} // of the second there is less
	const config = `{"alloc_objects":{"cumulative":true},"inuse_objects":{}}`
	body, contentType := form(t, "profile", string(encode(t, after)), "prev_profile", string(encode(t, before)), "sample_type_config", config)
	if w := r.post("/ingest?name=shop", body, "Content-Type", contentType); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if alloc, inuse := r.total(libpf.SampleAllocObjects), r.total(libpf.SampleInuseObjects); alloc != 4 || inuse != 5 {
		t.Errorf("allocated %d, want 4; in use %d, want 5", alloc, inuse)
	}
}

// TestSpans checks that spans become those of samples and not labels.
func TestSpans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := cpuProfile(map[string][]string{"span_id": {"00f067aa0ba902b7"}, "trace_id": {"4bf92f3577b34da6a3ce929d0e0e4736"}, "span_name": {"GET"}})
	p.Sample[1].Label = map[string][]string{"span_id": {"not an id"}}
	if w := r.post("/ingest?name=shop&format=pprof", encode(t, p)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got, want := r.folded(libpf.SampleOnCPU, "span_id", "trace_id", "span_name"),
		"(no span_id);(no trace_id);GET;main.main;main.work 3\nnot an id;(no trace_id);(no span_name);main.main 1\n"; got != want {
		t.Errorf("labels: %s", got)
	}
	if got := r.spans(); got != "4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7" {
		t.Errorf("spans: %s", got)
	}
}

// TestPush sends a request of Connect, in both forms.
func TestPush(t *testing.T) {
	t.Parallel()
	heap := encode(t, heapProfile("contentions/count"))
	labels := func(name string) []*pyroscope.LabelPair {
		return []*pyroscope.LabelPair{
			{Name: "__name__", Value: name}, {Name: "service_name", Value: "shop"}, {Name: "namespace", Value: "prod"}, {Name: "hostname", Value: "alpha"},
		}
	}
	request, err := proto.Marshal(&pyroscope.PushRequest{Series: []*pyroscope.RawProfileSeries{
		{Labels: labels("process_cpu"), Samples: []*pyroscope.RawSample{{RawProfile: encode(t, cpuProfile(nil)), ID: "1"}}},
		{Labels: labels("godeltaprof_block"), Samples: []*pyroscope.RawSample{{RawProfile: heap}, {RawProfile: heap}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	pair := func(name, value string) map[string]string { return map[string]string{"name": name, "value": value} }
	list := func(name string) []any {
		return []any{pair("__name__", name), pair("service_name", "shop"), pair("namespace", "prod"), pair("hostname", "alpha")}
	}
	raw := func(b []byte) map[string]any {
		return map[string]any{"rawProfile": base64.StdEncoding.EncodeToString(b), "ID": "x"}
	}
	inJSON := []byte(jsonText(map[string]any{"series": []any{
		map[string]any{"labels": list("process_cpu"), "samples": []any{raw(encode(t, cpuProfile(nil)))}, "annotations": []any{}},
		map[string]any{"labels": list("block"), "samples": []any{raw(heap), raw(heap)}},
	}}))
	const path = "/push.v1.PusherService/Push"
	for name, c := range map[string]struct {
		body    []byte
		headers []string
		answer  string
	}{
		"proto":         {request, []string{"Content-Type", "application/proto", "Connect-Protocol-Version", "1"}, ""},
		"proto gzipped": {gzipped(t, request), []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}, ""},
		"JSON":          {inJSON, []string{"Content-Type", "application/json; charset=utf-8"}, "{}\n"},
		"JSON gzipped":  {gzipped(t, inJSON), []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, "{}\n"},
	} {
		r := newRig(t)
		w := r.post(path, c.body, c.headers...)
		if w.Code != http.StatusOK || w.Body.String() != c.answer || w.Header().Get("Content-Type")[:16] != c.headers[1][:16] {
			t.Errorf("%s: %d %v %q", name, w.Code, w.Header(), w.Body)
			continue
		}
		if got := r.folded(libpf.SampleOnCPU, "service", "namespace", "host", "hostname", "__name__"); got !=
			"shop;prod;alpha;alpha;(no __name__);main.main 1\nshop;prod;alpha;alpha;(no __name__);main.main;main.work 3\n" {
			t.Errorf("%s: %s", name, got)
		}
		if got := r.total(libpf.SampleBlockContentions); got != 6 {
			t.Errorf("%s: %d waits, want 6", name, got)
		}
	}
}

// TestWriteRaw sends a request of Parca over gRPC.
func TestWriteRaw(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	server, _ := r.in.NewGRPCServer()
	r.pushed.RegisterGRPC(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := parca.NewProfileStoreServiceClient(conn)
	write := func(raw []byte) error {
		_, err := client.WriteRaw(t.Context(), &parca.WriteRawRequest{Series: []*parca.RawProfileSeries{{
			Labels:  &parca.LabelSet{Labels: []*parca.Label{{Name: "__name__", Value: "memory"}, {Name: "job", Value: "shop"}, {Name: "instance", Value: "10.0.0.1:80"}}},
			Samples: []*parca.RawSample{{RawProfile: raw}},
		}}})
		return err
	}
	if err := write(encode(t, heapProfile("inuse_space/bytes"))); err != nil {
		t.Fatal(err)
	}
	if got := r.folded(libpf.SampleInuseSpace, "service", "job", "instance"); got != "shop;shop;10.0.0.1:80;main.main;main.work 3\n" {
		t.Errorf("stored %s", got)
	}
	if err := write([]byte("nonsense")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nonsense: %v", err)
	}
	if r.counted("parca", "stored") != 1 || r.counted("parca", "invalid") != 1 {
		t.Error("requests are not counted")
	}
}

// TestUpload uploads files.
func TestUpload(t *testing.T) {
	t.Parallel()
	inForm, formType := form(t, "profile", string(encode(t, cpuProfile(nil))))
	at := testNow.Add(-time.Hour).UnixMilli()
	for name, c := range map[string]struct {
		target  string
		body    []byte
		headers []string
		typ     libpf.SampleType
		want    string
		total   int64
		time    int64
	}{
		"pprof":          {"service=shop&team=blue", encode(t, cpuProfile(nil)), nil, libpf.SampleOnCPU, "shop;blue;main.main 1\nshop;blue;main.main;main.work 3\n", 40e6, testNow.Add(-time.Minute).UnixMilli()},
		"plain pprof":    {"service=shop&team=blue", gunzipped(t, encode(t, cpuProfile(nil))), []string{"Content-Type", "application/x-www-form-urlencoded"}, libpf.SampleOnCPU, "shop;blue;main.main 1\nshop;blue;main.main;main.work 3\n", 40e6, testNow.Add(-time.Minute).UnixMilli()},
		"of a time":      {"service=shop&time=" + jsonText(at), encode(t, cpuProfile(nil)), nil, libpf.SampleOnCPU, "shop;(no team);main.main 1\nshop;(no team);main.main;main.work 3\n", 40e6, at},
		"a form":         {"service_name=shop", inForm, []string{"Content-Type", formType}, libpf.SampleOnCPU, "shop;(no team);main.main 1\nshop;(no team);main.main;main.work 3\n", 40e6, testNow.Add(-time.Minute).UnixMilli()},
		"block":          {"service=shop&kind=block", encode(t, heapProfile("delay/nanoseconds")), nil, libpf.SampleBlockDelay, "shop;(no team);main.main;main.work 3\n", 3, testNow.Add(-time.Minute).UnixMilli()},
		"folded":         {"service=shop&time=2023-11-14T22:00:00Z&sample_rate=20", []byte("a;b 2\n"), []string{"Content-Type", "text/plain"}, libpf.SampleOnCPU, "shop;(no team);a;b 2\n", 100e6, 1699999200000},
		"off CPU":        {"service=shop&type=off_cpu&unit=us", []byte("a;b 2\n"), nil, libpf.SampleOffCPU, "shop;(no team);a;b 1\n", 2000, testNow.UnixMilli()},
		"wall":           {"service=shop&type=wall", []byte("a;b 2\n"), nil, libpf.SampleWall, "shop;(no team);a;b 20000000\n", 20e6, testNow.UnixMilli()},
		"events":         {"service=shop&type=event", []byte("a;b 2\n"), nil, libpf.SampleEvent, "shop;(no team);a;b 2\n", 2, testNow.UnixMilli()},
		"lines":          {"service=shop&format=lines", []byte("a;b\n"), nil, libpf.SampleOnCPU, "shop;(no team);a;b 1\n", 10e6, testNow.UnixMilli()},
		"gzipped folded": {"service=shop", gzipped(t, []byte("a;b 2\n")), []string{"Content-Encoding", "gzip"}, libpf.SampleOnCPU, "shop;(no team);a;b 2\n", 20e6, testNow.UnixMilli()},
	} {
		r := newRig(t)
		if w := r.post("/api/v1/upload?"+c.target, c.body, c.headers...); w.Code != http.StatusOK || w.Body.String() != "{}\n" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		if d := cmp.Diff(c.want, r.folded(c.typ, "service", "team")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if total, first := r.total(c.typ), r.first(c.typ); total != c.total || first != c.time {
			t.Errorf("%s: %d in all at %d, want %d at %d", name, total, first, c.total, c.time)
		}
	}
}
