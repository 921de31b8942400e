// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"sort"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// maxFDEs bounds the functions that are believed to be in a file.
const maxFDEs = 1 << 20

var errNoFDEs = errors.New("no table of unwind information")

// readFDEs returns where functions begin and end, by address, from the table
// that .eh_frame_hdr holds for the unwinder: every compiled function is in it.
func readFDEs(f *pfelf.File) ([]span, error) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_GNU_EH_FRAME {
			b := make([]byte, min(p.Filesz, 12+8*maxFDEs))
			if n, _ := f.ReadVaddr(b, p.Vaddr); n < len(b) {
				return nil, errNoFDEs
			}
			return parseFDEs(b, p.Vaddr, f.ExecSegments())
		}
	}
	return nil, errNoFDEs
}

// parseFDEs reads the table in the one form that linkers write: relative to the
// header, in 4 bytes. It holds where each function begins, and its FDE, which is
// not needed: a function is taken to end where the next one begins.
func parseFDEs(b []byte, at uint64, segments []pfelf.Segment) ([]span, error) {
	const head = 12
	if len(b) < head || b[0] != 1 || b[1] != 0x1b || b[2] != 0x03 || b[3] != 0x3b {
		return nil, errNoFDEs
	}
	n := int(min(uint64(binary.LittleEndian.Uint32(b[8:])), uint64(len(b)-head)/8, maxFDEs)) //nolint:gosec // bounded
	out := make([]span, 0, n)
	for i := range n {
		e := b[head+i*8:]
		start := at + uint64(int64(int32(binary.LittleEndian.Uint32(e)))) //nolint:gosec // signed
		if n := len(out); n > 0 {
			if start <= out[n-1].start {
				continue
			}
			out[n-1].end = start
		}
		out = append(out, span{start, start})
	}
	if len(out) == 0 {
		return nil, errNoFDEs
	}
	// The last one ends with its segment.
	last := &out[len(out)-1]
	for _, s := range segments {
		if last.start >= s.Vaddr && last.start-s.Vaddr < s.Filesz {
			last.end = s.Vaddr + s.Filesz
		}
	}
	return out, nil
}

// fdeAt returns the function that an address lies in.
func fdeAt(fdes []span, v uint64) (span, bool) {
	i := sort.Search(len(fdes), func(i int) bool { return fdes[i].start > v })
	if i == 0 || !fdes[i-1].contains(v) {
		return span{}, false
	}
	return fdes[i-1], true
}
