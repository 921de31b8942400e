// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// repeat returns n times a field with the same bytes.
func repeat(number protowire.Number, value string, n int) []byte {
	one := protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
	b := make([]byte, 0, n*len(one))
	for range n {
		b = append(b, one...)
	}
	return b
}

// worstRequests are requests of about n bytes that become as many objects as
// possible, by method.
func worstRequests(t *testing.T, n int) map[string][]byte {
	t.Helper()
	worst := make(map[string][]byte)
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// Repeated fields of nothing: two bytes each.
	for method, m := range map[string]proto.Message{
		"AddCountsForTraces": &pb.AddCountsForTracesRequest{}, "SetFramesForTraces": &pb.SetFramesForTracesRequest{},
		"AddFrameMetadata": &pb.AddFrameMetadataRequest{}, "AddFallbackSymbols": &pb.AddFallbackSymbolsRequest{},
		"AddExecutableMetadata": &pb.AddExecutableMetadataRequest{}, "ReportHostMetadata": &pb.ReportHostMetadataRequest{},
		"AddMetrics": &pb.AddMetricsRequest{}, "ReportStatus": &pb.ReportStatusRequest{}, "GetServerInfo": &pb.GetServerInfoRequest{},
	} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			if fd.IsMap() { // each with a key of its own
				var b []byte
				for key := uint32(0); len(b) < n; key++ {
					entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), string(binary.LittleEndian.AppendUint32(nil, key)))
					b = protowire.AppendBytes(protowire.AppendTag(b, fd.Number(), protowire.BytesType), entry)
				}
				worst[method+" "+string(fd.Name())] = b
				continue
			}
			worst[method+" "+string(fd.Name())] = repeat(fd.Number(), "", n/2)
			if fd.IsList() && fd.Kind() != 11 {
				worst[method+" packed "+string(fd.Name())] = repeat(fd.Number(), strings.Repeat("\x00", n), 1)
			}
		}
		worst[method+" unknown"] = repeat(1000, "", n/3)
	}
	worst["AddCountsForTraces nested"] = repeat(5, "\x6a\x00\x6a\x00", n/6)
	// Every row has a series of its own with all the labels there can be.
	r := testCounts(1)
	r.StringTable = []string{""}
	for i := range 128 {
		r.StringTable = append(r.StringTable, fmt.Sprintf("%03d", i))
	}
	set := &pb.LabelSet{}
	for i := range uint32(64) {
		set.Keys, set.Values = append(set.Keys, 1+2*i), append(set.Values, 1)
	}
	other := proto.CloneOf(set)
	for i := range other.Keys {
		other.Keys[i]++
	}
	r.Processes, r.LabelSets = []*pb.Process{{Labels: set}}, []*pb.LabelSet{other}
	r.ThreadTids, r.ThreadComms, r.SourceProcesses, r.SourceThreads = []uint32{1}, []uint32{0}, nil, nil
	r.TimeDeltas, r.Stacks, r.Sources, r.Labels = nil, nil, nil, nil
	r.Counts, r.Values, r.Types, r.Cpus, r.SpanRefs = nil, nil, nil, nil, nil
	for i := range n / 8 {
		r.SourceProcesses, r.SourceThreads = append(r.SourceProcesses, 0), append(r.SourceThreads, 0)
		r.TimeDeltas, r.Stacks = append(r.TimeDeltas, 0), append(r.Stacks, 0)
		r.Sources, r.Labels = append(r.Sources, uint32(i)), append(r.Labels, 1)
	}
	worst["AddCountsForTraces series"] = marshal(r)
	// As many rows as there can be.
	rows := testCounts(1)
	rows.Counts, rows.Values, rows.Types, rows.Cpus, rows.Labels, rows.SpanRefs = nil, nil, nil, nil, nil, nil
	rows.TimeDeltas, rows.Stacks, rows.Sources = make([]int64, n/3), make([]uint32, n/3), make([]uint32, n/3)
	worst["AddCountsForTraces rows"] = marshal(rows)
	// One frame, referred to by one byte each.
	f := testFrames(1)
	f.FrameCounts, f.HiTraceHashes, f.LoTraceHashes, f.Frames = nil, nil, nil, nil
	frame := libpf.Frame{Type: libpf.KernelFrame, FileID: libpf.NewFileID(3, 4), AddressOrLineno: 7}
	stack := make([]libpf.Frame, testLimits.MaxFrames)
	for i := range stack {
		stack[i] = frame
	}
	hash := libpf.HashTrace(stack)
	for range n / testLimits.MaxFrames {
		f.FrameCounts = append(f.FrameCounts, uint32(testLimits.MaxFrames))
		f.HiTraceHashes, f.LoTraceHashes = append(f.HiTraceHashes, hash.Hi()), append(f.LoTraceHashes, hash.Lo())
		f.Frames = append(f.Frames, make([]uint32, testLimits.MaxFrames)...)
	}
	worst["SetFramesForTraces frames"] = marshal(f)
	// Lines of nothing.
	l := testFrameMetadata(1)
	k := n / 6
	l.Files, l.Addresses, l.LineCounts = make([]uint32, k), make([]uint64, k), make([]uint32, k)
	l.Functions, l.SystemNames, l.SourceFiles, l.Lines, l.StartLines = make([]uint32, k), nil, make([]uint32, k), make([]uint64, k), nil
	for i := range l.LineCounts {
		l.LineCounts[i] = 1
	}
	worst["AddFrameMetadata lines"] = marshal(l)
	return worst
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (raw) Unmarshal(mem.BufferSlice, any) error { return nil }

var _ encoding.CodecV2 = raw{}

// TestAmplification sends the worst requests there are: none makes more than a
// fixed multiple of its size, whatever the answer.
func TestAmplification(t *testing.T) {
	const n = 1 << 19
	s := newTestServer(t, Config{Store: discard{memstore.New()}})
	conn := dial(t, s, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	// The request itself is there twice, as it came and in one piece. Of what is
	// built, growing slices and maps leave up to as much again behind as garbage.
	const most = 2*(amplifyFactor*n+amplifyFree) + 4*n + 8<<20
	var highest uint64
	for what, b := range worstRequests(t, n) {
		method, _, _ := strings.Cut(what, " ")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := conn.Invoke(t.Context(), "/"+pb.CollectionAgent_ServiceDesc.ServiceName+"/"+method, b, &[]byte{})
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		highest = max(highest, allocated)
		switch status.Code(err) {
		case codes.OK, codes.InvalidArgument, codes.OutOfRange, codes.Unimplemented, codes.Internal:
		default:
			t.Errorf("%s: %v", what, err)
		}
		if allocated > most {
			t.Errorf("%s: %d bytes make %d, at most %d are allowed (%v)", what, len(b), allocated, most, err)
		}
		if allocated > most/4 {
			t.Logf("%s: %d bytes make %d (%v)", what, len(b), allocated, status.Code(err))
		}
		if used := s.budget.inUse(); used != 0 {
			t.Fatalf("%s: %d bytes of the budget are not given back", what, used)
		}
	}
	t.Logf("the worst request of %d bytes makes %d", n, highest)
}

// discard is a store that forgets samples and definitions.
type discard struct{ *memstore.Store }

func (discard) Append(context.Context, *store.Batch) (bool, error)    { return false, nil }
func (discard) Put(context.Context, *store.Definitions) (bool, error) { return false, nil }

// TestMemoryBudget sends more at once than there is memory for: what does not
// fit is told to come back, and everything is taken in the end.
func TestMemoryBudget(t *testing.T) {
	s := newTestServer(t, Config{MaxRequestBytes: 1 << 20, MemoryBytes: 4 << 20, MaxConcurrent: 1000, patience: time.Millisecond})
	c := pb.NewCollectionAgentClient(dial(t, s, grpc.WithDefaultCallOptions(grpc.UseCompressor(zstdgrpc.Name))))
	if !s.budget.tryAcquire(s.budget.size - 1<<20) {
		t.Fatal("budget is not free")
	}
	_, err := c.AddCountsForTraces(t.Context(), testCounts(1))
	if status.Code(err) != codes.ResourceExhausted || retryAfter(err) < time.Second || !strings.Contains(err.Error(), "-ingest-memory") {
		t.Errorf("no memory: %v, retry after %v", err, retryAfter(err))
	}
	s.budget.release(s.budget.size - 1<<20)
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for client := range 20 {
		wg.Go(func() {
			for seq := range uint64(10) {
				for {
					r := testCounts(seq + 1)
					r.Batch.HostId = fmt.Sprint(client)
					r.StringTable = append(r.StringTable, strings.Repeat("x", 60_000))
					_, err := c.AddCountsForTraces(t.Context(), r)
					if err == nil {
						break
					}
					if status.Code(err) != codes.ResourceExhausted || retryAfter(err) == 0 {
						t.Errorf("client %d: %v", client, err)
						return
					}
					mu.Lock()
					refused++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d requests were refused", refused)
	if used := s.budget.inUse(); used != 0 {
		t.Errorf("%d bytes of the budget are not given back", used)
	}
	if n := counterValue(t, s.metrics.samples); n != 20*10*4 {
		t.Errorf("%v samples are stored", n)
	}
}

// TestBudgetOrder checks that a large request is not passed by small ones for
// ever, and that nobody waits longer than they want to.
func TestBudgetOrder(t *testing.T) {
	b := &budget{size: 10, maxWaiting: 1}
	if !b.tryAcquire(5) {
		t.Fatal("free budget is refused")
	}
	served := make(chan error)
	go func() { served <- b.acquire(t.Context(), 10, time.Minute) }()
	for {
		b.mu.Lock()
		n := b.waiting.Len()
		b.mu.Unlock()
		if n == 1 {
			break
		}
		runtime.Gosched()
	}
	if b.tryAcquire(1) {
		t.Error("a small request passes a large one that waits")
	}
	if !b.grow(1) {
		t.Error("a request that is being worked on cannot go on")
	}
	if err := b.acquire(t.Context(), 1, time.Minute); err == nil {
		t.Error("more wait than may")
	}
	b.release(6)
	if err := <-served; err != nil || b.inUse() != 10 {
		t.Errorf("large request: %v, %d in use", err, b.inUse())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.acquire(ctx, 1, time.Minute); err == nil {
		t.Error("acquired with an ended context")
	}
	if err := b.acquire(t.Context(), 1, time.Millisecond); err == nil || b.waiting.Len() != 0 {
		t.Errorf("acquired what is not there: %v", err)
	}
	if err := b.acquire(t.Context(), math.MaxInt64, time.Minute); err == nil {
		t.Error("acquired more than there is")
	}
}

// TestSlowBody sends the start of a request and then nothing.
func TestSlowBody(t *testing.T) {
	s := newTestServer(t, Config{RequestTimeout: 50 * time.Millisecond})
	conn := dial(t, s, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/"+pb.CollectionAgent_ServiceDesc.ServiceName+"/AddCountsForTraces")
	if err != nil {
		t.Fatal(err)
	}
	err = stream.RecvMsg(&[]byte{})
	if status.Code(err) != codes.Unavailable || retryAfter(err) == 0 || !strings.Contains(err.Error(), "did not arrive within") {
		t.Errorf("slow request: %v", err)
	}
	for deadline := time.Now().Add(2 * time.Minute); s.budget.inUse() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of the budget are not given back", s.budget.inUse())
		}
	}
}

// TestPanics has faults in an interceptor of a request and of a stream.
func TestPanics(t *testing.T) {
	s := newTestServer(t, Config{})
	_, err := s.guard(t.Context(), nil, &grpc.UnaryServerInfo{Server: s}, func(context.Context, any) (any, error) { panic("fault") })
	if status.Code(err) != codes.Internal {
		t.Errorf("request: %v", err)
	}
	_, err = s.guard(t.Context(), nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { panic("fault") })
	if status.Code(err) != codes.Internal {
		t.Errorf("request of another service: %v", err)
	}
	err = s.guardStream(nil, nil, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error { panic("fault") })
	if status.Code(err) != codes.Internal {
		t.Errorf("stream: %v", err)
	}
	if _, err := s.read(func(any) error { panic("fault") }, &meter{budget: s.budget}); status.Code(err) != codes.Internal {
		t.Errorf("reading: %v", err)
	}
	if n := counterValue(t, s.metrics.panics); n != 4 {
		t.Errorf("%v panics are counted", n)
	}
	if len(s.slots) != 0 {
		t.Error("a slot is lost")
	}
}
