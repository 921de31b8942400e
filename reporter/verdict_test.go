// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

func outOfWindowError(earliest, latest libpf.UnixTimeNs) error {
	st, err := status.New(codes.OutOfRange, "time").WithDetails(&errdetails.ErrorInfo{
		Domain: "strobe", Reason: outOfRangeReason,
		Metadata: map[string]string{"earliest_ns": fmt.Sprint(int64(earliest)), "latest_ns": fmt.Sprint(int64(latest))},
	})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// Samples that the server does not want for their time are left out and counted,
// those of an earlier run as well, and nothing else is.
func TestWindow(t *testing.T) {
	t.Parallel()
	earliest, latest := sampleOf(nativeTrace(1, 1), 20).Time, sampleOf(nativeTrace(1, 1), 79).Time
	picky := func(_ string, req proto.Message) error {
		if c, ok := req.(*pb.AddCountsForTracesRequest); ok {
			now := c.GetBaseTime()
			for _, delta := range c.GetTimeDeltas() {
				if now += delta; now < int64(earliest) || now > int64(latest) {
					return outOfWindowError(earliest, latest)
				}
			}
		}
		return nil
	}
	check := func(t *testing.T, s *fakeServer, r *GRPCReporter) {
		t.Helper()
		eventually(t, "everything is settled", func() bool { l := r.Status().Ledger; return l.Queued+l.Spooled == 0 })
		r.Stop()
		checkRows(t, s, 20, 80)
		if l := checkLedger(t, r); l.Dropped[reasonTooOld] != 20 || l.Dropped[reasonInFuture] != 20 || len(l.Dropped) != 2 {
			t.Errorf("ledger %+v", l)
		}
	}
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		s := newFakeServer(t)
		s.fault = picky
		r := startTest(t, s.serve(), nil)
		report(r, 0, 100)
		check(t, s, r)
	})
	t.Run("on disk", func(t *testing.T) {
		t.Parallel()
		s := newFakeServer(t)
		s.fault = away
		addr, dir := s.serve(), t.TempDir()
		r := startSpool(t, addr, dir, nil)
		report(r, 0, 100)
		r.Stop()
		s.setFault(picky)
		check(t, s, startSpool(t, addr, dir, nil))
	})
	t.Run("announced", func(t *testing.T) {
		t.Parallel()
		s := newFakeServer(t)
		now := libpf.UnixTimeNs(time.Now().UnixNano())
		s.now, s.age, s.lead = int64(now), int64(time.Hour), int64(time.Minute)
		r := startTest(t, s.serve(), nil)
		report(r, 0, 1) // far in the future; until the handshake it is not known to be
		eventually(t, "connected", func() bool { return r.Status().Connected })
		for _, age := range []time.Duration{0, 59 * time.Minute, 60*time.Minute + 30*time.Second, 62 * time.Minute, -time.Minute, -3 * time.Minute} {
			sample := sampleOf(nativeTrace(1, 1), 0)
			sample.Time = now - libpf.UnixTimeNs(age)
			r.ReportSample(sample)
		}
		eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
		if l := checkLedger(t, r); l.Stored != 4 || l.Dropped[reasonTooOld] != 1 || l.Dropped[reasonInFuture] != 2 {
			t.Errorf("ledger %+v", l)
		}
	})
	t.Run("contradiction", func(t *testing.T) {
		t.Parallel()
		s := newFakeServer(t)
		s.fault = func(method string, _ proto.Message) error {
			if method == "counts" {
				return outOfWindowError(0, latest+libpf.UnixTimeNs(time.Hour))
			}
			return nil
		}
		r := startTest(t, s.serve(), nil)
		report(r, 0, 100)
		eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
		if l := checkLedger(t, r); l.Dropped[reasonRejected] != 100 || s.countCalls("counts") > 20 {
			t.Errorf("ledger %+v", l)
		}
	})
}

// What is wrong with a batch of an earlier run is found as in one of this run.
func TestSpoolCuts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(s *fakeServer)
		reason string
	}{
		"too large": {func(s *fakeServer) { s.maxBytes = 1500 }, ""},
		"invalid": {func(s *fakeServer) {
			s.fault = func(_ string, req proto.Message) error {
				if c, ok := req.(*pb.AddCountsForTracesRequest); ok && strings.Contains(strings.Join(c.GetStringTable(), " "), "poison") {
					return status.Error(codes.InvalidArgument, "string_table")
				}
				return nil
			}
		}, reasonRejected},
		"poison": {func(s *fakeServer) {
			s.fault = func(_ string, req proto.Message) error {
				if c, ok := req.(*pb.AddCountsForTracesRequest); ok && strings.Contains(strings.Join(c.GetStringTable(), " "), "poison") {
					return status.Error(codes.Internal, "bug")
				}
				return nil
			}
		}, reasonServer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			s.fault = away
			addr, dir := s.serve(), t.TempDir()
			r := startSpool(t, addr, dir, nil)
			bad := sampleOf(nativeTrace(1, 3), 50)
			bad.Comm = "poison"
			report(r, 0, 50)
			r.ReportSample(bad)
			report(r, 51, 100)
			r.Stop()
			s.mu.Lock()
			s.fault = nil
			tc.change(s)
			s.mu.Unlock()
			r = startSpool(t, addr, dir, nil)
			i := 100
			eventually(t, "everything is settled", func() bool {
				if tc.reason == reasonServer { // a server that takes others is not away
					report(r, i, i+1)
					i++
				}
				l := r.Status().Ledger
				return l.Stored > 0 && (tc.reason == "" || l.Dropped[tc.reason] > 0) && (tc.reason == reasonServer || l.Queued+l.Spooled == 0)
			})
			r.Stop()
			l := checkLedger(t, r)
			if lost := l.Dropped[tc.reason]; len(l.Dropped) > 1 || (tc.reason == "") != (lost == 0) || l.Recovered != 100 || l.Stored+l.Spooled != l.Captured-lost {
				t.Errorf("ledger %+v", l)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			// What was on its way when it stopped may be stored and on disk.
			if w := uint64(s.weight); w < l.Stored || w > l.Stored+l.Spooled {
				t.Errorf("stored %d, ledger %+v", w, l)
			}
		})
	}
}

// A lead so long that the sum overflows is no bound, and no reason to drop everything.
func TestWindowOfCenturies(t *testing.T) {
	t.Parallel()
	var c serverClock
	c.announce(&pb.GetServerInfoResponse{ServerTime: time.Now().UnixNano(), MaxSampleAge: math.MaxInt64, MaxSampleLead: math.MaxInt64})
	now := libpf.UnixTimeNs(time.Now().UnixNano())
	if w := c.window(); w.earliest > now || w.latest < now {
		t.Errorf("window %+v does not hold %d", w, now)
	}
}
