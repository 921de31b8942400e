// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"slices"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Intervals of the event loop's housekeeping.
const (
	epochInterval   = 10 * time.Second
	filterInterval  = 5 * time.Second
	reclaimInterval = time.Minute
)

// eventLoop serves the kernel side's requests.
type eventLoop struct {
	t      *Tracer
	filter *filterState
	rd     *ringbuf.Reader
	// unused holds executables that no process mapped at the last look.
	unused map[uint32]bool
	// live is set when the processes that existed at the start have been read:
	// from then on new files belong to processes that may be gone in a moment.
	live bool
	// lostRequests is the kernel side's count at the last look.
	lostRequests uint64
}

// prepare reads the processes that exist.
func (l *eventLoop) prepare() error {
	var err error
	if l.rd, err = ringbuf.NewReader(l.t.kernel.objs.Events); err != nil {
		return err
	}
	if err := l.filter.start(); err != nil {
		return err
	}
	if err := l.t.kernel.readProcesses(); err != nil {
		l.t.log.Debug("processes are read from /proc", "reason", firstLine(err))
		l.readAllFromProc()
	}
	l.handlePending()
	l.preload()
	l.live = true
	return nil
}

// preload loads the tables of the processes that the user named, so that their
// first sample is complete.
func (l *eventLoop) preload() {
	if len(l.t.cfg.Filter.IncludePIDs) == 0 {
		return
	}
	var pid uint32
	var action uint8
	it := l.t.kernel.objs.FilterPids.Iterate()
	for it.Next(&pid, &action) {
		if action != filterInclude {
			continue
		}
		for _, id := range l.executablesOf(pid) {
			if f := l.t.files.get(id); f != nil {
				l.t.tables.load(f)
			}
		}
		l.attach(pid)
	}
	if f := l.t.files.get(execVDSO); f != nil {
		l.t.tables.load(f)
	}
}

func (l *eventLoop) executablesOf(pid uint32) []uint32 {
	return slices.Sorted(maps.Values(l.t.files.mappedBy(libpf.PID(pid))))
}

// run serves requests until ctx ends.
func (l *eventLoop) run(ctx context.Context) {
	defer l.rd.Close()
	context.AfterFunc(ctx, func() { _ = l.rd.Flush() })
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		l.t.runtimes.work(ctx, func() { _ = l.rd.Flush() })
	}()
	defer func() { <-worked }()
	now := time.Now()
	nextEpoch, nextFilter, nextReclaim := now.Add(epochInterval), now.Add(filterInterval), now.Add(reclaimInterval)
	nextSweep := now.Add(sweepInterval)
	var rec ringbuf.Record
	for ctx.Err() == nil {
		wait := time.Second
		if len(l.t.tables.wishes) > 0 {
			wait = 0
		}
		l.rd.SetDeadline(time.Now().Add(wait))
		err := l.rd.ReadInto(&rec)
		switch {
		case err == nil:
			l.handle(rec.RawSample)
			continue
		case errors.Is(err, ringbuf.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Nobody waits: a page takes longer than the request of a sample that is
			// being lost for want of another.
			l.t.tables.loadAhead()
		case errors.Is(err, ringbuf.ErrFlushed):
		default:
			l.t.log.Warn("read requests of the kernel side", "error", err)
		}
		l.t.tables.markRuntimes()
		now := time.Now()
		if now.After(nextEpoch) {
			l.t.tables.nextEpoch()
			nextEpoch = now.Add(epochInterval)
		}
		if now.After(nextFilter) {
			l.t.tables.retry()
			l.recoverLostRequests()
			if err := l.filter.refreshCgroups(); err != nil {
				l.t.log.Warn("filter by cgroup", "error", err)
			}
			nextFilter = now.Add(filterInterval)
		}
		if now.After(nextSweep) {
			l.t.runtimes.sweep()
			nextSweep = now.Add(sweepInterval)
		}
		if now.After(nextReclaim) {
			l.reclaim()
			nextReclaim = now.Add(reclaimInterval)
		}
	}
}

// recoverLostRequests makes up for requests that found their ring full.
func (l *eventLoop) recoverLostRequests() {
	v, err := l.t.kernel.counters()
	if err != nil || v[support.CounterDropEventRingFull] == l.lostRequests {
		return
	}
	l.lostRequests = v[support.CounterDropEventRingFull]
	l.t.tables.recoverRequests()
}

// handlePending serves what waits in the ring and returns.
func (l *eventLoop) handlePending() {
	var rec ringbuf.Record
	l.rd.SetDeadline(time.Now())
	for l.rd.ReadInto(&rec) == nil {
		l.handle(rec.RawSample)
	}
}

func (l *eventLoop) handle(raw []byte) {
	if len(raw) < int(unsafe.Sizeof(support.StrobeEvent{})) {
		return
	}
	e := (*support.StrobeEvent)(unsafe.Pointer(&raw[0])) //nolint:gosec // length checked; layouts are generated from BTF
	switch support.StrobeEventType(e.Type) {
	case support.StrobeEventTypeEVENT_NEW_FILE:
		l.newFile(e.ExecId, support.StrobeFileKey{Ino: e.Key.Ino, Mtime: e.Key.Mtime, Size: e.Key.Size, Dev: e.Key.Dev},
			mappedAt{libpf.PID(e.Tgid), e.Start, e.End})
	case support.StrobeEventTypeEVENT_PAGE_MISS:
		l.pageMiss(e)
	case support.StrobeEventTypeEVENT_REFRESH:
		l.readFromProc(libpf.PID(e.Tgid))
	case support.StrobeEventTypeEVENT_RUNTIME:
		l.attach(e.Tgid)
	}
}

// attach has somebody find out what a process runs on. Its files that are no
// executables are made known to the kernel side first, so that code which was made
// at run time can be told.
func (l *eventLoop) attach(pid uint32) {
	for _, id := range l.executablesOf(pid) {
		if f := l.t.files.get(id); f != nil && l.t.files.open(f) && f.symbol == nil {
			l.t.tables.load(f)
		}
	}
	l.t.runtimes.queue(runtimeJob{pid: libpf.PID(pid)})
	l.t.tables.markRuntimes()
}

func (l *eventLoop) newFile(id uint32, key support.StrobeFileKey, at mappedAt) {
	if id+freeIDStep/2 > l.t.kernel.nextID {
		if err := l.t.kernel.addFreeIDs(); err != nil {
			l.t.log.Warn("new executables may not be recorded", "error", err)
		}
	}
	f := l.t.files.add(id, key, at)
	name := f.name()
	if l.t.cfg.Filter.wanted()&wantExecutables != 0 {
		flags := l.filter.executableFlags(name) | execClassified
		var x support.StrobeExecutable
		if err := l.t.kernel.objs.Executables.Lookup(id, &x); err == nil {
			x.Flags |= flags
			_ = l.t.kernel.objs.Executables.Put(id, &x)
		}
	}
	if l.live && l.t.files.open(f) && f.symbol == nil {
		l.t.tables.load(f) // tells the kernel side that it is no executable
	}
}

func (l *eventLoop) pageMiss(e *support.StrobeEvent) {
	l.t.metrics.tableMisses.Inc()
	f := l.t.files.add(e.ExecId, support.StrobeFileKey{}, mappedAt{libpf.PID(e.Tgid), e.Start, e.End})
	if x := l.t.tables.load(f); x != nil {
		l.t.tables.miss(x, uint64(e.Page))
	}
	l.loadStack(libpf.PID(e.Tgid), e.Sp)
}

const (
	// stackAhead is how much of a stack is looked at for what its next sample will
	// need, in bytes, and pagesAhead how many pages of tables are loaded for it.
	stackAhead = 32 << 10
	pagesAhead = 64
)

// loadStack loads the tables for whatever the stack of a process points to. The
// sample that missed one page would miss the next one otherwise, and so on: a
// stack through a large program that was just started would take as many samples
// as it has frames to be whole. What only looks like a return address costs a
// page that nobody needs.
func (l *eventLoop) loadStack(pid libpf.PID, sp uint64) {
	mem := process.NewMemory(pid)
	stack := make([]byte, stackAhead)
	sp &^= 7
	for mem.Read(stack, sp) != nil {
		// Shorter, then to the end of the page: the rest of the stack is that.
		switch {
		case len(stack) > 4096:
			stack = stack[:len(stack)/2]
		case uint64(len(stack)) > 4096-sp%4096:
			stack = stack[:4096-sp%4096]
		default:
			return
		}
	}
	mapped := l.t.files.mappings(pid)
	type pageOf struct {
		id   uint32
		page uint64
	}
	seen := map[pageOf]bool{}
	for ; len(stack) >= 8 && len(seen) < pagesAhead; stack = stack[8:] {
		addr := binary.LittleEndian.Uint64(stack)
		i, exact := slices.BinarySearchFunc(mapped, addr, func(m support.StrobeMapping, a uint64) int { return cmp.Compare(m.Start, a) })
		if !exact {
			i--
		}
		if i < 0 || addr-mapped[i].Start >= uint64(mapped[i].Pages)<<12 || mapped[i].ExecId == execNone {
			continue
		}
		m := &mapped[i]
		p := pageOf{m.ExecId, (addr - m.Start + uint64(m.Pgoff)<<12) >> unwindPageShift}
		if seen[p] {
			continue
		}
		seen[p] = true
		f := l.t.files.add(p.id, support.StrobeFileKey{}, mappedAt{pid, m.Start, m.Start + uint64(m.Pages)<<12})
		if x := l.t.tables.load(f); x != nil && l.t.tables.roomAhead() {
			l.t.tables.loadPage(x, p.page)
		}
	}
}

// readAllFromProc reads all processes, on kernels where the kernel side cannot.
func (l *eventLoop) readAllFromProc() {
	pids, err := process.All()
	if err != nil {
		l.t.log.Warn("list processes", "error", err)
		return
	}
	for _, pid := range pids {
		l.readFromProc(pid)
	}
}

// readFromProc reads the mappings of a process and gives them to the kernel side.
func (l *eventLoop) readFromProc(pid libpf.PID) {
	mappings, err := process.Mappings(pid)
	if err != nil && !errors.Is(err, process.ErrTruncated) {
		return // it is gone
	}
	l.t.metrics.procReads.Inc()
	var p support.StrobeProcess
	var chunk support.StrobeMappingChunk
	exe, _ := os.Readlink("/proc/" + pid.String() + "/exe")
	flush := func() {
		if chunk.Count == 0 || int(p.Chunks) >= len(p.First) {
			return
		}
		p.First[p.Chunks] = chunk.M[0].Start
		key := support.StrobeMappingKey{Tgid: uint32(pid), Chunk: p.Chunks}
		if err := l.t.kernel.objs.Mappings.Put(key, &chunk); err != nil {
			l.t.log.Debug("mappings not recorded", "pid", pid, "error", err)
			return
		}
		p.Chunks++
		chunk.Count = 0
	}
	for i := range mappings {
		m := &mappings[i]
		id := l.executableID(pid, m)
		if m.Path == exe && p.MainExec == execNone {
			p.MainExec = id
		}
		if int(chunk.Count) == len(chunk.M) {
			flush()
		}
		chunk.M[chunk.Count%uint32(len(chunk.M))] = support.StrobeMapping{
			Start: m.Start, Pages: uint32((m.End - m.Start) >> 12), Pgoff: uint32(m.Offset >> 12), ExecId: id, //nolint:gosec // fits
		}
		chunk.Count++
		p.Mappings++
	}
	flush()
	if p.Mappings == 0 {
		return // a kernel thread
	}
	if ppid, err := process.Parent(pid); err == nil {
		p.Ppid = uint32(ppid)
	}
	if err := l.t.kernel.objs.Processes.Put(uint32(pid), &p); err != nil {
		l.t.log.Debug("process not recorded", "pid", pid, "error", err)
	}
}

// executableID finds or makes the ID of a mapped file.
func (l *eventLoop) executableID(pid libpf.PID, m *process.Mapping) uint32 {
	if m.Path == "[vdso]" {
		return execVDSO
	}
	if !m.IsFile() {
		return execNone
	}
	st, err := statMapped(pid, m)
	if err != nil {
		return execNone
	}
	key := support.StrobeFileKey{
		Ino: m.Inode, Dev: process.KernelDevice(m.Major, m.Minor),
		Mtime: uint64(st.Mtim.Sec), Size: uint64(st.Size), //nolint:gosec // not negative
	}
	var id uint32
	if err := l.t.kernel.objs.Files.Lookup(&key, &id); err == nil {
		return id
	}
	if err := l.t.kernel.objs.FreeIds.LookupAndDelete(nil, &id); err != nil {
		l.t.metrics.idsExhausted.Inc()
		return execNone
	}
	if err := l.t.kernel.objs.Files.Update(&key, id, ebpf.UpdateNoExist); err != nil {
		_ = l.t.kernel.objs.FreeIds.Put(nil, id)
		if l.t.kernel.objs.Files.Lookup(&key, &id) == nil {
			return id
		}
		return execNone
	}
	l.newFile(id, key, mappedAt{pid, m.Start, m.End})
	return id
}

// statMapped describes a mapped file: by the mapping, or by its path where the agent may not
// follow that link, if the file is the same.
func statMapped(pid libpf.PID, m *process.Mapping) (st unix.Stat_t, err error) {
	if err = unix.Stat(process.MapFile(pid, m.Start, m.End), &st); err == nil || !isRefusal(err) || m.Deleted {
		return st, err
	}
	file, err := hostfile.OpenInRoot(rootOf(pid), m.Path)
	if err != nil {
		return st, err
	}
	defer file.Close() //nolint:errcheck // read only
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return st, err
	}
	if st.Ino != m.Inode {
		return st, hostfile.Refuse(hostfile.Replaced, "%s is another file now", m.Path)
	}
	return st, nil
}

// reclaim gives the IDs of executables that no process maps back, when more
// than half of them are taken. An ID must be unused at two looks in a row.
func (l *eventLoop) reclaim() {
	ids := l.t.files.ids()
	if len(ids) < maxExecIDs/2 && l.t.tables.dir.Used() < dirEntries/2 {
		l.unused = nil
		return
	}
	mapped := map[uint32]bool{execVDSO: true}
	var key support.StrobeMappingKey
	var c support.StrobeMappingChunk
	it := l.t.kernel.objs.Mappings.Iterate()
	for it.Next(&key, &c) {
		for _, m := range c.M[:min(c.Count, uint32(len(c.M)))] {
			mapped[m.ExecId] = true
		}
	}
	if it.Err() != nil {
		return // the table changed under our feet: next time
	}
	unused := map[uint32]bool{}
	var freed []uint32
	for _, id := range ids {
		switch {
		case mapped[id]:
		case l.unused[id]:
			freed = append(freed, id)
		default:
			unused[id] = true
		}
	}
	l.unused = unused
	if len(freed) == 0 {
		return
	}
	for _, id := range freed {
		if f := l.t.files.get(id); f != nil {
			_ = l.t.kernel.objs.Files.Delete(&f.key)
		}
		l.t.tables.unload(id)
		l.t.files.remove(id)
	}
	// Stacks that were confirmed may name the old files.
	l.t.reader.forgetStacks()
	for _, id := range freed {
		_ = l.t.kernel.objs.FreeIds.Put(nil, id)
	}
	l.t.log.Debug("executables forgotten", "count", len(freed))
}
