// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// image is the memory of an emulator that does not exist: 1 MiB from a base.
type image struct {
	b []byte
	// size is how much of it can be read.
	size uint64
}

const (
	imageBase = 0xffff_7f00_0000 // of 48 bits, as on arm64
	imageSize = 1 << 20
)

func newImage() *image { return &image{make([]byte, imageSize), imageSize} }

func (m *image) read(b []byte, addr uint64) error {
	off := addr - imageBase
	if addr < imageBase || off+uint64(len(b)) > m.size {
		return process.ErrMemory
	}
	copy(b, m.b[off:])
	return nil
}

func (m *image) memory() process.Memory { return process.NewMemoryFunc(m.read) }

func (m *image) put(addr uint64, words ...uint64) {
	for i, w := range words {
		binary.LittleEndian.PutUint64(m.b[addr-imageBase+uint64(i)*8:], w)
	}
}

func (m *image) text(addr uint64, s string) { copy(m.b[addr-imageBase:], s) }

// Where things are in the image, and the MD5 sum in code headers.
const (
	md5Old     = 10
	md5New     = 15
	atomPages  = imageBase + 0x1000
	atomPage   = imageBase + 0x2000
	atomData   = imageBase + 0x6000
	headerAt   = imageBase + 0x10000
	moduleEnd  = headerAt + 0x2000
	linesAt    = imageBase + 0x20000
	md5At      = imageBase + 0x21003 // as in life: not aligned
	rangesAt   = imageBase + 0x30000
	modulesAt  = imageBase + 0x31000
	schedAt    = imageBase + 0x40000
	registerAt = imageBase + 0x41000
	mainRet    = imageBase + 0x50005
	procTable  = imageBase + 0x60000
	procTab    = imageBase + 0x61000
	procAt     = imageBase + 0x70000
	heapAt     = imageBase + 0x80000
	exitAt     = imageBase + 0x90000
)

func term(atom uint64) uint64 { return atom<<atomTagBits | atomTag }

// putAtoms makes atoms 0, 1 and so on.
func (m *image) putAtoms(names ...string) {
	m.put(atomPages, atomPage)
	m.put(atomPages+8, atomPages) // the table's pointer to its pages
	for i, n := range names {
		at := uint64(atomData + i*0x100)
		m.put(atomPage+uint64(i)*8, at)
		m.put(at, 0, 0, uint64(i), uint64(len(n)), at+atomName+8)
		m.text(at+atomName+8, n)
	}
}

// putList makes a list of characters and returns the term for it.
func (m *image) putList(at uint64, s string) uint64 {
	for i, c := range []byte(s) {
		next := at + uint64(i+1)*16 | list
		if i == len(s)-1 {
			next = emptyList
		}
		m.put(at+uint64(i)*16, uint64(c)<<4|smallTag, next)
	}
	return at | list
}

// putModule makes a module of three functions in the layout of a release: the
// first is 0x100 bytes behind the header, and each has two entries in the table
// of lines, 0x20 and 0x40 behind its start.
func (m *image) putModule(md5 uint8, size uint64) {
	i := uint64(md5) + 2
	m.put(headerAt, 3)
	m.put(headerAt+headerLineTable*8, linesAt)
	m.put(headerAt+uint64(md5)*8, md5At)
	m.text(md5At, "0123456789abcdef")
	addresses, locs := uint64(linesAt+0x100), uint64(linesAt+0x200)
	m.put(linesAt, linesAt+0x300, size, locs)
	m.put(linesAt+0x300, emptyList, m.putList(linesAt+0x400, "lib/hive.ex"), term(1))
	for f := range uint64(4) {
		at := uint64(headerAt) + 0x200 + f*0x100
		m.put(headerAt+(i+f)*8, at)
		m.put(linesAt+lineTableFunctions+f*8, addresses+f*16)
		if f < 3 {
			m.put(at, 0, 0, term(0), term(1+f), f)
			m.put(addresses+f*16, at+0x20, at+0x40)
		}
		for n := range uint64(2) {
			line := 10*(f+1) + n
			if size == 2 {
				binary.LittleEndian.PutUint16(m.b[locs-imageBase+(2*f+n)*2:], uint16(line))
			} else {
				binary.LittleEndian.PutUint32(m.b[locs-imageBase+(2*f+n)*4:], uint32(line|f<<24)) // function 1 is of file 1
			}
		}
	}
}

// putEmulator makes what is searched for when a process is attached.
func (m *image) putEmulator() {
	for i := range uint64(3) {
		m.put(rangesAt+i*32, modulesAt, 2, 8, modulesAt+16)
	}
	m.put(modulesAt, headerAt, moduleEnd, moduleEnd+64, moduleEnd+0x1000)
	m.put(schedAt, registerAt)
	m.put(schedAt+0x60, schedAt-64, procAt, 0, 1)
	m.put(registerAt+0x3008, mainRet)
	m.put(procTable+0x80, procTab)
	m.put(procTab+8, procAt, 0, procAt+0x1000)
	for _, p := range []uint64{procAt, procAt + 0x1000} {
		m.put(p+0x50, heapAt+0x100, heapAt+0x800, 0, 0, 0, 0, heapAt, heapAt+0x1000, 0, 0x1000/8)
	}
	m.put(heapAt+0x1000-8, exitAt)
}

// scramble overwrites parts of the image that are in use.
func (m *image) scramble(r *rand.Rand) {
	for range 1 + r.IntN(64) {
		at := r.Uint64N(0xa0000) &^ 7
		v := r.Uint64()
		switch r.IntN(4) {
		case 0:
			v = imageBase + r.Uint64N(imageSize)&^7
		case 1:
			v = r.Uint64N(64)
		case 2:
			v = ^uint64(0)
		}
		binary.LittleEndian.PutUint64(m.b[at:], v)
	}
}

// patch overwrites words of the image as a fuzzer says: 4 bytes of offset, 8 of
// value, and so on. What is behind size cannot be read.
func (m *image) patch(b []byte, size uint32) {
	for ; len(b) >= 12; b = b[12:] {
		at := binary.LittleEndian.Uint32(b) % (0xa0000 - 8)
		copy(m.b[at:], b[4:12])
	}
	m.size = min(m.size, uint64(size))
}
