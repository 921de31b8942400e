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
	// leastRoom is the least for both. The two above together are enough on a quiet host. Where
	// a dozen large executables start at once, such as Node.js of five versions, Deno and
	// Chromium, what reading them takes for a moment was too much in 80 MiB, not in 96.
	leastRoom = 57 << 20
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
	if room < leastRoom {
		least := (fixed+leastRoom)*cacheShare/(cacheShare-1) + 1
		return Grant{}, &TooSmallError{settings.Bytes(available), roundUp(least)}
	}
	tables := min(int64(wanted.Tables), max(leastTables, min(room/4, room-leastRuntime))) &^ (1<<20 - 1)
	return Grant{settings.Bytes(room), settings.Bytes(tables)}, nil
}

// What of the Go runtime's part is for symbol tables, and for what a reporter remembers of
// definitions. On hosts with many large executables the tables take what they may.
const (
	// besidesSymbols is taken by the kernel's symbols, caches, queues and garbage.
	besidesSymbols = 24 << 20
	leastSymbols   = 4 << 20
	mostSymbols    = 64 << 20 // the default of tracer/symbol
	// One part in definitionShare is for definitions. There are four caches of them, of 65,536
	// entries and some 5 MB each by default: what the server has of stacks and of names, and
	// what the disk has.
	definitionShare  = 8
	definitionBytes  = 320
	leastDefinitions = 1 << 12
	mostDefinitions  = 1 << 16 // the default of reporter
)

// forGo is what the Go runtime has.
func (g Grant) forGo() int64 { return int64(g.Limit - g.Tables) }

// Symbols returns how many bytes are for symbol tables. While one is read it is a multiple
// of that for a moment, which is why it is well below what is left.
func (g Grant) Symbols() int64 {
	return min(max((g.forGo()-besidesSymbols)*2/5, leastSymbols), mostSymbols)
}

// Definitions returns how many definitions are for a reporter to remember.
func (g Grant) Definitions() uint32 {
	return uint32(min(max(g.forGo()/definitionShare/definitionBytes, leastDefinitions), mostDefinitions)) //nolint:gosec // bounded
}

// Whole returns the limit of a cgroup below which Fit takes something away.
func Whole(wanted Grant) settings.Bytes {
	fixed := kernelBytes + int64(runtime.NumCPU())*perCPU
	return roundUp((int64(wanted.Limit)+fixed)*cacheShare/(cacheShare-1) + 1)
}

// roundUp rounds to whole MiB.
func roundUp(n int64) settings.Bytes { return settings.Bytes((n + 1<<20 - 1) &^ (1<<20 - 1)) }
