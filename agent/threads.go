// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/internal/cgroups"
	"github.com/strobe-profiler/strobe/internal/sampling"
)

// Threads: the Go runtime runs on as many as there are CPUs, and takes more for system calls
// that wait. When it cannot have one it ends the program, at any time and with pages of what is
// of use to nobody, so the agent must know before. Profiling hosts of 2 CPUs it has 9 to 12.
const spareThreads = 16

const threadsFix = "raise the limit by %d (systemd: TasksMax=, docker run --pids-limit, Kubernetes: podPidsLimit of the kubelet, ulimit -u)"

// threadsLeft returns how many threads the process may have together with those that it has,
// and what says so; [math.MaxInt64] when nothing does. All is below root, "/" but for tests.
func threadsLeft(root string) (n int64, by string) {
	n = math.MaxInt64
	for dir := range cgroups.Dirs(root, "pids") {
		limit := cgroups.Number(filepath.Join(dir, "pids.max"))
		used := cgroups.Number(filepath.Join(dir, "pids.current"))
		// After those of the group, so that a thread that comes meanwhile is not taken for one of others.
		own, err := os.ReadDir(filepath.Join(root, "proc/self/task"))
		if limit == math.MaxInt64 || err != nil {
			continue
		}
		// What others of the group have is not left, what the process has is.
		left := limit
		if used != math.MaxInt64 {
			left = max(0, limit-max(0, used-int64(len(own))))
		}
		if left < n {
			n, by = left, "the pids limit of its cgroup"
		}
	}
	return n, by
}

// userThreads is like threadsLeft for the limit of the user, of whom others may run too. It does
// not bound root. CAP_SYS_ADMIN would do, but is given up once the agent samples.
func userThreads() (n int64, by string) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur > math.MaxInt64 || os.Getuid() == 0 {
		return math.MaxInt64, ""
	}
	return int64(limit.Cur), "its user's limit (RLIMIT_NPROC)" //nolint:gosec // compared above
}

// threads returns the smaller of both.
func threads() (n int64, by string) {
	n, by = threadsLeft("/")
	if of, user := userThreads(); of < n {
		return of, user
	}
	return n, by
}

// fitThreads has the Go runtime take no more threads than there may be.
func fitThreads(log *slog.Logger) error {
	n, by := threads()
	cpus, wanted := runtime.GOMAXPROCS(0), int64(spareThreads+runtime.GOMAXPROCS(0))
	switch {
	case n >= wanted:
		return nil
	case n <= spareThreads:
		// There may be too few for what comes next, even to end in good order.
		runtime.GOMAXPROCS(1)
		return fmt.Errorf("%s, and profiling needs at least %d: %s", fewThreads(n, by), spareThreads+1, fmt.Sprintf(threadsFix, wanted-n))
	}
	runtime.GOMAXPROCS(int(n - spareThreads))
	log.Warn("there are fewer threads than the agent takes: it does less at a time", "allowed", n, "by", by,
		"cpus", cpus, "cpus_used", n-spareThreads, "fix", fmt.Sprintf(threadsFix, wanted-n))
	return nil
}

func fewThreads(n int64, by string) string { return fmt.Sprintf("%s allows it %d threads", by, n) }

// probeThreads says whether the agent may have as many threads as it takes.
func probeThreads() sampling.Capability {
	c := sampling.Capability{Name: "threads", OK: true, Detail: "as many as it takes"}
	n, by := threads()
	if n != math.MaxInt64 {
		c.Detail = fewThreads(n, by)
	}
	wanted := int64(spareThreads + runtime.GOMAXPROCS(0))
	switch {
	case n >= wanted:
		return c
	case n <= spareThreads:
		c.Required, c.Effect = true, "the agent does not start, as it would end at any time"
	default:
		c.Effect = "the agent does less at a time"
	}
	c.OK, c.Fix = false, fmt.Sprintf(threadsFix, wanted-n)
	return c
}
