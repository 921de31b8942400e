// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"errors"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// section is a part of the address space that holds managed code.
type section struct {
	begin, end uint64
	flags      uint32
	module     uint64 // of code that was compiled ahead of time
}

// isImage tells code that was compiled ahead of time.
func (s *section) isImage(l *layout) bool {
	return s.flags&sectionHeap == 0 && (l.list || s.flags&sectionRanges == 0)
}

const (
	sectionHeap   = 2
	sectionRanges = 4

	maxSections  = 1024
	maxFragments = 64
)

var errNoSection = errors.New("address is in no section of managed code")

// findSection finds the section that holds an address, as the eBPF program does.
func findSection(mem process.Memory, l *layout, sections, pc uint64) (section, error) {
	var b [72]byte
	le := binary.LittleEndian
	field := func(off uint16) uint64 { return le.Uint64(b[off:]) }
	parse := func() section {
		return section{
			begin: field(l.section.begin), end: field(l.section.end),
			flags: uint32(field(l.section.flags)), module: field(l.section.module), //nolint:gosec // its lower half
		}
	}
	if l.list {
		at, err := mem.Uint64(sections)
		for range maxSections {
			if err != nil || at == 0 {
				break
			}
			if err = mem.Read(b[:64], at); err != nil {
				break
			}
			if s := parse(); pc >= s.begin && pc < s.end {
				return s, nil
			}
			at = field(l.section.next)
		}
		return section{}, errors.Join(errNoSection, err)
	}
	at := sections
	for shift := 49; shift >= 17; shift -= 8 {
		var err error
		if at, err = mem.Uint64(at&^1 + pc>>shift&255*8); err != nil {
			return section{}, err
		}
		if at == 0 {
			return section{}, errNoSection
		}
	}
	for range maxFragments {
		if at &^= 1; at == 0 {
			break
		}
		if err := mem.Read(b[:32], at); err != nil {
			return section{}, err
		}
		if pc >= le.Uint64(b[8:]) && pc < le.Uint64(b[16:]) {
			if err := mem.Read(b[:], le.Uint64(b[24:])); err != nil {
				return section{}, err
			}
			if s := parse(); pc >= s.begin && pc < s.end {
				return s, nil
			}
			break
		}
		at = le.Uint64(b[:])
	}
	return section{}, errNoSection
}
