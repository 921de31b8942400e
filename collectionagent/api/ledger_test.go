// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestLedgerIsOfOneProject(t *testing.T) {
	t.Parallel()
	other := *auth.Anonymous()
	other.Project = "other"
	h := letInAs(New(Config{
		Store: runStore{testStore(t)}, Fleet: testFleet{}, Receipts: testReceipts{}, Now: func() time.Time { return testNow },
	}), &other)
	const none = `{"now_ms":1795255200000,"server":{"received":0,"stored":0,"duplicate":0,"refused":{}},` +
		`"agents":{"captured":0,"recovered":0,"stored":0,"queued":0,"spooled":0,"dropped":{}},"unaccounted":0,"inconsistent":0,` +
		`"lost":{"from_ms":1795254300000,"to_ms":1795255200000,"samples":0,"hosts":0},"hosts":[],"hidden":0}`
	if diff := cmp.Diff(none, strings.TrimSpace(get(t, h, "/api/v1/ledger").Body.String())); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	if got, want := strings.TrimSpace(get(t, h, "/api/v1/hosts").Body.String()), `{"now_ms":1795255200000,"hosts":[],"hidden":0}`; got != want {
		t.Errorf("hosts: %s", got)
	}
}

// TestLedgerWithoutSources asks a server that knows nothing but its store.
func TestLedgerWithoutSources(t *testing.T) {
	t.Parallel()
	h := letIn(New(Config{Store: testStore(t), Now: func() time.Time { return testNow }}))
	for _, path := range []string{"ledger", "hosts"} {
		w := get(t, h, "/api/v1/"+path)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"state":"unknown"`) || !strings.Contains(w.Body.String(), `"node-1"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// brokenStore fails to list runs.
type brokenStore struct{ store.Store }

func (brokenStore) RunLedgers(context.Context, string) ([]store.RunLedger, error) {
	return nil, errors.New("secret path")
}

func TestLedgerOfBrokenStore(t *testing.T) {
	t.Parallel()
	h := letIn(New(Config{Store: brokenStore{testStore(t)}}))
	for _, path := range []string{"ledger", "hosts"} {
		if w := get(t, h, "/api/v1/"+path); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestLostWithin(t *testing.T) {
	t.Parallel()
	at := func(minute int) libpf.UnixTimeNs {
		return libpf.UnixTimeNs(testNow.Add(time.Duration(minute) * time.Minute).UnixNano())
	}
	for _, c := range []struct {
		name            string
		start, lastDrop int // minutes
		from, to        int
		recovered       uint64
		want            bool
	}{
		{"nothing dropped", 0, -1, 0, 10, 0, false},
		{"run and range overlap", 0, 20, 10, 30, 0, true},
		{"dropped before the range", 0, 20, 21, 30, 0, false},
		{"run started after the range", 10, 20, 0, 10, 0, false},
		{"run that took over what is older", 10, 20, 0, 10, 5, true},
		{"range within the run", 0, 60, 10, 20, 0, true},
	} {
		a := &fleet.Agent{Report: fleet.Report{Start: at(c.start), Ledger: fleet.Ledger{Recovered: c.recovered}}}
		if c.lastDrop >= 0 {
			a.LastDrop = testNow.Add(time.Duration(c.lastDrop) * time.Minute)
		}
		if got := lostWithin(a, at(c.from), at(c.to)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestAttention(t *testing.T) {
	t.Parallel()
	agent := func(change func(*fleet.Agent)) *hostView {
		a := &fleet.Agent{Report: fleet.Report{State: "connected"}, Received: testNow}
		change(a)
		return &hostView{agent: a}
	}
	for name, c := range map[string]struct {
		host *hostView
		want int
	}{
		"well":         {agent(func(*fleet.Agent) {}), 3},
		"never":        {&hostView{}, 3},
		"dropped":      {agent(func(a *fleet.Agent) { a.Ledger = fleet.Ledger{Captured: 1, Dropped: map[string]uint64{"x": 1}} }), 2},
		"silent":       {agent(func(a *fleet.Agent) { a.Received = testNow.Add(-silentAfter) }), 1},
		"refused":      {agent(func(a *fleet.Agent) { a.State = "refused" }), 1},
		"stopped":      {agent(func(a *fleet.Agent) { a.State = "stopped"; a.Received = testNow.Add(-time.Hour) }), 3},
		"inconsistent": {agent(func(a *fleet.Agent) { a.Ledger.Stored = 1 }), 0},
		"unaccounted":  {&hostView{agent: &fleet.Agent{Received: testNow}, unaccounted: 1}, 0},
	} {
		if got := c.host.attention(testNow); got != c.want {
			t.Errorf("%s: %d instead of %d", name, got, c.want)
		}
	}
}
