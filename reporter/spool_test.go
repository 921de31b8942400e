// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

var errAway = status.Error(codes.Unavailable, "away")

func away(string, proto.Message) error { return errAway }

// startSpool starts a reporter with a spool that does not wait long for anybody.
func startSpool(t *testing.T, addr, dir string, change func(*Config, *Options)) *GRPCReporter {
	t.Helper()
	return startTest(t, addr, func(c *Config, o *Options) {
		o.SpoolDir, o.SpoolMaxBytes, o.StopTimeout = dir, 16<<20, 50*time.Millisecond
		if change != nil {
			change(c, o)
		}
	})
}

// report reports rows from..to-1, each with a time of its own.
func report(r *GRPCReporter, from, to int) {
	for i := from; i < to; i++ {
		r.ReportSample(sampleOf(nativeTrace(uint64(i%25), 6), i))
	}
}

// spoolRows reports the rows 0..99 while the server is away, and has them on disk in ten batches.
func spoolRows(t *testing.T, r *GRPCReporter) {
	t.Helper()
	for i := range 10 {
		report(r, i*10, i*10+10)
		eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == uint64(i*10+10) })
	}
}

// checkRows requires that the rows from..to-1 are stored, each once, and nothing else.
func checkRows(t *testing.T, s *fakeServer, from, to int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rows) != to-from || s.weight != int64(to-from) {
		t.Errorf("%d rows of weight %d are stored, want %d", len(s.rows), s.weight, to-from)
	}
	for i := from; i < to; i++ {
		sample := sampleOf(nativeTrace(uint64(i%25), 6), i)
		if n := s.rows[rowKey{sample.Trace.Hash, int64(sample.Time), uint32(sample.TID), sample.Comm}]; n != 1 {
			t.Fatalf("row %d is stored %d times", i, n)
		}
	}
}

// What an outage puts on disk is delivered after it, in order and once.
func TestSpoolOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(string, proto.Message) error{
		"away":       away,
		"refused":    func(string, proto.Message) error { return status.Error(codes.Unauthenticated, "no") },
		"overloaded": func(string, proto.Message) error { return withRetryInfo(codes.ResourceExhausted, time.Millisecond) },
		"half way": func(method string, _ proto.Message) error {
			if method == "GetServerInfo" {
				return nil
			}
			return errAway
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			s.fault = fault
			r := startSpool(t, s.serve(), t.TempDir(), nil)
			const rows = 2000
			for i := range 10 {
				report(r, i*rows/10, (i+1)*rows/10)
				eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == uint64((i+1)*rows/10) })
				checkLedger(t, r)
			}
			if st := r.Status(); st.Spool.State != "on" || st.Spool.Bytes == 0 || st.Spool.Batches < 10 || st.Spool.Segments == 0 || st.Spool.Oldest.IsZero() {
				t.Errorf("status %+v", st.Spool)
			}
			s.setFault(nil)
			eventually(t, "everything is stored", func() bool { return s.stored() == rows })
			report(r, rows, rows+10)
			eventually(t, "the rest is stored", func() bool { return r.Status().Ledger.Stored == rows+10 })
			r.Stop()
			checkRows(t, s, 0, rows+10)
			if s.orphans > 0 {
				t.Errorf("%d definitions came late", s.orphans)
			}
			l := checkLedger(t, r)
			if l.Captured != rows+10 || l.Queued+l.Spooled+l.Recovered != 0 || len(l.Dropped) > 0 || s.dups > 0 {
				t.Errorf("ledger %+v, %d duplicates", l, s.dups)
			}
			if st := r.Status().Spool; st.Batches != 0 || st.Bytes != 0 {
				t.Errorf("spool %+v", st)
			}
			for i := range 25 {
				if n := s.resent[nativeTrace(uint64(i), 6).Hash]; n != 1 {
					t.Errorf("stack %d was defined %d times", i, n)
				}
			}
		})
	}
}

// The next run delivers first what the last one left, as the last one would have.
func TestSpoolRestart(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	addr, dir := s.serve(), t.TempDir()
	first, second := [16]byte{1}, [16]byte{2}
	r := startSpool(t, addr, dir, func(_ *Config, o *Options) { o.RunID = first })
	r.ReportHostMetadata(map[string]string{"os": "linux"})
	r.ReportMetrics(5, []uint32{1}, []int64{2})
	r.ReportExecutable(&libpf.Executable{FileID: libpf.NewFileID(8, 8), FileName: "early", Runtime: "python"})
	report(r, 0, 500)
	eventually(t, "some is on disk", func() bool { return r.Status().Ledger.Spooled > 0 })
	report(r, 500, 1000) // the last of it is still queued when it stops
	r.Stop()
	if l := checkLedger(t, r); l.Spooled != 1000 || len(l.Dropped) > 0 {
		t.Errorf("ledger %+v", l)
	}
	for range 3 { // runs in between that never reach the server change nothing
		r = startSpool(t, addr, dir, nil)
		eventually(t, "an attempt failed", func() bool { return r.Status().State == StateDisconnected })
		r.Stop()
		if l := checkLedger(t, r); l.Recovered != 1000 || l.Captured != 1000 || l.Spooled != 1000 {
			t.Errorf("ledger %+v", l)
		}
	}
	r = startSpool(t, addr, dir, func(_ *Config, o *Options) { o.RunID = second })
	report(r, 1000, 1100)
	eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == 1100 })
	s.setFault(nil)
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == 1100 })
	r.Stop()
	checkRows(t, s, 0, 1100)
	if l := checkLedger(t, r); l.Captured != 1100 || l.Recovered != 1000 {
		t.Errorf("ledger %+v", l)
	}
	if s.runs[0] != string(first[:]) || s.runs[len(s.runs)-1] != string(second[:]) || s.orphans > 0 || s.dups > 0 {
		t.Errorf("runs %q, %d orphans, %d duplicates", s.runs, s.orphans, s.dups)
	}
	if len(s.hosts) == 0 || s.hosts[0]["os"] != "linux" || len(s.points) != 1 || s.execs[libpf.NewFileID(8, 8)].FileName != "early" {
		t.Errorf("hosts %v, metrics %v, executables %v", s.hosts, s.points, s.execs)
	}
}

// A run that was killed while it was sending sends again; nothing is stored twice.
func TestSpoolLostAcknowledgements(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	addr, dir := s.serve(), t.TempDir()
	r := startSpool(t, addr, dir, nil)
	spoolRows(t, r)
	s.mu.Lock()
	s.fault = nil
	n := 0
	s.after = func(string, proto.Message) error {
		if n++; n > 6 {
			return errAway // stored, but nobody hears of it
		}
		return nil
	}
	s.mu.Unlock()
	eventually(t, "acknowledgements are lost", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.dups > 2 })
	r.Stop()
	s.mu.Lock()
	s.after = nil
	s.mu.Unlock()
	r = startSpool(t, addr, dir, nil)
	eventually(t, "everything is stored", func() bool {
		return s.stored() == 100 && r.Status().Ledger.Spooled == 0 && r.Status().Ledger.Queued == 0
	})
	r.Stop()
	checkLedger(t, r)
	checkRows(t, s, 0, 100)
}

const victimVar, victimDirVar = "STROBE_REPORTER_VICTIM", "STROBE_REPORTER_VICTIM_DIR"

// reportUntilKilled reports rows without end and says how many are on disk.
func reportUntilKilled(addr, dir string) {
	c, o := &Config{CollAgentAddr: addr, DisableTLS: true, Times: fastTimes()}, &Options{HostID: "host-1", SpoolDir: dir}
	var r interface {
		ReportSample(sample *libpf.Sample)
		Status() Status
	}
	var err error
	if strings.HasPrefix(addr, "http://") {
		o.Protocol = ProtocolHTTP
		r, err = StartOTLPWithOptions(context.Background(), c, o)
	} else {
		r, err = StartWithOptions(context.Background(), c, o)
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i += 20 {
		for j := i; j < i+20; j++ {
			r.ReportSample(sampleOf(nativeTrace(uint64(j%25), 6), j))
		}
		time.Sleep(2 * time.Millisecond)
		if l := r.Status().Ledger; l.Spooled > 0 {
			fmt.Println("spooled", l.Spooled)
		}
	}
}

// killSpooling lets another process report to a server that is away, kills it in the middle, and returns how
// many samples it had on disk at least.
func killSpooling(t *testing.T, addr, dir string) (spooled int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), victimVar+"="+addr, victimDirVar+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for in := bufio.NewScanner(out); in.Scan(); {
		_, number, _ := strings.Cut(in.Text(), " ")
		if spooled, err = strconv.Atoi(number); err != nil {
			t.Errorf("the victim says %q", in.Text())
		}
		if spooled > 1000 && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	return spooled
}

// An agent that is killed during an outage loses only what it had not put on disk yet.
func TestSpoolKill(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	addr, dir := s.serve(), t.TempDir()
	spooled := killSpooling(t, addr, dir)
	s.setFault(nil)
	r := startSpool(t, addr, dir, nil)
	recovered := r.Status().Ledger.Recovered
	if int(recovered) < spooled {
		t.Errorf("recovered %d of %d", recovered, spooled)
	}
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == recovered })
	r.Stop()
	checkRows(t, s, 0, int(recovered))
}

// A spool that is too small loses the oldest samples alone, and knows how many.
func TestSpoolTooSmall(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	r := startSpool(t, s.serve(), t.TempDir(), func(_ *Config, o *Options) { o.SpoolMaxBytes = 64 << 10 })
	const rows = 20_000
	for i := 0; i < rows; i += 200 {
		report(r, i, i+200)
		eventually(t, "it is on disk", func() bool {
			l := r.Status().Ledger
			return l.Queued == 0
		})
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
	eventually(t, "the rest is stored", func() bool { return uint64(s.stored()) == rows-lost })
	r.Stop()
	checkLedger(t, r)
	checkRows(t, s, int(lost), rows) // the newest, without a gap
	if s.orphans > 0 {
		t.Errorf("%d definitions are missing", s.orphans)
	}
}

// Definitions that the cap costs come again with the next sample that needs them.
func TestSpoolEvictsDefinitions(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	r := startSpool(t, s.serve(), t.TempDir(), func(_ *Config, o *Options) { o.SpoolMaxBytes = 64 << 10 })
	const stacks = 600
	for i := 0; i < stacks; i += 20 {
		for j := range 20 {
			r.ReportSample(sampleOf(nativeTrace(uint64(1000+i+j), 30), i+j))
		}
		eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Queued == 0 })
	}
	_, disk := r.backlog.disk.status()
	if disk.EvictedDefinitions == 0 {
		t.Fatalf("nothing was evicted: %+v", disk)
	}
	s.setFault(nil)
	eventually(t, "the rest is delivered", func() bool { st := r.Status(); return st.Ledger.Spooled+st.Ledger.Queued == 0 && st.Spool.Batches == 0 })
	before := s.stored()
	for i := range stacks {
		r.ReportSample(sampleOf(nativeTrace(uint64(1000+i), 30), stacks+i))
	}
	eventually(t, "more is stored", func() bool { return s.stored() == before+stacks })
	checkLedger(t, r)
	if _, disk := r.backlog.disk.status(); len(disk.Corrupt) > 0 {
		t.Errorf("corrupt %v", disk.Corrupt)
	}
	// If the server was slow meanwhile, some were evicted again, and it asks for them.
	eventually(t, "all definitions are there", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range stacks {
			trace := nativeTrace(uint64(1000+i), 30)
			if len(s.stacks[trace.Hash]) != 31 || len(s.names[trace.Frames[1].ID()]) != 2 {
				return false
			}
		}
		return true
	})
}

// A server that lost its memory during the outage gets the stacks of the samples on disk.
func TestSpoolNewEpoch(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startSpool(t, s.serve(), t.TempDir(), nil)
	report(r, 0, 25)
	eventually(t, "the stacks are known", func() bool { return r.Status().Ledger.Stored == 25 })
	s.setFault(away)
	report(r, 25, 50)
	eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == 25 })
	s.newLife("fedcba9876543210")
	s.setFault(nil)
	eventually(t, "the definitions are back", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.weight == 50 && len(s.stacks) == 25 && len(s.names) == 25*6
	})
}

// A damaged spool loses what is damaged and says so.
func TestSpoolDamaged(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	addr, dir := s.serve(), t.TempDir()
	r := startSpool(t, addr, dir, nil)
	spoolRows(t, r)
	r.Stop()
	files, err := filepath.Glob(filepath.Join(dir, "counts-*.seg"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[100]++ // the payload of the first
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.setFault(nil)
	r = startSpool(t, addr, dir, nil)
	eventually(t, "the rest is stored", func() bool { return s.stored() > 0 && r.Status().Ledger.Spooled+r.Status().Ledger.Queued == 0 })
	l := checkLedger(t, r)
	if lost := l.Dropped[reasonCorrupt]; lost == 0 || l.Stored != 100-lost {
		t.Errorf("ledger %+v", l)
	}
}

// Without a usable directory the reporter works as without a spool, and takes the
// directory as soon as it can.
func TestSpoolUnusable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newFakeServer(t)
	s.fault = away
	r := startSpool(t, s.serve(), dir, nil)
	report(r, 0, 100)
	eventually(t, "an attempt failed", func() bool { return r.Status().State == StateDisconnected })
	if st := r.Status(); st.Ledger.Queued != 100 || !strings.Contains(st.Spool.State, "not a directory") {
		t.Errorf("status %+v", st)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == 100 })
	if st := r.Status().Spool.State; st != "on" {
		t.Errorf("state %q", st)
	}
	s.setFault(nil)
	eventually(t, "everything is stored", func() bool { return s.stored() == 100 })
}

// Two reporters never share a directory.
func TestSpoolShared(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	addr, dir := s.serve(), t.TempDir()
	a := startSpool(t, addr, dir, nil)
	b := startSpool(t, addr, dir, func(_ *Config, o *Options) { o.HostID = "host-2" })
	report(a, 0, 50)
	report(b, 50, 100)
	eventually(t, "one has it", func() bool { return a.Status().Ledger.Spooled == 50 })
	if st := b.Status(); !strings.Contains(st.Spool.State, "another process") || st.Ledger.Queued != 50 {
		t.Errorf("status %+v", st)
	}
	a.Stop()
	eventually(t, "the other takes it over", func() bool { return b.Status().Ledger.Spooled == 100 })
	s.setFault(nil)
	eventually(t, "everything is stored", func() bool { return s.stored() == 100 })
	checkLedger(t, b)
}

// watchLedger checks the ledger over and over until done is called.
func watchLedger(t *testing.T, r interface{ Status() Status }) (done func()) {
	t.Helper()
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					checkLedger(t, r)
					time.Sleep(50 * time.Microsecond) // the others need the CPU, too
				}
			}
		})
	}
	return func() {
		close(end)
		wg.Wait()
	}
}

// At every moment, whoever looks, the ledger adds up.
func TestLedgerUnderFaults(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	n := 0
	s.fault = func(string, proto.Message) error {
		n++
		switch {
		case n%97 < 8:
			return errAway
		case n%13 == 5:
			return status.Error(codes.Internal, "bug")
		case n%31 == 7:
			return withRetryInfo(codes.ResourceExhausted, time.Millisecond)
		}
		return nil
	}
	s.after = func(string, proto.Message) error {
		if n%17 == 3 {
			return errAway
		}
		return nil
	}
	addr, dir := s.serve(), t.TempDir()
	captured := uint64(0)
	for round := range 3 {
		r := startSpool(t, addr, dir, func(c *Config, o *Options) {
			o.SpoolMaxBytes = 64 << 10
			c.CountsForTracesMaxQueue = 500
		})
		done := watchLedger(t, r)
		for i := range 100 {
			report(r, (round*100+i)*50, (round*100+i+1)*50)
			time.Sleep(time.Millisecond)
		}
		if round == 2 {
			s.mu.Lock()
			s.fault, s.after = nil, nil
			s.mu.Unlock()
			eventually(t, "everything is settled", func() bool { l := r.Status().Ledger; return l.Queued+l.Spooled == 0 })
		}
		r.Stop()
		done()
		l := checkLedger(t, r)
		if captured += l.Captured - l.Recovered; l.Queued != 0 || captured != uint64(round+1)*5000 {
			t.Errorf("ledger %+v, captured %d", l, captured)
		}
	}
	if s.stored() > int64(captured) {
		t.Errorf("stored %d of %d", s.stored(), captured)
	}
}

func TestSpoolMetrics(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = away
	reg := prometheus.NewPedanticRegistry()
	r := startSpool(t, s.serve(), t.TempDir(), func(_ *Config, o *Options) { o.Registerer = reg })
	report(r, 0, 10)
	eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == 10 })
	got := gather(t, reg)
	if got["strobe_agent_reporter_spooled_samples"] != 10 || got["strobe_agent_spool_batches"] < 2 || got["strobe_agent_spool_bytes"] == 0 ||
		got["strobe_agent_spool_max_bytes"] != 16<<20 || got["strobe_agent_spool_segments"] != 2 {
		t.Errorf("metrics %v", got)
	}
}
