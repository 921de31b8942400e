// SPDX-License-Identifier: Apache-2.0

package hostmemory

import (
	"fmt"
	"runtime"

	"github.com/strobe-profiler/strobe/internal/settings"
)

// What an agent takes beside what it is given. eBPF maps count for the cgroup of who
// makes them: agent/restricted has the test that these figures hold.
const (
	// kernelBytes is what the maps and programs of the sampler and of some runtimes take,
	// and perCPU the part of it for each CPU.
	kernelBytes = 32 << 20
	perCPU      = 256 << 10
	// leastRuntime is the least for the Go runtime: with less it does nothing but collect
	// garbage, and its stacks and tables do not fit. leastTables is one segment.
	leastRuntime = 40 << 20
	leastTables  = 1 << 20
	// cacheShare of the whole is left for the pages of files that are read.
	cacheShare = 16
)

// Grant is the memory of an agent: what Limit leaves of Tables is for the Go runtime.
type Grant struct {
	// Limit is for both together, Tables is kernel memory for unwind tables.
	Limit, Tables settings.Bytes
}

// TooSmallError says that there is less memory than an agent can run with.
type TooSmallError struct{ Available, Least settings.Bytes }

// Error implements error.
func (e *TooSmallError) Error() string {
	return fmt.Sprintf("this cgroup or host has %v of memory, and profiling needs at least %v: raise the limit "+
		"(systemd: MemoryMax=, docker run --memory, Kubernetes: resources.limits.memory)", e.Available, e.Least)
}

// Fit returns what of wanted can be had where there are available bytes for all that
// a process causes, in user space and in the kernel. The error is a [TooSmallError].
func Fit(wanted Grant, available int64) (Grant, error) {
	return fit(wanted, available, runtime.NumCPU())
}

func fit(wanted Grant, available int64, cpus int) (Grant, error) {
	fixed := kernelBytes + int64(cpus)*perCPU
	room := (available - available/cacheShare - fixed) &^ (1<<20 - 1)
	if room >= int64(wanted.Limit) {
		return wanted, nil
	}
	if room < leastRuntime+leastTables {
		least := (fixed+leastRuntime+leastTables)*cacheShare/(cacheShare-1) + 1
		return Grant{}, &TooSmallError{settings.Bytes(available), roundUp(least)}
	}
	tables := min(int64(wanted.Tables), max(leastTables, min(room/4, room-leastRuntime))) &^ (1<<20 - 1)
	return Grant{settings.Bytes(room), settings.Bytes(tables)}, nil
}

// Whole returns the limit of a cgroup below which Fit takes something away.
func Whole(wanted Grant) settings.Bytes {
	fixed := kernelBytes + int64(runtime.NumCPU())*perCPU
	return roundUp((int64(wanted.Limit)+fixed)*cacheShare/(cacheShare-1) + 1)
}

// roundUp rounds to whole MiB.
func roundUp(n int64) settings.Bytes { return settings.Bytes((n + 1<<20 - 1) &^ (1<<20 - 1)) }
