// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// ledgerOf returns the ledger as a scrape shows it, and fails the test when it does not add up.
func ledgerOf(t *testing.T, reg *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, f := range families {
		if f.GetName() != "strobe_collectionagent_ledger_samples_total" {
			continue
		}
		for _, m := range f.Metric {
			labels := make(map[string]string)
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if n := int(m.Counter.GetValue()); n != 0 {
				got[strings.TrimSuffix(labels["outcome"]+" "+labels["reason"], " ")] = n
			}
		}
	}
	sum := 0
	for outcome, n := range got {
		if outcome != "received" {
			sum += n
		}
	}
	if sum != got["received"] {
		t.Errorf("ledger does not add up: %v", got)
	}
	return got
}

// rangeOf returns the window of time that an error tells.
func rangeOf(t *testing.T, err error) (earliest, latest int64) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != codes.OutOfRange {
		t.Fatalf("error: %v", err)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.Domain == "strobe" && info.Reason == "SAMPLE_TIME_OUT_OF_RANGE" {
			earliest, err1 := strconv.ParseInt(info.Metadata["earliest_ns"], 10, 64)
			latest, err2 := strconv.ParseInt(info.Metadata["latest_ns"], 10, 64)
			if err1 == nil && err2 == nil {
				return earliest, latest
			}
		}
	}
	t.Fatalf("no window of time in %v", st.Details())
	return 0, 0
}

// TestWindowOfTime sends samples at the edges of the window and beyond.
func TestWindowOfTime(t *testing.T) {
	m, reg := memstore.New(), prometheus.NewRegistry()
	s := newTestServer(t, Config{Store: m, Registerer: reg, Limits: Limits{MaxSampleAge: time.Hour, MaxSampleLead: time.Minute}})
	info, err := s.GetServerInfo(t.Context(), &pb.GetServerInfoRequest{})
	if err != nil || info.ServerTime != testNow.UnixNano() || info.MaxSampleAge != int64(time.Hour) || info.MaxSampleLead != int64(time.Minute) {
		t.Fatalf("server info: %v, %v", info, err)
	}
	at := func(seq uint64, offsets ...time.Duration) *pb.AddCountsForTracesRequest {
		r := testCounts(seq)
		r.Stacks, r.Sources, r.TimeDeltas, r.Counts = nil, nil, nil, nil
		r.Values, r.Types, r.Cpus, r.Labels, r.SpanRefs = nil, nil, nil, nil, nil
		last := time.Duration(0)
		for i, o := range offsets {
			r.Stacks, r.Sources = append(r.Stacks, 0), append(r.Sources, 0)
			r.TimeDeltas = append(r.TimeDeltas, int64(o-last))
			r.Counts = append(r.Counts, uint32(10*i+1))
			last = o
		}
		return r
	}
	good := at(1, -time.Hour, 0, time.Minute)
	ack, err := s.AddCountsForTraces(t.Context(), good)
	if err != nil || ack.Ack.Duplicate || ack.Ack.ServerTime != testNow.UnixNano() {
		t.Fatalf("samples at the edges: %v, %v", ack, err)
	}
	_, err = s.AddCountsForTraces(t.Context(), at(2, -time.Hour-1, 0, time.Minute+1, time.Minute))
	earliest, latest := rangeOf(t, err)
	if earliest != testNow.Add(-time.Hour).UnixNano() || latest != testNow.Add(time.Minute).UnixNano() {
		t.Errorf("window from %d to %d", earliest, latest)
	}
	want := map[string]int{"received": 33 + 22, "stored": 33, "refused too_old": 1, "refused in_future": 21}
	if d := cmp.Diff(want, ledgerOf(t, reg)); d != "" {
		t.Errorf("ledger (-want +got):\n%s", d)
	}
	// The clock of the server goes on: what was stored is still acknowledged, what was not is not.
	s.cfg.Now = func() time.Time { return testNow.Add(2 * time.Hour) }
	if ack, err = s.AddCountsForTraces(t.Context(), good); err != nil || !ack.Ack.Duplicate {
		t.Errorf("repeat of a stored batch that is too old now: %v, %v", ack, err)
	}
	good.Batch.Sequence = 3
	_, err = s.AddCountsForTraces(t.Context(), good)
	rangeOf(t, err)
	want["received"] += 33 + 33
	want["duplicate"] = 33
	want["refused too_old"] += 33
	if d := cmp.Diff(want, ledgerOf(t, reg)); d != "" {
		t.Errorf("ledger (-want +got):\n%s", d)
	}
	ledgers, err := m.RunLedgers(t.Context(), DefaultProject)
	if err != nil || len(ledgers) != 1 || ledgers[0].Stored != 33 {
		t.Errorf("the store has %+v, %v", ledgers, err)
	}
}

// TestRepeatsComeFirst repeats stored batches under rules that would refuse them now.
func TestRepeatsComeFirst(t *testing.T) {
	m := memstore.New()
	before := newTestServer(t, Config{Store: m})
	for _, r := range requests() {
		if err := send(t, before, r); err != nil {
			t.Fatal(err)
		}
	}
	after := newTestServer(t, Config{Store: m, Limits: Limits{
		MaxSamples: 1, MaxFrames: 1, MaxLabels: 1, MaxTextBytes: 1, MaxMetadata: 1, MaxSampleAge: 1,
	}, Rates: limit.Config{Host: limit.Amount{Series: 1, Bytes: 1, Samples: 1}, MaxHosts: 1, Burst: time.Nanosecond}})
	for _, r := range requests() {
		if err := send(t, after, r); err != nil {
			t.Errorf("repeat of %T: %v", r, err)
		}
	}
	fresh := testCounts(2)
	if _, err := after.AddCountsForTraces(t.Context(), fresh); status.Code(err) != codes.InvalidArgument {
		t.Errorf("new batch: %v", err)
	}
	// In doubt nobody is told no for ever.
	broken := newTestServer(t, Config{Store: unknowing{m}, Limits: Limits{MaxSamples: 1}})
	if _, err := broken.AddCountsForTraces(t.Context(), testCounts(3)); status.Code(err) != codes.Unavailable {
		t.Errorf("batch of which it is unknown whether it was stored: %v", err)
	}
}

// unknowing is a store that cannot say what it applied.
type unknowing struct{ store.Store }

func (unknowing) Applied(context.Context, store.BatchID) (bool, error) {
	return false, fmt.Errorf("%w: disk full", store.ErrReadOnly)
}

// slowStore keeps Append waiting.
type slowStore struct {
	store.Store
	entered, proceed chan struct{}
}

func (s slowStore) Append(ctx context.Context, b *store.Batch) (bool, error) {
	s.entered <- struct{}{}
	<-s.proceed
	return s.Store.Append(ctx, b)
}

// TestRepeatMeetsFirst sends a batch again while its first coming is being
// stored: neither is told that it was not.
func TestRepeatMeetsFirst(t *testing.T) {
	slow := slowStore{memstore.New(), make(chan struct{}), make(chan struct{})}
	s := newTestServer(t, Config{Store: slow})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		if _, err := s.AddCountsForTraces(ctx, testCounts(1)); err != nil {
			t.Errorf("first: %v", err)
		}
	})
	<-slow.entered
	cancel() // the client has left, the batch goes on
	_, err := s.AddCountsForTraces(t.Context(), testCounts(1))
	if status.Code(err) != codes.Unavailable || retryAfter(err) == 0 {
		t.Errorf("repeat: %v", err)
	}
	close(slow.proceed)
	wg.Wait()
	wg.Go(func() { <-slow.entered })
	if ack, err := s.AddCountsForTraces(t.Context(), testCounts(1)); err != nil || !ack.Ack.Duplicate {
		t.Errorf("repeat afterwards: %v, %v", ack, err)
	}
	wg.Wait()
}

// TestRates goes beyond each limit of a host and of a project.
func TestRates(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newTestServer(t, Config{Registerer: reg, Rates: limit.Config{
		Host: limit.Amount{Samples: 1}, Project: limit.Amount{Series: 1}, HostsPerProject: 2, Burst: 2 * time.Second,
	}})
	counts := func(host string, seq uint64) *pb.AddCountsForTracesRequest {
		r := testCounts(seq)
		r.Batch.HostId = host
		return r
	}
	for _, step := range []struct {
		host, project, want string
	}{
		{"a", "p", ""},
		{"a", "p", `host "a" sends more than its limit of 1 samples per second (-host-samples-per-second of`},
		{"b", "p", `project "p" sends more than its limit of 1 series per second (-project-series-per-second of`},
		{"c", "p", `project "p" has its limit of 2 hosts that send (-project-hosts of`},
		{"c", "q", ""},
	} {
		_, err := s.AddCountsForTraces(WithProject(t.Context(), step.project), counts(step.host, uint64(len(step.want)+1)))
		st := status.Convert(err)
		if step.want == "" && err == nil {
			continue
		}
		if st.Code() != codes.ResourceExhausted || !strings.HasPrefix(st.Message(), step.want) || retryAfter(err) <= 0 {
			t.Errorf("%+v: %v, retry after %v", step, err, retryAfter(err))
		}
	}
	if d := cmp.Diff(map[string]int{"received": 25, "stored": 10, "refused limited": 15}, ledgerOf(t, reg)); d != "" {
		t.Errorf("ledger (-want +got):\n%s", d)
	}
}

// TestPressure asks for longer waits the more is refused, and forgets.
func TestPressure(t *testing.T) {
	now := testNow
	p := &pressure{now: func() time.Time { return now }, at: now}
	if w := p.refuse(); w < shortestWait || w > 4*shortestWait {
		t.Errorf("first wait: %v", w)
	}
	for range 100 {
		p.serve()
	}
	calm := p.refuse()
	for range 1000 {
		p.refuse()
	}
	busy := p.refuse()
	if calm > 3*shortestWait || busy < 8*shortestWait || busy > 2*longestWait {
		t.Errorf("waits: %v when calm, %v when busy", calm, busy)
	}
	distinct := make(map[time.Duration]bool)
	for range 100 {
		distinct[p.refuse()] = true
	}
	if len(distinct) < 90 {
		t.Errorf("only %d different waits", len(distinct))
	}
	now = now.Add(10 * time.Minute)
	if w := p.refuse(); w > 4*shortestWait {
		t.Errorf("wait after a rest: %v", w)
	}
}
