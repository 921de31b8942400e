// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

func testStatus() *pb.ReportStatusRequest {
	return &pb.ReportStatusRequest{
		HostId: "host-1", RunId: []byte("0123456789abcdef"), HostName: "alpha",
		Time: testNow.UnixNano(), StartTime: testNow.Add(-time.Hour).UnixNano(), AgentVersion: "v1.2", State: "disconnected",
		LastError: "connection refused,\nsays the other end",
		Ledger: &pb.Ledger{
			Captured: 100, Recovered: 10, Stored: 60, Queued: 20, Spooled: 15,
			Dropped: map[string]uint64{"too_old": 4, "queue_full": 1, "none": 0},
		},
		Spool:       &pb.Spool{State: "on", Bytes: 1 << 20, MaxBytes: 512 << 20, Batches: 3},
		Limitations: []*pb.Limitation{{Name: "off-CPU", Effect: "no waiting times", Fix: "a kernel with BTF"}},
	}
}

// maxTestText is the default of the length of a text.
const maxTestText = 64 << 10

// testReport is what becomes of testStatus.
func testReport() fleet.Report {
	return fleet.Report{
		HostID: "host-1", RunID: [16]byte([]byte("0123456789abcdef")), HostName: "alpha",
		Time: libpf.UnixTimeNs(testNow.UnixNano()), Start: libpf.UnixTimeNs(testNow.Add(-time.Hour).UnixNano()),
		AgentVersion: "v1.2", State: "disconnected", LastError: "connection refused, says the other end",
		Ledger: fleet.Ledger{
			Captured: 100, Recovered: 10, Stored: 60, Queued: 20, Spooled: 15,
			Dropped: map[string]uint64{"too_old": 4, "queue_full": 1},
		},
		Spool:       fleet.Spool{State: "on", Bytes: 1 << 20, MaxBytes: 512 << 20, Batches: 3},
		Limitations: []fleet.Limitation{{Name: "off-CPU", Effect: "no waiting times", Fix: "a kernel with BTF"}},
	}
}

func TestReportStatus(t *testing.T) {
	registry, err := fleet.New(fleet.Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, Config{Fleet: registry})
	c := pb.NewCollectionAgentClient(dial(t, s))
	answer, err := c.ReportStatus(t.Context(), testStatus())
	if err != nil || answer.ServerTime != testNow.UnixNano() || string(answer.Epoch) != string(s.epoch) {
		t.Fatalf("answer %v, %v", answer, err)
	}
	want := []fleet.Agent{{Report: testReport(), Received: testNow, LastDrop: testNow}}
	if diff := cmp.Diff(want, registry.Agents(DefaultProject)); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}

	// One that does not add up is kept, and it is said.
	wrong := testStatus()
	wrong.Ledger.Stored--
	if _, err := c.ReportStatus(t.Context(), wrong); err != nil {
		t.Fatal(err)
	}
	if got := registry.Agents(DefaultProject); len(got) != 1 || got[0].Ledger.AddsUp() {
		t.Errorf("agents: %v", got)
	}
	wrong.State = "\x00"
	if _, err := c.ReportStatus(t.Context(), wrong); status.Code(err) != codes.InvalidArgument {
		t.Errorf("invalid report: %v", err)
	}
	for result, want := range map[string]float64{"kept": 1, "inconsistent": 1, "invalid": 1} {
		if got := counterValue(t, s.metrics.reports.WithLabelValues(result)); got != want {
			t.Errorf("%v reports are %s, want %v", got, result, want)
		}
	}
	// A report is guarded as any request.
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	if _, err := c.ReportStatus(t.Context(), testStatus()); status.Code(err) != codes.ResourceExhausted || retryAfter(err) == 0 {
		t.Errorf("busy server: %v", err)
	}
}

func TestInvalidStatus(t *testing.T) {
	t.Parallel()
	type request = *pb.ReportStatusRequest
	for message, change := range map[string]func(request){
		"host_id: is empty":                                  func(r request) { r.HostId = "" },
		"host_id: has 129 bytes":                             func(r request) { r.HostId = strings.Repeat("x", maxHostID+1) },
		"host_id: holds characters that cannot":              func(r request) { r.HostId = "a\nb" },
		"run_id: has 15 bytes instead of 16":                 func(r request) { r.RunId = r.RunId[:15] },
		"host_name: has 256 bytes":                           func(r request) { r.HostName = strings.Repeat("x", maxHostName+1) },
		"host_name: holds characters that cannot":            func(r request) { r.HostName = "\u202e" },
		"agent_version: has 129 bytes":                       func(r request) { r.AgentVersion = strings.Repeat("x", maxVersionText+1) },
		"state: has 65 bytes":                                func(r request) { r.State = strings.Repeat("x", maxStateText+1) },
		"last_error: has 65537 bytes":                        func(r request) { r.LastError = strings.Repeat("x", maxTestText+1) },
		"ledger: is missing":                                 func(r request) { r.Ledger = nil },
		"ledger.captured: is 18446744073709551615":           func(r request) { r.Ledger.Captured = math.MaxUint64 },
		"ledger.recovered: is 281474976710657":               func(r request) { r.Ledger.Recovered = maxLedger + 1 },
		"ledger.stored: is 281474976710657":                  func(r request) { r.Ledger.Stored = maxLedger + 1 },
		"ledger.queued: is 281474976710657":                  func(r request) { r.Ledger.Queued = maxLedger + 1 },
		"ledger.spooled: is 281474976710657":                 func(r request) { r.Ledger.Spooled = maxLedger + 1 },
		`ledger.dropped: "too_old" is 281474976710657`:       func(r request) { r.Ledger.Dropped["too_old"] = maxLedger + 1 },
		"ledger.dropped: has 65 bytes":                       func(r request) { r.Ledger.Dropped[strings.Repeat("x", maxReason+1)] = 1 },
		"ledger.dropped: holds characters that cannot":       func(r request) { r.Ledger.Dropped["\x1b[31m"] = 1 },
		"ledger.dropped: has 34 entries, at most 32":         func(r request) { fill(r.Ledger.Dropped, 31) },
		"spool.state: has 65537 bytes":                       func(r request) { r.Spool.State = strings.Repeat("x", maxTestText+1) },
		"spool.bytes: is 18446744073709551615":               func(r request) { r.Spool.Bytes = math.MaxUint64 },
		"spool.max_bytes: is 18446744073709551615":           func(r request) { r.Spool.MaxBytes = math.MaxUint64 },
		"spool.batches: is 18446744073709551615":             func(r request) { r.Spool.Batches = math.MaxUint64 },
		"limitations: has 65 entries, at most 64":            func(r request) { r.Limitations = make([]*pb.Limitation, maxLimitations+1) },
		"limitations[0].name: has 65537 bytes":               func(r request) { r.Limitations[0].Name = strings.Repeat("x", maxTestText+1) },
		"limitations[0].effect: has 65537 bytes":             func(r request) { r.Limitations[0].Effect = strings.Repeat("x", maxTestText+1) },
		"limitations[0].fix: has 65537 bytes, at most 65536": func(r request) { r.Limitations[0].Fix = strings.Repeat("x", maxTestText+1) },
	} {
		r := testStatus()
		change(r)
		checkInvalid(t, r, message)
	}
}

func TestLongNotesAreCut(t *testing.T) {
	t.Parallel()
	v := newTestServer(t, Config{}).validator()
	for text, want := range map[string]string{
		strings.Repeat("x", maxNote):              strings.Repeat("x", maxNote),
		strings.Repeat("x", maxNote+1):            strings.Repeat("x", maxNote) + "…",
		"x" + strings.Repeat("ü", maxNote/2):      "x" + strings.Repeat("ü", maxNote/2-1) + "…",
		"two\r\nlines\x00 \u202ebackwards \u00a0": "two  lines   backwards  ",
	} {
		if got, err := v.note("last_error", text); err != nil || got != want {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

// fill adds reasons to a map.
func fill(dropped map[string]uint64, n int) {
	for i := range n {
		dropped[strconv.Itoa(i)] = 1
	}
}

// FuzzStatus sends any bytes that decode: the report is kept or refused, and
// sums over what is kept do not overflow.
func FuzzStatus(f *testing.F) {
	b, err := proto.Marshal(testStatus())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, b...))
	f.Add(b[:len(b)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		var r pb.ReportStatusRequest
		if proto.Unmarshal(data, &r) != nil {
			return
		}
		registry, err := fleet.New(fleet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = send(t, newTestServer(t, Config{Fleet: registry}), &r)
		agents := registry.Agents(DefaultProject)
		switch {
		case err == nil && len(agents) == 1:
			if sum := agents[0].Ledger.DroppedSum(); sum > maxReasons*maxLedger {
				t.Errorf("%d dropped", sum)
			}
		case status.Code(err) != codes.InvalidArgument || len(agents) != 0:
			t.Errorf("%d agents, %v", len(agents), err)
		}
	})
}
