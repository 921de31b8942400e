// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pc "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/reporter/internal/spool"
)

type exportFault = func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error)

func (s *otlpServer) setFault(f exportFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func otlpAway(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
	return nil, errAway
}

// serveProtocol serves and returns the address.
func (s *otlpServer) serveProtocol(protocol string) string {
	if protocol == ProtocolHTTP {
		return s.serveHTTP()
	}
	return s.serve()
}

// startOTLPSpool starts a reporter with a spool that does not wait long for anybody.
func startOTLPSpool(t *testing.T, addr, dir string, change func(*Config, *Options)) *OTLPReporter {
	t.Helper()
	return startOTLPTest(t, addr, func(c *Config, o *Options) {
		o.SpoolDir, o.SpoolMaxBytes, o.StopTimeout = dir, 16<<20, 50*time.Millisecond
		if strings.HasPrefix(addr, "http") {
			o.Protocol = ProtocolHTTP
		}
		if change != nil {
			change(c, o)
		}
	})
}

// What an outage puts on disk is delivered after it, in order and once.
func TestOTLPSpoolOutage(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{ProtocolGRPC, ProtocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := &otlpServer{t: t, fault: otlpAway}
			r := startOTLPSpool(t, s.serveProtocol(protocol), t.TempDir(), nil)
			const rows = 2000
			for i := range 10 {
				reportOTLP(r, i*rows/10, (i+1)*rows/10)
				eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == uint64((i+1)*rows/10) })
				checkLedger(t, r)
			}
			if st := r.Status(); st.Spool.State != spoolOn || st.Spool.Bytes == 0 || st.Spool.Batches < 10 || st.Spool.Oldest.IsZero() || st.Spool.ForeignBytes != 0 {
				t.Errorf("status %+v", st.Spool)
			}
			s.setFault(nil)
			eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == rows })
			reportOTLP(r, rows, rows+10)
			eventually(t, "the rest is stored", func() bool { return r.Status().Ledger.Stored == rows+10 })
			r.Stop()
			checkTimes(t, s, 0, rows+10)
			first := uint64(0)
			for _, req := range s.reqs {
				at := req.GetResourceProfiles()[0].GetScopeProfiles()[0].GetProfiles()[0].GetTimeUnixNano()
				if at < first {
					t.Error("requests came out of order")
				}
				first = at
			}
			if l := checkLedger(t, r); l.Captured != rows+10 || l.Queued+l.Spooled+l.Recovered != 0 || len(l.Dropped) > 0 {
				t.Errorf("ledger %+v", l)
			}
			if st := r.Status().Spool; st.Batches != 0 || st.Bytes != 0 {
				t.Errorf("spool %+v", st)
			}
		})
	}
}

// The next run delivers first what the last one left, as the same bytes, whatever the transport.
func TestOTLPSpoolRestart(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t, fault: otlpAway}
	dir := t.TempDir()
	grpcAddr, httpAddr := s.serve(), s.serveHTTP()
	r := startOTLPSpool(t, grpcAddr, dir, nil)
	reportOTLP(r, 0, 500)
	eventually(t, "some is on disk", func() bool { return r.Status().Ledger.Spooled > 0 })
	reportOTLP(r, 500, 1000) // the last of it is still queued when it stops
	r.Stop()
	if l := checkLedger(t, r); l.Spooled != 1000 || len(l.Dropped) > 0 {
		t.Errorf("ledger %+v", l)
	}
	var left [][]byte
	disk, err := spool.Open(spool.Options{Dir: otlpSpoolDir(dir), MaxBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, ok, err := disk.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		left = append(left, rec.Payload)
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	r = startOTLPSpool(t, httpAddr, dir, nil)
	reportOTLP(r, 1000, 1100)
	eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == 1100 })
	s.setFault(nil)
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == 1100 })
	r.Stop()
	checkTimes(t, s, 0, 1100)
	if l := checkLedger(t, r); l.Captured != 1100 || l.Recovered != 1000 {
		t.Errorf("ledger %+v", l)
	}
	for i := range left {
		if !bytes.Equal(left[i], s.payloads[i]) {
			t.Errorf("request %d of the earlier run changed", i)
		}
	}
}

// An agent that is killed during an outage loses only what it had not put on disk yet.
func TestOTLPSpoolKill(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t, fault: otlpAway}
	addr, dir := s.serveHTTP(), t.TempDir()
	spooled := killSpooling(t, addr, dir)
	s.setFault(nil)
	r := startOTLPSpool(t, addr, dir, nil)
	recovered := r.Status().Ledger.Recovered
	if int(recovered) < spooled {
		t.Errorf("recovered %d of %d", recovered, spooled)
	}
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == recovered })
	r.Stop()
	checkTimes(t, s, 0, int(recovered))
}

// A spool that is too small loses the oldest samples alone, and knows how many.
func TestOTLPSpoolTooSmall(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t, fault: otlpAway}
	r := startOTLPSpool(t, s.serve(), t.TempDir(), func(_ *Config, o *Options) { o.SpoolMaxBytes = 64 << 10 })
	const rows = 10_000
	for i := 0; i < rows; i += 200 {
		reportOTLP(r, i, i+200)
		eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Queued == 0 })
	}
	l := checkLedger(t, r)
	lost := l.Dropped[reasonEvicted]
	if lost == 0 || l.Spooled == 0 || l.Spooled+lost != rows || len(l.Dropped) != 1 {
		t.Errorf("ledger %+v", l)
	}
	if st := r.Status().Spool; st.Bytes > st.MaxBytes {
		t.Errorf("spool %+v", st)
	}
	s.setFault(nil)
	eventually(t, "the rest is stored", func() bool { return r.Status().Ledger.Stored == rows-lost })
	r.Stop()
	checkLedger(t, r)
	checkTimes(t, s, int(lost), rows) // the newest, without a gap
}

// Neither protocol sends what the other left, and neither loses it.
func TestSpoolOfTheOtherProtocol(t *testing.T) {
	t.Parallel()
	own := newFakeServer(t)
	own.fault = away
	foreign := &otlpServer{t: t, fault: otlpAway}
	ownAddr, foreignAddr, dir := own.serve(), foreign.serve(), t.TempDir()
	a := startSpool(t, ownAddr, dir, nil)
	report(a, 0, 100)
	a.Stop()
	var logs bytes.Buffer
	b := startOTLPSpool(t, foreignAddr, dir, func(_ *Config, o *Options) { o.Logger = textLog(&logs) })
	if st := b.Status(); st.Spool.State != spoolOn || st.Spool.ForeignBytes == 0 || st.Ledger.Captured != 0 {
		t.Errorf("status %+v", st)
	}
	reportOTLP(b, 100, 200)
	b.Stop()
	if !strings.Contains(logs.String(), "batches of the other protocol") || !strings.Contains(logs.String(), dir) {
		t.Errorf("log: %s", logs.String())
	}
	own.setFault(nil)
	// Another server: a request that was on its way when its agent stopped is not taken twice.
	foreign = &otlpServer{t: t}
	foreignAddr = foreign.serve()
	a = startSpool(t, ownAddr, dir, nil)
	if st := a.Status(); st.Spool.ForeignBytes == 0 || st.Ledger.Recovered != 100 {
		t.Errorf("status %+v", st)
	}
	eventually(t, "what is its own is stored", func() bool { return a.Status().Ledger.Stored == 100 })
	a.Stop()
	checkRows(t, own, 0, 100)
	b = startOTLPSpool(t, foreignAddr, dir, nil)
	eventually(t, "what is its own is stored", func() bool { return b.Status().Ledger.Stored == 100 })
	if st := b.Status(); st.Spool.ForeignBytes != 0 || st.Ledger.Recovered != 100 {
		t.Errorf("status %+v", st)
	}
	b.Stop()
	checkTimes(t, foreign, 100, 200)
}

// Even where somebody moved the files, nothing is sent to those that it is not for.
func TestSpoolMoved(t *testing.T) {
	t.Parallel()
	move := func(from, to string) {
		files, err := filepath.Glob(filepath.Join(from, "*.seg"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.Rename(f, filepath.Join(to, filepath.Base(f))); err != nil {
				t.Fatal(err)
			}
		}
	}
	own := newFakeServer(t)
	own.fault = away
	foreign := &otlpServer{t: t, fault: otlpAway}
	ownAddr, foreignAddr, dir, other := own.serve(), foreign.serve(), t.TempDir(), t.TempDir()
	b := startOTLPSpool(t, foreignAddr, dir, nil)
	reportOTLP(b, 0, 100)
	b.Stop()
	a := startSpool(t, ownAddr, other, nil)
	report(a, 0, 100)
	a.Stop()
	move(otlpSpoolDir(dir), dir)
	move(other, otlpSpoolDir(other))
	own.setFault(nil)
	foreign.setFault(nil)
	a = startSpool(t, ownAddr, dir, nil)
	eventually(t, "it is given up", func() bool { return checkLedger(t, a).Dropped[reasonCorrupt] == 100 })
	b = startOTLPSpool(t, foreignAddr, other, nil)
	eventually(t, "it is given up", func() bool { return checkLedger(t, b).Dropped[reasonCorrupt] == 100 })
	a.Stop()
	b.Stop()
	if own.stored() != 0 || len(foreign.reqs) != 0 {
		t.Errorf("%d stored, %d requests", own.stored(), len(foreign.reqs))
	}
}

// What is wrong with a request of an earlier run is dealt with as in one of this run.
func TestOTLPSpoolAnswers(t *testing.T) {
	t.Parallel()
	const rows = 400
	for name, tc := range map[string]struct {
		fault   exportFault
		dropped map[string]uint64
	}{
		"too large": {func(_ int, req *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			if proto.Size(req) > 4000 {
				return nil, status.Error(codes.ResourceExhausted, "too large")
			}
			return &pc.ExportProfilesServiceResponse{}, nil
		}, nil},
		"too large for ever": {func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return nil, status.Error(codes.ResourceExhausted, "too large")
		}, map[string]uint64{reasonTooLarge: rows}},
		"partial": {func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return &pc.ExportProfilesServiceResponse{PartialSuccess: &pc.ExportProfilesPartialSuccess{RejectedProfiles: 1}}, nil
		}, map[string]uint64{reasonPartial: rows}},
		"invalid": {func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
			return nil, status.Error(codes.InvalidArgument, "no")
		}, map[string]uint64{reasonRejected: rows}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &otlpServer{t: t, fault: otlpAway}
			addr, dir := s.serve(), t.TempDir()
			r := startOTLPSpool(t, addr, dir, nil)
			reportOTLP(r, 0, rows)
			r.Stop()
			s.setFault(tc.fault)
			r = startOTLPSpool(t, addr, dir, nil)
			eventually(t, "everything is settled", func() bool { l := r.Status().Ledger; return l.Queued+l.Spooled == 0 })
			r.Stop()
			l := checkLedger(t, r)
			for reason, n := range tc.dropped {
				if l.Dropped[reason] != n {
					t.Errorf("ledger %+v", l)
				}
			}
			if len(l.Dropped) != len(tc.dropped) || l.Recovered != rows {
				t.Errorf("ledger %+v", l)
			}
			if tc.dropped == nil {
				checkTimes(t, s, 0, rows)
			}
		})
	}
}

// At every moment, whoever looks, the ledger adds up.
func TestOTLPLedgerUnderFaults(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t}
	n := 0
	s.httpFault = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		s.mu.Lock()
		n++
		i := n
		s.mu.Unlock()
		code := 0
		switch {
		case i%97 < 8:
			code = http.StatusServiceUnavailable
		case i%13 == 5:
			code = http.StatusInternalServerError
		case i%17 == 7:
			w.Header().Set("Retry-After", "0")
			code = http.StatusTooManyRequests
		case i%19 == 3:
			code = http.StatusRequestEntityTooLarge
		default:
			return false
		}
		answerHTTP(w, code, "no")
		return true
	}
	addr, dir := s.serveHTTP(), t.TempDir()
	captured := uint64(0)
	for round := range 3 {
		r := startOTLPSpool(t, addr, dir, func(c *Config, o *Options) {
			o.SpoolMaxBytes = 64 << 10
			c.CountsForTracesMaxQueue = 500
		})
		done := watchLedger(t, r)
		for i := range 100 {
			reportOTLP(r, (round*100+i)*50, (round*100+i+1)*50)
			time.Sleep(time.Millisecond)
		}
		if round == 2 {
			eventually(t, "everything is settled", func() bool { l := r.Status().Ledger; return l.Queued+l.Spooled == 0 })
		}
		r.Stop()
		done()
		l := checkLedger(t, r)
		if captured += l.Captured - l.Recovered; l.Queued != 0 || captured != uint64(round+1)*5000 {
			t.Errorf("ledger %+v, captured %d", l, captured)
		}
	}
}
