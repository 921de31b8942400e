// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/elastic/go-freelru"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/symbol"
)

// Words of a record; see support/ebpf/types.h.
const (
	frameKindShift    = 60
	frameFile         = 1
	frameAnon         = 2
	frameRuntime      = 3
	frameRuntimeError = 4
	frameRuntimeShift = 55
	frameRuntimeMask  = 31
	frameWordsShift   = 53
	frameSubtypeShift = 48
	frameFileShift    = 40
	frameOffMask      = 1<<frameFileShift - 1
	frameFileMask     = 1<<20 - 1
	frameAddrMask     = 1<<48 - 1
)

const (
	frameCacheSize   = 16384
	processCacheSize = 4096
)

// endReasons name the ends of stacks that are not the root, by support.StrobeUnwindEnd.
var endReasons = map[support.StrobeUnwindEnd]string{
	support.StrobeUnwindEndEND_PROCESS_UNKNOWN: "process not known yet",
	support.StrobeUnwindEndEND_COMPAT:          "32-bit process",
	support.StrobeUnwindEndEND_NO_REGS:         "no user registers",
	support.StrobeUnwindEndEND_PC_UNMAPPED:     "address outside of any mapping",
	support.StrobeUnwindEndEND_TABLE_MISS:      "unwind table was not loaded yet",
	support.StrobeUnwindEndEND_TABLE_CORRUPT:   "unwind table is inconsistent",
	support.StrobeUnwindEndEND_STACK_READ:      "stack memory unreadable",
	support.StrobeUnwindEndEND_REGISTER:        "needs a register that is not tracked",
	support.StrobeUnwindEndEND_FRAME_POINTER:   "no unwind table and no frame pointer",
	support.StrobeUnwindEndEND_NO_PROGRESS:     "stack pointer did not move",
	support.StrobeUnwindEndEND_DEPTH:           "deeper than 1024 frames",
	support.StrobeUnwindEndEND_RUNTIME:         "runtime's frames cannot be followed",
	support.StrobeUnwindEndEND_OUTSIDE:         "outside of the agent's PID namespace",
}

// outsideService is the service of processes that are outside of the agent's PID namespace.
const outsideService = "outside-pid-namespace"

type processKey struct {
	pid   uint32
	start uint64
}

type processEntry struct {
	proc  *libpf.Process
	execs uint32 // of the sample, see support/ebpf/types.h
	main  uint32 // execNone: not known, as it never is on a file system of layers, where mappings have another inode than the program
}

// resolver turns raw frames and PIDs into what people read. It is used by one
// goroutine at a time.
type resolver struct {
	cfg         *Config
	files       *fileTable
	metrics     *metrics
	symbols     *symbol.Symbolizer
	kernel      *symbol.Kernel
	kernelTried bool
	runtimes    *runtimeManager
	frames      *freelru.LRU[uint64, libpf.Frame]
	made        *freelru.LRU[madeKey, []libpf.Frame]
	processes   *freelru.LRU[processKey, processEntry]
	reported    map[libpf.FileID]string // with the runtime that was told
}

func newResolver(files *fileTable, runtimes *runtimeManager, cfg *Config, m *metrics) (*resolver, error) {
	r := &resolver{cfg: cfg, files: files, runtimes: runtimes, metrics: m, symbols: cfg.Symbols, reported: map[libpf.FileID]string{}}
	if r.symbols == nil {
		r.symbols = symbol.New(symbol.Config{Logger: cfg.Logger, Registerer: cfg.Registerer})
	}
	var err error
	if r.frames, err = freelru.New[uint64, libpf.Frame](frameCacheSize, func(w uint64) uint32 {
		return uint32((w * 0x9e3779b97f4a7c15) >> 32) //nolint:gosec // folding
	}); err != nil {
		return nil, fmt.Errorf("create cache of frames: %w", err)
	}
	if r.made, err = freelru.New[madeKey, []libpf.Frame](frameCacheSize, madeKey.hash); err != nil {
		return nil, fmt.Errorf("create cache of runtimes' frames: %w", err)
	}
	if r.processes, err = freelru.New[processKey, processEntry](processCacheSize, func(k processKey) uint32 {
		return k.pid ^ uint32(k.start>>20) //nolint:gosec // folding
	}); err != nil {
		return nil, fmt.Errorf("create cache of processes: %w", err)
	}
	return r, nil
}

func (r *resolver) forget() {
	r.frames.Purge()
	r.made.Purge()
	r.processes.Purge()
}

// trace converts the frames of a record. final is false when the next record of
// the same stack may turn out better and should be converted again.
func (r *resolver) trace(h *support.StrobeSampleHeader, words []byte, sink Sink) (t *libpf.Trace, final bool) {
	n := len(words) / 8
	frames := make([]libpf.Frame, 0, n+1)
	final = true
	explained := h.Runtime != 0
	for i := 0; i < n; {
		w := word(words, i)
		i++
		switch {
		case i <= int(h.KernelFrames):
			frames = append(frames, r.kernelFrame(w, i > 1, sink))
		case w>>frameKindShift == frameFile:
			f, file, ok := r.fileFrame(w, sink)
			final = final && ok
			frames = append(frames, f)
			if !explained && file != nil {
				if d := file.detected.Load(); d != nil && !d.noFrames() {
					explained, final = true, false
					frames = append(frames, r.missingRuntime(h, d))
				}
			}
		case w>>frameKindShift == frameRuntime:
			var ok bool
			extra := int(w>>frameWordsShift) & 3
			frames, ok = r.runtimeFrames(h, words, i-1, min(extra, n-i), frames)
			final = final && ok
			i += extra
		case w>>frameKindShift == frameRuntimeError:
			frames = append(frames, r.runtimeError(w))
		default:
			frames = append(frames, r.anonFrame(h, w&frameAddrMask))
			final = false // a perf map grows
		}
	}
	if reason, ok := endReasons[support.StrobeUnwindEnd(h.End)]; ok {
		frames = append(frames, libpf.Frame{Type: libpf.AbortFrame, FunctionName: reason})
		r.metrics.incomplete.Inc()
	}
	if len(frames) == 0 {
		frames = append(frames, libpf.Frame{Type: libpf.AbortFrame, FunctionName: "process is exiting"})
	}
	return libpf.NewTrace(frames), final
}

// loadKernel reads the kernel's symbols. That takes some 100 ms of CPU, so it
// waits for the first kernel frame.
func (r *resolver) loadKernel() {
	if r.kernelTried {
		return
	}
	r.kernelTried = true
	var err error
	r.kernel, err = symbol.NewKernel(symbol.KernelConfig{Logger: r.cfg.Logger, Registerer: r.cfg.Registerer})
	if err != nil {
		r.cfg.Logger.Warn("kernel functions have no names", "reason", err)
	}
}

// kernelFrame names an address of the kernel. All but the leaf are return addresses.
func (r *resolver) kernelFrame(addr uint64, isReturn bool, sink Sink) libpf.Frame {
	if isReturn {
		addr--
	}
	if f, ok := r.frames.Get(addr); ok {
		return f
	}
	f := libpf.Frame{Type: libpf.KernelFrame, AddressOrLineno: libpf.AddressOrLineno(addr)}
	r.loadKernel()
	if r.kernel == nil {
		return f
	}
	if s, ok := r.kernel.Lookup(addr); ok {
		f.FileID, f.AddressOrLineno = s.FileID, libpf.AddressOrLineno(s.Offset)
		f.Lines = []libpf.SourceLine{{Function: s.Function, SystemName: s.SystemName}}
		r.report(&libpf.Executable{FileID: s.FileID, FileName: s.Module, BuildID: s.BuildID}, sink)
	}
	r.frames.Add(addr, f)
	return f
}

// fileFrame names a place in a file. The file is nil when it is not known.
func (r *resolver) fileFrame(w uint64, sink Sink) (f libpf.Frame, file *execFile, final bool) {
	if f, ok := r.frames.Get(w); ok {
		file = r.files.get(uint32(w>>frameFileShift) & frameFileMask) //nolint:gosec // masked
		if file != nil && file.detected.Load() != nil {
			r.reportFile(file, sink)
		}
		return f, file, true
	}
	id, off := uint32(w>>frameFileShift)&frameFileMask, w&frameOffMask //nolint:gosec // masked
	f = libpf.Frame{Type: libpf.NativeFrame, AddressOrLineno: libpf.AddressOrLineno(off)}
	file = r.files.discover(id)
	if file == nil {
		f.Lines = []libpf.SourceLine{{Function: symbol.Unnamed("[unknown]", off)}}
		return f, nil, false
	}
	if !r.files.open(file) {
		name := "[unreadable]"
		if p := file.name(); p != "" {
			name = path.Base(p)
		}
		f.FileID = libpf.FileIDFromIdentity("unreadable", name, fmt.Sprint(file.key))
		f.Lines = []libpf.SourceLine{{Function: symbol.Unnamed(name, off)}}
		r.report(&libpf.Executable{FileID: f.FileID, FileName: name}, sink)
		return f, nil, false
	}
	vaddr := file.vaddr(off)
	f.FileID, f.AddressOrLineno = file.info.FileID, libpf.AddressOrLineno(vaddr)
	r.reportFile(file, sink)
	if file.symbol == nil {
		f.Lines = []libpf.SourceLine{{Function: symbol.Unnamed(file.info.FileName, vaddr)}}
	} else {
		f.Lines = r.symbols.Native(file.symbol, vaddr)
	}
	if file.isGo && isGoSource(f.Lines) {
		f.Type = libpf.GoFrame
	}
	r.frames.Add(w, f)
	return f, file, true
}

// isGoSource tells Go's frames from the C frames of a cgo program.
func isGoSource(lines []libpf.SourceLine) bool {
	if len(lines) == 0 {
		return false
	}
	file := lines[len(lines)-1].File
	return strings.HasSuffix(file, ".go") || strings.HasSuffix(file, ".s") || file == "<autogenerated>"
}

// anonFrame names code that is in no file: compiled at run time. Its name is
// part of its identity, as its address means something in one process only.
func (r *resolver) anonFrame(h *support.StrobeSampleHeader, addr uint64) libpf.Frame {
	f := libpf.Frame{Type: libpf.NativeFrame}
	if line, ok := r.symbols.PerfMap(libpf.PID(h.Tgid), h.StartTime, addr); ok {
		f.FileID = libpf.FileIDFromIdentity("perf-map", line.Function, line.File)
		f.FunctionName, f.SourceFile, f.SourceLine = line.Function, line.File, line.Line
		return f
	}
	// Without a name, all anonymous code of a 4 KiB page is one frame: addresses
	// would make every stack of a JIT unique.
	f.FileID = libpf.FileIDFromIdentity("anonymous", strconv.FormatUint(uint64(h.Tgid), 10), strconv.FormatUint(h.StartTime, 10))
	f.AddressOrLineno = libpf.AddressOrLineno(addr &^ 0xfff)
	f.FunctionName = fmt.Sprintf("[anon]+0x%x", addr&^0xfff)
	return f
}

// reportFile reports an executable, and again when it turns out that it holds a
// runtime: finding that out is left to the event loop, as it may take long.
func (r *resolver) reportFile(file *execFile, sink Sink) {
	d := file.detected.Load()
	if d == nil || d.noFrames() {
		r.report(&file.info, sink)
		return
	}
	if r.reported[file.info.FileID] == d.runtime.Name() {
		return
	}
	e := file.info
	e.Runtime = d.runtime.Name()
	r.report(&e, sink)
}

// report hands an executable to the sink, once unless its runtime changes.
func (r *resolver) report(e *libpf.Executable, sink Sink) {
	if known, ok := r.reported[e.FileID]; ok && (known == e.Runtime || e.Runtime == "") {
		return
	}
	if len(r.reported) >= maxExecIDs {
		clear(r.reported) // the sink knows what it has
	}
	r.reported[e.FileID] = e.Runtime
	sink.ReportExecutable(e)
}

// process describes the process of a record. One that is gone already is
// described by what the kernel recorded and by its parent.
func (r *resolver) process(h *support.StrobeSampleHeader, comm string) *libpf.Process {
	if support.StrobeUnwindEnd(h.End) == support.StrobeUnwindEndEND_OUTSIDE {
		// Its number means another process here, or none. Only its threads' names are known.
		return &libpf.Process{Name: outsideService, Service: outsideService, StartTime: h.StartTime, CgroupID: h.CgroupId}
	}
	key := processKey{h.Tgid, h.StartTime}
	if e, ok := r.processes.Get(key); ok && e.execs == h.Execs && (e.main == h.MainExec || h.MainExec == execNone) {
		return e.proc
	}
	p := r.cfg.Identify(libpf.PID(h.Tgid), comm)
	c := *p
	c.StartTime = h.StartTime
	c.CgroupID = h.CgroupId
	if c.Executable == "" && h.MainExec != execNone {
		r.describeGone(&c, h)
	}
	if file := r.files.get(h.MainExec); file != nil && h.MainExec != execNone && r.files.open(file) {
		c.ExecutableID = file.info.FileID
	}
	r.processes.Add(key, processEntry{proc: &c, execs: h.Execs, main: h.MainExec})
	return &c
}

func (r *resolver) describeGone(c *libpf.Process, h *support.StrobeSampleHeader) {
	file := r.files.get(h.MainExec)
	if file == nil {
		return
	}
	c.Executable = file.name()
	if c.Executable != "" {
		c.Service = path.Base(c.Executable)
	}
	if h.Ppid <= 1 {
		return
	}
	// A child shares its parent's container unless it made one of its own.
	parent := r.cfg.Identify(libpf.PID(h.Ppid), "")
	if parent.ContainerID != "" && (parent.CgroupID == 0 || parent.CgroupID == h.CgroupId) {
		c.ContainerID, c.ContainerName = parent.ContainerID, parent.ContainerName
		c.PodName, c.Namespace, c.Service = parent.PodName, parent.Namespace, parent.Service
		c.OwnService = parent.OwnService
		c.Labels = parent.Labels
	}
}
