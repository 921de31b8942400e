// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/tracer/process"
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
	has := map[string]bool{}
	allowed := readPrivileges()
	for _, p := range probes(btf.NewCache()) {
		c := p.run(has, allowed)
		has[p.name] = c.OK
		out = append(out, c)
	}
	return out
}

// probe is one thing to try.
type probe struct {
	name        string
	required    bool
	effect, fix string
	try         func() (detail string, err error)
	// after are probes without which it is known to fail, and nothing can be said of it.
	after []string
	// call and needs are the system call and the capabilities that it takes.
	call  string
	needs []capability
}

func (p *probe) run(has map[string]bool, allowed privileges) Capability {
	c := Capability{Name: p.name, Required: p.required}
	for _, other := range p.after {
		if !has[other] {
			c.Required, c.Detail = false, "not tried: it needs "+other
			return c
		}
	}
	detail, err := p.try()
	c.Detail = detail
	if c.OK = err == nil; c.OK {
		return c
	}
	// The library's hint at a limit is wrong on kernels that can run this.
	reason, _, _ := strings.Cut(firstLine(err), " (MEMLOCK may be too low")
	c.Detail, c.Effect, c.Fix = strings.TrimSpace(detail+" "+reason), p.effect, p.fix
	var known *refusal
	switch {
	case errors.As(err, &known):
		c.Detail, c.Fix = known.why, known.fix
	case isRefusal(err) && p.needs != nil:
		c.Detail, c.Fix = allowed.explain(p.call, err, p.needs...)
	}
	return c
}

// Names of probes that others come after.
const (
	typeInformation = "type information (BTF)"
	programsLoad    = "eBPF programs"
	samplingEvents  = "sampling events"
)

// probes are in the order in which they are tried. What asks for the kernel's types takes
// them from the cache: they are several megabytes, and a kernel before 6.16 makes no mapping
// of them, so that each who asks without it reads a copy of its own.
func probes(types *btf.Cache) []probe {
	bpf := []capability{capBPF, capPerfmon}
	return []probe{
		{name: "kernel", effect: "nothing is known to fail", try: kernelVersion},
		{name: "capabilities", effect: "nothing by itself: what is off is said below", try: capabilities},
		{
			name: programsLoad, required: true, effect: "no program can be loaded", fix: "use Linux 5.17 or newer",
			try: probeProgram(types, ebpf.PerfEvent, 0, ""), call: "bpf", needs: bpf,
		},
		{
			name: typeInformation, required: true, effect: "no program can be loaded",
			fix: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y", try: probeBTF(types),
		},
		{
			name: "ring buffer", required: true, effect: "samples cannot be read", fix: "use Linux 5.8 or newer",
			try: probeMap(ebpf.RingBuf, 4096), after: []string{programsLoad}, call: "bpf", needs: bpf,
		},
		{
			name: "bpf_loop", required: true, effect: "stacks cannot be unwound", fix: "use Linux 5.17 or newer",
			try: probeHelper(ebpf.PerfEvent, asm.FnLoop), after: []string{programsLoad}, call: "bpf", needs: bpf,
		},
		{
			name: "reading kernel memory", required: true, effect: "stacks cannot be unwound",
			fix: "boot with lockdown=integrity, or without lockdown; the mode confidentiality (/sys/kernel/security/lockdown) forbids it",
			try: probeHelper(ebpf.PerfEvent, asm.FnProbeReadKernel), after: []string{programsLoad},
		},
		{
			name: samplingEvents, required: true, effect: "nothing can be sampled", fix: "use a kernel built with CONFIG_PERF_EVENTS=y",
			try: probePerf, call: "perf_event_open", needs: []capability{capPerfmon},
		},
		{
			name:   "hardware cycles (PMU)",
			effect: "the CPU clock is sampled instead: code that runs with interrupts off is seen where it turns them on",
			fix:    "virtual machines: expose the PMU to the guest", try: probePMU, after: []string{samplingEvents},
		},
		{
			name: "BTF tracepoints", effect: "new processes are read from /proc when their first sample is taken, which loses that sample",
			fix: "use a kernel with BTF tracepoints (5.5 or newer)", try: probeTracepoint(types, "sched_process_exec"),
			after: []string{programsLoad, typeInformation}, call: "bpf", needs: bpf,
		},
		{
			name:   "file fault tracepoint",
			effect: "code mapped after the start of a process is read from /proc when it is first sampled, which loses that sample",
			fix:    "use a kernel with the mm_filemap_map_pages tracepoint (about 6.12)", try: probeTracepoint(types, "mm_filemap_map_pages"),
			after: []string{programsLoad, typeInformation}, call: "bpf", needs: bpf,
		},
		{
			name: "iterator over mappings", effect: "programs that start are read from /proc when they are first sampled, which loses that sample", fix: "use Linux 6.7 or newer",
			try: probeKfunc(types, "bpf_iter_task_vma_new"), after: []string{programsLoad, typeInformation},
		},
		{
			name: "fentry", effect: "nothing: it is not used", try: probeTracing(types, ebpf.AttachTraceFEntry, "do_exit"),
			after: []string{programsLoad, typeInformation},
		},
		{name: "kprobe", effect: "nothing: it is not used", try: probeKprobe, after: []string{programsLoad}},
		{
			name: "kernel symbols", effect: "kernel functions have no names", fix: "use a kernel built with CONFIG_KALLSYMS=y",
			try: probeKallsyms, call: "syslog", needs: []capability{capSyslog},
		},
		{
			name: "processes of others", effect: "of processes of other users only the CPU time, the names of threads and the kernel's functions are shown",
			fix: grant([]string{capSysPtrace.name}), try: probeOthers, call: "ptrace", needs: []capability{capSysPtrace},
		},
		{
			name: "files of others", effect: "executables and environments that the agent's user may not read are not read: no unwind tables, no names of functions, no service that a program names itself",
			fix: grant([]string{capDACReadSearch.name}), try: probeCapability(capDACReadSearch), call: "open", needs: []capability{capDACReadSearch},
		},
		{
			name: "mapped files", effect: "executables that were deleted or replaced have no unwind tables and no names",
			fix: "mount /proc", try: probeMapFiles, call: "open", needs: []capability{capCheckpointRestore},
		},
		{
			name: "host's PID namespace", effect: "of processes outside of it only the CPU time, the names of threads and the kernel's functions are shown",
			fix: "start the agent in the host's PID namespace (docker run --pid=host, Kubernetes: hostPID: true)", try: probePIDNamespace,
		},
		{name: "cgroup v2", effect: "filters by cgroup are off", fix: "mount it: mount -t cgroup2 none /sys/fs/cgroup", try: probeCgroup},
		{name: "tracefs", effect: "nothing: it is not used", try: probeTracefs},
	}
}

func kernelVersion() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:]), nil
}

func capabilities() (string, error) {
	p := readPrivileges()
	missing := p.missing(wantedCapabilities...)
	switch {
	case p.userNamespace:
		return "", &refusal{why: userNamespaceWhy, fix: userNamespaceFix}
	case len(missing) > 0:
		return "", &refusal{why: "missing " + strings.Join(missing, ", "), fix: grant(missing)}
	}
	return "all that are used", nil
}

// probeCapability is for what cannot be tried without a file that this is about.
func probeCapability(c capability) func() (string, error) {
	return func() (string, error) {
		if readPrivileges().userNamespace {
			return "", &refusal{why: userNamespaceWhy, fix: userNamespaceFix}
		}
		if missing := readPrivileges().missing(c); len(missing) > 0 {
			return "", &refusal{why: "missing " + c.name, fix: grant(missing)}
		}
		return "readable", nil
	}
}

// probeOthers looks into processes of other users until it is let into one: some are
// guarded by more than this takes.
func probeOthers() (string, error) {
	if detail, err := probeCapability(capSysPtrace)(); err != nil {
		return detail, err
	}
	pids, err := process.All()
	if err != nil {
		return "", err
	}
	var refused error
	for _, pid := range pids {
		var st unix.Stat_t
		name := "/proc/" + pid.String()
		if unix.Stat(name, &st) != nil || int(st.Uid) == os.Geteuid() {
			continue
		}
		_, err := os.Readlink(name + "/exe")
		if err == nil {
			return "readable", nil
		}
		if isRefusal(err) {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "readable", nil
}

func probeBTF(types *btf.Cache) func() (string, error) {
	return func() (string, error) {
		if _, err := types.Kernel(); err != nil {
			return "", explainTypes(err)
		}
		return kernelTypes, nil
	}
}

const kernelTypes = "/sys/kernel/btf/vmlinux"

// explainTypes tells a kernel without type information from one that is not let show it.
func explainTypes(err error) error {
	p, hidden := ebpf.NewProgram(&ebpf.ProgramSpec{
		// The kernel needs its own types to know what this returns.
		Type: ebpf.PerfEvent, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.FnGetCurrentTaskBtf.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if hidden != nil {
		return &refusal{
			"no type information", kernelTypes + " is not there",
			"use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount /sys", err,
		}
	}
	p.Close() //nolint:errcheck // nothing was done with it
	return &refusal{
		"no type information", "the kernel has it, but " + kernelTypes + " cannot be seen here",
		"mount it: mount -t sysfs sysfs /sys (docker run -v /sys/kernel/btf:/sys/kernel/btf:ro)", err,
	}
}

var errNotInKernel = errors.New("the kernel does not have it")

// exitProgram does nothing and returns 0.
var exitProgram = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}

func probeProgram(types *btf.Cache, t ebpf.ProgramType, attach ebpf.AttachType, to string) func() (string, error) {
	return func() (string, error) {
		p, err := loadExit(types, t, attach, to)
		if err != nil {
			return "", err
		}
		return "loads", p.Close()
	}
}

// loadExit loads a program that does nothing. Only a collection takes the types of others.
func loadExit(types *btf.Cache, t ebpf.ProgramType, attach ebpf.AttachType, to string) (*ebpf.Program, error) {
	const name = "probe"
	spec := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
		name: {Type: t, AttachType: attach, AttachTo: to, Instructions: exitProgram, License: "Dual BSD/GPL"},
	}}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return nil, cmp.Or(errors.Unwrap(err), err) // without the name that it has here
	}
	defer c.Close()
	return c.DetachProgram(name), nil
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

func probeTracepoint(types *btf.Cache, name string) func() (string, error) {
	return func() (string, error) {
		if err := hasTracepoint(types, "btf_trace_"+name); err != nil {
			return "", err
		}
		return probeProgram(types, ebpf.Tracing, ebpf.AttachTraceRawTp, name)()
	}
}

func probeTracing(types *btf.Cache, attach ebpf.AttachType, to string) func() (string, error) {
	return func() (string, error) {
		p, err := loadExit(types, ebpf.Tracing, attach, to)
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

func probeKfunc(types *btf.Cache, name string) func() (string, error) {
	return func() (string, error) {
		spec, err := types.Kernel()
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
	defer f.Close() //nolint:errcheck // read only
	s := bufio.NewScanner(f)
	for i := 0; i < 64 && s.Scan(); i++ {
		if addr, _, ok := strings.Cut(s.Text(), " "); ok && strings.Trim(addr, "0") != "" {
			return "readable", nil
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/kptr_restrict"); err == nil && strings.TrimSpace(string(b)) == "2" {
		return "", &refusal{why: "kernel.kptr_restrict is 2, which hides them from everybody", fix: "sysctl kernel.kptr_restrict=1"}
	}
	return "", fmt.Errorf("addresses are hidden: %w", unix.EPERM)
}

func probeMapFiles() (string, error) {
	d, err := os.ReadDir("/proc/self/map_files")
	if err != nil {
		return "", err
	}
	if len(d) == 0 {
		return "", errors.New("/proc/self/map_files is empty")
	}
	f, err := os.Open("/proc/self/map_files/" + d[0].Name())
	if err != nil {
		return "", err
	}
	return "readable", f.Close()
}

func probePIDNamespace() (string, error) {
	n, err := readPIDNamespace()
	switch {
	case err != nil:
		return "", err
	case n.foreignProc:
		return "", &refusal{why: "/proc is that of another PID namespace, so -p and filters by PID are off", fix: "mount -t proc proc /proc"}
	case !n.isInitial():
		return "", fmt.Errorf("no: in a PID namespace of its own, where it sees %d processes", n.visible())
	}
	return "yes", nil
}

func probeCgroup() (string, error) {
	root, err := cgroupRoot()
	if err != nil {
		return "", errors.New("not mounted")
	}
	return root, nil
}

func probeTracefs() (string, error) {
	for _, p := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(p + "/events"); err == nil {
			return p, nil
		}
	}
	return "", errors.New("not mounted")
}

func hasTracepoint(types *btf.Cache, name string) error {
	spec, err := types.Kernel()
	if err != nil {
		return fmt.Errorf("read the kernel's BTF: %w", err)
	}
	var t *btf.Typedef
	if err := spec.TypeByName(name, &t); err != nil {
		return fmt.Errorf("kernel has no %s: %w", name, err)
	}
	return nil
}
