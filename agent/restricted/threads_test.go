// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

var groups atomic.Int64

// groupName returns a name that no other cgroup has, nor one of another test that is not gone yet.
func groupName() string { return fmt.Sprintf("strobe-restricted-%d-%d", os.Getpid(), groups.Add(1)) }

// pidsCgroup makes a cgroup that allows so many threads.
func pidsCgroup(t *testing.T, limit int) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := filepath.Join(root, groupName())
		if os.Mkdir(dir, 0o755) != nil { //nolint:gosec // a cgroup
			continue
		}
		if os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.Itoa(limit)), 0o600) != nil {
			_ = os.Remove(dir)
			continue // its controller is elsewhere
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		return dir
	}
	skip.Because(t, "needs a hierarchy of cgroups with the pids controller")
	return ""
}

// within is a command that enters a cgroup and becomes another. This binary does not enter
// itself, as it may need a thread on its way.
func within(dir string, command ...string) []string {
	return append([]string{"/bin/sh", "-c", `echo 0 > "$0"/cgroup.procs && exec "$@"`, dir}, command...)
}

// TestThreads starts the agent where it may have few threads. The Go runtime ends a program that
// cannot have one more, at any time, so the agent must take fewer, or say what it needs.
func TestThreads(t *testing.T) {
	s := startSubjects(t)
	t.Run("few", func(t *testing.T) {
		t.Parallel()
		new(restriction).messages(t, "few-threads", refuses, within(pidsCgroup(t, 12), agent)...)
	})
	t.Run("of its user", func(t *testing.T) {
		t.Parallel()
		r := &restriction{Nobody: true, User: 54322, Capabilities: []int{bpf, perfmon, ptrace, syslog, search, checkpoint}}
		r.messages(t, "few-threads-of-user", refuses, "/usr/bin/prlimit", "--nproc=12", agent)
	})
	t.Run("enough for less", func(t *testing.T) {
		t.Parallel()
		const least = 17
		r := new(restriction)
		command := within(pidsCgroup(t, least), agent, "record", "-p", strconv.Itoa(s[native]), "-d", "5s", "-F", "499", "-format", "folded", "-o", "-")
		got := r.runProgram(t, command[0], command[1:]...)
		// With one CPU they are all that it takes.
		less := strings.Contains(got.stderr, "there are fewer threads than the agent takes: it does less at a time")
		if got.status != 0 || !strings.Contains(got.stdout, "burnInner") || less != (runtime.NumCPU() > 1) {
			t.Errorf("status %d\n%s\n%.2000s", got.status, got.stderr, got.stdout)
		}
	})
}
