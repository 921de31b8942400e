// SPDX-License-Identifier: Apache-2.0

package native

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// frameSection is a section of call frame information: .eh_frame or .debug_frame.
type frameSection struct {
	r     io.ReaderAt
	base  uint64 // offset of the section in r
	size  uint64
	vaddr uint64 // address of the section
	debug bool   // .debug_frame
	isa   *isa

	mu   sync.RWMutex
	cies map[uint64]*cie // by offset; nil for ones that cannot be used
}

// maxCIEs bounds the cache of common entries. Linkers merge equal ones; files
// have up to some hundred.
const maxCIEs = 4096

// entry is a CIE or an FDE whose content has not been read yet.
type entry struct {
	off, next uint64 // of its length field, and of the entry behind it
	body      []byte // what follows the CIE pointer
	bodyOff   uint64 // offset of body
	isCIE     bool
	end       bool // a terminator
	wide      bool // 64-bit DWARF
	cieOff    uint64
}

// fde is a frame description entry.
type fde struct {
	cie        *cie
	start, end uint64 // addresses of the code
	prog       []byte
	progAddr   uint64 // address of prog
	next       uint64 // offset of the next entry
}

// read returns the entry at off. Its body is valid until the view is used again.
func (s *frameSection) read(v *view, off uint64) (e entry, err error) {
	e, size, err := s.header(v, off)
	if err != nil || e.end {
		return e, err
	}
	idSize := uint64(4)
	if e.wide {
		idSize = 8
	}
	idOff := e.next - size
	if size < idSize {
		return e, fmt.Errorf("%w: entry of %d bytes at %#x", errFormat, size, off)
	}
	b, err := v.bytes(idOff, size)
	if err != nil {
		return e, err
	}
	d := data{b: b}
	id := uint64(0)
	if e.wide {
		id = d.u64()
	} else {
		id = uint64(d.u32())
	}
	e.body, e.bodyOff = b[idSize:], idOff+idSize
	if s.debug {
		e.isCIE = id == 1<<64-1 || !e.wide && id == 1<<32-1
		e.cieOff = id
	} else {
		e.isCIE = id == 0
		e.cieOff = idOff - id // from the field back
	}
	return e, nil
}

// header reads the length of the entry at off. size is what follows the length.
func (s *frameSection) header(v *view, off uint64) (e entry, size uint64, err error) {
	b, err := v.upTo(off, 12)
	if err != nil {
		return e, 0, err
	}
	d := data{b: b}
	size = uint64(d.u32())
	hdr := uint64(4)
	if size == 1<<32-1 {
		e.wide = true
		size = d.u64()
		hdr = 12
	}
	if d.bad {
		return e, 0, fmt.Errorf("%w: section ends inside an entry", errFormat)
	}
	e.off = off
	if size == 0 {
		e.end, e.next = true, off+hdr
		return e, 0, nil
	}
	if size > s.size-off-hdr {
		return e, 0, fmt.Errorf("%w: entry of %d bytes at %#x of %#x", errFormat, size, off, s.size)
	}
	e.next = off + hdr + size
	return e, size, nil
}

// reader is what one goroutine needs to read a section.
type reader struct {
	fdes, cies view
	// The CIE of the last FDE, which most often is also that of the next.
	lastOff uint64
	last    *cie
	section *frameSection
}

func (r *reader) reset(s *frameSection) {
	if r.section != s {
		r.section, r.last = s, nil
	}
	r.fdes.reset(s.r, s.base, s.size)
	r.cies.reset(s.r, s.base, s.size)
}

// fde reads the FDE at off. ok is false if there is a CIE or a terminator; f.next
// is set also then.
func (s *frameSection) fde(r *reader, off uint64) (f fde, ok bool, err error) {
	e, err := s.read(&r.fdes, off)
	if err != nil {
		return f, false, err
	}
	f.next = e.next
	if e.isCIE || e.end {
		return f, false, nil
	}
	if r.last == nil || r.lastOff != e.cieOff {
		if r.last, err = s.cie(r, e.cieOff); err != nil {
			r.last = nil
			return f, false, err
		}
		r.lastOff = e.cieOff
	}
	f.cie = r.last
	d := data{b: e.body}
	at := s.vaddr + e.bodyOff
	f.start = f.cie.pointer(&d, at)
	enc := f.cie.pcEnc & peFormat
	if enc == peAbsptr && !f.cie.wide {
		enc = peUdata4
	}
	// The length is a number without sign, whatever the format of the start.
	length := d.value(enc &^ peSigned)
	if f.cie.augmented {
		d.take(d.uleb())
	}
	if d.bad {
		return f, false, fmt.Errorf("%w: FDE at %#x", errFormat, off)
	}
	f.end = f.start + length
	if f.end < f.start {
		return f, false, fmt.Errorf("%w: FDE at %#x of %#x bytes of code", errFormat, off, length)
	}
	f.prog, f.progAddr = e.body[d.i:], at+uint64(d.i) //nolint:gosec // an index is not negative
	return f, true, nil
}

// pointer reads a pointer in the CIE's encoding. at is the address of d.b.
func (c *cie) pointer(d *data, at uint64) uint64 {
	enc := c.pcEnc
	if enc&peFormat == peAbsptr && !c.wide {
		enc |= peUdata4
	}
	return d.pointer(enc, at, 0)
}

// cie returns the CIE at off.
func (s *frameSection) cie(r *reader, off uint64) (*cie, error) {
	s.mu.RLock()
	c, ok := s.cies[off]
	s.mu.RUnlock()
	if ok && c != nil {
		return c, nil
	}
	if ok {
		return nil, fmt.Errorf("%w: CIE at %#x", errFormat, off)
	}
	if off >= s.size {
		return nil, fmt.Errorf("%w: CIE at %#x of %#x", errFormat, off, s.size)
	}
	c, err := s.parseCIE(r, off)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cies) >= maxCIEs || s.cies == nil {
		s.cies = map[uint64]*cie{}
	}
	s.cies[off] = c
	return c, err
}

func (s *frameSection) parseCIE(r *reader, off uint64) (*cie, error) {
	e, err := s.read(&r.cies, off)
	if err != nil {
		return nil, err
	}
	if !e.isCIE {
		return nil, fmt.Errorf("%w: no CIE at %#x", errFormat, off)
	}
	d := data{b: e.body}
	at := s.vaddr + e.bodyOff
	version := d.u8()
	if version != 1 && version != 3 && version != 4 {
		return nil, fmt.Errorf("%w: CIE version %d", errFormat, version)
	}
	augmentation := d.cstring()
	c := &cie{wide: true}
	if strings.HasPrefix(augmentation, "eh") { // gcc 2: a pointer to exception data
		d.u64()
	}
	if version == 4 {
		addrSize, segSize := d.u8(), d.u8()
		if segSize != 0 || addrSize != 4 && addrSize != 8 {
			return nil, fmt.Errorf("%w: CIE with addresses of %d bytes, segments of %d", errFormat, addrSize, segSize)
		}
		c.wide = addrSize == 8
	}
	c.codeAlign, c.dataAlign = d.uleb(), d.sleb()
	if version == 1 {
		c.raReg = uint64(d.u8())
	} else {
		c.raReg = d.uleb()
	}
	if err := c.augment(&d, augmentation, at); err != nil {
		return nil, err
	}
	if d.bad {
		return nil, fmt.Errorf("%w: CIE at %#x", errFormat, off)
	}
	m := machine{isa: s.isa, cie: c, base: at + uint64(d.i)} //nolint:gosec // an index is not negative
	m.st.cfaKind = cfaUnknown
	if err := m.run(d.b[d.i:], 0); err != nil {
		return nil, err
	}
	c.initial = m.st
	return c, nil
}

// augment reads the augmentation data of a CIE.
func (c *cie) augment(d *data, augmentation string, at uint64) error {
	var end int
	for i, ch := range augmentation {
		switch {
		case ch == 'z' && i == 0:
			c.augmented = true
			size := d.uleb()
			if size > uint64(len(d.b)-d.i) { //nolint:gosec // not negative
				return fmt.Errorf("%w: augmentation of %d bytes", errFormat, size)
			}
			end = d.i + int(size) //nolint:gosec // checked
		case ch == 'R':
			c.pcEnc = d.u8()
		case ch == 'L':
			d.u8()
		case ch == 'P':
			skipPointer(d, d.u8(), at)
		case ch == 'S':
			c.signal = true
		case ch == 'B' || ch == 'G': // AArch64: return addresses signed with key B; memory tagging
		case strings.HasPrefix(augmentation, "eh") && i < 2:
		default:
			if !c.augmented {
				return fmt.Errorf("%w: augmentation %q", errFormat, augmentation)
			}
			d.i = end // what is unknown can be skipped
			return nil
		}
	}
	if c.augmented {
		d.i = end
	}
	return nil
}

// skipPointer skips a pointer, which need not be one that can be resolved.
func skipPointer(d *data, enc uint8, at uint64) {
	if enc == peOmit {
		return
	}
	if enc&peBase == peAligned {
		pad := -(at + uint64(d.i)) & 7 //nolint:gosec // an index is not negative
		d.take(pad)
		d.u64()
		return
	}
	d.value(enc)
}
