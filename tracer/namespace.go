// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// initialPIDNamespace is the inode number of the first PID namespace, which is the same
// on all kernels (include/linux/proc_ns.h).
const initialPIDNamespace = 0xEFFFFFFC

// pidNamespace says by which numbers processes are known here.
type pidNamespace struct {
	// inode is that of the namespace whose numbers /proc has.
	inode uint64
	// foreignProc is set when that is not the namespace of this process, so that it
	// knows itself and its children by other numbers than /proc does.
	foreignProc bool
}

// isInitial reports whether processes have the numbers that the kernel has for them.
func (n pidNamespace) isInitial() bool { return n.inode == initialPIDNamespace }

// readPIDNamespace finds out what the numbers in /proc mean.
func readPIDNamespace() (n pidNamespace, err error) {
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return n, fmt.Errorf("/proc is not mounted (mount -t proc proc /proc): %w", err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return n, err
	}
	// Numbers from the namespace of /proc inwards: with one of them it is our own.
	n.foreignProc = len(nsPIDs(string(status))) > 1 || self != strconv.Itoa(os.Getpid())
	of := "/proc/self/ns/pid"
	if n.foreignProc {
		of = "/proc/1/ns/pid"
	}
	var st unix.Stat_t
	if err := unix.Stat(of, &st); err != nil {
		if n.foreignProc { // it takes CAP_SYS_PTRACE; the host's /proc is the likely one
			n.inode = initialPIDNamespace
			return n, nil
		}
		return n, fmt.Errorf("read %s: %w", of, err)
	}
	n.inode = st.Ino
	return n, nil
}

// nsPIDs are the numbers of a process in /proc/PID/status, from the outermost
// namespace that can be seen.
func nsPIDs(status string) []string {
	for line := range strings.Lines(status) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(list)
		}
	}
	return nil
}

// errForeignProc is why a process cannot be named by its number.
var errForeignProc = errors.New("/proc has the processes of another PID namespace, so their numbers are not those that are known here: " +
	"mount this namespace's own (mount -t proc proc /proc), or start in the namespace of /proc")

// visible counts the processes that can be seen.
func (n pidNamespace) visible() int {
	pids, _ := process.All()
	return len(pids)
}

// check refuses numbers of processes that would mean others.
func (n pidNamespace) check(f *Filter) error {
	if n.foreignProc && len(f.IncludePIDs)+len(f.ExcludePIDs) > 0 {
		return errForeignProc
	}
	return nil
}

// variable is what the kernel side is told: the inode number, 0 for the initial one.
func (n pidNamespace) variable() uint32 {
	if n.isInitial() {
		return 0
	}
	return uint32(n.inode) //nolint:gosec // 32 bits in the kernel
}
