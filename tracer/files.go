// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/process"
	"github.com/strobe-profiler/strobe/tracer/symbol"
)

// Flags of an executable; see support/ebpf/types.h.
const (
	execLoaded = 1 << iota
	execRequested
	execNoTable
	execInclude
	execExclude
	execClassified
	execRuntime
	execMade
)

// mappedAt is a place where a file is, or was, mapped.
type mappedAt struct {
	pid        libpf.PID
	start, end uint64
}

// execFile is what user space knows of an executable that has an ID.
type execFile struct {
	id  uint32
	key support.StrobeFileKey

	mu sync.Mutex
	// path is as a process that mapped the file saw it, "" when it is not known.
	path   string
	places []mappedAt // newest last
	state  openState
	why    error // of a state that is not ready
	// The rest is set when state is ready.
	info   libpf.Executable
	isGo   bool
	loads  []loadSegment
	symbol *symbol.Executable
	onHost bool     // who mapped it first saw the files of the host, not of a container
	held   *os.File // kept open so that the file can be read when its processes are gone

	// The runtime that the file holds, if any. wasDetected is guarded by
	// runtimeManager.detecting.
	wasDetected  bool
	detectQueued atomic.Bool
	detected     atomic.Pointer[detected]
}

type openState uint8

const (
	notOpened openState = iota
	ready
	unreadable
)

// loadSegment maps file offsets to virtual addresses.
type loadSegment struct {
	offset, size, vaddr uint64
}

// maxPlaces bounds how many places are remembered per file: enough to find one
// whose process still lives.
const maxPlaces = 4

// maxHeldFiles bounds how many files are kept open.
const maxHeldFiles = 256

// fileTable knows all executables by their ID. It is safe for concurrent use.
type fileTable struct {
	k       *kernelSide
	cfg     *Config
	metrics *metrics

	mu    sync.RWMutex
	files map[uint32]*execFile
	held  []*execFile // oldest first
}

func newFileTable(k *kernelSide, cfg *Config, m *metrics) *fileTable {
	t := &fileTable{k: k, cfg: cfg, metrics: m, files: map[uint32]*execFile{}}
	t.addVDSO()
	return t
}

// addVDSO registers the code that the kernel maps into every process.
func (t *fileTable) addVDSO() {
	image, err := readVDSO()
	f := &execFile{id: execVDSO, path: "[vdso]"}
	if err != nil {
		f.state, f.why = unreadable, err
	} else {
		f.state = ready
		open := func() (*pfelf.File, error) { return pfelf.NewFile(image, image.Size()) }
		f.describe(open, "[vdso]")
	}
	t.files[execVDSO] = f
}

// readVDSO copies the vdso out of this process.
func readVDSO() (*strings.Reader, error) {
	maps, err := process.Mappings(libpf.PID(os.Getpid())) //nolint:gosec // a PID
	if err != nil {
		return nil, err
	}
	for _, m := range maps {
		if m.Path != "[vdso]" {
			continue
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			return nil, err
		}
		defer mem.Close() //nolint:errcheck // read only
		b := make([]byte, m.End-m.Start)
		if _, err := mem.ReadAt(b, int64(m.Start)); err != nil { //nolint:gosec // an address of user space
			return nil, fmt.Errorf("read vdso: %w", err)
		}
		return strings.NewReader(string(b)), nil
	}
	return nil, errors.New("this process has no vdso")
}

// get returns the executable with an ID, nil when it is not known.
func (t *fileTable) get(id uint32) *execFile {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.files[id]
}

// add records where an executable is mapped, and creates it when it is new.
func (t *fileTable) add(id uint32, key support.StrobeFileKey, at mappedAt) *execFile {
	t.mu.Lock()
	f := t.files[id]
	if f == nil {
		f = &execFile{id: id, key: key}
		t.files[id] = f
	}
	t.mu.Unlock()

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key == (support.StrobeFileKey{}) {
		f.key = key
	}
	if at.pid != 0 {
		if len(f.places) == maxPlaces {
			f.places = append(f.places[:0], f.places[1:]...)
		}
		f.places = append(f.places, at)
	}
	return f
}

// discover returns the executable with an ID, also when a sample is faster than
// the event that announces it. It returns nil when no process maps it.
func (t *fileTable) discover(id uint32) *execFile {
	if f := t.get(id); f != nil {
		return f
	}
	places := t.mappers(id)
	if len(places) == 0 {
		return nil
	}
	return t.add(id, support.StrobeFileKey{}, places[0])
}

// mappedBy returns the IDs of the executables that a process maps, by the start of
// the mapping, as far as the kernel side knows.
func (t *fileTable) mappedBy(pid libpf.PID) map[uint64]uint32 {
	ids := map[uint64]uint32{}
	for _, m := range t.mappings(pid) {
		if m.ExecId > execVDSO {
			ids[m.Start] = m.ExecId
		}
	}
	return ids
}

// mappings returns the executable mappings of a process in ascending order, as far
// as the kernel side knows.
func (t *fileTable) mappings(pid libpf.PID) []support.StrobeMapping {
	var out []support.StrobeMapping
	var c support.StrobeMappingChunk
	for chunk := range uint32(maxChunks) {
		if t.k.objs.Mappings.Lookup(support.StrobeMappingKey{Tgid: uint32(pid), Chunk: chunk}, &c) != nil {
			break
		}
		out = append(out, c.M[:min(c.Count, uint32(len(c.M)))]...)
	}
	return out
}

// maxChunks is how many chunks of mappings a process may have; see support/ebpf/types.h.
const maxChunks = 32

// remove forgets an executable whose ID is about to be given to another.
func (t *fileTable) remove(id uint32) {
	t.mu.Lock()
	f := t.files[id]
	delete(t.files, id)
	t.mu.Unlock()
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		_ = f.held.Close()
		f.held = nil
	}
}

// name returns the path of an executable, finding it out when it is not known.
func (f *execFile) name() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nameLocked()
}

func (f *execFile) nameLocked() string {
	for i := len(f.places) - 1; i >= 0 && f.path == ""; i-- {
		p := f.places[i]
		if s, err := os.Readlink(process.MapFile(p.pid, p.start, p.end)); err == nil {
			f.path = strings.TrimSuffix(s, " (deleted)")
		} else if isRefusal(err) {
			f.path = process.MappedPath(p.pid, p.start)
		}
	}
	return f.path
}

// open makes the executable ready, once. It reports whether it is.
func (t *fileTable) open(f *execFile) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == ready {
		return true
	}
	if f.state == unreadable && len(f.places) == 0 {
		return false // until the kernel side asks again, with a new place
	}
	file, err := f.find()
	if err != nil {
		// Those who were seen to map it are gone; somebody else may.
		if f.places = t.mappers(f.id); len(f.places) > 0 {
			file, err = f.find()
		}
	}
	if err != nil {
		if f.state == notOpened {
			t.cfg.Logger.Debug("executable cannot be read", "path", f.path, "id", f.id, "error", err)
			t.metrics.unreadable.Inc()
		}
		f.state, f.why = unreadable, err
		f.places = nil // a new place is a new chance
		return false
	}
	st, err := file.Stat()
	if err != nil {
		_ = file.Close()
		f.state, f.why = unreadable, err
		return false
	}
	f.state, f.held = ready, file
	size := st.Size()
	f.describe(func() (*pfelf.File, error) { return f.reopen(size) }, f.path)
	t.hold(f)
	return true
}

// mappers looks for processes that map an executable now.
func (t *fileTable) mappers(id uint32) []mappedAt {
	var out []mappedAt
	var key support.StrobeMappingKey
	var c support.StrobeMappingChunk
	it := t.k.objs.Mappings.Iterate()
	for len(out) < maxPlaces && it.Next(&key, &c) {
		for _, m := range c.M[:min(c.Count, uint32(len(c.M)))] {
			if m.ExecId == id {
				out = append(out, mappedAt{libpf.PID(key.Tgid), m.Start, m.Start + uint64(m.Pages)<<12})
				break
			}
		}
	}
	return out
}

// find opens the file where it is mapped, or by its path if that is still the
// same file. f.mu is held.
func (f *execFile) find() (*os.File, error) {
	var errs []error
	f.nameLocked()
	for _, p := range slices.Backward(f.places) {
		file, err := hostfile.Open(process.MapFile(p.pid, p.start, p.end))
		if err == nil {
			return file, nil
		}
		errs = append(errs, err)
		if f.path == "" {
			continue
		}
		if file, err = f.same(hostfile.OpenInRoot(rootOf(p.pid), f.path)); err == nil {
			return file, nil
		}
	}
	if strings.HasPrefix(f.path, "/") {
		file, err := f.same(hostfile.OpenInRoot(hostRoot, f.path))
		if err != nil {
			file, err = f.same(hostfile.Open(f.path))
		}
		if err == nil {
			return file, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("no process maps it any more"))
	}
	return nil, errors.Join(errs...)
}

// same returns a file that was opened if it is the one that was mapped, and closes
// it if not.
func (f *execFile) same(file *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		_ = file.Close()
		return nil, err
	}
	if st.Ino != f.key.Ino || uint64(st.Size) != f.key.Size || uint64(st.Mtim.Sec) != f.key.Mtime { //nolint:gosec // not negative
		_ = file.Close()
		return nil, hostfile.Refuse(hostfile.Replaced, "%s is another file now", file.Name())
	}
	return file, nil
}

// rootOf returns the link to the root directory of a process.
func rootOf(pid libpf.PID) string { return fmt.Sprintf("/proc/%d/root", pid) }

// hostRoot is the root directory of the host, also for an agent that sees another
// one, in a container or a sandbox of systemd.
const hostRoot = "/proc/1/root"

// isOnHost reports whether a process sees the files of the host.
func isOnHost(pid libpf.PID) bool {
	same := func(a, b string) bool {
		x, err := os.Stat(a)
		y, err2 := os.Stat(b)
		return err == nil && err2 == nil && os.SameFile(x, y)
	}
	return same(rootOf(pid), hostRoot) && same(fmt.Sprintf("/proc/%d/ns/mnt", pid), "/proc/1/ns/mnt")
}

// openBeside opens a file that the executable, or who mapped it, named: by its path
// as one of the processes sees it that map the executable. When all are gone, only if
// they saw the files of the host.
func (f *execFile) openBeside(name string) (*pfelf.File, error) {
	f.mu.Lock()
	places, onHost := slices.Clone(f.places), f.onHost
	f.mu.Unlock()
	var errs []error
	for _, p := range slices.Backward(places) {
		elf, err := pfelf.OpenInRoot(rootOf(p.pid), name)
		if err == nil {
			return elf, nil
		}
		errs = append(errs, err)
	}
	if onHost {
		return pfelf.OpenInRoot(hostRoot, name)
	}
	return nil, errors.Join(append(errs, os.ErrNotExist)...)
}

// describe reads what identifies the executable. f.mu is held, or f is not shared yet.
func (f *execFile) describe(open func() (*pfelf.File, error), name string) {
	base := path.Base(name)
	f.info = libpf.Executable{FileName: base}
	elf, err := open()
	if err != nil {
		// Mapped executable, but no ELF file: it keeps an identity.
		f.info.FileID = libpf.FileIDFromIdentity("file", name, fmt.Sprint(f.key))
		f.why = err
		return
	}
	defer elf.Close()
	if f.info.FileID, err = elf.FileID(); err != nil {
		f.info.FileID = libpf.FileIDFromIdentity("file", name, fmt.Sprint(f.key))
	}
	f.isGo = elf.IsGo()
	if f.info.BuildID = elf.BuildID(); f.info.BuildID == "" {
		f.info.BuildID = elf.GoBuildID()
	}
	for _, s := range elf.ExecSegments() {
		f.loads = append(f.loads, loadSegment{offset: s.Offset, size: s.Filesz, vaddr: s.Vaddr})
	}
	f.symbol = &symbol.Executable{FileID: f.info.FileID, Name: base, Path: name, Open: open}
	if len(f.places) > 0 {
		f.onHost = slices.ContainsFunc(f.places, func(p mappedAt) bool { return isOnHost(p.pid) })
		f.symbol.OpenBeside = f.openBeside
	}
}

// reopen gives a view of the file as long as it is held or can be found again.
func (f *execFile) reopen(size int64) (*pfelf.File, error) {
	if f.mu.TryLock() { // else describe calls, under the lock
		defer f.mu.Unlock()
	}
	if f.held == nil {
		file, err := f.find()
		if err != nil {
			return nil, fmt.Errorf("open %s again: %w", f.path, err)
		}
		f.held = file
	}
	// A descriptor of its own, so that the reader may close it.
	fd, err := unix.FcntlInt(f.held.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor of %s: %w", f.path, err)
	}
	file := os.NewFile(uintptr(fd), f.path)
	elf, err := pfelf.NewFile(file, size)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return elf, nil
}

// hold keeps the file open until others need the room.
func (t *fileTable) hold(f *execFile) {
	t.mu.Lock()
	t.held = append(t.held, f)
	var drop *execFile
	if len(t.held) > maxHeldFiles {
		drop = t.held[0]
		t.held = append(t.held[:0], t.held[1:]...)
	}
	t.mu.Unlock()
	if drop == nil || drop == f {
		return
	}
	go func() { // not under f's lock
		drop.mu.Lock()
		defer drop.mu.Unlock()
		if drop.held != nil {
			_ = drop.held.Close()
			drop.held = nil
		}
	}()
}

// vaddr turns an offset in the file into an ELF virtual address.
func (f *execFile) vaddr(off uint64) uint64 {
	for _, s := range f.loads {
		if off-s.offset < s.size {
			return off - s.offset + s.vaddr
		}
	}
	// Mappings are of whole pages: they begin before the segment does.
	const page = 4096
	for _, s := range f.loads {
		if s.offset-off < page {
			return off - s.offset + s.vaddr
		}
	}
	return off
}

// ids lists the IDs in use.
func (t *fileTable) ids() []uint32 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]uint32, 0, len(t.files))
	for id := range t.files {
		out = append(out, id)
	}
	return out
}
