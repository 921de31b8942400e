// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// clock is a clock that tests move.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func newTestRegistry(t *testing.T, o Options) (*Registry, *clock, *prometheus.Registry) {
	t.Helper()
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	reg := prometheus.NewRegistry()
	o.Now, o.Registerer = c.time, reg
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r, c, reg
}

// hosts returns the IDs of the hosts that are remembered.
func hosts(r *Registry, project string) string {
	var ids []string
	for _, a := range r.Agents(project) {
		ids = append(ids, a.HostID)
	}
	return strings.Join(ids, " ")
}

func TestLedgerAddsUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ledger Ledger
		want   bool
		sum    uint64
	}{
		"nothing":          {Ledger{}, true, 0},
		"every term":       {Ledger{Captured: 100, Recovered: 7, Stored: 50, Queued: 20, Spooled: 15, Dropped: map[string]uint64{"a": 10, "b": 5}}, true, 15},
		"one too many":     {Ledger{Captured: 100, Stored: 101}, false, 0},
		"one too few":      {Ledger{Captured: 100, Stored: 98, Dropped: map[string]uint64{"a": 1}}, false, 1},
		"wraps around":     {Ledger{Captured: 0, Stored: math.MaxUint64, Queued: 1}, false, 0},
		"drops wrap":       {Ledger{Captured: 0, Dropped: map[string]uint64{"a": math.MaxUint64, "b": 1}}, false, math.MaxUint64},
		"recovers nothing": {Ledger{Captured: 1, Recovered: 2, Stored: 1}, false, 0},
	} {
		if got := c.ledger.AddsUp(); got != c.want {
			t.Errorf("%s: adds up is %t", name, got)
		}
		if got := c.ledger.DroppedSum(); got != c.sum {
			t.Errorf("%s: %d dropped instead of %d", name, got, c.sum)
		}
	}
}

func TestNewestReportWins(t *testing.T) {
	t.Parallel()
	r, c, _ := newTestRegistry(t, Options{})
	r.Note("p", &Report{HostID: "b", State: "starting"})
	r.Note("p", &Report{HostID: "a", State: "connected"})
	r.Note("q", &Report{HostID: "a", State: "refused"})
	c.now = c.now.Add(time.Second)
	r.Note("p", &Report{HostID: "b", State: "connected"})
	want := []Agent{
		{Report: Report{HostID: "a", State: "connected"}, Received: c.now.Add(-time.Second)},
		{Report: Report{HostID: "b", State: "connected"}, Received: c.now},
	}
	if diff := cmp.Diff(want, r.Agents("p")); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
	if got := r.Agents("q"); len(got) != 1 || got[0].State != "refused" {
		t.Errorf("the other project has %v", got)
	}
	if got := r.Agents("nobody"); len(got) != 0 {
		t.Errorf("an unknown project has %v", got)
	}
}

func TestLastDrop(t *testing.T) {
	t.Parallel()
	r, c, _ := newTestRegistry(t, Options{})
	note := func(run byte, dropped uint64) time.Time {
		report := &Report{HostID: "a", RunID: [16]byte{run}}
		if dropped > 0 {
			report.Ledger = Ledger{Captured: dropped, Dropped: map[string]uint64{"queue_full": dropped}}
		}
		c.now = c.now.Add(time.Minute)
		r.Note("p", report)
		return r.Agents("p")[0].LastDrop
	}
	for i, step := range []struct {
		run     byte
		dropped uint64
		moves   bool
	}{{1, 0, false}, {1, 5, true}, {1, 5, false}, {1, 6, true}, {2, 6, true}, {2, 6, false}, {3, 0, false}} {
		got := note(step.run, step.dropped)
		if moved := got.Equal(c.now); moved != step.moves || got.IsZero() != (step.dropped == 0) {
			t.Errorf("step %d: last drop %s at %s", i, got, c.now)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	r, c, reg := newTestRegistry(t, Options{MaxHosts: 5, MaxProjectHosts: 3, Keep: time.Hour})
	for _, id := range []string{"1", "2", "3", "1", "4"} { // 2 has been silent for longest
		r.Note("p", &Report{HostID: id})
	}
	if got := hosts(r, "p"); got != "1 3 4" {
		t.Errorf("project is full: %s", got)
	}
	for _, id := range []string{"1", "2", "3"} { // p has as many as q, or more
		r.Note("q", &Report{HostID: id})
	}
	if p, q := hosts(r, "p"), hosts(r, "q"); len(p)+len(q) != len("1 3")+len("1 2 3") {
		t.Errorf("registry is full: %q and %q", p, q)
	}
	r.Note("small", &Report{HostID: "1"})
	r.Note("small", &Report{HostID: "1"})
	if got := hosts(r, "small"); got != "1" {
		t.Errorf("a project with few hosts lost them: %q", got)
	}
	c.now = c.now.Add(time.Hour + time.Second)
	if got := hosts(r, "p") + hosts(r, "q"); got != "" {
		t.Errorf("hosts that are silent: %s", got)
	}
	if r.hosts != 0 || r.bytes != 0 || len(r.projects) != 0 {
		t.Errorf("%d hosts, %d bytes, %d projects are left", r.hosts, r.bytes, len(r.projects))
	}
	got := gather(t, reg)
	for series, want := range map[string]float64{
		`strobe_collectionagent_agents_forgotten_total{reason="project_hosts"}`: 1,
		`strobe_collectionagent_agents_forgotten_total{reason="hosts"}`:         2,
		`strobe_collectionagent_agents_forgotten_total{reason="silent"}`:        5,
	} {
		if got[series] != want {
			t.Errorf("%s is %v instead of %v", series, got[series], want)
		}
	}
}

func TestBytesAreBounded(t *testing.T) {
	t.Parallel()
	r, _, reg := newTestRegistry(t, Options{MaxBytes: 100_000})
	for i := range 200 {
		r.Note("large", &Report{HostID: strconv.Itoa(i), LastError: strings.Repeat("x", 4000)})
		r.Note("small", &Report{HostID: "1"})
	}
	if r.bytes > 100_000 || len(r.Agents("large")) < 15 || len(r.Agents("small")) != 1 {
		t.Errorf("%d bytes, %d large, %d small", r.bytes, len(r.Agents("large")), len(r.Agents("small")))
	}
	if n := gather(t, reg)[`strobe_collectionagent_agents_forgotten_total{reason="bytes"}`]; n < 150 {
		t.Errorf("%v counted", n)
	}
}

// gather returns all values by their series.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[f.GetName()+labels(m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func labels(m *dto.Metric) string {
	var parts []string
	for _, l := range m.GetLabel() {
		parts = append(parts, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestGauges(t *testing.T) {
	t.Parallel()
	r, c, reg := newTestRegistry(t, Options{})
	r.Note("p", &Report{HostID: "1", State: "connected", Ledger: Ledger{Captured: 10, Recovered: 3, Stored: 4, Queued: 3, Spooled: 2, Dropped: map[string]uint64{"x": 1}}})
	r.Note("q", &Report{HostID: "1", State: "connected", Ledger: Ledger{Captured: 100, Stored: 100}})
	c.now = c.now.Add(4 * time.Minute)
	r.Note("p", &Report{HostID: "2", State: "made up by a stranger", Ledger: Ledger{Captured: 5}})
	c.now = c.now.Add(time.Minute)
	got := gather(t, reg)
	const prefix = "strobe_collectionagent_agent"
	want := map[string]float64{
		prefix + `s{state="starting"}`: 0, prefix + `s{state="connected"}`: 2, prefix + `s{state="disconnected"}`: 0,
		prefix + `s{state="overloaded"}`: 0, prefix + `s{state="refused"}`: 0, prefix + `s{state="stopped"}`: 0, prefix + `s{state="other"}`: 1,
		prefix + `s_silent{for="1m"}`: 3, prefix + `s_silent{for="5m"}`: 2, prefix + "s_inconsistent": 1,
		prefix + `_samples{outcome="captured"}`: 115, prefix + `_samples{outcome="recovered"}`: 3, prefix + `_samples{outcome="stored"}`: 104,
		prefix + `_samples{outcome="queued"}`: 3, prefix + `_samples{outcome="spooled"}`: 2, prefix + `_samples{outcome="dropped"}`: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gauges (-want +got):\n%s", diff)
	}
	if _, err := New(Options{Registerer: reg}); err == nil {
		t.Error("a second registry registered the same metrics")
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	var c Counter
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			c.Store("p", 5, false)
			c.Store("p", 3, true)
			c.Refuse("p", "invalid", 2)
			c.Refuse("p", "busy", 1)
			_ = c.Receipts("p")
		})
	}
	all.Wait()
	want := Receipts{Received: 110, Stored: 50, Duplicate: 30, Refused: map[string]uint64{"invalid": 20, "busy": 10}}
	if diff := cmp.Diff(want, c.Receipts("p")); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	if got := c.Receipts("q"); got.Received != 0 || got.Refused == nil {
		t.Errorf("another project: %v", got)
	}
}

func TestConcurrentReports(t *testing.T) {
	t.Parallel()
	r, _, reg := newTestRegistry(t, Options{MaxHosts: 50})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				r.Note(fmt.Sprint(i%3), &Report{HostID: fmt.Sprint(j % 40)})
				if j%50 == 0 {
					_ = r.Agents("1")
					_, _ = reg.Gather()
				}
			}
		})
	}
	all.Wait()
	if n := len(r.Agents("0")) + len(r.Agents("1")) + len(r.Agents("2")); n != 50 || r.hosts != 50 {
		t.Errorf("%d hosts, %d counted", n, r.hosts)
	}
}
