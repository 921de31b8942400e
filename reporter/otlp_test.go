// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pc "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpcheck"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// otlpServer checks what it gets against the rules of the data model.
type otlpServer struct {
	pc.UnimplementedProfilesServiceServer
	t     *testing.T
	mu    sync.Mutex
	reqs  []*pc.ExportProfilesServiceRequest
	calls int
	// Over HTTP.
	httpCalls int
	httpFault httpFault
	headers   []http.Header
	payloads  [][]byte // of what was stored
	fault     func(call int, req *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error)
}

func (s *otlpServer) Export(ctx context.Context, req *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err // of a Reporter that has stopped: what it sent here is sent again by the next
	}
	s.calls++
	resp := &pc.ExportProfilesServiceResponse{}
	if s.fault != nil {
		var err error
		if resp, err = s.fault(s.calls, req); err != nil {
			return nil, err
		}
	}
	if err := checkProfiles(req); err != nil {
		s.t.Errorf("invalid request: %v", err)
	}
	s.reqs = append(s.reqs, req)
	return resp, nil
}

func (s *otlpServer) serve() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	srv := grpc.NewServer()
	pc.RegisterProfilesServiceServer(srv, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Stop
	}()
	s.t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return l.Addr().String()
}

// checkProfiles checks a request against the data model and the conventions.
func checkProfiles(req *pc.ExportProfilesServiceRequest) error {
	return otlpcheck.Check(req, otlpcheck.Options{}).Err()
}

func startOTLPTest(t *testing.T, addr string, change func(*Config, *Options)) *OTLPReporter {
	t.Helper()
	times := fastTimes()
	times.connect, times.operation = time.Minute, time.Minute // however busy the machine is
	c := &Config{CollAgentAddr: addr, DisableTLS: true, Times: times}
	o := &Options{HostID: "host-1", HostName: "box", AgentVersion: "1.2", StopTimeout: 3 * time.Second, DefinitionCacheEntries: 1 << 10}
	if change != nil {
		change(c, o)
	}
	r, err := StartOTLPWithOptions(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// flat is a sample as a reader sees it.
type flat struct {
	Resource map[string]string
	Type     string
	Period   int64
	Frames   []string
	Attrs    map[string]string
	Times    []uint64
	Values   []int64
	Span     string
}

func anyText(v *common.AnyValue) string {
	if _, ok := v.GetValue().(*common.AnyValue_IntValue); ok {
		return fmt.Sprint(v.GetIntValue())
	}
	return v.GetStringValue()
}

func flatten(req *pc.ExportProfilesServiceRequest) (out []flat) {
	d := req.GetDictionary()
	text := func(i int32) string { return d.GetStringTable()[i] }
	attrs := func(list []int32) map[string]string {
		m := map[string]string{}
		for _, a := range list {
			m[text(d.GetAttributeTable()[a].GetKeyStrindex())] = anyText(d.GetAttributeTable()[a].GetValue())
		}
		return m
	}
	for _, rp := range req.GetResourceProfiles() {
		res := map[string]string{}
		for _, kv := range rp.GetResource().GetAttributes() {
			res[kv.GetKey()] = anyText(kv.GetValue())
		}
		for _, p := range rp.GetScopeProfiles()[0].GetProfiles() {
			for _, s := range p.GetSamples() {
				f := flat{Resource: res, Type: text(p.GetSampleType().GetTypeStrindex()) + "/" + text(p.GetSampleType().GetUnitStrindex()),
					Period: p.GetPeriod(), Attrs: attrs(s.GetAttributeIndices()), Times: s.GetTimestampsUnixNano(), Values: s.GetValues()}
				for _, l := range d.GetStackTable()[s.GetStackIndex()].GetLocationIndices() {
					loc := d.GetLocationTable()[l]
					m := d.GetMappingTable()[loc.GetMappingIndex()]
					types := attrs(loc.GetAttributeIndices())
					kind := types[otlpkey.FrameType]
					if exact, ok := types[otlpkey.ExactFrameType]; ok {
						kind = exact
					}
					line := fmt.Sprintf("%s %s+%#x", kind, text(m.GetFilenameStrindex()), loc.GetAddress())
					for _, n := range loc.GetLines() {
						fn := d.GetFunctionTable()[n.GetFunctionIndex()]
						line += fmt.Sprintf(" %s %s:%d", text(fn.GetNameStrindex()), text(fn.GetFilenameStrindex()), n.GetLine())
					}
					f.Frames = append(f.Frames, line)
				}
				if link := d.GetLinkTable()[s.GetLinkIndex()]; len(link.GetSpanId()) > 0 {
					f.Span = fmt.Sprintf("%x/%x", link.GetTraceId(), link.GetSpanId())
				}
				out = append(out, f)
			}
		}
	}
	return out
}

func TestOTLP(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t}
	r := startOTLPTest(t, s.serve(), func(c *Config, _ *Options) {
		times := fastTimes()
		times.report = time.Minute // one request, with Stop
		c.Times = times
	})
	r.ReportHostMetadata(map[string]string{"os.type": "linux"})
	r.ReportExecutable(&libpf.Executable{FileID: libpf.NewFileID(9, 9), FileName: "[kernel.kallsyms]", BuildID: "abcdef"})
	trace := nativeTrace(1, 1)
	py := libpf.NewTrace([]libpf.Frame{
		{Type: libpf.PythonFrame, FileID: libpf.NewFileID(5, 5), AddressOrLineno: 3, FunctionName: "f", SourceFile: "x.py", SourceLine: 4},
		{Type: libpf.AbortFrame, FunctionName: "stack too deep"},
	})
	off := sampleOf(py, 2)
	off.Type, off.Value, off.TraceID, off.SpanID = libpf.SampleOffCPU, 12345, [16]byte{0xaa}, [8]byte{0xbb}
	off.Labels = []libpf.Label{{Key: "route", Value: "/x"}}
	one, two := sampleOf(trace, 0), sampleOf(trace, 12) // same thread and CPU
	r.ReportSample(one)
	r.ReportSample(two)
	r.ReportSample(off)
	r.ReportCountForTrace(py.Hash, 1_800_000_000, 2, "plain", "pod", "")
	r.ReportFramesForTrace(py)
	r.ReportCountForTrace(libpf.NewTraceHash(1, 2), 1_800_000_000, 1, "plain", "pod", "")
	r.ReportMetrics(1, []uint32{1}, []int64{1})
	r.Stop()
	r.Stop()
	if len(s.reqs) != 1 {
		t.Fatalf("%d requests", len(s.reqs))
	}
	res := map[string]string{"container.id": "c1", "env": "test", "host.id": "host-1", "host.name": "box", "os.type": "linux",
		"process.executable.name": "app", "process.executable.path": "/usr/bin/app", "process.pid": "100", "service.name": "shop",
		"strobe.process.start_time": "5"}
	plain := map[string]string{"host.id": "host-1", "host.name": "box", "os.type": "linux", "k8s.pod.name": "pod",
		"process.executable.name": "plain", "service.name": "pod"}
	pyFrames := []string{"cpython +0x0 f x.py:4", "abort-marker +0x0 stack too deep :0"}
	want := []flat{
		{
			Resource: res, Type: "samples/count", Period: 50_000_000,
			Frames: []string{"kernel [kernel.kallsyms]+0x101 sys_1 :0", "native app+0x3e8 inlined_1000 a.c:3 function_1000 a.c:30"},
			Attrs:  map[string]string{"cpu.logical_number": "0", "thread.id": "100", "thread.name": "worker"},
			Times:  []uint64{uint64(one.Time), uint64(two.Time)},
		},
		{
			Resource: res, Type: "off_cpu/nanoseconds", Frames: pyFrames,
			Attrs: map[string]string{"cpu.logical_number": "2", "thread.id": "102", "thread.name": "worker", "process.context.label.route": "/x"},
			Times: []uint64{uint64(off.Time)}, Values: []int64{12345}, Span: "aa000000000000000000000000000000/bb00000000000000",
		},
		{
			Resource: plain, Type: "samples/count", Frames: pyFrames, Attrs: map[string]string{"thread.name": "plain"},
			Times: []uint64{uint64(testTime)}, Values: []int64{2},
		},
		{
			Resource: plain, Type: "samples/count", Frames: []string{"abort-marker +0x0 [stack not reported] :0"},
			Attrs: map[string]string{"thread.name": "plain"}, Times: []uint64{uint64(testTime)}, Values: []int64{1},
		},
	}
	got := flatten(s.reqs[0])
	// Processes come in the order of time.
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || reflect.DeepEqual(w, g)
		}
		if !found {
			t.Errorf("missing %+v\nin %s", w, cmp.Diff([]flat{}, got))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d samples, want %d", len(got), len(want))
	}
	if l := checkLedger(t, r); l.Stored != 6 {
		t.Errorf("ledger %+v", l)
	}
	m := r.GetMetrics()
	if m.RPCBytesOutCount != int64(proto.Size(s.reqs[0])) || m.WireBytesOutCount <= 0 || m.WireBytesOutCount >= m.RPCBytesOutCount {
		t.Errorf("bytes %+v", m)
	}
}

func TestOTLPFaults(t *testing.T) {
	t.Parallel()
	type answer = func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error)
	ok := &pc.ExportProfilesServiceResponse{}
	const rows = 64
	for name, tc := range map[string]struct {
		fault   answer
		dropped map[string]uint64
		calls   int // exactly, 0: any
	}{
		"unavailable twice": {fault: func(call int, _ *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			if call <= 2 {
				return nil, status.Error(codes.Unavailable, "away")
			}
			return ok, nil
		}, calls: 3},
		"internal is final": {fault: func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return nil, status.Error(codes.Internal, "broken")
		}, dropped: map[string]uint64{reasonServer: rows}, calls: 1},
		"partial success": {fault: func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return &pc.ExportProfilesServiceResponse{PartialSuccess: &pc.ExportProfilesPartialSuccess{RejectedProfiles: 1, ErrorMessage: "no"}}, nil
		}, dropped: map[string]uint64{reasonPartial: rows}, calls: 1},
		"a warning is a success": {fault: func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return &pc.ExportProfilesServiceResponse{PartialSuccess: &pc.ExportProfilesPartialSuccess{ErrorMessage: "hm"}}, nil
		}, calls: 1},
		"too large": {fault: func(_ int, req *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			if proto.Size(req) > 2500 {
				return nil, status.Error(codes.ResourceExhausted, "too large")
			}
			return ok, nil
		}},
		"invalid": {fault: func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return nil, status.Error(codes.InvalidArgument, "no")
		}, dropped: map[string]uint64{reasonRejected: rows}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &otlpServer{t: t, fault: tc.fault}
			r := startOTLPTest(t, s.serve(), func(c *Config, _ *Options) {
				times := fastTimes()
				times.report = 50 * time.Millisecond // one request for all rows
				c.Times = times
			})
			for i := range rows {
				r.ReportSample(sampleOf(nativeTrace(uint64(i%8), 3), i))
			}
			eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
			r.Stop()
			l := checkLedger(t, r)
			var lost uint64
			for reason, n := range tc.dropped {
				lost += n
				if l.Dropped[reason] != n {
					t.Errorf("dropped %v, want %v", l.Dropped, tc.dropped)
				}
			}
			if l.Stored != rows-lost {
				t.Errorf("ledger %+v", l)
			}
			if tc.calls != 0 && s.calls != tc.calls {
				t.Errorf("%d calls, want %d", s.calls, tc.calls)
			}
		})
	}
}
