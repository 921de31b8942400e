// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

func TestMain(m *testing.M) {
	if os.Getenv(envConnections) != "" {
		serveConnections()
		return
	}
	goleak.VerifyTestMain(m)
}

// counterValue returns the value of a counter.
func counterValue(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// newTestServer returns a server over a store, memstore when nil.
func newTestServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = memstore.New()
	}
	cfg.Now = func() time.Time { return testNow }
	if cfg.KnownStacks == 0 {
		cfg.KnownStacks = 1024
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dial serves s and returns a connection to it.
func dial(t *testing.T, s *Server, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server, _ := s.NewGRPCServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///server", append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // a test may end before it begins
			t.Errorf("serve: %v", err)
		}
	})
	return conn
}

// TestRoundTrip sends everything once over gRPC and reads it from the store.
func TestRoundTrip(t *testing.T) {
	for _, compressor := range []string{"", "gzip", zstdgrpc.Name} {
		t.Run("compressor "+compressor, func(t *testing.T) {
			m := memstore.New()
			reg := prometheus.NewRegistry()
			s := newTestServer(t, Config{Store: m, Version: "v9", Registerer: reg})
			var options []grpc.DialOption
			if compressor != "" {
				options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(compressor)))
			}
			c := pb.NewCollectionAgentClient(dial(t, s, options...))
			roundTrip(t, c, m)
			if n := counterValue(t, s.metrics.samples); n != 4 {
				t.Errorf("%v samples counted, want 4", n)
			}
			if n := counterValue(t, s.metrics.observations); n != 5 {
				t.Errorf("%v observations counted, want 5", n)
			}
			if n := counterValue(t, s.metrics.bytes.WithLabelValues("decoded")); n == 0 {
				t.Error("no bytes counted")
			}
		})
	}
}

func roundTrip(t *testing.T, c pb.CollectionAgentClient, m store.Store) {
	t.Helper()
	ctx := t.Context()
	epoch := m.Epoch()
	info, err := c.GetServerInfo(ctx, &pb.GetServerInfoRequest{ProtocolVersion: 1})
	if err != nil || info.ServerVersion != "v9" || info.MaxRequestBytes != 16<<20 || string(info.Epoch) != string(epoch[:]) {
		t.Fatalf("server info: %v, %v", info, err)
	}
	counts, err := c.AddCountsForTraces(ctx, testCounts(1))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]uint32{0, 1}, counts.UnknownStacks); d != "" || counts.Ack.Duplicate {
		t.Errorf("first counts: %v", counts)
	}
	frames, err := c.SetFramesForTraces(ctx, testFrames(1))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(frames.UnnamedFrames, []uint32{0, 1, 2}) || !slices.Equal(frames.UnknownFiles, []uint32{0, 1}) {
		t.Errorf("first frames: %v", frames)
	}
	_, err1 := c.AddFrameMetadata(ctx, testFrameMetadata(1))
	_, err2 := c.AddFallbackSymbols(ctx, testFallback(1))
	_, err3 := c.AddExecutableMetadata(ctx, testExecutables(1))
	_, err4 := c.ReportHostMetadata(ctx, testHost(1))
	_, err5 := c.AddMetrics(ctx, testMetrics(1))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	if counts, err = c.AddCountsForTraces(ctx, testCounts(1)); err != nil || !counts.Ack.Duplicate || len(counts.UnknownStacks) != 0 {
		t.Errorf("repeated counts: %v, %v", counts, err)
	}
	if frames, err = c.SetFramesForTraces(ctx, testFrames(2)); err != nil || len(frames.UnnamedFrames) != 0 || !slices.Equal(frames.UnknownFiles, []uint32{1}) {
		t.Errorf("frames when all is named: %v, %v", frames, err)
	}
	checkStored(t, m)
}

// checkStored compares the store with what the test requests say.
func checkStored(t *testing.T, m store.Store) {
	t.Helper()
	var got []string
	q := &store.Query{
		Project: DefaultProject, From: math.MinInt64, To: math.MaxInt64, ByStack: true, Step: time.Millisecond,
		GroupBy: []string{"service", "host", "host_id", "pid", "tid", "comm", "process", "container", "pod", "key", "kez"},
	}
	_, err := m.Select(t.Context(), q, func(r *store.Row) bool {
		got = append(got, fmt.Sprintf("%s %d %s %d %d", strings.Join(r.Group, "|"), (r.Bucket-libpf.UnixTimeNs(testNow.UnixNano()))/1e6,
			r.Stack.String()[:4], r.Count, r.Value))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	stacks := testStacks()
	h := []string{libpf.HashTrace(stacks[0]).String()[:4], libpf.HashTrace(stacks[1]).String()[:4]}
	want := []string{
		"srv|alpha|host-1|11|10|main|srv|w1|key|| -2 " + h[0] + " 1 30",
		"web|alpha|host-1|10|10|main|srv|||v1| 0 " + h[0] + " 1 10",
		"web|alpha|host-1|10|12|w1|srv|||v1| -2 " + h[1] + " 1 40",
		"web|alpha|host-1|10|12|w1|srv|||v2|v1 1 " + h[1] + " 2 20",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("samples (-want +got):\n%s", d)
	}
	found, err := m.Stacks(t.Context(), DefaultProject, []libpf.TraceHash{libpf.HashTrace(stacks[1])})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(stacks[1], found[libpf.HashTrace(stacks[1])], cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })); d != "" {
		t.Errorf("stack (-want +got):\n%s", d)
	}
	id := func(hi, lo uint64, addr libpf.AddressOrLineno) libpf.FrameID {
		return libpf.NewFrameID(libpf.NewFileID(hi, lo), addr)
	}
	symbols, err := m.Symbols(t.Context(), DefaultProject, []libpf.FrameID{id(1, 2, 16), id(3, 4, 7)})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[libpf.FrameID][]libpf.SourceLine{
		id(1, 2, 16): {
			{Function: "inlined", File: "x.c", Line: 5, StartLine: 1},
			{Function: "outer", SystemName: "_Zouter", File: "x.c", Line: 6, StartLine: 2},
		},
		id(3, 4, 7): {{Function: "do_syscall"}},
	}, symbols); d != "" {
		t.Errorf("symbols (-want +got):\n%s", d)
	}
	hosts, err := m.Hosts(t.Context(), DefaultProject)
	if err != nil || len(hosts) != 1 || hosts[0].Name != "alpha" || hosts[0].Metadata["kernel"] != "6.1" {
		t.Errorf("hosts: %v, %v", hosts, err)
	}
}

// readOnlyStore refuses writes.
type readOnlyStore struct{ store.Store }

func (readOnlyStore) Append(context.Context, *store.Batch) (bool, error) {
	return false, fmt.Errorf("%w: disk full", store.ErrReadOnly)
}

func (readOnlyStore) Put(context.Context, *store.Definitions) (bool, error) {
	return false, errors.New("secret detail")
}

// retryAfter returns the delay that an error asks for.
func retryAfter(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.RetryDelay.AsDuration()
		}
	}
	return 0
}

func TestStoreErrors(t *testing.T) {
	s := newTestServer(t, Config{Store: readOnlyStore{memstore.New()}})
	_, err := s.AddCountsForTraces(t.Context(), testCounts(1))
	if status.Code(err) != codes.Unavailable || retryAfter(err) == 0 || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("read-only store: %v", err)
	}
	_, err = s.SetFramesForTraces(t.Context(), testFrames(1))
	if status.Code(err) != codes.Unavailable || retryAfter(err) == 0 || strings.Contains(err.Error(), "secret") {
		t.Errorf("broken store: %v", err)
	}
}

func TestLimits(t *testing.T) {
	s := newTestServer(t, Config{MaxRequestBytes: 4096, MaxConcurrent: 1})
	c := pb.NewCollectionAgentClient(dial(t, s, grpc.WithDefaultCallOptions(grpc.UseCompressor(zstdgrpc.Name))))
	large := testCounts(1)
	large.StringTable = append(large.StringTable, strings.Repeat("a", 5000)) // compresses to nothing
	if _, err := c.AddCountsForTraces(t.Context(), large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("large request: %v", err)
	}
	s.slots <- struct{}{}
	_, err := c.AddCountsForTraces(t.Context(), testCounts(1))
	if status.Code(err) != codes.ResourceExhausted || retryAfter(err) == 0 {
		t.Errorf("busy server: %v", err)
	}
	<-s.slots
	if _, err := c.AddCountsForTraces(t.Context(), testCounts(1)); err != nil {
		t.Errorf("idle server: %v", err)
	}
}

func TestHealth(t *testing.T) {
	s := newTestServer(t, Config{})
	h := healthpb.NewHealthClient(dial(t, s))
	for _, service := range []string{"", pb.CollectionAgent_ServiceDesc.ServiceName} {
		r, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, r, err)
		}
	}
}

func BenchmarkConvertCounts(b *testing.B) {
	r := testCounts(1)
	r.Counts, r.Values, r.Types, r.Cpus, r.Labels, r.SpanRefs = nil, nil, nil, nil, nil, nil
	for len(r.TimeDeltas) < 10_000 {
		r.TimeDeltas = append(r.TimeDeltas, 5)
		r.Stacks = append(r.Stacks, uint32(len(r.Stacks)%2))
		r.Sources = append(r.Sources, uint32(len(r.Sources)%3))
	}
	v := &validator{now: libpf.UnixTimeNs(testNow.UnixNano()), limits: testLimits}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.counts(r, DefaultProject); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(r.Stacks)*b.N)/b.Elapsed().Seconds(), "rows/s")
}
