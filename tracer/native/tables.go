// SPDX-License-Identifier: Apache-2.0

package native

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/libpf/gopclntab"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// Errors that callers tell apart.
var (
	// ErrArch is returned for files that are not for 64-bit little-endian
	// x86-64 or arm64.
	ErrArch = errors.New("unsupported architecture")
	// ErrNoCode is returned for files without executable segments.
	ErrNoCode = errors.New("no executable segment")
)

// Tables makes the unwind tables of one executable. Its methods are safe for
// concurrent use, except that Close must come last.
type Tables struct {
	file  *pfelf.File
	rules Interner
	isa   *isa
	segs  []pfelf.Segment // sorted by offset, not overlapping
	first uint64          // first page
	pages int

	frames     *frameSection // .eh_frame
	frameIndex fdeIndex
	golang     *goTable
	debug      debugFrames
	plts       []pltSection
	entry      uint64
	restorer   bool // it may have signal returns that nothing describes

	stats counters
}

// Open reads the indexes of the executable's unwind information. It reads
// tables as a whole only where there is no index to search in. f must stay open
// until Close, which does not close it. A file without any information has
// tables, too: of what is known without.
func Open(f *pfelf.File, rules Interner) (*Tables, error) {
	t := &Tables{file: f, rules: rules, entry: f.Entry}
	switch {
	case f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB:
		return nil, fmt.Errorf("%w: %v %v", ErrArch, f.Class, f.Data)
	case f.Machine == elf.EM_X86_64:
		t.isa = &amd64
	case f.Machine == elf.EM_AARCH64:
		t.isa = &arm64
	default:
		return nil, fmt.Errorf("%w: %v", ErrArch, f.Machine)
	}
	if err := t.layOut(); err != nil {
		return nil, err
	}
	t.openFrames()
	t.openGo()
	t.findPLTs()
	t.restorer = mayRestore(f)
	return t, nil
}

// maxPages bounds the span of pages of a file: 1 TiB.
const maxPages = 1 << 24

// layOut finds the executable parts of the file.
func (t *Tables) layOut() error {
	size := uint64(t.file.Size()) //nolint:gosec // a size is not negative
	for _, s := range t.file.ExecSegments() {
		if s.Offset >= size {
			continue
		}
		s.Filesz = min(s.Filesz, size-s.Offset)
		t.segs = append(t.segs, s)
	}
	slices.SortFunc(t.segs, func(a, b pfelf.Segment) int { return cmp.Compare(a.Offset, b.Offset) })
	t.segs = slices.DeleteFunc(t.segs, func() func(s pfelf.Segment) bool {
		end := uint64(0)
		return func(s pfelf.Segment) bool {
			if s.Offset < end { // two views of the same code
				return true
			}
			end = s.Offset + s.Filesz
			return false
		}
	}())
	if len(t.segs) == 0 {
		return ErrNoCode
	}
	last := t.segs[len(t.segs)-1]
	t.first = t.segs[0].Offset >> PageShift
	pages := (last.Offset+last.Filesz-1)>>PageShift - t.first + 1
	if pages > maxPages {
		return fmt.Errorf("%w: code in %d pages", errFormat, pages)
	}
	t.pages = int(pages)
	return nil
}

// openFrames finds .eh_frame and its index. A file whose section cannot be used
// has none; other sources may know more.
func (t *Tables) openFrames() {
	hdr, hdrOK := t.searchTable()
	s := &frameSection{r: t.file, isa: t.isa}
	switch sec := t.file.FindSection(".eh_frame"); {
	case sec != nil && sec.Flags&elf.SHF_COMPRESSED == 0:
		s.base, s.size, s.vaddr = sec.Offset, sec.FileSize, sec.Addr
	case hdrOK:
		// Without sections, as in an image from memory: up to the end of what
		// is loaded there.
		off, ok := t.file.VaddrToOffset(hdr.frameAddr)
		if !ok {
			return
		}
		s.base, s.size, s.vaddr = off, t.loadedFrom(hdr.frameAddr), hdr.frameAddr
	default:
		return
	}
	size := uint64(t.file.Size()) //nolint:gosec // a size is not negative
	if s.base >= size {
		return
	}
	s.size = min(s.size, size-s.base)
	t.frames = s
	if hdrOK && hdr.n > 0 && hdr.frameAddr == s.vaddr {
		t.frameIndex = hdr
		return
	}
	list, cut := listFDEs(s)
	t.stats.badEntries.Add(uint64(cut)) //nolint:gosec // not negative
	t.frameIndex = list
}

// searchTable finds .eh_frame_hdr, by its segment or its section.
func (t *Tables) searchTable() (*searchTable, bool) {
	for _, p := range t.file.Progs {
		if p.Type != elf.PT_GNU_EH_FRAME {
			continue
		}
		if h, err := parseHdr(t.file, p.Off, p.Vaddr, p.Filesz); err == nil {
			return h, true
		}
	}
	if s := t.file.FindSection(".eh_frame_hdr"); s != nil {
		if h, err := parseHdr(t.file, s.Offset, s.Addr, s.FileSize); err == nil {
			return h, true
		}
	}
	return nil, false
}

// loadedFrom returns how many bytes the file loads from an address on.
func (t *Tables) loadedFrom(vaddr uint64) uint64 {
	for _, p := range t.file.Progs {
		if p.Type == elf.PT_LOAD && vaddr >= p.Vaddr && vaddr-p.Vaddr < p.Filesz {
			return p.Filesz - (vaddr - p.Vaddr)
		}
	}
	return 0
}

// openGo finds Go's function table.
func (t *Tables) openGo() {
	if !t.file.IsGo() && len(t.file.Sections) != 0 {
		return
	}
	table, err := gopclntab.Open(t.file)
	if err != nil {
		if errors.Is(err, gopclntab.ErrCorrupt) {
			t.stats.badEntries.Add(1)
		}
		return
	}
	t.golang = &goTable{table: table}
}

// Close releases what the tables hold. It does not close the file.
func (t *Tables) Close() {
	t.frames, t.frameIndex, t.golang = nil, nil, nil
}

// Pages returns the pages that hold executable code: n from first on.
func (t *Tables) Pages() (first uint64, n int) { return t.first, t.pages }

// rowsPerFDE is how many rows an FDE has in typical code built with -O2.
const rowsPerFDE = 8

// rowsPerGoFunc is the same for a function of Go.
const rowsPerGoFunc = 6

// TotalRowsHint returns about how many rows all pages have together.
func (t *Tables) TotalRowsHint() int {
	n := 0
	if t.frameIndex != nil {
		n = t.frameIndex.count() * rowsPerFDE
	}
	if t.golang != nil {
		n += t.golang.table.Funcs() * rowsPerGoFunc
	}
	return max(n, 1)
}

// MemoryBytes returns about how much memory the tables hold between calls.
func (t *Tables) MemoryBytes() int {
	const own = 4 << 10
	n := own + t.debug.memory()
	if t.frames != nil {
		n += t.frames.memory() + t.frameIndex.bytes()
	}
	if t.golang != nil {
		t.golang.mu.Lock()
		defer t.golang.mu.Unlock()
		n += t.golang.table.Bytes()
	}
	return n
}

// memory returns about how much memory the cache of common entries takes.
func (s *frameSection) memory() int {
	const each = 200
	s.mu.RLock()
	defer s.mu.RUnlock()
	return each * len(s.cies)
}

// Page returns the rows of a page, by the number of the page in the file. They
// belong to the caller. There are none if nothing is known of the page.
func (t *Tables) Page(page uint64) ([]Row, error) {
	if page < t.first || page-t.first >= uint64(t.pages) { //nolint:gosec // not negative
		return nil, fmt.Errorf("page %d of [%d, %d)", page, t.first, t.first+uint64(t.pages)) //nolint:gosec // not negative
	}
	b := builders.Get().(*builder)
	defer b.end()
	b.begin(t)
	lo, hi := page<<PageShift, (page+1)<<PageShift
	end := lo
	for _, s := range t.segs {
		from, to := max(lo, s.Offset), min(hi, s.Offset+s.Filesz)
		if from >= to {
			continue
		}
		if from > end && len(b.rows) > 0 {
			b.part(end, from, end-lo)
			b.add(end, RuleInvalid)
		}
		vaddr := from - s.Offset + s.Vaddr
		b.part(vaddr, vaddr+to-from, from-lo)
		b.fromFrames(span{b.lo, b.hi})
		end = to
	}
	if end < hi && len(b.rows) > 0 {
		b.part(end, hi, end-lo)
		b.add(end, RuleInvalid)
	}
	return b.finish(), nil
}

// Rule returns the rule at an offset in the file: for tests and for tools, as
// it makes the whole page.
func (t *Tables) Rule(off uint64) (uint16, error) {
	rows, err := t.Page(off >> PageShift)
	if err != nil {
		return RuleInvalid, err
	}
	return Lookup(rows, uint16(off&(PageSize-1))), nil //nolint:gosec // masked
}

// fromFrames describes a range by .eh_frame, what it leaves by Go's table.
func (b *builder) fromFrames(s span) {
	t := b.t
	if t.frames == nil {
		b.fromGo(s, false)
		return
	}
	b.frames(t.frames, t.frameIndex, &b.readers[0], s, b.fromGo)
}

func (b *builder) fromGo(s span, padding bool) {
	if padding || b.t.golang == nil {
		b.fromDebug(s, padding)
		return
	}
	b.golang(b.t.golang, s, b.fromDebug)
}

func (b *builder) fromDebug(s span, padding bool) {
	// Code that belongs to nothing is short, at the borders of sections.
	if padding || s.hi-s.lo < maxPadding {
		b.gap(s, padding)
		return
	}
	section, list := b.t.debug.get(b.t)
	if section == nil {
		b.gap(s, padding)
		return
	}
	b.frames(section, list, &b.readers[1], s, b.gap)
}
