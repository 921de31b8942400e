// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/support/skip"
)

func TestMain(m *testing.M) {
	if runAsChild() { // the test is the subject, too
		return
	}
	m.Run()
}

// TestScenarios runs a short form of each. Times are not judged here: a test host
// does other things as well.
func TestScenarios(t *testing.T) {
	skip.UnlessRoot(t)
	bin := t.TempDir()
	if err := rig.Build(t.Context(), bin); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"faults -duration 10s -auth-flips 0",
		"kill -n 4 -duration 6s -limit 10m",
		"kill -full -spool-mib 4 -head-mib 8 -limit 10m",
		"outage -outage 2m",
		"disk -duration 20s -only full",
		"fleet -agents 150 -interval 1s -duration 4s -capacity 20000 -overload 4",
	} {
		t.Run(strings.ReplaceAll(args, " ", "_"), func(t *testing.T) {
			var table, log strings.Builder
			if code := run(append(strings.Fields(args), "-bin", bin), &table, &log); code != 0 {
				t.Errorf("exit status %d\n%s", code, log.String())
			}
			if !strings.Contains(table.String(), "| ok |") {
				t.Errorf("nothing was checked:\n%s", table.String())
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"nothing"}, {"faults", "-nothing"}} {
		var out strings.Builder
		if code := run(args, &out, &out); code != 2 || !strings.Contains(out.String(), "Usage") {
			t.Errorf("%q: exit status %d\n%s", args, code, out.String())
		}
	}
}
