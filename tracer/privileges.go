// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// initialUserNamespace is the inode number of the first user namespace (include/linux/proc_ns.h).
const initialUserNamespace = 0xEFFFFFFD

// capability is one that the agent uses, and keeps after its start.
type capability struct {
	name string
	bit  uint
	// instead has the same powers and more, 0 for none.
	instead uint
}

// What the agent uses. CAP_SYS_ADMIN stands for most of them, and CAP_DAC_OVERRIDE for one.
var (
	capDACReadSearch     = capability{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE}
	capSysPtrace         = capability{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, 0}
	capCheckpointRestore = capability{"CAP_CHECKPOINT_RESTORE", unix.CAP_CHECKPOINT_RESTORE, unix.CAP_SYS_ADMIN}
	capSyslog            = capability{"CAP_SYSLOG", unix.CAP_SYSLOG, 0}
	capPerfmon           = capability{"CAP_PERFMON", unix.CAP_PERFMON, unix.CAP_SYS_ADMIN}
	capSysAdmin          = capability{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, 0}
	capBPF               = capability{"CAP_BPF", unix.CAP_BPF, unix.CAP_SYS_ADMIN}

	wantedCapabilities = []capability{capBPF, capPerfmon, capSysPtrace, capSyslog, capDACReadSearch, capCheckpointRestore}
)

// privileges are what decides whether the kernel lets this process do something.
type privileges struct {
	effective     uint64
	userNamespace bool // other than the first
	seccomp       bool // a filter of system calls is in force
}

// readPrivileges reads those of this process. What cannot be read is taken not to be in the way.
func readPrivileges() privileges {
	p := privileges{effective: ^uint64(0)}
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "CapEff":
			if set, err := strconv.ParseUint(value, 16, 64); err == nil {
				p.effective = set
			}
		case "Seccomp":
			p.seccomp = value == "2"
		}
	}
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &st) == nil {
		p.userNamespace = st.Ino != initialUserNamespace
	}
	return p
}

// missing lists which of some capabilities are not there.
func (p privileges) missing(of ...capability) []string {
	var out []string
	for _, c := range of {
		if p.effective&(1<<c.bit) == 0 && (c.instead == 0 || p.effective&(1<<c.instead) == 0) {
			out = append(out, c.name)
		}
	}
	return out
}

// Why and how to get what a user namespace takes away.
const (
	userNamespaceWhy = "in a user namespace, whose capabilities do not count outside of it"
	userNamespaceFix = "start it in the host's user namespace (docker run --userns=host, Kubernetes: hostUsers: true)"
)

// explain says why something was refused that takes a system call and capabilities,
// and how to get it.
func (p privileges) explain(call string, err error, needs ...capability) (why, fix string) {
	missing := p.missing(needs...)
	switch {
	case p.userNamespace:
		return userNamespaceWhy, userNamespaceFix
	case len(missing) > 0:
		return "missing " + strings.Join(missing, " and "), grant(missing)
	case call == "perf_event_open" && paranoid() > 2 && len(p.missing(capSysAdmin)) > 0:
		return fmt.Sprintf("kernel.perf_event_paranoid is %d, where CAP_PERFMON does not do on kernels of Debian and Ubuntu", paranoid()),
			"sysctl kernel.perf_event_paranoid=2, or " + grant([]string{capSysAdmin.name}) + ", which the agent gives up as soon as it samples"
	case p.seccomp:
		return "a filter of system calls (seccomp) refuses " + call, fmt.Sprintf(
			"allow %[1]s (systemd: SystemCallFilter=%[1]s, docker run --security-opt seccomp=FILE)", call)
	case locked():
		return "the kernel is locked down", "boot with lockdown=integrity or without Secure Boot"
	}
	return firstLine(err), "see in the log of the kernel what guards " + call + " (AppArmor, SELinux): dmesg"
}

// grant says how to give capabilities to the agent.
func grant(names []string) string {
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = "--cap-add " + strings.TrimPrefix(n, "CAP_")
	}
	or := "run as root, or "
	if os.Geteuid() == 0 {
		or = ""
	}
	return fmt.Sprintf("%sadd %s (systemd: AmbientCapabilities=%s, docker run %s)",
		or, strings.Join(names, ", "), strings.Join(names, " "), strings.Join(short, " "))
}

// paranoid is how far sampling is forbidden; 0 where that cannot be read. Distributions
// add levels above the kernel's own, which end at 2.
func paranoid() int {
	b, err := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	if err != nil {
		return 0
	}
	level, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return level
}

// locked reports whether the kernel keeps its memory from everybody.
func locked() bool {
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	return err == nil && strings.Contains(string(b), "[confidentiality]")
}

// refusal is an error about something that needs privileges which are not there.
type refusal struct {
	what, why, fix string
	err            error
}

func (r *refusal) Error() string { return r.what + ": " + r.why + ": " + r.fix }
func (r *refusal) Unwrap() error { return r.err }

// isRefusal reports whether the kernel refuses for want of privileges.
func isRefusal(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

// explainRefusal makes an error of [isRefusal] one that says what to do.
func explainRefusal(what, call string, err error, needs ...capability) error {
	why, fix := readPrivileges().explain(call, err, needs...)
	return &refusal{what, why, fix, err}
}
