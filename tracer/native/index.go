// SPDX-License-Identifier: Apache-2.0

package native

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"
)

// fdeRef says where the FDE of the code at an address is.
type fdeRef struct {
	start uint64 // address of the code
	off   uint64 // offset of the FDE in its section
}

// fdeIndex finds the FDEs of a section by address.
type fdeIndex interface {
	// each calls yield, in ascending order of addresses, for the FDEs that
	// start in [lo, hi), and before them for the last one that starts at or
	// below lo, until yield returns false.
	each(v *view, lo, hi uint64, yield func(ref fdeRef) bool) error
	// count returns the number of FDEs.
	count() int
	// bytes returns how much memory the index takes.
	bytes() int
}

// searchTable is the table of .eh_frame_hdr. It stays in the file: a search
// costs some ten reads of cached pages, and most pages of most files are never
// asked for.
type searchTable struct {
	r         io.ReaderAt
	off       uint64 // offset of the table in r
	n         uint64
	enc       uint8  // encoding of its pointers
	vaddr     uint64 // address of the table
	hdr       uint64 // address of the header, the base of its pointers
	frameAddr uint64 // address of .eh_frame
}

// maxSearchEntries bounds the number of entries that is believed.
const maxSearchEntries = 1 << 26

// parseHdr reads the head of the .eh_frame_hdr with the given place and size.
// The returned table has no entries if the header has no table.
func parseHdr(r io.ReaderAt, off, vaddr, size uint64) (*searchTable, error) {
	head := make([]byte, min(size, 32))
	if _, err := r.ReadAt(head, int64(off)); err != nil { //nolint:gosec // inside the file
		return nil, fmt.Errorf("read .eh_frame_hdr: %w", noEOF(err))
	}
	d := data{b: head}
	version, ptrEnc, countEnc, tableEnc := d.u8(), d.u8(), d.u8(), d.u8()
	if version != 1 {
		return nil, fmt.Errorf("%w: .eh_frame_hdr version %d", errFormat, version)
	}
	t := &searchTable{r: r, hdr: vaddr, enc: tableEnc}
	t.frameAddr = d.pointer(ptrEnc, vaddr, vaddr)
	if d.bad {
		return nil, fmt.Errorf("%w: .eh_frame_hdr", errFormat)
	}
	if countEnc == peOmit || tableEnc == peOmit {
		return t, nil
	}
	t.n = d.pointer(countEnc, vaddr, vaddr)
	t.off, t.vaddr = off+uint64(d.i), vaddr+uint64(d.i) //nolint:gosec // an index is not negative
	width := t.width()
	if base := tableEnc & peBase; d.bad || width == 0 || base != 0 && base != pePCRel && base != peDataRel || tableEnc&peIndirect != 0 {
		t.n = 0 // no table that can be searched
		return t, nil
	}
	t.n = min(t.n, (size-uint64(d.i))/(2*width), maxSearchEntries) //nolint:gosec // an index is not negative
	return t, nil
}

// width returns the size of the table's pointers, 0 if it varies.
func (t *searchTable) width() uint64 {
	switch t.enc & peFormat {
	case peUdata2, peSdata2:
		return 2
	case peUdata4, peSdata4:
		return 4
	case peAbsptr, peUdata8, peSdata8:
		return 8
	}
	return 0
}

func (t *searchTable) count() int { return int(t.n) } //nolint:gosec // bounded
func (t *searchTable) bytes() int { return 0 }

// at returns entry i.
func (t *searchTable) at(v *view, i uint64) (fdeRef, error) {
	width := t.width()
	b, err := v.bytes(i*2*width, 2*width)
	if err != nil {
		return fdeRef{}, err
	}
	d := data{b: b}
	at := t.vaddr + i*2*width
	start := d.pointer(t.enc, at, t.hdr)
	return fdeRef{start: start, off: d.pointer(t.enc, at, t.hdr) - t.frameAddr}, nil
}

// search returns the number of entries that start at or below addr.
func (t *searchTable) search(addr uint64) (uint64, error) {
	width := 2 * t.width()
	buf := make([]byte, width)
	lo, hi := uint64(0), t.n
	for lo < hi {
		mid := (lo + hi) / 2
		if _, err := t.r.ReadAt(buf, int64(t.off+mid*width)); err != nil { //nolint:gosec // inside the file
			return 0, fmt.Errorf("read .eh_frame_hdr: %w", noEOF(err))
		}
		d := data{b: buf}
		if d.pointer(t.enc, t.vaddr+mid*width, t.hdr) <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

func (t *searchTable) each(v *view, lo, hi uint64, yield func(ref fdeRef) bool) error {
	i, err := t.search(lo)
	if err != nil {
		return err
	}
	v.reset(t.r, t.off, t.n*2*t.width())
	for i = max(i, 1) - 1; i < t.n; i++ {
		ref, err := t.at(v, i)
		if err != nil {
			return err
		}
		if ref.start >= hi || !yield(ref) {
			return nil
		}
	}
	return nil
}

// fdeList is an index that was made by reading a whole section.
type fdeList []fdeRef

// maxListedFDEs bounds a list: 16 bytes each.
const maxListedFDEs = 2 << 20

// listFDEs reads all FDEs of a section. Entries that make no sense are left
// out; if the section itself cannot be followed, the rest of it is. cut reports
// that some were left out.
func listFDEs(s *frameSection) (list fdeList, cut int) {
	var r reader
	r.reset(s)
	for off := uint64(0); off < s.size; {
		f, ok, err := s.fde(&r, off)
		if err != nil {
			cut++
		}
		if f.next <= off {
			break // its length is not known
		}
		at := off
		off = f.next
		if !ok || f.start == f.end || f.start == 0 {
			continue // 0: of code that the linker threw away
		}
		if len(list) == maxListedFDEs {
			cut++
			break
		}
		list = append(list, fdeRef{start: f.start, off: at})
	}
	slices.SortStableFunc(list, func(a, b fdeRef) int { return cmp.Compare(a.start, b.start) })
	return slices.Clip(list), cut
}

func (l fdeList) count() int { return len(l) }
func (l fdeList) bytes() int { return 16 * cap(l) }

func (l fdeList) each(_ *view, lo, hi uint64, yield func(ref fdeRef) bool) error {
	i := sort.Search(len(l), func(i int) bool { return l[i].start > lo })
	for i = max(i, 1) - 1; i < len(l); i++ {
		if l[i].start >= hi || !yield(l[i]) {
			return nil
		}
	}
	return nil
}
