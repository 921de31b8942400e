// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/scrape"
)

// testTargets are those of the project default.
type testTargets struct{}

func (testTargets) Targets(project string) []scrape.Target {
	if project != auth.DefaultProject {
		return nil
	}
	return []scrape.Target{
		{
			Job: "shop", Instance: "10.0.0.7:6060", Profile: "memory", URL: "http://10.0.0.7:6060/debug/pprof/allocs",
			Labels: map[string]string{"job": "shop", "instance": "10.0.0.7:6060"}, State: scrape.Down, Error: "the target answered 404 Not Found",
			Last: testNow.Add(-10 * time.Second), Duration: 12 * time.Millisecond, Next: testNow.Add(5 * time.Second), Interval: 15 * time.Second,
		},
		{Job: "shop", State: scrape.Unknown},
	}
}

func (testTargets) Problems() []string {
	return []string{"job shop: target x:1: __scheme__: must be http or https"}
}

// TestTargetsOfAnotherProject checks that a token of one project learns nothing of others.
func TestTargetsOfAnotherProject(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	f := func(who *auth.Principal, want string) {
		t.Helper()
		h := letInAs(New(Config{Store: s, Targets: testTargets{}, Now: func() time.Time { return testNow }}), who)
		if d := cmp.Diff(want, strings.TrimSpace(get(t, h, "/api/v1/targets?limit=0").Body.String())); d != "" {
			t.Errorf("targets (-want +got):\n%s", d)
		}
	}
	const problems = `"job shop: target x:1: __scheme__: must be http or https"`
	f(&auth.Principal{Scope: "other", Project: "other", Roles: auth.RoleAdmin}, `{"now_ms":1795255200000,"targets":[],"hidden":0,"problems":[]}`)
	f(&auth.Principal{Scope: "default", Project: "default", Roles: auth.RoleQuery}, `{"now_ms":1795255200000,"targets":[],"hidden":2,"problems":[]}`)
	f(auth.Anonymous(), `{"now_ms":1795255200000,"targets":[],"hidden":2,"problems":[`+problems+`]}`)
}
