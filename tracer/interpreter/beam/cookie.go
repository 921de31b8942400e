// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"github.com/strobe-profiler/strobe/tracer/process"
)

// offsetBits of a frame's word are the offset from the code header; the rest is
// the module's cookie.
const offsetBits = 28

func mix(h, w uint64) uint64 {
	h = (h ^ w) * 0xff51afd7ed558ccd
	return h ^ h>>32
}

// lineTable is BeamCodeLineTab: names of files, size of an entry, entries, and
// for every function where its part of the table of addresses begins.
type lineTable struct {
	fnames, locs uint64
	size         uint64
	first        uint64 // start of the table of addresses
	n            uint64 // its length, as that of the entries
	at           uint64
}

const lineTableFunctions = 24 // bytes before the functions' parts

func readLineTable(mem process.Memory, at, functions uint64) (t lineTable, ok bool) {
	if at == 0 {
		return t, false
	}
	b := make([]byte, 32)
	if mem.Read(b, at) != nil {
		return t, false
	}
	w := words(b)
	last, err := mem.Uint64(at + lineTableFunctions + functions&0xffffff*8)
	if err != nil {
		return t, false
	}
	return lineTable{
		fnames: w.at(0), size: w.at(1) & 7, locs: w.at(2), first: w.at(3), n: (last - w.at(3)) >> 3, at: at,
	}, true
}

// cookie computes what the eBPF program's module_cookie() does, from the same
// memory: it tells a module from what may take its place later.
func cookie(mem process.Memory, header uint64, md5Word uint8) uint64 {
	functions, _ := mem.Uint64(header)
	lines, _ := mem.Uint64(header + headerLineTable*8)
	sumAt, _ := mem.Uint64(header + uint64(md5Word)*8)
	sum, tail := make(words, 16), make(words, 32)
	if mem.Read(sum, sumAt) != nil {
		clear(sum)
	}
	h := uint64(0)
	if t, ok := readLineTable(mem, lines, functions); ok {
		if t.n >= 16 && mem.Read(tail, t.locs+t.n*t.size-uint64(len(tail))) != nil {
			clear(tail)
		}
		h = mix(h, t.n)
	}
	h = mix(h, functions)
	for i := range 2 {
		h = mix(h, sum.at(i))
	}
	for i := range 4 {
		h = mix(h, tail.at(i))
	}
	return h << offsetBits
}
