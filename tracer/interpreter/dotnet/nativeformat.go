// SPDX-License-Identifier: Apache-2.0

package dotnet

import "encoding/binary"

// nativeReader reads the tables in a section of a ReadyToRun image: NativeFormat,
// src/coreclr/vm/nativeformatreader.h. Positions are relative to the image.
type nativeReader struct {
	b     []byte
	start uint32
	bad   bool
}

// rest returns what follows a position.
func (r *nativeReader) rest(at uint32) []byte {
	if at < r.start || uint64(at-r.start) >= uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.b[at-r.start:]
}

// fixed reads a number of 1, 2 or 4 bytes.
func (r *nativeReader) fixed(at uint32, log uint8) uint32 {
	b := r.rest(at)
	if len(b) < 1<<log {
		r.bad = true
		return 0
	}
	switch log {
	case 0:
		return uint32(b[0])
	case 1:
		return uint32(binary.LittleEndian.Uint16(b))
	}
	return binary.LittleEndian.Uint32(b)
}

// unsigned reads a number whose lowest bits tell its length.
func (r *nativeReader) unsigned(at uint32) (value, next uint32) {
	v, n := r.raw(at)
	if n <= 4 {
		return uint32(v) >> n, at + n //nolint:gosec // as it is encoded
	}
	return uint32(v), at + n //nolint:gosec // as it is encoded
}

// signed is unsigned for numbers with a sign.
func (r *nativeReader) signed(at uint32) (value int32, next uint32) {
	v, n := r.raw(at)
	if n <= 4 {
		shift := 64 - 8*n
		return int32(int64(v<<shift) >> shift >> n), at + n //nolint:gosec // as it is encoded
	}
	return int32(uint32(v)), at + n //nolint:gosec // as it is encoded
}

// raw returns the bytes of a number and how many they are.
func (r *nativeReader) raw(at uint32) (v uint64, n uint32) {
	b := r.rest(at)
	if len(b) == 0 {
		r.bad = true
		return 0, 1
	}
	n = 1
	for n < 5 && b[0]>>(n-1)&1 != 0 {
		n++
	}
	if uint64(len(b)) < uint64(n) {
		r.bad = true
		return 0, 1
	}
	if n == 5 {
		return uint64(binary.LittleEndian.Uint32(b[1:])), 5
	}
	for i := range n {
		v |= uint64(b[i]) << (8 * i)
	}
	return v, n
}

// array calls fn with each element of a sparse array, and where it is.
func (r *nativeReader) array(fn func(index, at uint32)) {
	const block = 16
	head, base := r.unsigned(r.start)
	count := min(head>>2, maxEntries)
	size := uint8(min(head&3, 2)) //nolint:gosec // small
	for first := uint32(0); first < count && !r.bad; first += block {
		root := base + r.fixed(base+first/block<<size, size)
		for index := first; index < min(first+block, count); index++ {
			if at, ok := r.element(root, index%block); ok {
				fn(index, at)
			}
		}
	}
}

// element goes down the tree of a block of 16 elements.
func (r *nativeReader) element(at, index uint32) (uint32, bool) {
	for bit := uint32(8); bit > 0; bit >>= 1 {
		v, next := r.unsigned(at)
		if r.bad {
			return 0, false
		}
		switch {
		case index&bit != 0 && v&2 != 0:
			at += v >> 2
		case index&bit == 0 && v&1 != 0:
			at = next
		case v&3 == 0 && v>>2 == index:
			return next, true
		default:
			return 0, false
		}
	}
	return at, true
}

// table calls fn with where each entry of a hash table is.
func (r *nativeReader) table(fn func(at uint32)) {
	head := r.fixed(r.start, 0)
	base := r.start + 1
	size := uint8(min(head&3, 2)) //nolint:gosec // small
	if head>>2 > 20 {
		r.bad = true
	}
	for bucket := range uint32(1) << min(head>>2, 20) {
		if r.bad {
			return
		}
		at, end := base+r.fixed(base+bucket<<size, size), base+r.fixed(base+(bucket+1)<<size, size)
		for at < end && !r.bad {
			at++ // the lower part of the hash
			delta, next := r.signed(at)
			if target := at + uint32(delta); !r.bad { //nolint:gosec // wraps as intended
				if len(r.rest(target)) > 0 {
					fn(target)
				}
			}
			at = next
		}
	}
}

// entryPoint reads the number of a method's first function. The lowest bit says that
// a list of what is to be prepared belongs to it, the next where that is.
func (r *nativeReader) entryPoint(at uint32) (uint32, bool) {
	v, _ := r.unsigned(at)
	if r.bad {
		return 0, false
	}
	if v&1 != 0 {
		return v >> 2, true
	}
	return v >> 1, true
}
