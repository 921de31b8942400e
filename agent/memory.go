// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/internal/hostmemory"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/settings"
)

const (
	memoryEffect = "unwind tables are loaded and evicted more often, so more stacks are cut short, executables with very large symbol tables have no names of functions, and fewer samples wait in memory"
	memoryFix    = "raise the limit to %v (systemd: MemoryMax=, docker run --memory, Kubernetes: resources.limits.memory)"
)

// fitMemory takes no more than the cgroup allows, as who does is killed, and gives the Go
// runtime what the unwind tables leave of it.
func fitMemory(limit, tables *settings.Bytes, log *slog.Logger) error {
	wanted := hostmemory.Grant{Limit: *limit, Tables: *tables}
	available := hostmemory.Available()
	got, err := hostmemory.Fit(wanted, available)
	if err != nil {
		return err
	}
	if got != wanted {
		log.Warn("there is less memory than -memory-limit: the agent takes less", "available", settings.Bytes(available).String(),
			"memory_limit", got.Limit.String(), "unwind_table_bytes", got.Tables.String(), "effect", memoryEffect,
			"fix", fmt.Sprintf(memoryFix, hostmemory.Whole(wanted)))
	}
	*limit, *tables = got.Limit, got.Tables
	if os.Getenv("GOMEMLIMIT") == "" { // whoever sets it knows why
		debug.SetMemoryLimit(int64(*limit - *tables))
	}
	return nil
}

// doctorMemory is for the Go runtime of agent doctor, which has up to 14 MiB in use: what it
// reads the kernel's types into, where no mapping of them can be made (before Linux 6.16).
const doctorMemory = 16 << 20

// spareMemory is for a command that must give its answer where the agent itself is refused:
// garbage is collected before it adds up to what a small cgroup kills for.
func spareMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(doctorMemory)
	}
}

// probeMemory says whether the agent can have what it takes by default.
func probeMemory(wanted hostmemory.Grant) sampling.Capability {
	c := sampling.Capability{Name: "memory", OK: true, Detail: "as much as it takes"}
	available := hostmemory.Available()
	if available != math.MaxInt64 {
		c.Detail = (settings.Bytes(available) &^ (1<<20 - 1)).String() + " in this cgroup or host"
	}
	got, err := hostmemory.Fit(wanted, available)
	switch {
	case err != nil:
		c.OK, c.Required, c.Effect = false, true, "the agent does not start, as it would be killed again and again"
	case got != wanted:
		c.OK, c.Effect = false, memoryEffect
	default:
		return c
	}
	c.Fix = fmt.Sprintf(memoryFix, hostmemory.Whole(wanted))
	return c
}

// Open files: each map, program, sampled CPU and executable in use takes one. Below the least
// the sampler cannot be loaded, below the good ones runtimes and executables are missing.
const (
	leastFiles = 128
	goodFiles  = 1024
)

// probeFiles says whether the agent may open as many files as it does.
func probeFiles() sampling.Capability {
	c := sampling.Capability{Name: "open files", OK: true}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		c.Detail = err.Error()
		return c
	}
	c.Detail = fmt.Sprintf("at most %d", limit.Max)
	if limit.Max >= goodFiles {
		return c
	}
	c.OK, c.Required = false, limit.Max < leastFiles
	c.Effect = "programs of runtimes are not loaded and executables are not read when there are many"
	if c.Required {
		c.Effect = "no program can be loaded"
	}
	c.Fix = fmt.Sprintf("raise the limit to %[1]d (systemd: LimitNOFILE=%[1]d, docker run --ulimit nofile=%[1]d)", goodFiles)
	return c
}
