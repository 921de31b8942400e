// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Where V8 has no table of constants the numbers of its types are read from the
// process: every isolate shares a heap of what never changes, memory that cannot
// be written. It begins with the maps of V8's own types, in the order in which V8
// makes them, which is the same in all versions but for what came and went.

// Bounds on the search.
const (
	readOnlyPage   = 256 << 10 // V8's pages, and where they are aligned
	readOnlySearch = 64 << 10  // the maps are at the start
	maxReadOnly    = 64        // mappings that are looked at
	maxTypes       = 1024
	mapSize        = 72
	oddballType    = 131 // the same in V8 12.9 to 15.0
	oddballText    = 16
)

// heapType is a type of objects, as its map tells. size is 0 if it varies.
type heapType struct{ size, typ uint16 }

// errCompressed reports a heap whose pointers have 4 bytes.
var errCompressed = errors.New("compressed pointers")

// readOnlyMappings returns where the heap of what never changes may begin.
func readOnlyMappings(pid libpf.PID) ([]uint64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return parseReadOnly(f), nil
}

func parseReadOnly(r io.Reader) (out []uint64) {
	s := bufio.NewScanner(r)
	for s.Scan() && len(out) < maxReadOnly {
		fields := strings.Fields(s.Text())
		if len(fields) != 5 || fields[1] != "r--p" || fields[4] != "0" {
			continue
		}
		from, _, _ := strings.Cut(fields[0], "-")
		at, err := strconv.ParseUint(from, 16, 64)
		if err == nil && at != 0 && at%readOnlyPage == 0 {
			out = append(out, at)
		}
	}
	return out
}

// learnTypes returns l with the types of the process.
func (l *layout) learnTypes(h *heap, starts []uint64) (*layout, error) {
	compressed := false
	for _, at := range starts {
		page := readUpTo(h, at)
		types, oddballs := heapTypes(page, at)
		if len(types) == 0 {
			compressed = compressed || isCompressed(page)
			continue
		}
		out := *l
		if err := out.setTypes(types); err != nil {
			return nil, err
		}
		out.learnLengths(page, at)
		// Layouts of strings and other objects are checked with one that is known.
		check := heap{layout: &out, mem: h.mem}
		for _, w := range oddballs {
			text, err := check.field(w, oddballText)
			if err != nil {
				continue
			}
			if name, err := check.text(text); err == nil && name == "undefined" {
				return &out, nil
			}
		}
		return nil, errLayout
	}
	if compressed {
		return nil, errCompressed
	}
	return nil, interpreter.ErrNotReady
}

// readUpTo reads the start of a mapping, less of it where it is short.
func readUpTo(h *heap, at uint64) []byte {
	b := make([]byte, 0, readOnlySearch)
	var part [4096]byte
	for len(b) < readOnlySearch && h.mem.Read(part[:], at+uint64(len(b))) == nil {
		b = append(b, part[:]...)
	}
	return b
}

// heapTypes lists the types whose maps are in memory at an address, in order, and
// the addresses of oddballs, such as undefined. There are none without a map that
// is its own.
func heapTypes(b []byte, at uint64) (types []heapType, oddballs []uint64) {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	meta := uint64(0)
	for i := 0; i+8 <= len(b) && meta == 0; i += 8 {
		if word(i) == at+uint64(i)+1 { //nolint:gosec // not negative
			meta = word(i)
		}
	}
	if meta == 0 {
		return nil, nil
	}
	var odd []uint64
	for i := 0; i+mapSize <= len(b) && len(types) < maxTypes; i += 8 {
		if word(i) != meta {
			continue
		}
		t := heapType{8 * uint16(b[i+8]), binary.LittleEndian.Uint16(b[i+12:])}
		types = append(types, t)
		if t.typ == oddballType {
			odd = append(odd, at+uint64(i)+1) //nolint:gosec // not negative
		}
	}
	for i := 0; i+24 <= len(b) && len(oddballs) < maxShapes; i += 8 {
		if slices.Contains(odd, word(i)) {
			oddballs = append(oddballs, at+uint64(i)) //nolint:gosec // not negative
		}
	}
	return types, oddballs
}

// learnLengths tells how arrays have their lengths, by the first that is not
// empty.
func (l *layout) learnLengths(b []byte, at uint64) {
	word := func(i uint64) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	end := uint64(len(b))
	for i := uint64(0); i+16 <= end; i += 8 {
		// The map is in the same memory.
		m := word(i) - 1 - at
		if word(i)&3 != 1 || m >= end || end-m < mapSize || m&7 != 0 {
			continue
		}
		t := binary.LittleEndian.Uint16(b[m+l.mapType:])
		if n := word(i + arrayLength); n != 0 && (t == l.fixedArray || t == l.byteArray) {
			l.plainLengths = n&0xffffffff != 0
			return
		}
	}
}

// isCompressed reports whether a page has a map that is its own by the lower half
// of its address; such heaps begin at multiples of 4 GiB.
func isCompressed(b []byte) bool {
	for i := 0; i+16 <= len(b); i += 4 {
		if w := binary.LittleEndian.Uint32(b[i:]); w == uint32(i)+1 && w > 16 { //nolint:gosec // small
			return true
		}
	}
	return false
}

// setTypes finds the types that are needed among all by what is next to them. All
// must be there, once, and have the sizes and the numbers that they have in
// relation to each other in the versions that are known.
func (l *layout) setTypes(types []heapType) error {
	in := func(v, lo, hi uint16) bool { return v >= lo && v <= hi }
	found := map[*uint16]int{}
	set := func(field *uint16, t heapType) {
		if found[field] == 0 || *field != t.typ {
			found[field]++
		}
		*field = t.typ
	}
	for i := range types {
		at := func(n int) heapType {
			if i+n < len(types) {
				return types[i+n]
			}
			return heapType{1, 0}
		}
		a, b, c, d := at(0), at(1), at(2), at(3)
		switch {
		case a.size == 0 && b.size == 0 && c.size == 0 &&
			in(a.typ, 210, 229) && in(b.typ, 188, 203) && in(c.typ, 178, 187):
			set(&l.byteArray, a)
			set(&l.trustedByteArray, b)
			set(&l.bytecodeArray, c)
			for n := 3; n < 10; n++ {
				if t := at(n); t.size == 0 && in(t.typ, c.typ+4, c.typ+14) {
					set(&l.instructionStream, t)
					break
				}
			}
		case in(a.size, 64, 80) && in(a.typ, 256, 320) && in(b.size, 80, 104) && in(b.typ, 179, 188) &&
			c == heapType{48, 132} && d == heapType{48, 133}:
			set(&l.shared, a)
			set(&l.code, b)
		case in(a.size, 40, 64) && in(a.typ, 144, 156) && b == heapType{24, a.typ + 5} &&
			c.size == 0 && in(c.typ, 256, 320) && d.size == 0 && in(d.typ, 200, 210):
			set(&l.scopeInfo, c)
			set(&l.fixedArray, d)
		case in(a.size, 136, 176) && in(a.typ, 160, 172):
			set(&l.script, a)
		}
	}
	for _, field := range []*uint16{
		&l.byteArray, &l.trustedByteArray, &l.bytecodeArray, &l.instructionStream, &l.shared, &l.code,
		&l.scopeInfo, &l.fixedArray, &l.script,
	} {
		if found[field] != 1 {
			return errLayout
		}
	}
	if l.code != l.bytecodeArray+1 || l.shared <= l.scopeInfo || l.shared > l.scopeInfo+4 {
		return errLayout
	}
	l.interpreterData = l.code + 1
	l.sharedWrapper = l.trustedByteArray - 1
	return nil
}
