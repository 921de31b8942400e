// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/internal/extent"
	"github.com/strobe-profiler/strobe/tracer/native"
)

// Flags of an entry of the page directory; see support/ebpf/types.h.
const (
	pageRequested = 1 << iota
	pagePresent
	pageEmpty
	pageRowsShift     = 8
	pageStartRowShift = 32
)

// wholeFileRows is how many rows an executable may have to be loaded as a whole
// at its first miss: 32,768 rows are 128 KiB, which takes in the C library.
const wholeFileRows = 32768

// unwindPageShift: a page of rows covers 64 KiB of a file; see support/ebpf/types.h.
const unwindPageShift = 16

// maxOpenTables bounds how many executables have the index of their unwind
// information in user memory at a time.
const maxOpenTables = 32

// page is a loaded page of rows.
type page struct {
	index uint32 // in the directory
	rows  extent.Range
}

// execTables is the state of an executable's unwind tables.
type execTables struct {
	file   *execFile
	dir    extent.Range
	first  uint64 // first page of the file that the directory covers
	tables *native.Tables
	elf    *pfelf.File
	flags  uint32 // besides those of loading
	noneAt error  // why there are none
	used   uint64
	misses int
}

// tableStore keeps unwind tables in kernel memory, within a budget. It is used
// by the event loop only.
type tableStore struct {
	k        *kernelSide
	files    *fileTable
	runtimes *runtimeManager
	metrics  *metrics
	rules    *native.Rules
	mirrored int // rules that the kernel side has
	rows     *extent.Allocator
	dir      *extent.Allocator
	segments []*ebpf.Map
	used     *ebpf.Memory // stamps of pages
	execs    map[uint32]*execTables
	pages    map[uint32]page // by directory index
	empty    map[uint32]bool // directory indexes of pages without rows
	failed   map[uint32]bool // executables that could not be opened
	epoch    uint32
	clock    uint64
	capacity int64 // rows that the budget allows
	wishes   []wish
}

func newTableStore(k *kernelSide, files *fileTable, runtimes *runtimeManager, budget int64, m *metrics) (*tableStore, error) {
	s := &tableStore{
		k: k, files: files, runtimes: runtimes, metrics: m, rules: native.NewRules(), epoch: 1,
		execs: map[uint32]*execTables{}, pages: map[uint32]page{}, failed: map[uint32]bool{}, empty: map[uint32]bool{},
	}
	s.rows = extent.New(segmentRows, int(budget/segmentBytes), s.addSegment)
	s.capacity = budget / segmentBytes * segmentRows
	s.dir = extent.New(dirEntries, 1, nil)
	var err error
	if s.used, err = k.objs.PageUsed.Memory(); err != nil {
		return nil, fmt.Errorf("map page stamps: %w", err)
	}
	return s, nil
}

// addSegment gives the slab one more MiB of kernel memory.
func (s *tableStore) addSegment(i int) error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "rows", Type: ebpf.Array, KeySize: 4, ValueSize: segmentBytes, MaxEntries: 1, Flags: bpfMmapable,
	})
	if err != nil {
		return fmt.Errorf("allocate %d bytes for unwind tables: %w", segmentBytes, err)
	}
	if err := s.k.objs.RowSegments.Put(uint32(i), m); err != nil { //nolint:gosec // at most 1024
		m.Close()
		return fmt.Errorf("add segment of unwind tables: %w", err)
	}
	s.segments = append(s.segments, m)
	return nil
}

const bpfMmapable = 1 << 10 // BPF_F_MMAPABLE

// load makes the directory of an executable, and loads the whole of a small one.
func (s *tableStore) load(f *execFile) *execTables {
	if e := s.execs[f.id]; e != nil {
		return e
	}
	e := &execTables{file: f}
	if !s.files.open(f) {
		// The next process that maps the file may show it: retry asks again.
		s.failed[f.id] = true
		_ = s.publishExec(f.id, support.StrobeExecutable{Flags: execRequested | execNoTable})
		return nil
	}
	s.execs[f.id] = e
	s.markRuntime(e)
	if f.detected.Load() == nil {
		s.runtimes.queue(runtimeJob{file: f})
	}
	if err := s.openTables(e); err != nil {
		s.giveUp(e, err)
		return e
	}
	first, n := e.tables.Pages()
	r, ok, _ := s.dir.Alloc(uint32(n)) //nolint:gosec // checked by Alloc
	if !ok {
		s.giveUp(e, errors.New("page directory is full"))
		s.metrics.directoryFull.Inc()
		return e
	}
	e.dir, e.first = r, first
	if e.tables.TotalRowsHint() <= wholeFileRows {
		for p := range uint64(r.Len) {
			s.loadPage(e, first+p)
		}
	}
	if err := s.publishExec(f.id, support.StrobeExecutable{
		DirBase: r.Start, FirstPage: uint32(first), Pages: r.Len, Flags: execLoaded | e.flags, //nolint:gosec // 64 KiB pages of files
	}); err != nil {
		s.giveUp(e, err)
	}
	return e
}

// markRuntime tells the kernel side that an executable holds a runtime, if it does.
func (s *tableStore) markRuntime(e *execTables) {
	d := e.file.detected.Load()
	if d == nil || d.binary == nil || e.flags&execRuntime != 0 {
		return
	}
	if err := s.runtimes.publish(e.file, d); err != nil {
		s.k.log.Warn("runtime not published", "path", e.file.name(), "error", err)
		return
	}
	e.flags |= execRuntime
	var x support.StrobeExecutable
	if err := s.k.objs.Executables.Lookup(e.file.id, &x); err == nil && x.Flags&(execLoaded|execNoTable) != 0 {
		x.Flags |= execRuntime
		_ = s.k.objs.Executables.Put(e.file.id, &x)
	}
}

// markRuntimes does so for what has been found lately.
func (s *tableStore) markRuntimes() {
	for _, f := range s.runtimes.takeFound() {
		if s.files.get(f.id) != f {
			continue // its ID was given to another
		}
		if e := s.load(f); e != nil {
			s.markRuntime(e)
		}
	}
}

// retry lets the kernel side ask once more for executables that could not be opened.
func (s *tableStore) retry() {
	for id := range s.failed {
		_ = s.publishExec(id, support.StrobeExecutable{})
	}
	clear(s.failed)
}

// recoverRequests lets the kernel side ask again for everything that it has
// asked for and not got, after requests were lost because their ring was full.
func (s *tableStore) recoverRequests() {
	for _, id := range s.files.ids() {
		var x support.StrobeExecutable
		if s.k.objs.Executables.Lookup(id, &x) == nil && x.Flags&execRequested != 0 && s.execs[id] == nil {
			_ = s.publishExec(id, support.StrobeExecutable{})
		}
	}
	for _, e := range s.execs {
		for i := range e.dir.Len {
			var entry uint64
			index := e.dir.Start + i
			if s.k.objs.PageDir.Lookup(index, &entry) == nil && entry == pageRequested {
				_ = s.k.objs.PageDir.Put(index, uint64(0))
			}
		}
	}
}

// giveUp leaves an executable to the frame pointer.
func (s *tableStore) giveUp(e *execTables, why error) {
	e.noneAt = why
	s.metrics.tableErrors.Inc()
	s.k.log.Debug("executable has no unwind table", "path", e.file.name(), "reason", why)
	flags := execNoTable | e.flags
	if e.file.symbol == nil {
		flags |= execMade
	}
	_ = s.publishExec(e.file.id, support.StrobeExecutable{Flags: flags})
}

// publishExec sets an executable's entry but for the flags of the filters.
func (s *tableStore) publishExec(id uint32, x support.StrobeExecutable) error {
	var old support.StrobeExecutable
	if err := s.k.objs.Executables.Lookup(id, &old); err == nil {
		x.Flags |= old.Flags & (execInclude | execExclude | execClassified)
	}
	return s.k.objs.Executables.Put(id, &x)
}

func (s *tableStore) openTables(e *execTables) error {
	if e.tables != nil {
		s.clock++
		e.used = s.clock
		return nil
	}
	if e.file.symbol == nil {
		return e.file.why
	}
	elf, err := e.file.symbol.Open()
	if err != nil {
		return err
	}
	t, err := native.Open(elf, s.rules)
	if err != nil {
		elf.Close()
		return err
	}
	e.elf, e.tables = elf, t
	s.clock++
	e.used = s.clock
	s.closeColdTables()
	return nil
}

// closeColdTables bounds the user memory that indexes take.
func (s *tableStore) closeColdTables() {
	var open []*execTables
	for _, e := range s.execs {
		if e.tables != nil {
			open = append(open, e)
		}
	}
	if len(open) <= maxOpenTables {
		return
	}
	slices.SortFunc(open, func(a, b *execTables) int { return cmp.Compare(a.used, b.used) })
	for _, e := range open[:len(open)-maxOpenTables] {
		e.close()
	}
}

func (e *execTables) close() {
	if e.tables != nil {
		e.tables.Close()
		e.elf.Close()
		e.tables, e.elf = nil, nil
	}
}

// wish is a page that is worth loading when nothing else is to be done.
type wish struct {
	id     uint32
	number uint64
}

// maxWishes bounds how many pages wait to be loaded ahead.
const maxWishes = 4096

// miss loads a page that a stack ran into. Pages around it are loaded when there
// is time: twice as many with every miss in the same executable. A sample is
// lost for each miss, so a large program must not miss once per page; code that
// is never reached is left alone, as long as the first few guesses were good.
func (s *tableStore) miss(e *execTables, number uint64) {
	s.loadPage(e, number)
	around := uint64(1) << min(e.misses, 12) >> 1
	e.misses++
	for d := around; d > 0; d-- {
		if number >= d {
			s.wishes = append(s.wishes, wish{e.file.id, number - d})
		}
		s.wishes = append(s.wishes, wish{e.file.id, number + d})
	}
	if n := len(s.wishes) - maxWishes; n > 0 {
		s.wishes = slices.Delete(s.wishes, 0, n)
	}
}

// nextWish takes the page that is worth most: of the newest miss, the nearest. What a
// large program left, which may not run any more, must not keep another one waiting.
func (s *tableStore) nextWish() wish {
	last := len(s.wishes) - 1
	w := s.wishes[last]
	s.wishes = s.wishes[:last]
	return w
}

// roomAhead reports whether pages may be loaded on a guess: a guess must not evict
// what is in use.
func (s *tableStore) roomAhead() bool { return s.rows.Used() <= s.capacity/4*3 }

// loadAhead loads one of the pages that are worth it, if there is any.
func (s *tableStore) loadAhead() {
	for len(s.wishes) > 0 {
		w := s.nextWish()
		e := s.execs[w.id]
		if e == nil || e.noneAt != nil || w.number-e.first >= uint64(e.dir.Len) {
			continue
		}
		index := e.dir.Start + uint32(w.number-e.first) //nolint:gosec // inside the directory
		if _, ok := s.pages[index]; ok || s.empty[index] {
			continue
		}
		if !s.roomAhead() {
			break
		}
		s.loadPage(e, w.number)
		return
	}
	s.wishes = nil
}

// loadPage loads the rows of a page and publishes them. A page that cannot be
// read, or for which there is no room, is left to the frame pointer.
func (s *tableStore) loadPage(e *execTables, number uint64) {
	if e.noneAt != nil || number-e.first >= uint64(e.dir.Len) {
		return
	}
	index := e.dir.Start + uint32(number-e.first) //nolint:gosec // inside the directory
	if _, ok := s.pages[index]; ok {
		return
	}
	if s.empty[index] {
		return
	}
	rows, err := s.readPage(e, number)
	if err != nil || len(rows) == 0 {
		if err != nil {
			s.metrics.tableErrors.Inc()
			s.k.log.Debug("page of unwind table cannot be read", "path", e.file.name(), "page", number, "error", err)
		}
		s.empty[index] = true
		_ = s.k.objs.PageDir.Put(index, uint64(pageEmpty))
		return
	}
	r, err := s.room(uint32(len(rows))) //nolint:gosec // at most 8192
	if err == nil {
		err = s.write(r, rows)
	}
	if err == nil {
		err = s.mirrorRules()
	}
	if err != nil {
		s.metrics.tableErrors.Inc()
		s.k.log.Warn("page of unwind table not loaded", "path", e.file.name(), "page", number, "error", err)
		_ = s.k.objs.PageDir.Put(index, uint64(pageEmpty))
		return
	}
	s.pages[index] = page{index: index, rows: r}
	s.stamp(index)
	entry := uint64(r.Start)<<pageStartRowShift | uint64(r.Len)<<pageRowsShift | pagePresent
	if err := s.k.objs.PageDir.Put(index, entry); err != nil {
		s.k.log.Warn("page of unwind table not published", "error", err)
	}
	s.metrics.tableLoads.Inc()
	s.metrics.tableBytes.Set(float64(s.rows.Used() * rowBytes))
}

const rowBytes = int64(unsafe.Sizeof(native.Row{}))

func (s *tableStore) readPage(e *execTables, number uint64) ([]native.Row, error) {
	if err := s.openTables(e); err != nil {
		return nil, err
	}
	return e.tables.Page(number)
}

// mirrorRules gives the kernel side the rules that were added since the last time.
func (s *tableStore) mirrorRules() error {
	for ; s.mirrored < s.rules.Len(); s.mirrored++ {
		r := s.rules.At(s.mirrored)
		err := s.k.objs.Rules.Put(uint32(s.mirrored), &support.StrobeUnwindRule{ //nolint:gosec // at most 4096
			CfaKind: r.CFAKind, CfaReg: r.CFAReg, RaKind: r.RAKind, FpKind: r.FPKind,
			CfaOff: r.CFAOff, CfaOff2: r.CFAOff2, RaOff: r.RAOff, FpOff: r.FPOff,
		})
		if err != nil {
			return fmt.Errorf("add unwind rule %d: %w", s.mirrored, err)
		}
	}
	return nil
}

// unload removes the tables of an executable whose ID is about to be given to another.
func (s *tableStore) unload(id uint32) {
	e := s.execs[id]
	_ = s.k.objs.Executables.Put(id, &support.StrobeExecutable{})
	_ = s.k.objs.RuntimeExecutables.Delete(id)
	if e == nil {
		return
	}
	e.close()
	delete(s.execs, id)
	var gone []extent.Range
	for i := range e.dir.Len {
		index := e.dir.Start + i
		_ = s.k.objs.PageDir.Put(index, uint64(0))
		delete(s.empty, index)
		if p, ok := s.pages[index]; ok {
			gone = append(gone, p.rows)
			delete(s.pages, index)
		}
	}
	s.waitForReaders()
	for _, r := range gone {
		s.rows.Free(r)
	}
	s.dir.Free(e.dir)
	s.metrics.tableBytes.Set(float64(s.rows.Used() * rowBytes))
}
