// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// refreshSuspect marks a request of the kernel side for a process whose code ran where no
// mapping is known, although none seems to have changed; see REFRESH_SUSPECT.
const refreshSuspect = 1

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

// refresh reads the mappings of a process that the kernel side does not know, or that have
// changed, unless it has read them itself since it asked.
func (l *eventLoop) refresh(e *support.StrobeEvent) {
	pid, mm := libpf.PID(e.Tgid), e.Start
	var p support.StrobeProcess
	if e.Page != refreshSuspect && l.t.kernel.objs.Processes.Lookup(e.Tgid, &p) == nil && p.Mm == mm {
		if pages, err := process.CodePages(pid); err == nil && p.ExecVm == pages {
			return
		}
	}
	if code, err := process.ReadCode(pid); err == nil { // else it is gone
		l.publish(pid, mm, code)
	}
}

// readFromProc reads the mappings of a process and gives them to the kernel side.
func (l *eventLoop) readFromProc(pid libpf.PID) {
	if code, err := process.ReadCode(pid); err == nil { // else it is gone
		l.publish(pid, 0, code)
	}
}

// publish gives the mappings of a process to the kernel side, for the mm of that address,
// or for the one that its next sample has. The kernel side may have read newer ones in the
// meantime, and is overwritten: it sees by the pages of code that it has to ask again, and
// by those that every chunk is marked with that the chunks are not all of one reading.
func (l *eventLoop) publish(pid libpf.PID, mm uint64, code process.Code) {
	l.t.metrics.procReads.Inc()
	lost := func(reason string) { l.t.metrics.procLosses.WithLabelValues(reason).Inc() }
	if code.Truncated {
		lost("too_many")
	}
	p := support.StrobeProcess{Mm: mm, ExecVm: code.Pages}
	chunk := support.StrobeMappingChunk{Version: uint32(code.Pages)} //nolint:gosec // a mark: the low bits do
	exe, _ := os.Readlink("/proc/" + pid.String() + "/exe")
	flush := func() {
		if chunk.Count == 0 || int(p.Chunks) >= len(p.First) {
			return
		}
		p.First[p.Chunks] = chunk.M[0].Start
		key := support.StrobeMappingKey{Tgid: uint32(pid), Chunk: p.Chunks}
		if err := l.t.kernel.objs.Mappings.Put(key, &chunk); err != nil {
			lost("table_full")
			l.t.log.Debug("mappings not recorded", "pid", pid, "error", err)
			return
		}
		p.Chunks++
		chunk.Count = 0
	}
	for i := range code.Mappings {
		m := &code.Mappings[i]
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
		lost("table_full")
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
