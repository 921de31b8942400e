// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// recordCPU records a process until it and its descendants have used so much CPU since
// sampling began, and returns what the agent says. The number of samples is what a
// judgement needs, and that goes with CPU: on a host that has other things to do the
// recording takes longer instead of having less in it.
func recordCPU(t *testing.T, pid, rate int, used time.Duration, path string) (messages string) {
	t.Helper()
	agent := program.Start(t, exec.Command(filepath.Join(bin, "agent"), "record", "-v", "-p", strconv.Itoa(pid), //nolint:gosec // ours
		"-F", strconv.Itoa(rate), "-format", "folded", "-o", path))
	program.Eventually(t, patience, "sampling", func(context.Context) bool { return strings.Contains(agent.Log(), "msg=sampling") })
	limit := time.After(patience)
	for begin := cpuTime(t, pid); ; {
		missing := used - (cpuTime(t, pid) - begin)
		if missing <= 0 {
			break
		}
		select {
		case <-time.After(max(tickTime, missing/time.Duration(runtime.NumCPU()))): // it cannot be faster
		case <-limit:
			t.Fatalf("of %v of CPU the process has not used %v\n%s", used, missing, agent.Log())
		}
	}
	if err := errors.Join(agent.Process.Signal(syscall.SIGINT), agent.Wait()); err != nil {
		t.Fatalf("record: %v\n%s", err, agent.Log())
	}
	return agent.Log()
}

// cpuTime returns how much CPU a process and its descendants have used, those that ended too.
func cpuTime(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	of := []libpf.PID{libpf.PID(pid)} //nolint:gosec // a PID
	descendants, err := process.Descendants(of)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range append(of, descendants...) {
		used, err := process.CPUTime(p)
		if err != nil && i == 0 {
			t.Fatalf("the process ended: %v", err)
		}
		sum += used // of one that has ended, its parent has the time now
	}
	return sum
}

// tickTime is USER_HZ, which is the same on all architectures that there is an agent for.
const tickTime = 10 * time.Millisecond
