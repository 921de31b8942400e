// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// TestSubjects records every program whose stacks are known, and judges.
func TestSubjects(t *testing.T) {
	skip.UnlessRoot(t)
	all, err := tracertest.Expectations()
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, tracertest.Variants(name)...)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			base, _, _ := strings.Cut(name, "@")
			e := all[base]
			// Two that measure how soon something new is known run alone. With the others it is
			// names and order: one per CPU will do.
			if name != "c-fork" && name != "c-dlopen" {
				t.Parallel()
			}
			pid := tracertest.Start(t, name, lifetime)
			if e.Warm > 0 { // the subject changes by the clock, as its sources say
				<-time.After(time.Duration(e.Warm * float64(time.Second)))
			}
			path := filepath.Join(t.TempDir(), "folded")
			var messages string
			switch {
			case name == "c-dlopen": // its shares are those of ten seconds
				_, messages = runAgent(t, "record", "-p", strconv.Itoa(pid), "-d", "10", "-F", "99", "-format", "folded", "-o", path)
			case name != base: // a further version: 400 samples
				messages = recordCPU(t, pid, 293, 1400*time.Millisecond, path)
			default: // 600
				messages = recordCPU(t, pid, 293, 2050*time.Millisecond, path)
			}
			t.Log(strings.TrimSpace(messages[strings.LastIndex(strings.TrimSpace(messages), "\n")+1:]))
			judge(t, e, path, messages)
		})
	}
}

func judge(t *testing.T, e *tracertest.Expectation, path, messages string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	r, err := tracertest.Judge(e, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Error(p)
	}
	if t.Failed() {
		b, _ := os.ReadFile(path)
		t.Logf("%d samples\n%s\n%.4000s", r.Samples, messages, b)
	}
}
