// SPDX-License-Identifier: Apache-2.0

package native

import (
	"encoding/binary"
	"errors"
)

// errFormat is the cause of all errors about the content of unwind information.
var errFormat = errors.New("malformed unwind information")

// data is a cursor over little-endian bytes. After a read beyond the end, all
// further reads give zeros and bad is set.
type data struct {
	b   []byte
	i   int
	bad bool
}

func (d *data) more() bool { return d.i < len(d.b) && !d.bad }

func (d *data) u8() uint8 {
	if d.i >= len(d.b) {
		d.bad = true
		return 0
	}
	v := d.b[d.i]
	d.i++
	return v
}

// take returns the next n bytes, nil beyond the end.
func (d *data) take(n uint64) []byte {
	if n > uint64(len(d.b)-d.i) { //nolint:gosec // i is at most len
		d.i, d.bad = len(d.b), true
		return nil
	}
	v := d.b[d.i : d.i+int(n)] //nolint:gosec // checked
	d.i += int(n)              //nolint:gosec // checked
	return v
}

func (d *data) u16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *data) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *data) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// uleb reads an unsigned LEB128 number; bits above 64 are lost.
func (d *data) uleb() uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := d.u8()
		if shift < 64 {
			v |= uint64(b&0x7f) << shift
		}
		if b&0x80 == 0 {
			return v
		}
	}
}

// sleb reads a signed LEB128 number; bits above 64 are lost.
func (d *data) sleb() int64 {
	var v int64
	for shift := uint(0); ; {
		b := d.u8()
		if shift < 64 {
			v |= int64(b&0x7f) << shift
		}
		shift += 7
		if b&0x80 == 0 {
			if b&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// cstring reads a zero-terminated string.
func (d *data) cstring() string {
	for j := d.i; j < len(d.b); j++ {
		if d.b[j] == 0 {
			s := string(d.b[d.i:j])
			d.i = j + 1
			return s
		}
	}
	d.i, d.bad = len(d.b), true
	return ""
}

// Encodings of pointers (DW_EH_PE_*) in .eh_frame and .eh_frame_hdr.
const (
	peAbsptr   = 0x00
	peULEB     = 0x01
	peUdata2   = 0x02
	peUdata4   = 0x03
	peUdata8   = 0x04
	peSigned   = 0x08
	peSLEB     = 0x09
	peSdata2   = 0x0a
	peSdata4   = 0x0b
	peSdata8   = 0x0c
	peFormat   = 0x0f
	pePCRel    = 0x10
	peDataRel  = 0x30
	peAligned  = 0x50
	peBase     = 0x70
	peIndirect = 0x80
	peOmit     = 0xff
)

// pointer reads a pointer in the given encoding. at is the address of the first
// byte of d.b, dataBase what data-relative pointers count from.
func (d *data) pointer(enc uint8, at, dataBase uint64) uint64 {
	var base uint64
	switch enc & peBase {
	case 0:
	case pePCRel:
		base = at + uint64(d.i) //nolint:gosec // an index is not negative
	case peDataRel:
		base = dataBase
	default: // relative to text or function: no toolchain writes them; aligned: only in data
		d.bad = true
		return 0
	}
	if enc&peIndirect != 0 {
		d.bad = true // the pointer itself is in memory that is not in the file
		return 0
	}
	return base + d.value(enc)
}

// value reads a number in the format of a pointer encoding.
func (d *data) value(enc uint8) uint64 {
	switch enc & peFormat {
	case peAbsptr, peUdata8, peSdata8, peSigned:
		return d.u64()
	case peULEB:
		return d.uleb()
	case peUdata2:
		return uint64(d.u16())
	case peUdata4:
		return uint64(d.u32())
	case peSLEB:
		return uint64(d.sleb()) //nolint:gosec // two's complement
	case peSdata2:
		return uint64(int64(int16(d.u16()))) //nolint:gosec // two's complement
	case peSdata4:
		return uint64(int64(int32(d.u32()))) //nolint:gosec // two's complement
	}
	d.bad = true
	return 0
}
