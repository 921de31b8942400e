// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"fmt"
	"math/bits"
	"strconv"

	"golang.org/x/sys/unix"
)

// Set is a set of capabilities: bit n is capability n.
type Set uint64

// Needed is what the agent uses once it runs, as experiments with one missing
// at a time show:
//
//   - CAP_BPF and CAP_PERFMON: to load the program of a runtime that turns up
//     later, to look into maps where unprivileged eBPF is disabled, and to sample a
//     CPU that is switched on later.
//   - CAP_SYS_PTRACE: /proc/PID/root, /proc/PID/map_files, environments, and the memory of
//     interpreters.
//   - CAP_DAC_READ_SEARCH: executables and libraries below folders of others.
//   - CAP_CHECKPOINT_RESTORE: the links in /proc/PID/map_files, by which files are found
//     that were deleted, replaced, or are in a container. CAP_SYS_ADMIN would do
//     as well, and nearly everything else.
//   - CAP_SYSLOG: addresses in /proc/kallsyms, read again when the kernel loads a module.
const Needed = Set(1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_SYS_PTRACE |
	1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_CHECKPOINT_RESTORE | 1<<unix.CAP_SYSLOG)

// keep returns what of a set to keep: what is needed, or what does as well where
// that is missing. CAP_SYS_ADMIN had the powers of many before they got names of
// their own; containers get CAP_DAC_OVERRIDE by default.
func (s Set) keep(needed Set) Set {
	const once = Set(1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_CHECKPOINT_RESTORE)
	out := s & needed
	if missing := needed &^ s; missing&once != 0 {
		out |= s & (1 << unix.CAP_SYS_ADMIN)
	}
	if missing := needed &^ s; missing.has(unix.CAP_DAC_READ_SEARCH) {
		out |= s & (1 << unix.CAP_DAC_OVERRIDE)
	}
	return out
}

var names = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Names lists the capabilities of the set in the order of their numbers.
func (s Set) Names() []string {
	out := make([]string, 0, bits.OnesCount64(uint64(s)))
	for n := range 64 {
		switch {
		case !s.has(n):
		case n < len(names):
			out = append(out, names[n])
		default: // of a kernel that is newer than this list
			out = append(out, "capability "+strconv.Itoa(n))
		}
	}
	return out
}

func (s Set) has(n int) bool { return s>>n&1 != 0 }

// permitted returns the permitted set of the calling thread.
func permitted() (Set, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return Set(data[1].Permitted)<<32 | Set(data[0].Permitted), nil
}
