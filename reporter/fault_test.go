// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/support/program"
)

// failFirst fails the first n calls of each method in the list, or of all when there is none.
func failFirst(n int, err error, methods ...string) func(string, proto.Message) error {
	calls := map[string]int{}
	return func(method string, _ proto.Message) error {
		if len(methods) > 0 && !strings.Contains(strings.Join(methods, " "), method) {
			return nil
		}
		calls[method]++
		if calls[method] <= n {
			return err
		}
		return nil
	}
}

func withRetryInfo(code codes.Code, d time.Duration) error {
	st, err := status.New(code, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// Whatever the server does, every sample is stored once and no definition comes late.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		setup  func(s *fakeServer)
		change func(c *Config)
		dups   bool
		late   bool // definitions may come after their samples
	}{
		"unavailable": {setup: func(s *fakeServer) { s.fault = failFirst(3, status.Error(codes.Unavailable, "away")) }},
		"retry info": {setup: func(s *fakeServer) {
			s.fault = failFirst(2, withRetryInfo(codes.ResourceExhausted, 10*time.Millisecond))
		}},
		"unavailable with retry info": {setup: func(s *fakeServer) {
			s.fault = failFirst(2, withRetryInfo(codes.Unavailable, 10*time.Millisecond))
		}},
		"unauthenticated":     {setup: func(s *fakeServer) { s.fault = failFirst(2, status.Error(codes.Unauthenticated, "token")) }},
		"failed precondition": {setup: func(s *fakeServer) { s.fault = failFirst(2, status.Error(codes.FailedPrecondition, "version")) }},
		"internal": {
			setup: func(s *fakeServer) { s.fault = failFirst(3, status.Error(codes.Internal, "bug"), "frames", "counts") },
			late:  true, // other batches pass one that the server fails on
		},
		"lost acknowledgements": {
			setup: func(s *fakeServer) { s.after = failFirst(3, status.Error(codes.Unavailable, "gone")) }, dups: true,
		},
		"slow": {
			setup: func(s *fakeServer) {
				slow := failFirst(1, errors.New("slow"))
				s.after = func(method string, req proto.Message) error {
					if slow(method, req) != nil {
						time.Sleep(150 * time.Millisecond) // longer than the deadline
					}
					return nil
				}
			},
			change: func(c *Config) {
				times := fastTimes()
				times.operation = 100 * time.Millisecond
				c.Times = times
			}, dups: true,
		},
		"small server limit": {setup: func(s *fakeServer) { s.maxBytes = 1500 }},
		"small own limit":    {setup: func(*fakeServer) {}, change: func(c *Config) { c.MaxRPCMsgSize = 1500 }},
		"limit shrinks unannounced": {setup: func(s *fakeServer) {
			s.fault = func(_ string, req proto.Message) error {
				if proto.Size(req) > 1500 {
					return status.Error(codes.ResourceExhausted, "larger than max")
				}
				return nil
			}
		}},
		"small queues": {setup: func(*fakeServer) {}, change: func(c *Config) {
			c.FramesForTracesMaxQueue, c.FrameMetadataMaxQueue, c.FallbackSymbolsMaxQueue, c.ExecMetadataMaxQueue = 2, 2, 2, 2
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			tc.setup(s)
			r := startTest(t, s.serve(), func(c *Config, _ *Options) {
				if tc.change != nil {
					tc.change(c)
				}
			})
			const rows = 500
			for i := range rows {
				r.ReportSample(sampleOf(nativeTrace(uint64(i%25), 6), i))
				if i == rows/2 {
					eventually(t, "something is stored", func() bool { return s.stored() > 0 })
				}
			}
			eventually(t, "everything is stored", func() bool { return s.stored() == rows })
			r.Stop()
			if s.weight != rows || len(s.rows) != rows {
				t.Errorf("stored %d in %d rows, want %d", s.weight, len(s.rows), rows)
			}
			if l := checkLedger(t, r); l.Stored != rows || l.Queued != 0 || len(l.Dropped) != 0 {
				t.Errorf("ledger %+v", l)
			}
			if s.orphans > 0 && !tc.late {
				t.Errorf("%d definitions came late", s.orphans)
			}
			if (s.dups > 0) != tc.dups {
				t.Errorf("%d duplicates", s.dups)
			}
			for i := range 25 {
				trace := nativeTrace(uint64(i), 6)
				if len(s.stacks[trace.Hash]) != len(trace.Frames) {
					t.Errorf("stack %d is unknown", i)
				}
				for j := range trace.Frames[1:] {
					if len(s.names[trace.Frames[1+j].ID()]) != 2 {
						t.Errorf("frame %d of stack %d has no name", j, i)
					}
				}
			}
		})
	}
}

func TestServerComesLater(t *testing.T) {
	t.Parallel()
	addr := program.FreeAddress(t)
	s := newFakeServer(t)
	r := startTest(t, addr, func(c *Config, _ *Options) {
		times := fastTimes()
		times.connect = 20 * time.Millisecond
		c.Times = times
	})
	for i := range 100 {
		r.ReportSample(sampleOf(nativeTrace(uint64(i%5), 3), i))
	}
	eventually(t, "an attempt failed", func() bool { return r.Status().State == StateDisconnected })
	if st := r.Status(); st.Connected || st.LastError == "" || st.Ledger.Queued != 100 {
		t.Errorf("status %+v", st)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.serveOn(l)
	eventually(t, "everything is stored", func() bool { return s.stored() == 100 })
	eventually(t, "connected", func() bool { return r.Status().Connected })
}

// A server that lost its memory says so and gets everything again.
func TestNewEpoch(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startTest(t, s.serve(), nil)
	trace := nativeTrace(1, 5)
	r.ReportHostMetadata(map[string]string{"os": "linux"})
	r.ReportSample(sampleOf(trace, 0))
	eventually(t, "the first sample is settled", func() bool { return r.Status().Ledger.Stored == 1 && len(hostsOf(s)) == 1 })
	s.newLife("fedcba9876543210")
	r.ReportSample(sampleOf(trace, 1))
	eventually(t, "definitions and host come again", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.stacks[trace.Hash]) == 6 && len(s.names) == 5 && len(s.symbol) == 1 && len(s.execs) == 1 && len(s.hosts) == 2
	})
}

func hostsOf(s *fakeServer) []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts
}

// The lists of unknown things bring definitions back without any further sample.
func TestUnknownLists(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	lost := false
	s.fault = func(method string, _ proto.Message) error {
		if method == "counts" && !lost {
			lost = true
			s.forgetDefinitions() // after they were acknowledged, in the same epoch
		}
		return nil
	}
	r := startTest(t, s.serve(), nil)
	trace := nativeTrace(1, 5)
	r.ReportSample(sampleOf(trace, 0))
	eventually(t, "definitions come again", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return lost && len(s.stacks[trace.Hash]) == 6 && len(s.names) == 5 && len(s.symbol) == 1 && len(s.execs) == 1
	})
	if s.stored() != 1 {
		t.Errorf("stored %d", s.weight)
	}
}

// Definitions of a batch that was stored in a former epoch are not taken for known.
func TestDuplicateFromFormerEpoch(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	died := false
	s.after = func(method string, _ proto.Message) error {
		if method == "frames" && !died {
			died = true
			s.epoch = []byte("fedcba9876543210")
			s.forgetDefinitions()
			return status.Error(codes.Unavailable, "restarting")
		}
		return nil
	}
	r := startTest(t, s.serve(), nil)
	trace := nativeTrace(1, 5)
	r.ReportSample(sampleOf(trace, 0))
	eventually(t, "the stack comes again", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.stacks[trace.Hash]) == 6 && len(s.names) == 5
	})
}

// One bad row costs itself and its neighbours, not the batch, and is not tried for ever.
func TestInvalidIsSetAside(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = func(method string, req proto.Message) error {
		if c, ok := req.(*pb.AddCountsForTracesRequest); ok && method == "counts" {
			if slices.Contains(c.GetStringTable(), "poison") {
				return status.Error(codes.InvalidArgument, "string_table")
			}
		}
		return nil
	}
	r := startTest(t, s.serve(), func(c *Config, _ *Options) {
		times := fastTimes()
		times.report = 50 * time.Millisecond
		c.Times = times
	})
	const rows = 320
	for i := range rows {
		sample := sampleOf(nativeTrace(uint64(i%5), 3), i)
		if i == 77 {
			sample.Comm = "poison"
		}
		r.ReportSample(sample)
	}
	eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
	l := checkLedger(t, r)
	if lost := l.Dropped[reasonRejected]; lost == 0 || lost > rows/(1<<maxCuts) || l.Stored != rows-lost {
		t.Errorf("ledger %+v", l)
	}
	if calls := s.countCalls("counts"); calls > 64 {
		t.Errorf("%d calls", calls)
	}
}

// A batch on which the server fails for ever does not hold up the others for ever.
func TestPoisonBatch(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = failFirst(1<<30, status.Error(codes.Internal, "bug"), "frames")
	r := startTest(t, s.serve(), nil)
	r.ReportSample(sampleOf(nativeTrace(1, 3), 0))
	eventually(t, "the sample is stored", func() bool { return s.stored() == 1 })
	i := 1
	eventually(t, "the stack is set aside", func() bool {
		r.ReportSample(sampleOf(nativeTrace(1, 3), i))
		i++
		n := uint64(0)
		r.pump.meters.each("aside", func(kind, reason string, count uint64) {
			if kind == laneStacks && reason == reasonServer {
				n += count
			}
		})
		return n > 0
	})
}

func TestTooLargeItem(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.maxBytes = 4000
	r := startTest(t, s.serve(), nil)
	huge := libpf.NewTrace([]libpf.Frame{{Type: libpf.PythonFrame, FunctionName: strings.Repeat("x", 5000)}})
	r.ReportSample(sampleOf(huge, 0))
	r.ReportSample(sampleOf(nativeTrace(1, 3), 1))
	label := sampleOf(nativeTrace(1, 3), 2)
	label.Labels = []libpf.Label{{Key: "k", Value: strings.Repeat("y", 5000)}}
	r.ReportSample(label)
	eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
	r.Stop()
	if l := checkLedger(t, r); l.Stored != 2 || l.Dropped[reasonTooLarge] != 1 {
		t.Errorf("ledger %+v", l)
	}
	if len(s.stacks) != 1 {
		t.Errorf("%d stacks", len(s.stacks))
	}
}

// While the server is away equal samples are summed before any is dropped.
func TestOverflow(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = failFirst(1<<30, status.Error(codes.Unavailable, "away"))
	r := startTest(t, s.serve(), func(c *Config, o *Options) {
		c.CountsForTracesMaxQueue = 64
		o.StopTimeout = time.Second
	})
	trace := nativeTrace(1, 3)
	for i := range 5000 {
		r.ReportSample(sampleOf(trace, i)) // 5 s, three threads, four CPUs
	}
	if l := checkLedger(t, r); l.Queued != 5000 || len(l.Dropped) != 0 {
		t.Errorf("equal samples were lost: %+v", l)
	}
	for i := range 1000 {
		r.ReportSample(sampleOf(nativeTrace(uint64(i), 3), i))
	}
	l := checkLedger(t, r)
	lost := l.Dropped[reasonOverflow]
	if lost == 0 || l.Queued+lost != 6000 {
		t.Errorf("ledger %+v", l)
	}
	if m := r.GetMetrics(); uint64(m.CountsForTracesOverwriteCount) != lost {
		t.Errorf("overwritten %d, lost %d", m.CountsForTracesOverwriteCount, lost)
	}
	if m := r.GetMetrics(); m.CountsForTracesOverwriteCount != 0 {
		t.Error("the count is not reset by reading")
	}
	// What is left arrives when the server does, with nothing counted twice.
	s.setFault(nil)
	eventually(t, "the rest is stored", func() bool { return uint64(s.stored()) == 6000-lost })
	r.Stop()
	checkLedger(t, r)
}

// Definitions that fell out of their queue come with the next sample that needs them.
func TestDefinitionOverflow(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startTest(t, s.serve(), func(c *Config, o *Options) {
		o.StopTimeout = 15 * time.Second
		c.FramesForTracesMaxQueue, c.FrameMetadataMaxQueue, c.FallbackSymbolsMaxQueue, c.ExecMetadataMaxQueue = 3, 3, 3, 3
		c.MetricsMaxQueue, c.HostMetadataMaxQueue = 3, 2
		times := fastTimes()
		times.report, times.metrics = time.Minute, time.Minute
		c.Times = times
	})
	// Keep the flusher away: half full queues wake it, so it must not see them.
	s.setFault(failFirst(1<<30, withRetryInfo(codes.Unavailable, time.Millisecond)))
	var traces []*libpf.Trace
	for i := range 50 {
		frames := []libpf.Frame{
			{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, uint64(i)), AddressOrLineno: 1},
			{Type: libpf.KernelFrame, FileID: libpf.NewFileID(1, uint64(i)), AddressOrLineno: 2},
		}
		traces = append(traces, libpf.NewTrace(frames))
		r.ReportFramesForTrace(traces[i])
		r.FrameMetadata(libpf.NewFileID(1, uint64(i)), 1, 1, 0, fmt.Sprint("fn", i), "f.c")
		r.ReportFallbackSymbol(frames[1].ID(), fmt.Sprint("sym", i))
		r.ExecutableMetadata(context.Background(), libpf.NewFileID(1, uint64(i)), fmt.Sprint("exe", i), "")
		r.ReportMetrics(uint32(i), []uint32{1, 2}, []int64{1, 2})
		r.ReportHostMetadata(map[string]string{"n": fmt.Sprint(i)})
	}
	m := r.GetMetrics()
	for name, n := range map[string]uint32{
		"frames": m.FramesForTracesOverwriteCount, "names": m.FrameMetadataOverwriteCount,
		"symbols": m.FallbackSymbolsOverwriteCount, "executables": m.ExeMetadataOverwriteCount,
	} {
		if n == 0 {
			t.Errorf("no overwritten %s", name)
		}
	}
	if m.MetricsOverwriteCount != 94 || m.HostMetadataOverwriteCount == 0 {
		t.Errorf("overwritten metrics %d, host metadata %d", m.MetricsOverwriteCount, m.HostMetadataOverwriteCount)
	}
	s.setFault(nil)
	for i, trace := range traces {
		r.ReportCountForTrace(trace.Hash, libpf.UnixTime32(i), 1, "c", "", "")
	}
	r.Stop()
	if len(s.stacks) != 50 || len(s.names) != 50 || len(s.symbol) != 50 || len(s.execs) != 50 || s.orphans != 0 {
		t.Errorf("%d stacks, %d names, %d symbols, %d executables, %d late", len(s.stacks), len(s.names), len(s.symbol), len(s.execs), s.orphans)
	}
	if n := len(s.hosts); s.hosts[n-1]["n"] != "49" {
		t.Errorf("hosts %v", s.hosts)
	}
	if n := len(s.points); s.points[n-1].timestamp != 49 {
		t.Errorf("points %v", s.points)
	}
}
