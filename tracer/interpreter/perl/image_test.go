// SPDX-License-Identifier: Apache-2.0

package perl

import (
	"encoding/binary"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// image is memory of a process that tests lay out. Blocks are far apart.
type image struct {
	blocks map[uint64][]byte
	next   uint64
}

const blockSize = 0x1000

// newImage returns memory whose addresses have 48 bits, as on arm64.
func newImage() *image { return &image{blocks: map[uint64][]byte{}, next: 0xaaaa_5500_0000} }

// put stores words at byte offsets and returns their address.
func (m *image) put(at map[int]any) uint64 {
	b := make([]byte, 256)
	for off, v := range at {
		switch v := v.(type) {
		case uint64:
			binary.LittleEndian.PutUint64(b[off:], v)
		case uint32:
			binary.LittleEndian.PutUint32(b[off:], v)
		case string:
			copy(b[off:], v)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	addr := m.next
	m.next += blockSize
	m.blocks[addr] = b
	return addr
}

func (m *image) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		block, off := m.blocks[addr&^(blockSize-1)], int(addr&(blockSize-1)) //nolint:gosec // small
		if off > len(block) {
			return process.ErrMemory
		}
		// A string is read by the page: what is behind it is zero.
		clear(b[copy(b, block[off:]):])
		if block == nil {
			return process.ErrMemory
		}
		return nil
	})
}

func (m *image) hek(hash uint32, text string) uint64 {
	return m.put(map[int]any{0: hash, 4: uint32(len(text)), 8: text}) //nolint:gosec // short
}

// stash lays out a package; count is xhv_name_count.
func (m *image) stash(l layout, name string, count int32) uint64 {
	hek := m.hek(7, name)
	switch {
	case count > 0:
		hek = m.put(map[int]any{0: hek})
	case count < 0:
		hek = m.put(map[int]any{8: hek})
	}
	if l.auxInBody {
		body := m.put(map[int]any{hvBodySize: hek, hvBodySize + auxCount: uint32(count)}) //nolint:gosec // bits
		return m.put(map[int]any{0: body, svFlags: uint32(svOOK)})
	}
	array := m.put(map[int]any{8 * 8: hek, 8*8 + auxCount: uint32(count)}) //nolint:gosec // bits
	body := m.put(map[int]any{hvMax: uint64(7)})
	return m.put(map[int]any{0: body, svFlags: uint32(svOOK), svValue: array})
}

func (m *image) glob(stash uint64, name string) uint64 {
	body := m.put(map[int]any{gvNames: m.hek(9, name), gvNames + 8: stash})
	return m.put(map[int]any{0: body})
}

const opNextstate = uint64(0x5600_0000_1230)

func (m *image) cop(d *decoder, file string, line uint32) uint64 {
	at := m.put(map[int]any{0: file})
	if d.fileIsGlob {
		at = m.glob(0, "_<"+file)
	}
	return m.put(map[int]any{opFunction: opNextstate, copLine: line, copLine + 12: at})
}

// pushed makes the words of a frame as push_perl() does.
func (d *decoder) pushed(kind uint8, name, context, seed, text, cop uint64) interpreter.Frame {
	pack := func(p uint64, c uint32) uint64 { return p>>3&pointerMask | uint64(c)<<pointerBits }
	s, _ := d.statement(cop)
	var c uint32
	if text != 0 {
		c = check(d.mixText(seed, text))
	}
	return interpreter.Frame{
		Subtype: kind, Addr: name,
		W1: pack(cop, check(mix(mix(0, uint64(s.line)), s.file))), W2: pack(context, c),
	}
}
