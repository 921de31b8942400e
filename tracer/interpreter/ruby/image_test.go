// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"encoding/binary"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// image is memory of a process that a test makes up.
type image struct {
	b    []byte
	next uint64
	lib  *library
}

const imageBase = 0x7f0000000000

func newImage(v version) *image {
	return &image{b: make([]byte, 64<<10), next: imageBase + 64, lib: &library{text: "test", version: v, layout: layoutOf(v)}}
}

func (m *image) read(b []byte, addr uint64) error {
	if addr < imageBase || addr-imageBase+uint64(len(b)) > uint64(len(m.b)) {
		return fmt.Errorf("%w: 0x%x", process.ErrMemory, addr)
	}
	copy(b, m.b[addr-imageBase:])
	return nil
}

func (m *image) instance() *instance {
	return &instance{
		lib: m.lib, mem: objects{process.NewMemoryFunc(m.read), m.lib.layout.shortLength},
		ids: map[uint64]string{}, classes: map[uint64]string{},
	}
}

// alloc returns the address of new memory, aligned as objects are.
func (m *image) alloc(n int) uint64 {
	at := m.next
	m.next = (m.next + uint64(n) + 63) &^ 7 //nolint:gosec // small
	return at
}

func (m *image) put(at uint64, words ...uint64) {
	for i, w := range words {
		binary.LittleEndian.PutUint64(m.b[at-imageBase+uint64(i)*8:], w) //nolint:gosec // small
	}
}

func (m *image) put32(at uint64, w uint32) { binary.LittleEndian.PutUint32(m.b[at-imageBase:], w) }

func (m *image) words(words ...uint64) uint64 {
	at := m.alloc(len(words) * 8)
	m.put(at, words...)
	return at
}

// string makes a string object, embedded if it is short.
func (m *image) string(s string) uint64 {
	at := m.alloc(64)
	switch {
	case len(s) > 23:
		bytes := m.alloc(len(s))
		copy(m.b[bytes-imageBase:], s)
		m.put(at, typeString|flagNoEmbed, 0, uint64(len(s)), bytes)
	case m.lib.layout.shortLength:
		m.put(at, typeString|uint64(len(s))<<(flagShift+2))
		copy(m.b[at+16-imageBase:], s)
	default:
		m.put(at, typeString, 0, uint64(len(s)))
		copy(m.b[at+24-imageBase:], s)
	}
	return at
}

// array makes an array object, embedded if it is short.
func (m *image) array(elements ...uint64) uint64 {
	if len(elements) <= 3 {
		at := m.alloc(40)
		m.put(at, typeArray|flagEmbedded|uint64(len(elements))<<(flagShift+3), 0)
		m.put(at+16, elements...)
		return at
	}
	return m.words(typeArray, 0, uint64(len(elements)), 0, m.words(elements...))
}

// symbols makes a table of symbols whose serial numbers start at 300, and returns
// their IDs.
func (m *image) symbols(names ...string) (table uint64, ids []uint64) {
	pairs := make([]uint64, 2*symbolsPerArray)
	pairs[2*bang] = m.string("!")
	for i, n := range names {
		pairs[2*(300+i)] = m.string(n)
		ids = append(ids, uint64(300+i)<<symbolScopeShift|5) //nolint:gosec // small
	}
	table = m.words(uint64(300+len(names)), m.words(0), m.array(m.array(pairs...))) //nolint:gosec // small
	return table, ids
}

// class makes a class or module. vars are the IDs of the variables for its name
// and for what it is attached to.
func (m *image) class(kind uint64, name string, attached uint64, vars []uint64) uint64 {
	l := &m.lib.layout
	at := m.alloc(256)
	var path uint64
	if name != "" {
		path = m.string(name)
	}
	if attached != 0 {
		kind |= l.singleton
	}
	m.put(at, kind)
	switch l.class.kind {
	case classFields:
		m.put(at+l.class.path, path)
		m.put(at+l.class.attached, attached)
	case classFirst:
		m.put(at+offClassIvars, m.words(path|attached))
	case classTable:
		entries := m.words(^uint64(0), 1, 1, 7, vars[0], path, 8, vars[1], attached)
		m.put(at+offClassExt, m.words(0, m.words(3, 0, 2, 0, 0, 3, entries)))
	}
	return at
}

// method makes a method entry.
func (m *image) method(kind, owner, id, target uint64) uint64 {
	def := m.words(kind, target, 0, 0, id)
	return m.words(typeIMemo|imemoMethod<<flagShift, owner, def, id, owner)
}

// sequence makes an instruction sequence; lines are at positions 0, 2, 4...
func (m *image) sequence(kind uint64, label string, first uint64, lines []uint32) uint64 {
	l := &m.lib.layout
	body := m.alloc(256)
	iseq := m.alloc(64)
	m.put(iseq+offISeqBody, body)
	m.put32(body, uint32(kind)) //nolint:gosec // small
	m.put32(body+offBodySize, 99)
	if l.wideLine {
		first = first<<1 | 1
	}
	path := m.array(m.string("a.rb"), m.string("/app/with/a/long/path/to/a.rb"))
	m.put(body+offLocation, path, 0, m.string(label), first)
	m.put(body+l.local, iseq)
	entries := m.alloc(len(lines) * 16)
	positions := make([]uint64, len(lines))
	for i, n := range lines {
		at := entries + uint64(i)*l.lineEntry //nolint:gosec // small
		if !l.succinct {
			m.put32(at, uint32(2*i)) //nolint:gosec // small
		}
		m.put32(at+l.line, n)
		positions[i] = uint64(2 * i) //nolint:gosec // small
	}
	m.put(body+l.info, entries)
	if l.succinct {
		m.put(body+l.info+offInfoSuccinct, m.succinct(positions, 1024))
	}
	m.put32(body+l.infoSize, uint32(len(lines))) //nolint:gosec // small
	return iseq
}

// succinct makes the index of positions below limit.
func (m *image) succinct(positions []uint64, limit int) uint64 {
	at := m.alloc(immediatePositions/immediatePerWord*8 + (limit/blockPositions+1)*blockSize)
	rank := func(position uint64) (n uint64) {
		for _, p := range positions {
			if p <= position {
				n++
			}
		}
		return n
	}
	for w := range uint64(immediatePositions / immediatePerWord) {
		var x uint64
		for i := range uint64(immediatePerWord) {
			x |= rank(w*immediatePerWord+i) << (i * immediateBits)
		}
		m.put(at+w*8, x)
	}
	at0 := at
	at += immediatePositions / immediatePerWord * 8
	for start := uint64(immediatePositions); start < uint64(limit); start += blockPositions { //nolint:gosec // small
		before := rank(start - 1)
		m.put(at, before)
		var ranks uint64
		for j := range uint64(8) {
			if j > 0 {
				ranks |= (rank(start+j*64-1) - before) << ((j - 1) * blockBits)
			}
			var bits uint64
			for _, p := range positions {
				if p >= start+j*64 && p < start+j*64+64 {
					bits |= 1 << (p - start - j*64)
				}
			}
			m.put(at+16+j*8, bits)
		}
		m.put(at+8, ranks)
		at += blockSize
	}
	return at0
}

func (m *image) view() *interpreter.Process {
	return &interpreter.Process{Memory: process.NewMemoryFunc(m.read)}
}
