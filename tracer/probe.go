// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Capability is something that the host allows or does not allow.
type Capability struct {
	// Name is what is looked at, such as "eBPF programs".
	Name string
	// OK is whether it can be used.
	OK bool
	// Required is set when nothing can be sampled without it.
	Required bool
	// Detail is what was found.
	Detail string
	// Effect is what is off without it, and Fix how to get it; both are empty when OK.
	Effect, Fix string
}

// Probe finds out what this kernel and the privileges of this process allow, by
// trying each thing with the smallest program there is. It changes nothing.
func Probe() []Capability {
	var out []Capability
	for _, p := range probes {
		c := Capability{Name: p.name, Required: p.required}
		detail, err := p.try()
		c.Detail = detail
		if c.OK = err == nil; !c.OK {
			// The library's hint at a limit is wrong on kernels that can run this.
			reason, _, _ := strings.Cut(firstLine(err), " (MEMLOCK may be too low")
			c.Detail = strings.TrimSpace(detail + " " + reason)
			c.Effect, c.Fix = p.effect, p.fix
			if errors.Is(err, os.ErrPermission) && strings.HasPrefix(p.fix, "use ") {
				// Nobody knows what a kernel can do that refuses to say.
				c.Fix = "run as root or with CAP_BPF and CAP_PERFMON"
			}
		}
		out = append(out, c)
	}
	return out
}

type probe struct {
	name        string
	required    bool
	effect, fix string
	try         func() (detail string, err error)
}

var probes = []probe{
	{"kernel", false, "nothing is known to fail", "", kernelVersion},
	{"capabilities", false, "features that need a missing capability are off",
		"run as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_SYSLOG, CAP_DAC_READ_SEARCH and CAP_CHECKPOINT_RESTORE", capabilities},
	{"type information (BTF)", true, "no program can be loaded", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y", probeBTF},
	{"eBPF programs", true, "no program can be loaded",
		"run as root or with CAP_BPF and CAP_PERFMON; in a container add both and allow the bpf system call", probeProgram(ebpf.SocketFilter, 0, "")},
	{"ring buffer", true, "samples cannot be read", "use Linux 5.8 or newer", probeMap(ebpf.RingBuf, 4096)},
	{"bpf_loop", true, "stacks cannot be unwound", "use Linux 5.17 or newer", probeHelper(ebpf.PerfEvent, asm.FnLoop)},
	{"reading kernel memory", true, "stacks cannot be unwound",
		"boot with lockdown=integrity, or without lockdown; the mode confidentiality (/sys/kernel/security/lockdown) forbids it", probeHelper(ebpf.PerfEvent, asm.FnProbeReadKernel)},
	{"sampling events", true, "nothing can be sampled",
		"run as root or with CAP_PERFMON, or set kernel.perf_event_paranoid to -1", probePerf},
	{"hardware cycles (PMU)", false, "the CPU clock is sampled instead: code that runs with interrupts off is seen where it turns them on",
		"virtual machines: expose the PMU to the guest", probePMU},
	{"BTF tracepoints", false, "new processes are read from /proc when their first sample is taken, which loses that sample",
		"use a kernel with BTF tracepoints (5.5 or newer)", probeTracepoint("sched_process_exec")},
	{"file fault tracepoint", false, "code mapped after the start of a process is read from /proc when it is first sampled, which loses that sample",
		"use a kernel with the mm_filemap_map_pages tracepoint (about 6.12)", probeTracepoint("mm_filemap_map_pages")},
	{"iterator over mappings", false, "programs that start are read from /proc when they are first sampled, which loses that sample", "use Linux 6.7 or newer", probeKfunc("bpf_iter_task_vma_new")},
	{"fentry", false, "nothing: it is not used", "", probeTracing(ebpf.AttachTraceFEntry, "do_exit")},
	{"kprobe", false, "nothing: it is not used", "", probeKprobe},
	{"kernel symbols", false, "kernel functions have no names", "run with CAP_SYSLOG, or set kernel.kptr_restrict to 0 or 1", probeKallsyms},
	{"mapped files", false, "executables that were deleted or replaced, or are in a container, have no unwind tables and no names",
		"run with CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN", probeMapFiles},
	{"host's PID namespace", false, "processes outside of this PID namespace have no names",
		"start the container with the host's PID namespace (docker run --pid=host, hostPID: true)", probePIDNamespace},
	{"cgroup v2", false, "filters by cgroup are off", "mount it: mount -t cgroup2 none /sys/fs/cgroup", func() (string, error) { return cgroupRoot() }},
	{"tracefs", false, "nothing yet: events of the host need it", "mount it: mount -t tracefs none /sys/kernel/tracing", probeTracefs},
}

func kernelVersion() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:]), nil
}

// wantedCapabilities are the ones that the agent uses, and keeps after its start.
// CAP_SYS_ADMIN stands for most of them, and CAP_DAC_OVERRIDE for one.
var wantedCapabilities = []struct {
	name         string
	bit, instead uint
}{
	{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE}, {"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, 0},
	{"CAP_CHECKPOINT_RESTORE", unix.CAP_CHECKPOINT_RESTORE, unix.CAP_SYS_ADMIN}, {"CAP_SYSLOG", unix.CAP_SYSLOG, unix.CAP_SYS_ADMIN},
	{"CAP_PERFMON", unix.CAP_PERFMON, unix.CAP_SYS_ADMIN}, {"CAP_BPF", unix.CAP_BPF, unix.CAP_SYS_ADMIN},
}

func capabilities() (string, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "", err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		hex, ok := strings.CutPrefix(s.Text(), "CapEff:\t")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(hex, 16, 64)
		if err != nil {
			return "", fmt.Errorf("read CapEff: %w", err)
		}
		var missing []string
		for _, c := range wantedCapabilities {
			if set&(1<<c.bit) == 0 && (c.instead == 0 || set&(1<<c.instead) == 0) {
				missing = append(missing, c.name)
			}
		}
		if len(missing) > 0 {
			return "", errors.New("missing " + strings.Join(missing, ", "))
		}
		return "all that are used", nil
	}
	return "", errors.New("/proc/self/status has no CapEff")
}

func probeBTF() (string, error) {
	if _, err := btf.LoadKernelSpec(); err != nil {
		return "", err
	}
	return "/sys/kernel/btf/vmlinux", nil
}

var errNotInKernel = errors.New("the kernel does not have it")

// exitProgram does nothing and returns 0.
var exitProgram = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}

func probeProgram(t ebpf.ProgramType, attach ebpf.AttachType, to string) func() (string, error) {
	return func() (string, error) {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: t, AttachType: attach, AttachTo: to, Instructions: exitProgram, License: "Dual BSD/GPL",
		})
		if err != nil {
			return "", err
		}
		return "loads", p.Close()
	}
}

func probeMap(t ebpf.MapType, entries uint32) func() (string, error) {
	return func() (string, error) {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: t, MaxEntries: entries})
		if err != nil {
			return "", err
		}
		return "available", m.Close()
	}
}

// probeHelper tries a helper with arguments that the verifier rejects only when
// it knows the helper.
func probeHelper(t ebpf.ProgramType, fn asm.BuiltinFunc) func() (string, error) {
	return func() (string, error) {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: t, License: "Dual BSD/GPL", Instructions: asm.Instructions{fn.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()},
		})
		switch {
		case err == nil:
			return "available", p.Close()
		case errors.Is(err, unix.EPERM):
			return "", err
		case strings.Contains(fmt.Sprintf("%+v", err), "unknown func"), strings.Contains(fmt.Sprintf("%+v", err), "invalid func"):
			return "", errNotInKernel
		}
		return "available", nil // known, and rightly refused with these arguments
	}
}

func probePerf() (string, error) {
	attr := &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: 1e9, Bits: unix.PerfBitDisabled,
	}
	fd, err := unix.PerfEventOpen(attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return "", err
	}
	return "cpu-clock on all CPUs", unix.Close(fd)
}

func probePMU() (string, error) {
	if !hasPMU(0) {
		return "", errors.New("not available")
	}
	return "cycles", nil
}

func probeTracepoint(name string) func() (string, error) {
	return func() (string, error) {
		if err := hasTracepoint("btf_trace_" + name); err != nil {
			return "", err
		}
		return probeProgram(ebpf.Tracing, ebpf.AttachTraceRawTp, name)()
	}
}

func probeTracing(attach ebpf.AttachType, to string) func() (string, error) {
	return func() (string, error) {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.Tracing, AttachType: attach, AttachTo: to, Instructions: exitProgram, License: "Dual BSD/GPL",
		})
		if err != nil {
			return "", err
		}
		defer p.Close()
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return "", err
		}
		return "attaches", l.Close()
	}
}

func probeKprobe() (string, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.Kprobe, Instructions: exitProgram, License: "Dual BSD/GPL"})
	if err != nil {
		return "", err
	}
	defer p.Close()
	l, err := link.Kprobe("do_exit", p, nil)
	if err != nil {
		return "", err
	}
	return "attaches", l.Close()
}

func probeKfunc(name string) func() (string, error) {
	return func() (string, error) {
		spec, err := btf.LoadKernelSpec()
		if err != nil {
			return "", err
		}
		var f *btf.Func
		switch err := spec.TypeByName(name, &f); {
		case errors.Is(err, btf.ErrNotFound):
			return "", errNotInKernel
		case err != nil:
			return "", err
		}
		return "available", nil
	}
}

func probeKallsyms() (string, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return "", err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for i := 0; i < 64 && s.Scan(); i++ {
		if addr, _, ok := strings.Cut(s.Text(), " "); ok && strings.Trim(addr, "0") != "" {
			return "readable", nil
		}
	}
	return "", errors.New("addresses are hidden")
}

func probeMapFiles() (string, error) {
	d, err := os.ReadDir("/proc/self/map_files")
	if err != nil {
		return "", err
	}
	for _, e := range d {
		f, err := os.Open("/proc/self/map_files/" + e.Name())
		if err != nil {
			return "", err
		}
		return "readable", f.Close()
	}
	return "", errors.New("/proc/self/map_files is empty")
}

func probePIDNamespace() (string, error) {
	// The initial PID namespace has a fixed inode number (include/linux/proc_ns.h).
	const initialPIDNamespace = 0xEFFFFFFC
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return "", err
	}
	if st.Ino != initialPIDNamespace {
		return "", errors.New("this process is in a PID namespace of its own")
	}
	return "yes", nil
}

func probeTracefs() (string, error) {
	for _, p := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(p + "/events"); err == nil {
			return p, nil
		}
	}
	return "", errors.New("not mounted")
}

func hasTracepoint(name string) error {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("read the kernel's BTF: %w", err)
	}
	var t *btf.Typedef
	if err := spec.TypeByName(name, &t); err != nil {
		return fmt.Errorf("kernel has no %s: %w", name, err)
	}
	return nil
}
