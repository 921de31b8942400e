// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support"
)

// Sizes shared with the kernel side; see support/ebpf/types.h and maps.h.
const (
	segmentRows  = 262144
	segmentBytes = segmentRows * 4
	maxSegments  = 1024
	dirEntries   = 131072
	maxExecIDs   = 32768
	execNone     = 0
	execVDSO     = 1
	firstFreeID  = 2
)

// Names of the programs that may be left out when the kernel lacks their hook.
const (
	progFork  = "follow_fork"
	progExec  = "follow_exec"
	progExit  = "follow_exit"
	progFault = "follow_fault"
	progIter  = "read_processes"
)

// kernelSide is what is loaded into the kernel.
type kernelSide struct {
	log   *slog.Logger
	coll  *ebpf.Collection
	objs  support.StrobeMaps
	epoch *ebpf.Variable
	links []io.Closer
	// missing says why an optional program is not there.
	missing map[string]error
	// maps are all maps by name, which the programs of the runtimes share.
	maps map[string]*ebpf.Map
	// variables are those of the configuration, which programs loaded later share.
	variables map[string]any
	// nextID is the lowest ID of an executable that was never given out.
	nextID uint32
}

// loadKernelSide loads programs and maps. Optional programs that the kernel
// refuses are left out and recorded in missing.
func loadKernelSide(cfg *Config) (*kernelSide, error) {
	spec, err := support.LoadStrobe()
	if err != nil {
		return nil, fmt.Errorf("read eBPF object: %w", err)
	}
	if err := checkKernel(func(fn asm.BuiltinFunc) error { _, err := probeHelper(ebpf.PerfEvent, fn)(); return err }); err != nil {
		return nil, err
	}
	k := &kernelSide{log: cfg.Logger, missing: map[string]error{}}
	if k.variables, err = configure(spec, cfg); err != nil {
		return nil, err
	}
	for _, name := range cfg.withoutPrograms {
		k.leaveOut(spec, name, errors.New("left out on purpose"))
	}
	types := btf.NewCache() // not kept: the kernel's types are megabytes
	k.leaveOutUnsupported(spec, types)
	// A kernel may refuse other programs that are optional, for reasons of its own. Each
	// attempt verifies all programs anew.
	for {
		if k.coll, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types}); err == nil {
			break
		}
		name := refused(spec, err)
		if name == "" {
			return nil, explainLoad(err)
		}
		k.leaveOut(spec, name, err)
	}
	k.maps = maps.Clone(k.coll.Maps) // Assign takes them away
	if err := k.coll.Assign(&k.objs); err != nil {
		k.coll.Close()
		return nil, fmt.Errorf("find eBPF maps: %w", err)
	}
	k.epoch = k.coll.Variables["epoch"]
	k.nextID = firstFreeID
	if err := k.addFreeIDs(); err != nil {
		k.coll.Close()
		return nil, err
	}
	return k, nil
}

// What a kernel can lack without which nothing works.
var (
	errTooOld   = errors.New("this kernel is too old: use Linux 5.17 or newer")
	errLockdown = errors.New("this kernel is locked down: no eBPF program may read its memory: boot it with lockdown=integrity, or without lockdown")
)

// checkKernel looks for the youngest helper that is needed, and for the one that
// lockdown takes away. What a kernel refuses first without them differs from version
// to version, and none of its refusals says why: 5.10 complains of locked memory.
func checkKernel(has func(asm.BuiltinFunc) error) error {
	release, _ := kernelVersion()
	if errors.Is(has(asm.FnLoop), errNotInKernel) {
		return fmt.Errorf("%w: %s does not have bpf_loop", errTooOld, release)
	}
	if errors.Is(has(asm.FnProbeReadKernel), errNotInKernel) {
		return fmt.Errorf("%w: %s does not have bpf_probe_read_kernel", errLockdown, release)
	}
	return nil // what else is wrong shows when the programs are loaded
}

// Why programs are left out on older kernels.
var (
	errNoIterator = errors.New("the kernel has no iterator over mappings, which came with Linux 6.7")
	errNoFault    = errors.New("the kernel has no tracepoint of file faults, which came with about Linux 6.12")
)

// leaveOutUnsupported leaves out the programs that this kernel is known to lack
// something for. User space reads /proc instead.
func (k *kernelSide) leaveOutUnsupported(spec *ebpf.CollectionSpec, types *btf.Cache) {
	if _, err := probeKfunc(types, "bpf_iter_task_vma_new")(); errors.Is(err, errNotInKernel) {
		for _, name := range []string{progExec, progFault, progIter} {
			k.leaveOut(spec, name, errNoIterator)
		}
	}
	if err := hasTracepoint(types, "btf_trace_mm_filemap_map_pages"); errors.Is(err, btf.ErrNotFound) {
		k.leaveOut(spec, progFault, errNoFault)
	}
}

func (k *kernelSide) leaveOut(spec *ebpf.CollectionSpec, name string, why error) {
	if _, ok := spec.Programs[name]; ok {
		delete(spec.Programs, name)
		k.missing[name] = why
	}
}

// configure sets what depends on the configuration and on the host. It returns
// the variables.
func configure(spec *ebpf.CollectionSpec, cfg *Config) (map[string]any, error) {
	// Room for a second of full records (about 1 KiB at 100 frames) on all CPUs,
	// though compact ones are the rule.
	perSecond := cfg.SamplesPerSecond * runtime.NumCPU() * 1024
	ring := min(max(1<<20, 1<<bits.Len(uint(perSecond))), 1<<24)  //nolint:gosec // positive
	spec.Maps[support.StrobeMapSamples].MaxEntries = uint32(ring) //nolint:gosec // at most 16 MiB

	var seed [16]byte
	_, _ = rand.Read(seed[:]) // cannot fail
	vars := map[string]any{
		"hash_seed_hi":  binary.LittleEndian.Uint64(seed[:]),
		"hash_seed_lo":  binary.LittleEndian.Uint64(seed[8:]),
		"sample_period": uint64(time.Second) / uint64(cfg.SamplesPerSecond), //nolint:gosec // 1 to 1000
		"wake_bytes":    uint32(ring / 4),                                   //nolint:gosec // at most 4 MiB
		"wanted":        cfg.Filter.wanted(),
		"pid_namespace": cfg.pids.variable(),
	}
	for name, value := range vars {
		v := spec.Variables[name]
		if v == nil {
			return nil, fmt.Errorf("eBPF object has no variable %q: regenerate it", name)
		}
		if err := v.Set(value); err != nil {
			return nil, fmt.Errorf("set eBPF variable %q: %w", name, err)
		}
	}
	return vars, nil
}

// refused returns the optional program that the kernel did not take, "" when
// the reason lies elsewhere.
func refused(spec *ebpf.CollectionSpec, err error) string {
	if errors.Is(err, unix.EPERM) && !isVerifierError(err) {
		return ""
	}
	for _, name := range []string{progFault, progIter, progExec, progFork, progExit} {
		if _, ok := spec.Programs[name]; ok && strings.Contains(err.Error(), "program "+name+":") {
			return name
		}
	}
	return ""
}

func isVerifierError(err error) bool {
	var ve *ebpf.VerifierError
	return errors.As(err, &ve)
}

// explainLoad turns the kernel's refusal into what a person can do about it.
func explainLoad(err error) error {
	switch {
	case fewFiles(): // the library takes it for a kernel that lacks something
		return fmt.Errorf("too few open files are allowed: raise the limit to 1024 (systemd: LimitNOFILE=, docker run --ulimit nofile=1024): %w", unix.EMFILE)
	case isRefusal(err):
		return explainRefusal("not allowed to load eBPF programs", "bpf", err, capBPF, capPerfmon)
	case errors.Is(err, btf.ErrNotFound), errors.Is(err, os.ErrNotExist), noTypes():
		return explainTypes(err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("no memory for eBPF maps: raise the memory limit of the agent's cgroup "+
			"(systemd: MemoryMax=, docker run --memory, Kubernetes: resources.limits.memory): %w", err)
	}
	return fmt.Errorf("load eBPF programs: %w", err)
}

// leastFiles is how many open files programs, maps and what else there is at the start take.
const leastFiles = 128

// fewFiles reports whether fewer are allowed.
func fewFiles() bool {
	var limit unix.Rlimit
	return unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < leastFiles
}

// noTypes reports whether the kernel's type information cannot be read.
func noTypes() bool {
	_, err := btf.LoadKernelSpec()
	return err != nil
}

// freeIDStep is how many IDs of executables are made available at a time: each
// is a system call, so all of them at the start would be felt.
const freeIDStep = 1024

// addFreeIDs makes more IDs of executables available to the kernel side.
func (k *kernelSide) addFreeIDs() error {
	for end := min(k.nextID+freeIDStep, maxExecIDs); k.nextID < end; k.nextID++ {
		if err := k.objs.FreeIds.Put(nil, k.nextID); err != nil {
			return fmt.Errorf("add executable IDs: %w", err)
		}
	}
	return nil
}

// follow attaches what keeps the process table current. Only a kernel that
// refuses BTF tracepoints altogether leaves it empty; that is no error.
func (k *kernelSide) follow() error {
	for _, name := range []string{progFork, progExit, progExec, progFault} {
		p := k.coll.Programs[name]
		if p == nil {
			continue
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			k.missing[name] = err
			continue
		}
		k.links = append(k.links, l)
	}
	k.logMissing()
	return nil
}

// logMissing says which programs are missing, in one line for each reason.
func (k *kernelSide) logMissing() {
	programs := map[string][]string{}
	for name, why := range k.missing {
		programs[firstLine(why)] = append(programs[firstLine(why)], name)
	}
	for _, why := range slices.Sorted(maps.Keys(programs)) {
		slices.Sort(programs[why])
		k.log.Warn("a part of process discovery is off: processes are read from /proc instead",
			"programs", programs[why], "reason", why)
	}
}

// discovery names how processes are followed.
func (k *kernelSide) discovery() string {
	if len(k.missing) == 0 {
		return "kernel"
	}
	return "proc"
}

// readProcesses has the kernel side read all processes, if it can.
func (k *kernelSide) readProcesses() error {
	p := k.coll.Programs[progIter]
	if p == nil {
		return k.missing[progIter]
	}
	it, err := link.AttachIter(link.IterOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach iterator over processes: %w", err)
	}
	defer it.Close() //nolint:errcheck // read only
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("open iterator over processes: %w", err)
	}
	defer r.Close() //nolint:errcheck // read only
	_, err = io.Copy(io.Discard, r)
	return err
}

// setEpoch sets the stamp of pages in use.
func (k *kernelSide) setEpoch(epoch uint32) error { return k.epoch.Set(epoch) }

// counters reads the kernel side's counters, summed over CPUs.
func (k *kernelSide) counters() ([]uint64, error) {
	out := make([]uint64, len(support.Counters))
	perCPU := make([]uint64, 0, runtime.NumCPU())
	for i := range out {
		perCPU = perCPU[:0]
		if err := k.objs.Counters.Lookup(uint32(i), &perCPU); err != nil { //nolint:gosec // small
			return nil, fmt.Errorf("read counter %s: %w", support.Counters[i].Reason, err)
		}
		for _, v := range perCPU {
			out[i] += v
		}
	}
	return out, nil
}

// Close detaches and unloads everything. It may be called twice.
func (k *kernelSide) Close() error {
	var errs []error
	for _, l := range slices.Backward(k.links) {
		errs = append(errs, l.Close())
	}
	k.links = nil
	k.coll.Close()
	errs = append(errs, k.objs.Close())
	return errors.Join(errs...)
}

// firstLine shortens a verifier's log to its summary.
func firstLine(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	for i, c := range s {
		if c == '\n' {
			return s[:i]
		}
	}
	return s
}
