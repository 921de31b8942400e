// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/elastic/go-freelru"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
)

// KernelService is the service of the kernel's own threads.
const KernelService = "kernel"

// Options say where to look and what to tell. The zero value is usable.
type Options struct {
	// Root is where proc is mounted; "/proc" if empty.
	Root string
	// CgroupRoot is where the unified cgroup hierarchy is mounted; found in
	// Root/self/mountinfo if empty.
	CgroupRoot string
	// EnvVars are variables of processes whose values become labels. Nothing
	// else of an environment leaves the host, but for the names in the package
	// comment.
	EnvVars []string
	// CommandLines asks for command lines. They may hold secrets.
	CommandLines bool
	// Labels are added to every process; those of the process itself win.
	Labels []libpf.Label
	// ReadTimeout is how long a read of a process's memory may take; 250 ms if 0.
	ReadTimeout time.Duration
	// MaxProcesses is how many processes are remembered; 4,096 if 0.
	MaxProcesses int
	// Logger gets debug messages; nil for none.
	Logger *slog.Logger
	// Registerer gets the counters; nil for none.
	Registerer prometheus.Registerer
}

// Resolver answers who a process is. It is safe for concurrent use.
type Resolver struct {
	root         string
	cgroupRoot   string
	exported     []string
	wanted       map[string]bool
	commandLines bool
	labels       []libpf.Label
	log          *slog.Logger
	metrics      *metrics
	reads        *reads

	// hostUTS is the UTS namespace of the resolver, that is of the host or of
	// its own container, whose host name says nothing about others.
	hostUTS string

	processes *freelru.SyncedLRU[libpf.PID, *entry]
	files     *freelru.SyncedLRU[fileKey, libpf.FileID]
	tables    *freelru.SyncedLRU[string, container]
}

// entry is what is remembered of a process, and under which conditions it holds.
type entry struct {
	startTime, envStart uint64
	exe, cgroup         string
	facts               memoryFacts
	process             *libpf.Process
}

// sameProgram reports whether the process still runs the program that e is about.
func (e *entry) sameProgram(s stat, exe string) bool {
	return e.startTime == s.startTime && e.envStart == s.envStart && e.exe == exe
}

// mountTableLifetime bounds how long the number of a mount namespace is taken
// to mean the same namespace: numbers are used again.
const mountTableLifetime = 10 * time.Minute

// New returns a resolver. It reads the mounts of this process, nothing else.
func New(o Options) (*Resolver, error) {
	r := &Resolver{
		root:         cmp.Or(o.Root, "/proc"),
		cgroupRoot:   o.CgroupRoot,
		exported:     slices.Compact(slices.Sorted(slices.Values(o.EnvVars))),
		wanted:       map[string]bool{},
		commandLines: o.CommandLines,
		labels:       slices.Clone(o.Labels),
		log:          cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		metrics:      newMetrics(),
	}
	for _, name := range append(slices.Clone(wellKnownVariables), o.EnvVars...) {
		r.wanted[name] = true
	}
	r.reads = newReads(cmp.Or(o.ReadTimeout, 250*time.Millisecond), r.metrics)
	if err := r.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics of identities: %w", err)
	}
	if r.cgroupRoot == "" {
		mountinfo, err := readLimited(filepath.Join(r.root, "self", "mountinfo"), maxMountinfoBytes)
		if err != nil {
			r.log.Debug("cgroup IDs will be missing", "err", err)
		}
		r.cgroupRoot = cgroup2Mount(mountinfo)
	}
	r.hostUTS, _ = os.Readlink(filepath.Join(r.root, "self", "ns", "uts"))

	var err error
	size := uint32(max(1, cmp.Or(o.MaxProcesses, 4096))) //nolint:gosec // a few thousand
	if r.processes, err = freelru.NewSynced[libpf.PID, *entry](size, hashPID); err != nil {
		return nil, fmt.Errorf("create cache of processes: %w", err)
	}
	if r.files, err = freelru.NewSynced[fileKey, libpf.FileID](1024, fileKey.hash); err != nil {
		return nil, fmt.Errorf("create cache of executables: %w", err)
	}
	if r.tables, err = freelru.NewSynced[string, container](256, hashString); err != nil {
		return nil, fmt.Errorf("create cache of mount tables: %w", err)
	}
	r.tables.SetLifetime(mountTableLifetime)
	return r, nil
}

// Process returns who the process is. comm is the name by which the caller
// knows it, for the case that it is gone by now. The answer is never nil and
// its Service never empty; it stays the same value as long as nothing about the
// process changes. It takes tens of microseconds for a known process, and at
// most twice [Options.ReadTimeout] for one that is stuck.
func (r *Resolver) Process(pid libpf.PID, comm string) *libpf.Process {
	if pid == 0 {
		return r.kernelThread(&libpf.Process{Name: cmp.Or(clean(comm, maxNameBytes), "swapper")})
	}
	b, err := readLimited(r.path(pid, "stat"), 4096)
	if err != nil {
		return r.gone(pid, comm, err)
	}
	s, err := parseStat(b)
	if err != nil {
		r.metrics.errors.WithLabelValues("stat").Inc()
		return r.gone(pid, comm, err)
	}
	return r.alive(pid, s)
}

// gone answers for a process that cannot be read any more.
func (r *Resolver) gone(pid libpf.PID, comm string, err error) *libpf.Process {
	comm = clean(comm, maxNameBytes)
	if e, ok := r.processes.Get(pid); ok && (comm == "" || e.process.Name == comm) {
		r.metrics.hits.Inc()
		return e.process
	}
	r.metrics.gone.Inc()
	r.log.Debug("process ended before it could be identified", "pid", uint32(pid), "comm", comm, "err", err)
	name := cmp.Or(comm, "pid-"+strconv.FormatUint(uint64(pid), 10))
	return &libpf.Process{PID: pid, Name: name, Service: name, Labels: r.sorted(nil)}
}

// alive answers for a process that exists.
func (r *Resolver) alive(pid libpf.PID, s stat) *libpf.Process {
	known, isKnown := r.processes.Get(pid)
	if s.kernelThread {
		if isKnown && known.startTime == s.startTime && known.process.Name == s.comm {
			r.metrics.hits.Inc()
			return known.process
		}
		p := r.kernelThread(&libpf.Process{PID: pid, StartTime: s.startTime, Name: s.comm})
		r.processes.Add(pid, &entry{startTime: s.startTime, process: p})
		r.metrics.resolved.Inc()
		return p
	}
	exe, _ := os.Readlink(r.path(pid, "exe"))
	cgroup, err := readLimited(r.path(pid, "cgroup"), maxCgroupBytes)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.metrics.errors.WithLabelValues("cgroup").Inc()
	}
	sameProgram := isKnown && known.sameProgram(s, exe)
	if sameProgram && known.cgroup == string(cgroup) && known.process.Name == s.comm {
		r.metrics.hits.Inc()
		return known.process
	}
	e := &entry{startTime: s.startTime, envStart: s.envStart, exe: exe, cgroup: string(cgroup)}
	if sameProgram {
		e.facts = known.facts
	} else {
		e.facts = r.readFacts(pid)
	}
	e.process = r.compose(pid, s, e)
	r.processes.Add(pid, e)
	r.metrics.resolved.Inc()
	return e.process
}

// compose makes the answer from what was read.
func (r *Resolver) compose(pid libpf.PID, s stat, e *entry) *libpf.Process {
	groups := parseCgroup([]byte(e.cgroup))
	c := groups.merge(r.containerOfMounts(pid))
	p := &libpf.Process{
		PID:           pid,
		StartTime:     s.startTime,
		Name:          s.comm,
		Executable:    executablePath(e.exe),
		ExecutableID:  e.facts.executableID,
		CommandLine:   e.facts.commandLine,
		ContainerID:   c.id,
		ContainerName: c.name,
		CgroupID:      r.cgroupID(groups.v2),
	}
	ownHostname := false
	if c.podUID != "" {
		uts, err := os.Readlink(r.path(pid, "ns", "uts"))
		ownHostname = err == nil && uts != r.hostUTS
		p.Labels = append(p.Labels, libpf.Label{Key: "k8s.pod.uid", Value: c.podUID})
	}
	describe(p, e.facts.env, r.exported, c.podUID != "", ownHostname)
	p.Labels = r.sorted(p.Labels)
	p.OwnService = p.Service != ""
	p.Service = cmp.Or(p.Service, p.ContainerName, shortID(p.ContainerID),
		executableName(p.Executable), p.Name, "pid-"+strconv.FormatUint(uint64(pid), 10))
	return p
}

// kernelThread completes the answer for a thread of the kernel.
func (r *Resolver) kernelThread(p *libpf.Process) *libpf.Process {
	p.Service = KernelService
	p.Labels = r.sorted(nil)
	return p
}

// sorted adds the labels of every process to own and puts them in order. Of
// several labels of one key the first of own wins.
func (r *Resolver) sorted(own []libpf.Label) []libpf.Label {
	values := make(map[string]string, len(own)+len(r.labels))
	for _, l := range append(own, r.labels...) {
		if _, ok := values[l.Key]; !ok {
			values[l.Key] = l.Value
		}
	}
	if len(values) == 0 {
		return nil
	}
	labels := make([]libpf.Label, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		labels = append(labels, libpf.Label{Key: key, Value: values[key]})
	}
	return labels
}

// containerOfMounts finds the container of a process by its mounts, reading the
// mounts of each namespace once.
func (r *Resolver) containerOfMounts(pid libpf.PID) container {
	namespace, err := os.Readlink(r.path(pid, "ns", "mnt"))
	if err != nil {
		return container{}
	}
	if c, ok := r.tables.Get(namespace); ok {
		return c
	}
	f, err := os.Open(r.path(pid, "mountinfo"))
	if err != nil {
		return container{}
	}
	defer f.Close() //nolint:errcheck // read only
	c := containerOfMounts(f)
	r.tables.Add(namespace, c)
	return c
}

// cgroupID returns the ID of a cgroup of the unified hierarchy, which is the
// inode of its directory, 0 when it cannot be seen from here.
func (r *Resolver) cgroupID(path string) uint64 {
	if r.cgroupRoot == "" || path == "" {
		return 0
	}
	return inode(filepath.Join(r.cgroupRoot, filepath.Clean(path)))
}

func (r *Resolver) path(pid libpf.PID, elements ...string) string {
	return filepath.Join(append([]string{r.root, strconv.FormatUint(uint64(pid), 10)}, elements...)...)
}

// shortID returns the part of a container's ID that people and tools use.
func shortID(id string) string { return id[:min(len(id), 12)] }
