// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// outside is what the agent calls processes that it cannot see.
const outside = "outside-pid-namespace"

// TestPIDNamespace profiles from a PID namespace of its own, in which the numbers of processes
// mean others than they do to the kernel. What is in it has its name and its stacks, also in a
// namespace further in, and nothing else has any name but that of the thread.
func TestPIDNamespace(t *testing.T) {
	s := startSubjects(t)
	// Process 2 is the program in it, and 2 is a thread of the kernel on every host.
	burn := burnVar + "=1 OTEL_SERVICE_NAME=%s " + readable() + " & "
	r := &restriction{PIDNamespace: true, Before: []string{
		fmt.Sprintf(burn, "inside"), burnVar + "=1 OTEL_SERVICE_NAME=deeper exec unshare --pid --fork " + readable(),
	}}
	got := r.run(t, "record", "-a", "-d", "8s", "-F", "499", "-format", "pprof", "-o", "-")
	if got.status != 0 {
		t.Fatal(got.stderr)
	}
	p, err := profile.Parse(strings.NewReader(got.stdout))
	if err != nil {
		t.Fatal(err)
	}
	samples, complete := map[string]int64{}, map[string]int64{}
	for _, sample := range p.Sample {
		service, process, thread := label(sample, "service"), label(sample, "process"), label(sample, "thread")
		functions := functionsOf(sample)
		samples[service] += sample.Value[0]
		if strings.Contains(functions, "burnInner") {
			complete[service] += sample.Value[0]
		}
		switch service {
		case "inside", "deeper", "kernel":
		case outside:
			if pid := label(sample, "pid"); process != outside || pid != "" && pid != "0" {
				t.Errorf("thread %s outside is process %q, number %q", thread, process, pid)
			}
			for line := range strings.Lines(functions) {
				if strings.Contains(line, ".") && strings.Contains(line, "(") {
					t.Errorf("a function of a process outside has a name: %s", line)
				}
			}
		default: // the agent, and the shells above
			if !slices.Contains([]string{"agent", "sh", "unshare", "dash"}, service) {
				t.Errorf("something is taken for %q: process %q, thread %q", service, process, thread)
			}
		}
	}
	for _, service := range []string{"inside", "deeper"} {
		if n, of := complete[service], samples[service]; of < 8 || n*2 < of {
			t.Errorf("%s: %d of %d samples are whole", service, n, of)
		}
	}
	if samples[outside] < 8 || complete[outside] > 0 {
		t.Errorf("outside: %d samples, %d with functions", samples[outside], complete[outside])
	}
	// A number of the host means nothing here.
	got = r.run(t, "record", "-p", strconv.Itoa(s[native]), "-d", "200ms", "-o", "-")
	if got.status == 0 {
		t.Errorf("it profiles a process that it cannot see:\n%s", got.stderr)
	}
	r.HostProc = true
	if got := r.run(t, "record", "-p", "1", "-d", "200ms", "-o", "-"); got.status != 1 || !strings.Contains(got.stderr, "mount -t proc proc /proc") {
		t.Errorf("with the host's /proc: status %d\n%s", got.status, got.stderr)
	}
}

// readable is the test binary where all users may read it.
func readable() string { return strings.TrimSuffix(agent, "agent") + "readable" }

func label(s *profile.Sample, key string) string { return strings.Join(s.Label[key], "") }

// TestCommandInNamespace profiles a command in a PID namespace of its own.
func TestCommandInNamespace(t *testing.T) {
	startSubjects(t)
	r := &restriction{PIDNamespace: true}
	got := r.run(t, "record", "-d", "5s", "-F", "499", "-o", "-", "--", "/usr/bin/env", burnVar+"=1", readable())
	if !strings.Contains(got.stdout, "burnOuter") || strings.Contains(got.stdout, "outside") {
		t.Errorf("status %d of %d\n%s\n%.2000s", got.status, os.Getpid(), got.stderr, got.stdout)
	}
}
