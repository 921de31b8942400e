// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// processRuntimes is how many runtimes a process may have; see support/ebpf/types.h.
const processRuntimes = 2

// detected is what the runtimes said of an executable file.
type detected struct {
	runtime interpreter.Runtime
	binary  interpreter.Binary // nil: cannot be unwound, for the reason in err
	err     error
}

// errPanic is what a runtime's code ran into that met something nobody thought of.
var errPanic = errors.New("bug in the runtime's package")

// guard calls into a runtime. What it reads is foreign memory and foreign files:
// a mistake in one runtime must not end the profiling of the host.
func (m *runtimeManager) guard(r interpreter.Runtime, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.metrics.runtimeError(r.Name(), "panic")
			level := slog.LevelError
			if _, told := m.panicked.LoadOrStore(r.Name(), true); told { // it may be one for every sample
				level = slog.LevelDebug
			}
			m.log.Log(context.Background(), level, "bug: please report it", "runtime", r.Name(), "panic", p, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}

// noFrames reports whether the runtime adds no frames to stacks.
func (d *detected) noFrames() bool {
	r, ok := d.runtime.(interface{ NoFrames() bool })
	return ok && r.NoFrames()
}

// attachment is a runtime in a process.
type attachment struct {
	runtime  interpreter.Runtime
	instance interpreter.Instance // nil: could not be attached, for the reason in err
	err      error
	record   uint32
}

// runtimeProcess is what is known of a process's runtimes. mu also serializes
// the calls of its instances.
type runtimeProcess struct {
	mu       sync.Mutex
	attached []*attachment
	gone     bool
}

func (p *runtimeProcess) find(id interpreter.ID) *attachment {
	for _, a := range p.attached {
		if a.runtime.ID() == id {
			return a
		}
	}
	return nil
}

// runtimeManager finds out what processes run on, loads the eBPF programs that
// are needed for it, and gives names to their frames. It is safe for concurrent
// use: the event loop attaches, and so does the reader of samples, for children
// that the kernel side followed by itself.
type runtimeManager struct {
	k        *kernelSide
	files    *fileTable
	metrics  *metrics
	log      *slog.Logger
	runtimes []interpreter.Runtime

	panicked  sync.Map // names of runtimes of which a panic was told
	detecting sync.Mutex
	working   atomic.Bool
	jobs      chan runtimeJob
	foundMu   sync.Mutex
	found     []*execFile // for the event loop

	loading  sync.Mutex // guards programs and loadErr
	programs map[interpreter.ID]*ebpf.Collection
	loadErr  map[interpreter.ID]error

	mu         sync.Mutex // guards the rest
	processes  map[processKey]*runtimeProcess
	newest     map[uint32]processKey // by PID
	nextRecord uint32
}

func newRuntimeManager(k *kernelSide, files *fileTable, cfg *Config, m *metrics) *runtimeManager {
	return &runtimeManager{
		k: k, files: files, metrics: m, log: cfg.Logger, runtimes: cfg.runtimes(),
		jobs: make(chan runtimeJob, maxRuntimeJobs), programs: map[interpreter.ID]*ebpf.Collection{}, loadErr: map[interpreter.ID]error{},
		processes: map[processKey]*runtimeProcess{}, newest: map[uint32]processKey{},
	}
}

// detect shows an executable to the runtimes, once. It returns nil for one that
// is none of theirs, or that cannot be read now.
func (m *runtimeManager) detect(f *execFile) *detected {
	m.detecting.Lock()
	defer m.detecting.Unlock()
	if f.wasDetected {
		return f.detected.Load()
	}
	if !m.files.open(f) {
		return nil
	}
	f.wasDetected = true
	if f.symbol == nil {
		return nil
	}
	e := &interpreter.Executable{Path: f.name(), FileID: f.info.FileID, Open: f.symbol.Open}
	for _, r := range m.runtimes {
		var b interpreter.Binary
		err := m.guard(r, func() (err error) { b, err = r.Detect(e); return err })
		if b == nil && err == nil {
			continue
		}
		var unsupported *interpreter.UnsupportedError
		if b == nil && !errors.As(err, &unsupported) {
			// Often a file that only looks like the runtime's by its name.
			m.log.Debug("runtime not recognised", "runtime", r.Name(), "path", e.Path, "error", err)
			m.metrics.runtimeError(r.Name(), "detect")
			continue
		}
		switch {
		case b == nil && (&detected{runtime: r}).noFrames():
			m.log.Info("labels of a program cannot be read", "runtime", r.Name(), "version", unsupported.Version,
				"path", e.Path, "reason", unsupported.Reason)
			m.metrics.runtimeUnsupported(r.Name(), unsupported.Reason)
		case b == nil:
			m.log.Warn("a runtime cannot be unwound: its functions are missing from profiles",
				"runtime", r.Name(), "version", unsupported.Version, "path", e.Path, "reason", unsupported.Reason)
			m.metrics.runtimeUnsupported(r.Name(), unsupported.Reason)
		default:
			m.log.Debug("runtime found", "runtime", r.Name(), "version", b.Version(), "path", e.Path)
		}
		d := &detected{runtime: r, binary: b, err: err}
		f.detected.Store(d)
		m.noteFound(f)
		return d
	}
	return nil
}

// publish tells the kernel side which parts of an executable are a runtime's.
func (m *runtimeManager) publish(f *execFile, d *detected) error {
	if d == nil || d.binary == nil {
		return nil
	}
	x := support.StrobeRuntimeExecutable{Runtime: uint32(d.runtime.ID())}
	for _, r := range d.binary.Ranges() {
		if int(x.Count) == len(x.Range) {
			m.log.Warn("a runtime has more parts than can be told apart", "runtime", d.runtime.Name(), "path", f.name())
			break
		}
		x.Range[x.Count] = support.StrobeCodeRange{Start: r.Start, End: r.End, Tag: r.Tag}
		x.Count++
	}
	return m.k.objs.RuntimeExecutables.Put(f.id, &x)
}

// attach finds out what a process runs on, or takes a new look at it. It returns
// nil when the process is gone.
func (m *runtimeManager) attach(pid libpf.PID) *runtimeProcess {
	start, err := process.StartTime(pid)
	if err != nil {
		return nil
	}
	p := m.process(processKey{uint32(pid), start})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return p
	}
	view, found := m.look(pid, start)
	if view == nil {
		return p
	}
	changed := false
	for _, x := range found {
		changed = m.attachOne(p, view, x) || changed
	}
	if changed {
		m.publishProcess(pid, p)
	}
	return p
}

// foundRuntime is a runtime's executable in a process.
type foundRuntime struct {
	*detected
	module *interpreter.Module
}

// look reads what a process maps. Files that hold a runtime are in found.
func (m *runtimeManager) look(pid libpf.PID, start uint64) (view *interpreter.Process, found []foundRuntime) {
	maps, err := process.Mappings(pid)
	if err != nil && !errors.Is(err, process.ErrTruncated) {
		return nil, nil
	}
	view = &interpreter.Process{PID: pid, StartTime: start, Memory: process.NewMemory(pid), Mappings: maps}
	ids := m.files.mappedBy(pid)
	seen := map[*execFile]bool{}
	for i := range maps {
		mp := &maps[i]
		if !mp.IsFile() {
			continue
		}
		id, ok := ids[mp.Start]
		if !ok {
			continue
		}
		f := m.files.add(id, support.StrobeFileKey{}, mappedAt{pid, mp.Start, mp.End})
		if seen[f] || !m.files.open(f) || f.symbol == nil {
			continue
		}
		seen[f] = true
		module := &interpreter.Module{
			Executable: &interpreter.Executable{Path: mp.Path, FileID: f.info.FileID, Open: f.symbol.Open},
			Bias:       mp.Start - f.vaddr(mp.Offset), Start: mp.Start, End: mp.End,
		}
		view.Modules = append(view.Modules, module)
		if d := m.detect(f); d != nil {
			found = append(found, foundRuntime{d, module})
		}
	}
	return view, found
}

// attachOne attaches or refreshes one runtime. It reports whether the kernel side
// must be told. p.mu is held.
func (m *runtimeManager) attachOne(p *runtimeProcess, view *interpreter.Process, x foundRuntime) bool {
	name := x.runtime.Name()
	a := p.find(x.runtime.ID())
	if a == nil {
		if len(p.attached) >= processRuntimes {
			m.metrics.runtimeError(name, "too_many_runtimes")
			return false
		}
		a = &attachment{runtime: x.runtime}
		p.attached = append(p.attached, a)
	}
	if a.instance != nil && x.binary != nil {
		view.Maps = m.mapsOf(x.runtime.ID())
		var changed bool
		err := m.guard(a.runtime, func() (err error) { changed, err = a.instance.Refresh(view); return err })
		if err != nil {
			m.metrics.runtimeError(name, "refresh")
			m.log.Debug("runtime not refreshed", "runtime", name, "pid", view.PID, "error", err)
			return false
		}
		if changed {
			m.putRecord(a)
		}
		return false
	}
	if x.binary == nil {
		a.err = x.err
		return false
	}
	coll, err := m.load(x.runtime)
	if err != nil {
		a.err = err
		return false
	}
	view.Maps = coll.Maps
	var instance interpreter.Instance
	err = m.guard(x.runtime, func() (err error) { instance, err = x.binary.Attach(view, x.module); return err })
	if err != nil {
		// Usually the next look succeeds; the kernel side asks less and less often.
		if !errors.Is(err, interpreter.ErrNotReady) {
			m.metrics.runtimeError(name, "attach")
			m.log.Debug("runtime not attached", "runtime", name, "pid", view.PID, "error", err)
		}
		a.err = err
		return false
	}
	a.instance, a.err = instance, nil
	m.mu.Lock()
	m.nextRecord++
	a.record = m.nextRecord
	m.mu.Unlock()
	m.metrics.runtimeAttached(name)
	m.log.Debug("runtime attached", "runtime", name, "version", x.binary.Version(), "pid", view.PID)
	return m.putRecord(a)
}

// putRecord publishes what the eBPF program must know of the process.
func (m *runtimeManager) putRecord(a *attachment) bool {
	name := a.runtime.Name()
	records := m.mapsOf(a.runtime.ID())[name+"_processes"]
	if records == nil {
		a.err = errors.New("eBPF object has no map of processes")
		return false
	}
	if err := records.Put(a.record, a.instance.Record()); err != nil {
		a.err = err
		m.metrics.runtimeError(name, "record")
		m.log.Warn("process of a runtime not recorded", "runtime", name, "error", err)
		return false
	}
	return true
}

// publishProcess tells the kernel side what a process runs on. p.mu is held.
func (m *runtimeManager) publishProcess(pid libpf.PID, p *runtimeProcess) {
	var x support.StrobeRuntimeProcess
	n := 0
	for _, a := range p.attached {
		if a.instance != nil && n < len(x.Slot) {
			x.Slot[n] = support.StrobeRuntimeSlot{Runtime: uint32(a.runtime.ID()), Record: a.record}
			n++
		}
	}
	if n == 0 {
		return
	}
	if err := m.k.objs.RuntimeProcesses.Put(uint32(pid), &x); err != nil {
		m.log.Warn("runtimes of a process not recorded", "pid", pid, "error", err)
	}
}

// process returns what is known of a process, which may be nothing yet.
func (m *runtimeManager) process(key processKey) *runtimeProcess {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.processes[key]
	if p == nil {
		p = &runtimeProcess{}
		m.processes[key] = p
		m.newest[key.pid] = key
	}
	return p
}

// known returns what is known of a process by now, nil if nothing is.
func (m *runtimeManager) known(key processKey) *runtimeProcess {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.processes[key]
}

// owner returns who can name a frame of a process: itself, or, once it is gone,
// the parent that it was a copy of.
func (m *runtimeManager) owner(key processKey, ppid uint32, id interpreter.ID) (*runtimeProcess, *attachment) {
	p := m.known(key)
	if p == nil {
		p = m.attach(libpf.PID(key.pid))
	}
	if p != nil {
		p.mu.Lock()
		if a := p.find(id); a != nil && a.instance != nil {
			return p, a // locked
		}
		p.mu.Unlock()
	}
	m.mu.Lock()
	parent := m.processes[m.newest[ppid]]
	m.mu.Unlock()
	if parent == nil || parent == p {
		return nil, nil
	}
	parent.mu.Lock()
	if a := parent.find(id); a != nil && a.instance != nil {
		return parent, a // locked
	}
	parent.mu.Unlock()
	return nil, nil
}

// symbolize names a frame of a runtime.
func (m *runtimeManager) symbolize(key processKey, ppid uint32, id interpreter.ID, f interpreter.Frame) ([]libpf.Frame, error) {
	p, a := m.owner(key, ppid, id)
	if p == nil {
		return nil, errProcessGone
	}
	defer p.mu.Unlock()
	if p.gone {
		return nil, errProcessGone
	}
	var frames []libpf.Frame
	err := m.guard(a.runtime, func() (err error) { frames, err = a.instance.Symbolize(f, nil); return err })
	if err == nil && len(frames) == 0 {
		err = errors.New("frame has no names")
	}
	return frames, err
}

var errProcessGone = errors.New("process ended before its names were read")

// why says why a process that maps a runtime has none of its frames, "" when
// there is no reason to expect any.
func (m *runtimeManager) why(key processKey, d *detected) string {
	if d.binary == nil {
		if u, ok := errors.AsType[*interpreter.UnsupportedError](d.err); ok {
			return u.Reason
		}
		return d.err.Error()
	}
	if p := m.known(key); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if a := p.find(d.runtime.ID()); a != nil && a.instance == nil && a.err != nil {
			if u, ok := errors.AsType[*interpreter.UnsupportedError](a.err); ok {
				return u.Reason
			}
			if errors.Is(a.err, interpreter.ErrNotReady) {
				return interpreter.ErrNotReady.Error()
			}
			return "could not be attached"
		}
	}
	return interpreter.ErrorText(support.StrobeRuntimeErrorRTERR_NO_RECORD)
}

// sweep forgets processes that are gone. Their last samples have been read long ago.
func (m *runtimeManager) sweep() {
	m.mu.Lock()
	keys := make([]processKey, 0, len(m.processes))
	for key := range m.processes {
		keys = append(keys, key)
	}
	m.mu.Unlock()
	for _, key := range keys {
		if start, err := process.StartTime(libpf.PID(key.pid)); err == nil && start == key.start {
			continue
		}
		m.mu.Lock()
		p := m.processes[key]
		delete(m.processes, key)
		if m.newest[key.pid] == key {
			delete(m.newest, key.pid)
		}
		m.mu.Unlock()
		p.close()
	}
}

func (p *runtimeProcess) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	for _, a := range p.attached {
		if a.instance != nil {
			a.instance.Close()
			a.instance = nil
		}
	}
}

// sweepInterval is how often processes that are gone are looked for.
const sweepInterval = time.Minute
