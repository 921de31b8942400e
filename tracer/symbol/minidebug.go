// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

const (
	// maxMiniDebug bounds .gnu_debugdata, packed and unpacked, in bytes. It
	// holds the names of local functions only; Fedora's largest are below it.
	maxMiniDebug = 64 << 20
	// maxXZDict bounds the dictionary: that of xz -9.
	maxXZDict = 64 << 20
)

var errXZ = errors.New("not supported xz data")

// unxz unpacks xz data with bounds on memory that the data cannot change. The
// container is read here, because the xz package allocates whatever dictionary
// size a file asks for; check sums are left out, as what comes out is checked
// like any ELF file.
func unxz(packed []byte, limit int64) ([]byte, error) {
	const headerSize = 12
	if len(packed) < headerSize || string(packed[:6]) != "\xfd7zXZ\x00" {
		return nil, fmt.Errorf("%w: no header", errXZ)
	}
	checkSize := [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[packed[7]&15]
	var out bytes.Buffer
	for rest := packed[headerSize:]; ; {
		if len(rest) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if rest[0] == 0 { // the index: no more blocks
			return out.Bytes(), nil
		}
		size := (int(rest[0]) + 1) * 4
		if size > len(rest) {
			return nil, io.ErrUnexpectedEOF
		}
		dict, err := xzDictSize(rest[:size])
		if err != nil {
			return nil, err
		}
		n, err := unpackBlock(&out, rest[size:], dict, limit)
		if err != nil {
			return nil, err
		}
		next := size + (n+3)&^3 + checkSize
		if next > len(rest) {
			return nil, io.ErrUnexpectedEOF
		}
		rest = rest[next:]
	}
}

// unpackBlock unpacks the LZMA2 data at the start of b to out and returns their
// packed size.
func unpackBlock(out *bytes.Buffer, b []byte, dict int, limit int64) (int, error) {
	// More of a dictionary than what may come out is never looked at.
	dict = int(max(min(int64(dict), limit), lzma.MinDictCap))
	r, err := lzma.Reader2Config{DictCap: dict}.NewReader2(bytes.NewReader(b))
	if err != nil {
		return 0, fmt.Errorf("unpack xz: %w", err)
	}
	_, err = io.Copy(out, io.LimitReader(r, limit-int64(out.Len())+1))
	if err != nil {
		return 0, fmt.Errorf("unpack xz: %w", err)
	}
	if int64(out.Len()) > limit {
		return 0, fmt.Errorf("%w: more than %d bytes of packed symbols", errTooLarge, limit)
	}
	return lzma2Size(b)
}

// lzma2Size returns the size of the LZMA2 data at the start of b, from the
// headers of its chunks.
func lzma2Size(b []byte) (int, error) {
	for at := 0; at < len(b); {
		switch control := b[at]; {
		case control == 0:
			return at + 1, nil
		case control <= 2 && at+3 <= len(b): // stored
			at += 3 + int(binary.BigEndian.Uint16(b[at+1:])) + 1
		case control >= 0x80 && at+5 <= len(b):
			size := 5 + int(binary.BigEndian.Uint16(b[at+3:])) + 1
			if control >= 0xc0 {
				size++ // new properties
			}
			at += size
		default:
			return 0, fmt.Errorf("%w: chunk %#x", errXZ, control)
		}
	}
	return 0, io.ErrUnexpectedEOF
}

// xzDictSize returns the size of the dictionary that a block header asks for.
// Only blocks with LZMA2 as their only filter are known.
func xzDictSize(header []byte) (int, error) {
	flags := header[1]
	if flags&0x3f != 0 {
		return 0, fmt.Errorf("%w: block flags %#x", errXZ, flags)
	}
	rest := header[2:]
	number := func() uint64 {
		v, n := binary.Uvarint(rest)
		rest = rest[max(n, 0):]
		return v
	}
	for _, present := range [...]byte{0x40, 0x80} { // packed and unpacked size
		if flags&present != 0 {
			number()
		}
	}
	const lzma2 = 0x21
	if number() != lzma2 || number() != 1 || len(rest) == 0 {
		return 0, fmt.Errorf("%w: unknown filter", errXZ)
	}
	dict, err := lzma.DecodeDictCap(rest[0])
	if err != nil || dict > maxXZDict {
		return 0, fmt.Errorf("%w: dictionary of %d bytes: %w", errXZ, dict, errTooLarge)
	}
	return int(dict), nil
}
